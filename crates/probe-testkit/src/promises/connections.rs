//! How many connections there are, and whose.

use std::sync::Arc;

use probe::SharedResources;
use probe::config::Value;

use super::tree;
use crate::secrets;
use crate::suite::{PATIENCE, Suite, WRONG_SECRET};

/// How often the components are asked.
const ROUNDS: usize = 20;

/// Two components on one server, asked again and again at once, open no more connections than one of them keeps, or one for each run if it keeps none, and close them in the end.
pub(crate) async fn are_kept(suite: &Suite) {
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
    let (kept, counts) = (suite.subject.connections, proxy.counts());
    let most = if kept == 0 { runs } else { kept };
    if counts.accepted > most {
        suite.broken(&format!("{ROUNDS} runs opened more than {most}: {counts:?}"));
    }
    suite.drop(vec![one]).await;
    suite.expect_working(&other, "after the component that it shares with was dropped").await;
    suite.drop(vec![other]).await;
    if !proxy.reaches(|counts| counts.open == 0).await {
        suite.broken(&format!("dropped, it leaves connections open: {:?}", proxy.counts()));
    }
}

/// A component with a wrong secret does not work, even beside one that is connected with the right one.
pub(crate) async fn are_not_borrowed(suite: &Suite) {
    let proxy = suite.proxy();
    let shared = Arc::<SharedResources>::default();
    let right = suite.component_sharing(&proxy, &shared).await;
    suite.expect_working(&right, "with its own credentials").await;
    let config = suite.config(&proxy);
    for secret in &suite.subject.secrets {
        let mut wrong = config.clone();
        let mut found = false;
        for (path, text) in tree::strings(&config) {
            if secrets::holds(&text, secret) {
                let other = secrets::replaced(&text, secret, WRONG_SECRET);
                wrong = tree::with(&wrong, &path, Value::String(other));
                found = true;
            }
        }
        assert!(found, "the subject's configuration does not hold one of its secrets");
        let Ok(wrong) = suite.build(suite.subject.section, &wrong, &shared).await else {
            continue;
        };
        let runs = suite.run(&wrong, PATIENCE).await;
        if runs.iter().all(|run| run.outcome.is_working()) {
            suite.broken("with a wrong secret every check works");
        }
        suite.expect_working(&right, "beside one with wrong credentials").await;
    }
}
