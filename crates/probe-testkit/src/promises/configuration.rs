//! Wrong configurations: each mistake is told with its place, and none makes building panic.

use std::sync::Arc;

use probe::config::{Mistake, Node, Value};

use super::tree::{self, LINE};
use crate::suite::Suite;
use crate::{FaultProxy, checks, secrets};

/// A key that no probe has.
const UNHEARD_OF: &str = "unheard_of";

/// A value of a type that no setting has.
const NONSENSE: Value = Value::Other("a date");

/// In every table, an unknown key and each known key of a wrong type are told, both at once.
pub(crate) async fn tells_every_mistake(suite: &Suite) {
    let config = long_config(suite, &suite.proxy()).await;
    for (table, written) in tree::tables(&config) {
        let unknown = tree::with(&config, &tree::below(&table, UNHEARD_OF), Value::Boolean(true));
        let told = mistakes(suite, &unknown, UNHEARD_OF).await;
        for key in written.into_iter().chain(known_keys(&told)) {
            let wrong = tree::with(&unknown, &tree::below(&table, &key), NONSENSE);
            let told = mistakes(suite, &wrong, &key).await;
            if !names(&told, UNHEARD_OF) {
                suite.broken(&format!("beside a wrong `{key}`, an unknown key is not told"));
            }
        }
    }
}

/// Missing keys, values of every type and URLs broken in many ways give a component or mistakes, nothing else.
pub(crate) async fn survives_anything(suite: &Suite) {
    let proxy = suite.proxy();
    let config = long_config(suite, &proxy).await;
    let mut wrong = vec![Node { line: LINE, value: Value::Table(Vec::new()) }];
    for (table, written) in tree::tables(&config) {
        let unknown = tree::with(&config, &tree::below(&table, UNHEARD_OF), Value::Boolean(true));
        let told = mistakes(suite, &unknown, UNHEARD_OF).await;
        for key in written.into_iter().chain(known_keys(&told)) {
            let path = tree::below(&table, &key);
            wrong.push(tree::without(&config, &path));
            wrong.extend(odd_values(suite).map(|value| tree::with(&config, &path, value)));
        }
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

/// What is told of a configuration in which `key` is wrong.
async fn mistakes(suite: &Suite, wrong: &Node, key: &str) -> Vec<Mistake> {
    match suite.build(suite.subject.section, wrong, &Arc::default()).await {
        Ok(_) => suite.broken(&format!("a wrong `{key}` is taken for right")),
        Err(told) if names(&told, key) => told,
        Err(told) => suite.broken(&format!("a wrong `{key}` is not told with its line: {told:?}")),
    }
}

fn names(told: &[Mistake], key: &str) -> bool {
    told.iter().any(|mistake| mistake.line == LINE && mistake.to_string().contains(key))
}

/// The keys that the mistake about an unknown one lists.
fn known_keys(told: &[Mistake]) -> Vec<String> {
    let lists = told.iter().filter_map(|mistake| mistake.message.split_once("expected one of "));
    lists.flat_map(|(_, list)| list.split('`').skip(1).step_by(2)).map(ToOwned::to_owned).collect()
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
