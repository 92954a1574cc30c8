//! The contract's promises, with all kinds of access, on a server that verifies the keys.

use probe_s3::KIND;
use probe_testkit::{Hostile, Subject, promises};
use stack::localstack::APP_BUCKET;
use stack::moto::Moto;

use crate::connection_settings_for;

#[tokio::test]
async fn the_promises_of_the_contract_are_kept() {
    let actions = ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"];
    let (moto, keys) = Moto::start_enforcing_permissions(&actions).unwrap();
    let secrets = vec![keys.id.clone(), keys.secret.clone()];
    promises(Subject {
        kind: KIND,
        section: "buckets",
        config: Box::new(move |address| {
            let connection = connection_settings_for(address, &keys.id, &keys.secret);
            format!(
                "[files]\nbucket = '{APP_BUCKET}'\naccess = ['list', 'read', 'write', 'delete']\nprefix = 'promises/'\n{connection}"
            )
        }),
        upstream: ([127, 0, 0, 1], moto.port()).into(),
        secrets,
        connections: 1,
        hostile: Hostile::http(),
    })
    .await;
}
