//! Invalid configurations: every error is reported with its line, and none causes a panic.

use std::sync::Arc;

use probe::GATEWAY_KEYS;
use probe::config::{Diagnostic, Node, Value};

use super::tree::{self, LINE, Path, below};
use crate::suite::Suite;
use crate::{FaultProxy, checks, secrets};

/// A key that no probe has.
const UNKNOWN_KEY: &str = "unknown_to_all";

/// A value of a type that no setting has.
const WRONG_TYPE: Value = Value::Other("a date");

/// In every table, an unknown key and a known key of a wrong type are reported together.
pub(crate) async fn reports_every_error(suite: &Suite) {
    let config = long_config(suite, &suite.proxy()).await;
    for (table, key) in settings(suite, &config).await {
        let wrong =
            tree::with(&with_unknown_key(&config, &table), &below(&table, &key), WRONG_TYPE);
        let reported = diagnostics(suite, &wrong, &table, &key).await;
        if !names(suite, &reported, &table, UNKNOWN_KEY) {
            suite.fail(&format!("beside a wrong `{key}`, an unknown key is not reported"));
        }
    }
}

/// Missing keys, values of every type and malformed URLs give a component or errors, never a panic.
pub(crate) async fn never_panics(suite: &Suite) {
    let proxy = suite.proxy();
    let config = long_config(suite, &proxy).await;
    let mut wrong = vec![Node { line: LINE, value: Value::Table(Vec::new()) }];
    for (table, key) in settings(suite, &config).await {
        let path = below(&table, &key);
        wrong.push(tree::without(&config, &path));
        wrong.extend(odd_values(suite).map(|value| tree::with(&config, &path, value)));
    }
    for wrong in wrong {
        if let Ok(component) = suite.build(suite.subject.section, &wrong, &Arc::default()).await {
            suite.drop(vec![component]).await;
        }
    }
    for (path, text) in tree::strings(&config) {
        for malformed in malformed_urls(&text, suite) {
            let config = tree::with(&config, &path, malformed);
            let built = suite.build(suite.subject.section, &config, &Arc::default()).await;
            for (_, check) in built.iter().flat_map(checks) {
                suite.record(check.target().to_owned());
            }
        }
    }
}

/// The subject's configuration with every check of a group as a table of its own.
pub(crate) async fn long_config(suite: &Suite, proxy: &FaultProxy) -> Node {
    let component = suite.component(proxy).await;
    tree::in_long_form(&suite.config(proxy), &component)
}

/// Every table with each of its keys: those that are written, and those that the error about an unknown key lists.
async fn settings(suite: &Suite, config: &Node) -> Vec<(Path, String)> {
    let mut settings = Vec::new();
    for (table, written) in tree::tables(config) {
        let unknown = with_unknown_key(config, &table);
        let reported = diagnostics(suite, &unknown, &table, UNKNOWN_KEY).await;
        let mut keys: Vec<_> = written.into_iter().chain(known_keys(&reported)).collect();
        keys.sort_unstable();
        keys.dedup();
        settings.extend(keys.into_iter().map(|key| (table.clone(), key)));
    }
    settings
}

fn with_unknown_key(config: &Node, table: &[String]) -> Node {
    tree::with(config, &below(table, UNKNOWN_KEY), Value::Boolean(true))
}

/// The errors of a configuration in which `key` of `table` is wrong.
async fn diagnostics(suite: &Suite, wrong: &Node, table: &[String], key: &str) -> Vec<Diagnostic> {
    match suite.build(suite.subject.section, wrong, &Arc::default()).await {
        Ok(_) => suite.fail(&format!("a wrong `{key}` is accepted")),
        Err(reported) if names(suite, &reported, table, key) => reported,
        Err(reported) => {
            suite.fail(&format!("a wrong `{key}` is not reported with its line: {reported:?}"))
        }
    }
}

/// Whether one of the errors is about `key`, rather than listing it among others.
fn names(suite: &Suite, reported: &[Diagnostic], table: &[String], key: &str) -> bool {
    let table = [&[suite.subject.section.to_owned()], table].concat().join(".");
    let (own, unknown) = (format!("{table}.{key}"), format!("unknown key `{key}`"));
    reported.iter().filter(|diagnostic| diagnostic.line == LINE).any(|diagnostic| {
        diagnostic.key == own
            || (diagnostic.key == table && diagnostic.message.starts_with(&unknown))
    })
}

/// The keys that the error about an unknown key lists, without those that the gateway reads.
fn known_keys(reported: &[Diagnostic]) -> Vec<String> {
    let lists =
        reported.iter().filter_map(|diagnostic| diagnostic.message.split_once("expected one of "));
    lists
        .flat_map(|(_, list)| list.split('`').skip(1).step_by(2))
        .filter(|key| !GATEWAY_KEYS.contains(key))
        .map(ToOwned::to_owned)
        .collect()
}

/// Values of every type, most of which contain a secret.
fn odd_values(suite: &Suite) -> impl Iterator<Item = Value> {
    let secret = suite.subject.secrets.first().cloned().unwrap_or_default();
    let text = Node { line: LINE, value: Value::String(secret.clone()) };
    [
        Value::String(secret.clone()),
        Value::String(format!(" {secret}\n")),
        Value::String(String::new()),
        Value::Array(vec![text.clone()]),
        Value::Array(Vec::new()),
        Value::Table(vec![("url".to_owned(), text)]),
        Value::Integer(-1),
        Value::Integer(i64::MAX),
        Value::Boolean(true),
        WRONG_TYPE,
    ]
    .into_iter()
}

/// Malformed variants of `text` that still contain its secrets, if it is a URL.
fn malformed_urls(text: &str, suite: &Suite) -> impl Iterator<Item = Value> {
    let host = "127.0.0.1";
    let mut malformed = Vec::new();
    if text.contains("://") {
        malformed.extend([
            text.replacen("://", ":/", 1),
            text.replacen("://", "", 1),
            text.replacen("://", "://:", 1),
            format!("unknown-{text}"),
            text.replacen(host, "", 1),
            text.replacen(host, "[127.0.0.1", 1),
            text.replacen(host, "127.0.0.1 ", 1),
            text.replacen(host, "127.0.0.1:port", 1),
            text.replacen(host, "127.0.0.1:99999", 1),
            format!("{text}?unknown=1#fragment"),
            format!("{text}%ff"),
        ]);
        for secret in &suite.subject.secrets {
            malformed.push(secrets::replace(text, secret, &format!("%ff{secret}")));
        }
    }
    malformed.into_iter().map(Value::String)
}
