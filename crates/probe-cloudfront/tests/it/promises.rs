//! The contract's promises, for the API and for the edge.

use probe_cloudfront::KIND;
use probe_testkit::{Hostile, Subject, promises};
use stack::edge::{CONTENT, OBJECT};
use stack::moto::ALTERNATE_DOMAIN;

use crate::edge;

#[tokio::test]
async fn the_check_of_an_object_keeps_its_promises() {
    promises(Subject {
        kind: KIND,
        section: "edges",
        config: Box::new(|address| {
            let content = CONTENT.trim_end();
            format!(
                "[site]\ndomain = '{ALTERNATE_DOMAIN}'\ncontains = '{content}'\n{}",
                edge(address, OBJECT)
            )
        }),
        upstream: stack::edge::shared().unwrap(),
        secrets: Vec::new(),
        connections: 1,
        hostile: Hostile::http(),
    })
    .await;
}

/// The promises of the client for AWS, which this check shares with the check of S3, are also tested by `probe-s3`.
mod slow {
    use stack::moto::Moto;

    use crate::api_for;

    use super::{Hostile, KIND, Subject, promises};

    #[tokio::test]
    async fn the_check_of_a_distribution_keeps_its_promises() {
        let (moto, keys) =
            Moto::start_enforcing_permissions(&["cloudfront:GetDistribution"]).unwrap();
        let id = moto.distribution().unwrap().id;
        let secrets = vec![keys.id.clone(), keys.secret.clone()];
        promises(Subject {
            kind: KIND,
            section: "distributions",
            config: Box::new(move |address| {
                let lines = api_for(address, &id, &keys.id, &keys.secret);
                format!("[site]\n{lines}")
            }),
            upstream: ([127, 0, 0, 1], moto.port()).into(),
            secrets,
            connections: 1,
            hostile: Hostile::http(),
        })
        .await;
    }
}
