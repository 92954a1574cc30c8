//! The names of the checks while a value is unknown, and secrets in the output.

use std::sync::Arc;

use probe::config::{Node, Value};
use probe::{DynChecks, Failure};

use super::configuration::long_config;
use super::tree;
use crate::suite::{Suite, TIMEOUT, WRONG_SECRET};
use crate::{RunOutcome, checks, secrets};

/// While a string is unknown, a component has the same names; the checks that need it fail with the reason, and the others succeed.
pub(crate) async fn is_stable_with_unknown_values(suite: &Suite) {
    let proxy = suite.proxy();
    let (short, long) = (suite.config(&proxy), long_config(suite, &proxy).await);
    let whole = suite.component(&proxy).await;
    for config in [short, long] {
        let paths: Vec<_> = tree::strings(&config).into_iter().map(|(path, _)| path).collect();
        for path in &paths {
            let config = tree::with(&config, path, unknown());
            expect_shape(suite, &config, &whole, &path.join(".")).await;
        }
    }
}

/// No output of any promise contains a secret in any form.
pub(crate) fn output_contains_no_secret(suite: &Suite) {
    let output = suite.output();
    let planted = suite.subject.secrets.iter().map(String::as_str);
    for secret in planted.chain([WRONG_SECRET]) {
        if let Some(text) = output.iter().find(|text| secrets::contains(text, secret)) {
            suite.fail(&format!("it printed {text:?}"));
        }
    }
}

async fn expect_shape(suite: &Suite, config: &Node, whole: &DynChecks, what: &str) {
    let component = match suite.build(suite.subject.section, config, &Arc::default()).await {
        Ok(component) => component,
        Err(reported) => {
            suite.fail(&format!("an unknown `{what}` is reported as an error: {reported:?}"))
        }
    };
    let names = |component| checks(component).into_iter().map(|(name, _)| name);
    if !names(&component).eq(names(whole)) {
        suite.fail(&format!("an unknown `{what}` changes the names: {component:?}"));
    }
    let mut reported = false;
    for run in suite.run(&component, TIMEOUT).await {
        match run.outcome {
            RunOutcome::Failed { line, .. } if line.starts_with("read secret: the vault") => {
                reported = true;
            }
            RunOutcome::Working => {}
            other => suite.fail(&format!("with `{what}` unknown, `{}` is {other:?}", run.name)),
        }
    }
    if !reported {
        suite.fail(&format!("with `{what}` unknown, no check fails with the reason"));
    }
}

fn unknown() -> Value {
    Value::Unknown(Failure::msg("read secret", "the vault is sealed"))
}
