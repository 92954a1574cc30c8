//! The states of a distribution, and errors of the API.

use std::net::SocketAddr;
use std::time::Duration;

use probe_testkit::run;
use stack::edge::OBJECT;
use stack::moto::{Moto, shared, shared_distribution};

use crate::{TIMEOUT, api, api_for, check, edge, outcome};

fn address(moto: &Moto) -> SocketAddr {
    ([127, 0, 0, 1], moto.port()).into()
}

#[tokio::test]
async fn an_enabled_and_deployed_distribution_is_working_with_and_without_an_object() {
    let api = api(shared().unwrap(), &shared_distribution().unwrap().id);
    outcome(&api).await.expect_working();
    let edge = edge(stack::edge::shared().unwrap(), OBJECT);
    outcome(&format!("{api}{edge}")).await.expect_working();
    outcome(&format!("{api}{edge}domain = 'cdn.app.example'\n")).await.expect_working();
}

#[tokio::test]
async fn a_distribution_that_is_disabled_in_progress_or_missing_is_reported_as_such() {
    let moto = Moto::start().unwrap();
    let at = address(&moto);
    let disabled = moto.distribution().unwrap();
    moto.disable(&disabled).unwrap();
    assert_eq!(
        outcome(&api(at, &disabled.id)).await.line(),
        format!("distribution: disabled ({at})")
    );
    let waiting = moto.distribution_in_progress().unwrap();
    assert_eq!(
        outcome(&api(at, &waiting.id)).await.line(),
        format!("distribution: enabled, but not deployed to all edges yet (InProgress) ({at})")
    );
    assert_eq!(
        outcome(&api(at, "E123")).await.line(),
        format!("distribution: there is no distribution `E123` ({at})")
    );
}

#[tokio::test]
async fn wrong_credentials_and_a_missing_permission_are_distinguished() {
    let (moto, keys) = Moto::start_enforcing_permissions(&["s3:ListBucket"]).unwrap();
    let (at, id) = (address(&moto), "E123");
    assert_eq!(
        outcome(&api_for(at, id, &keys.id, &keys.secret)).await.line(),
        format!(
            "distribution: access denied, the permission `cloudfront:GetDistribution` on the distribution `E123` is missing ({at})"
        )
    );
    assert_eq!(
        outcome(&api_for(at, id, &keys.id, "another")).await.line(),
        format!("authenticate: the secret access key is wrong (SignatureDoesNotMatch) ({at})")
    );
    assert_eq!(
        outcome(&api_for(at, id, "unknown", "another")).await.line(),
        format!("authenticate: the access key is not known (InvalidClientTokenId) ({at})")
    );
}

#[tokio::test]
async fn a_silent_api_times_out_and_works_again_after_it_resumes() {
    let moto = Moto::start().unwrap();
    let check = check(&api(address(&moto), &moto.distribution().unwrap().id));
    run(&check, TIMEOUT).await.expect_working();
    moto.server.pause();
    assert_eq!(run(&check, Duration::from_millis(300)).await.timed_out_step(), "distribution");
    moto.server.resume();
    run(&check, TIMEOUT).await.expect_working();
}
