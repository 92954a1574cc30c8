//! Wrong configurations: each mistake is told with its place, and none makes building panic.

use std::sync::Arc;

use probe::GATEWAY_KEYS;
use probe::config::{Diagnostic, Node, Value};

use super::tree::{self, LINE, Path, below};
use crate::suite::Suite;
use crate::{FaultProxy, checks, secrets};

/// A key that no probe has.
const UNHEARD_OF: &str = "unheard_of";

/// A value of a type that no setting has.
const NONSENSE: Value = Value::Other("a date");

/// In every table, an unknown key and each known key of a wrong type are told, both at once.
pub(crate) async fn tells_every_mistake(suite: &Suite) {
    let config = long_config(suite, &suite.proxy()).await;
    for (table, key) in settings(suite, &config).await {
        let wrong = tree::with(&with_unknown_key(&config, &table), &below(&table, &key), NONSENSE);
        let told = diagnostics(suite, &wrong, &table, &key).await;
        if !names(suite, &told, &table, UNHEARD_OF) {
            suite.broken(&format!("beside a wrong `{key}`, an unknown key is not told"));
        }
    }
}

/// Missing keys, values of every type and URLs broken in many ways give a component or mistakes, nothing else.
pub(crate) async fn survives_anything(suite: &Suite) {
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
        for broken in broken_urls(&text, suite) {
            let config = tree::with(&config, &path, broken);
            let built = suite.build(suite.subject.section, &config, &Arc::default()).await;
            for (_, check) in built.iter().flat_map(checks) {
                suite.say(check.target().to_owned());
            }
        }
    }
}

/// The subject's configuration with every check of a group as a table of its own.
pub(crate) async fn long_config(suite: &Suite, proxy: &FaultProxy) -> Node {
    let component = suite.component(proxy).await;
    tree::in_long_form(&suite.config(proxy), &component)
}

/// Every table with each of its keys: those that are written, and those that the mistake about an unknown key lists.
async fn settings(suite: &Suite, config: &Node) -> Vec<(Path, String)> {
    let mut settings = Vec::new();
    for (table, written) in tree::tables(config) {
        let unknown = with_unknown_key(config, &table);
        let told = diagnostics(suite, &unknown, &table, UNHEARD_OF).await;
        let mut keys: Vec<_> = written.into_iter().chain(known_keys(&told)).collect();
        keys.sort_unstable();
        keys.dedup();
        settings.extend(keys.into_iter().map(|key| (table.clone(), key)));
    }
    settings
}

fn with_unknown_key(config: &Node, table: &[String]) -> Node {
    tree::with(config, &below(table, UNHEARD_OF), Value::Boolean(true))
}

/// What is told of a configuration in which `key` of `table` is wrong.
async fn diagnostics(suite: &Suite, wrong: &Node, table: &[String], key: &str) -> Vec<Diagnostic> {
    match suite.build(suite.subject.section, wrong, &Arc::default()).await {
        Ok(_) => suite.broken(&format!("a wrong `{key}` is taken for right")),
        Err(told) if names(suite, &told, table, key) => told,
        Err(told) => suite.broken(&format!("a wrong `{key}` is not told with its line: {told:?}")),
    }
}

/// Whether one of the mistakes is that of `key`, and not just a list in which it stands.
fn names(suite: &Suite, told: &[Diagnostic], table: &[String], key: &str) -> bool {
    let table = [&[suite.subject.section.to_owned()], table].concat().join(".");
    let (own, unknown) = (format!("{table}.{key}"), format!("unknown key `{key}`"));
    told.iter().filter(|diagnostic| diagnostic.line == LINE).any(|diagnostic| {
        diagnostic.key == own
            || (diagnostic.key == table && diagnostic.message.starts_with(&unknown))
    })
}

/// The keys that the mistake about an unknown one lists, without those that the gateway reads.
fn known_keys(told: &[Diagnostic]) -> Vec<String> {
    let lists =
        told.iter().filter_map(|diagnostic| diagnostic.message.split_once("expected one of "));
    lists
        .flat_map(|(_, list)| list.split('`').skip(1).step_by(2))
        .filter(|key| !GATEWAY_KEYS.contains(key))
        .map(ToOwned::to_owned)
        .collect()
}

/// Values of every type, most of them with a secret inside.
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
        NONSENSE,
    ]
    .into_iter()
}

/// `text` broken around what must stay unseen, if it is a URL.
fn broken_urls(text: &str, suite: &Suite) -> impl Iterator<Item = Value> {
    let host = "127.0.0.1";
    let mut broken = Vec::new();
    if text.contains("://") {
        broken.extend([
            text.replacen("://", ":/", 1),
            text.replacen("://", "", 1),
            text.replacen("://", "://:", 1),
            format!("unheard-of-{text}"),
            text.replacen(host, "", 1),
            text.replacen(host, "[127.0.0.1", 1),
            text.replacen(host, "127.0.0.1 ", 1),
            text.replacen(host, "127.0.0.1:port", 1),
            text.replacen(host, "127.0.0.1:99999", 1),
            format!("{text}?unheard_of=1#fragment"),
            format!("{text}%ff"),
        ]);
        for secret in &suite.subject.secrets {
            broken.push(secrets::replaced(text, secret, &format!("%ff{secret}")));
        }
    }
    broken.into_iter().map(Value::String)
}
