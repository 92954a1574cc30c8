//! How many connections a component opens, and which components share them.

use std::sync::Arc;

use probe::SharedResources;
use probe::config::Value;

use super::tree;
use crate::secrets;
use crate::suite::{Suite, TIMEOUT, WRONG_SECRET};

/// How often the components run.
const ROUNDS: usize = 20;

/// Two components of one server that run concurrently open no more connections than one holds at rest, and close them when they are dropped.
///
/// A subject that holds none at rest may open one for each run.
pub(crate) async fn are_shared(suite: &Suite) {
    let proxy = suite.proxy();
    let shared = Arc::<SharedResources>::default();
    let one = suite.component_sharing(&proxy, &shared).await;
    let other = suite.component_sharing(&proxy, &shared).await;
    for _ in 0..ROUNDS {
        tokio::join!(
            suite.expect_working(&one, "beside another"),
            suite.expect_working(&other, "beside another"),
        );
    }
    let runs = 2 * ROUNDS * suite.checks(&one).len();
    let (at_rest, counts) = (suite.subject.connections, proxy.counts());
    let most = if at_rest == 0 { runs } else { at_rest };
    if counts.accepted > most {
        suite.fail(&format!("{ROUNDS} runs opened more than {most}: {counts:?}"));
    }
    suite.drop(vec![one]).await;
    suite
        .expect_working(&other, "after the component that shared its connection was dropped")
        .await;
    suite.drop(vec![other]).await;
    if !proxy.reaches(|counts| counts.open == 0).await {
        suite.fail(&format!("connections stay open after it was dropped: {:?}", proxy.counts()));
    }
}

/// A component with a wrong secret fails, even while another is connected with the right one.
pub(crate) async fn are_separated_by_credentials(suite: &Suite) {
    let proxy = suite.proxy();
    let shared = Arc::<SharedResources>::default();
    let right = suite.component_sharing(&proxy, &shared).await;
    suite.expect_working(&right, "with its own credentials").await;
    let config = suite.config(&proxy);
    for secret in &suite.subject.secrets {
        let mut wrong = config.clone();
        let mut found = false;
        for (path, text) in tree::strings(&config) {
            if secrets::contains(&text, secret) {
                let other = secrets::replace(&text, secret, WRONG_SECRET);
                wrong = tree::with(&wrong, &path, Value::String(other));
                found = true;
            }
        }
        assert!(found, "the subject's configuration does not contain one of its secrets");
        let Ok(wrong) = suite.build(suite.subject.section, &wrong, &shared).await else {
            continue;
        };
        let runs = suite.run(&wrong, TIMEOUT).await;
        if runs.iter().all(|run| run.outcome.is_working()) {
            suite.fail("with a wrong secret every check succeeds");
        }
        suite.expect_working(&right, "beside one with wrong credentials").await;
    }
}
