//! Names and shape while a value is not known, and what may never be read anywhere.

use std::sync::Arc;

use probe::config::{Node, Value};
use probe::{DynChecks, Failure};

use super::configuration::long_config;
use super::tree;
use crate::suite::{PATIENCE, Suite, WRONG_SECRET};
use crate::{Outcome, checks, secrets};

/// With any of its strings unknown, a component has the same names; the checks that need it say why, the others work.
pub(crate) async fn survives_unknown_values(suite: &Suite) {
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

/// Of all that was said in all promises, nothing holds a secret in any form.
pub(crate) fn hold_no_secret(suite: &Suite) {
    let said = suite.said();
    let planted = suite.subject.secrets.iter().map(String::as_str);
    for secret in planted.chain([WRONG_SECRET]) {
        if let Some(text) = said.iter().find(|text| secrets::holds(text, secret)) {
            suite.broken(&format!("it said {text:?}"));
        }
    }
}

async fn expect_shape(suite: &Suite, config: &Node, whole: &DynChecks, what: &str) {
    let component = match suite.build(suite.subject.section, config, &Arc::default()).await {
        Ok(component) => component,
        Err(told) => suite.broken(&format!("an unknown `{what}` is taken for wrong: {told:?}")),
    };
    let names = |component| checks(component).into_iter().map(|(name, _)| name);
    if !names(&component).eq(names(whole)) {
        suite.broken(&format!("an unknown `{what}` changes the names: {component:?}"));
    }
    let mut told = false;
    for run in suite.run(&component, PATIENCE).await {
        match run.outcome {
            Outcome::Failed { line, .. } if line.starts_with("read secret: the vault") => {
                told = true;
            }
            Outcome::Working => {}
            other => suite.broken(&format!("with `{what}` unknown, `{}` is {other:?}", run.name)),
        }
    }
    if !told {
        suite.broken(&format!("with `{what}` unknown, no check says so"));
    }
}

fn unknown() -> Value {
    Value::Unknown(Failure::msg("read secret", "the vault is sealed"))
}
