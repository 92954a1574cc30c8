//! References in the strings of a configuration: `${env:NAME}`, `${file:PATH}`, `${vault:PATH#KEY}`, and `vault:PATH#KEY` as a whole string.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use probe::config::{Diagnostic, Node, Value};
use probe::{Failure, Secret};

/// A file that a reference names may be this large.
const MAX_FILE: u64 = 1024 * 1024;

/// What RFC 3986 lets stand as it is in a URL's user-info.
const USER_INFO: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The secrets that have been read from Vault so far, by their path; a path that could not be read has the reason.
pub type SecretCache = BTreeMap<String, Result<BTreeMap<String, Secret>, Failure>>;

/// The settings that hold certificates. Whom to trust plays no part where values are stood in for, and nothing can stand in for a certificate.
const CERTIFICATES: [&str; 3] = ["ca", "certificate", "private_key"];

/// Where references get their values from.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    /// The environment.
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    /// The folder that relative file names start from: the configuration file's own.
    pub(super) folder: &'a Path,
    /// What is known from Vault.
    pub(super) vault: &'a SecretCache,
    /// Lets the reference itself stand in for a value that is not there.
    pub(super) placeholders: Option<&'a Placeholders>,
}

/// Where a reference stands in for its value, for a reading to which the secrets themselves do not matter.
#[derive(Debug, Default)]
pub(super) struct Placeholders {
    /// The lines where one does.
    lines: RefCell<BTreeSet<usize>>,
    /// Those where that was a mistake: what is in the value matters there, and is not known.
    given_up: BTreeSet<usize>,
}

impl Placeholders {
    /// Gives up where these `diagnostics` come from standing in; whether there was anything left to give up, so that it is worth reading again.
    pub(super) fn give_up(&mut self, diagnostics: &[Diagnostic]) -> bool {
        let before = self.given_up.len();
        let lines = self.lines.take();
        self.given_up
            .extend(diagnostics.iter().map(|it| it.line).filter(|line| lines.contains(line)));
        self.given_up.len() > before
    }
}

/// What replacing the references found out besides.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// Every path in Vault that something refers to.
    pub(super) vault_paths: BTreeSet<String>,
    /// Every file that something refers to, with its content.
    pub(super) files: BTreeMap<PathBuf, String>,
    /// References that are wrong, or whose value is missing.
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// Replaces every reference in `node`, which stands under `path`.
///
/// What Vault does not tell yet becomes [`Value::Unknown`]: that is no mistake of the file.
pub(super) fn replace(node: &mut Node, path: &str, sources: Sources<'_>, found: &mut Resolved) {
    match &mut node.value {
        Value::String(text) if text.contains("${") || text.starts_with("vault:") => {
            let template = Template::parse(text);
            match template.and_then(|template| template.value(node.line, sources, found)) {
                Ok(value) => node.value = value,
                Err(message) => {
                    // What the reference would have told is not known: no further mistake.
                    node.value = Value::Unknown(Failure::msg("read reference", "it is wrong"));
                    found.diagnostics.push(Diagnostic {
                        line: node.line,
                        key: path.to_owned(),
                        message,
                    });
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                replace(item, path, sources, found);
            }
        }
        Value::Table(entries) => {
            if sources.placeholders.is_some() && entries.iter().any(is_certificate_elsewhere) {
                entries.retain(|(key, _)| !CERTIFICATES.contains(&key.as_str()));
            }
            for (key, entry) in entries {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                replace(entry, &path, sources, found);
            }
        }
        _ => {}
    }
}

/// Whether a setting is a certificate that stands elsewhere.
fn is_certificate_elsewhere((key, node): &(String, Node)) -> bool {
    let elsewhere = matches!(&node.value, Value::String(text) if text.contains("${") || text.starts_with("vault:"));
    elsewhere && CERTIFICATES.contains(&key.as_str())
}

/// Why a reference has no value.
enum Missing {
    /// The file is wrong, or what it refers to.
    Wrong(String),
    /// Vault does not tell.
    Unknown(Failure),
}

/// A string with references in it.
struct Template<'a>(Vec<Part<'a>>);

#[derive(Clone, Copy)]
enum Part<'a> {
    Text(&'a str),
    Env(&'a str),
    File(&'a str),
    Vault { path: &'a str, key: &'a str },
}

impl<'a> Template<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        if let Some(reference) = text.strip_prefix("vault:") {
            return Ok(Self(vec![vault(reference)?]));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, after) = rest.split_at(at);
            // `$${` stands for `${` itself.
            if let Some(before) = before.strip_suffix('$') {
                parts.extend([Part::Text(before), Part::Text("${")]);
                rest = &after[2..];
                continue;
            }
            parts.push(Part::Text(before));
            let (reference, tail) =
                after[2..].split_once('}').ok_or("a reference that begins with `${` has no `}`")?;
            parts.push(match reference.split_once(':') {
                Some(("env", name)) if !name.is_empty() => Part::Env(name),
                Some(("file", name)) if !name.is_empty() => Part::File(name),
                Some(("vault", reference)) => vault(reference)?,
                _ => {
                    return Err("expected a reference such as `${env:NAME}`, `${file:PATH}` or \
                                `${vault:PATH#KEY}` (and `$${` for `${` itself)"
                        .to_owned());
                }
            });
            rest = tail;
        }
        parts.push(Part::Text(rest));
        Ok(Self(parts.into_iter().filter(|part| !matches!(part, Part::Text(""))).collect()))
    }

    /// What stands on this `line`.
    fn value(
        &self,
        line: usize,
        sources: Sources<'_>,
        found: &mut Resolved,
    ) -> Result<Value, String> {
        let mut text = String::new();
        let mut unknown = None;
        for (at, part) in self.0.iter().enumerate() {
            if let Part::Text(literal) = part {
                text.push_str(literal);
                continue;
            }
            let in_user_info = self.is_in_user_info(at, &text);
            let value = match (part.value(sources, found), sources.placeholders) {
                (Ok(value), _) => value,
                (Err(Missing::Wrong(message)), None) => return Err(message),
                (Err(Missing::Unknown(failure)), None) => {
                    unknown.get_or_insert(failure);
                    continue;
                }
                (Err(_), Some(placeholders)) if placeholders.given_up.contains(&line) => {
                    let reason = format!("not known without `{}`", part.written());
                    unknown.get_or_insert(Failure::msg("read reference", reason));
                    continue;
                }
                (Err(_), Some(placeholders)) => {
                    placeholders.lines.borrow_mut().insert(line);
                    let in_url = text.contains("://") && !in_user_info;
                    if in_url { part.written_in_url() } else { part.written() }
                }
            };
            if in_user_info {
                text.extend(utf8_percent_encode(&value, USER_INFO));
            } else {
                text.push_str(&value);
            }
        }
        Ok(unknown.map_or(Value::String(text), Value::Unknown))
    }

    /// Whether the part at `at` stands before the `@` of a URL, so that a password may hold any character.
    fn is_in_user_info(&self, at: usize, before: &str) -> bool {
        let ends_authority = |c| matches!(c, '/' | '?' | '#');
        let Some((_, authority)) = before.split_once("://") else { return false };
        if authority.contains(ends_authority) {
            return false;
        }
        self.0[at + 1..].iter().any(|part| match part {
            Part::Text(text) => text.split(ends_authority).next().is_some_and(|t| t.contains('@')),
            _ => false,
        })
    }
}

impl Part<'_> {
    fn value(&self, sources: Sources<'_>, found: &mut Resolved) -> Result<String, Missing> {
        match self {
            Part::Text(text) => Ok((*text).to_owned()),
            Part::Env(name) => (sources.env)(name).ok_or_else(|| {
                Missing::Wrong(format!("the environment variable `{name}` is not set"))
            }),
            Part::File(name) => file(name, sources, found).map_err(Missing::Wrong),
            Part::Vault { path, key } => {
                found.vault_paths.insert((*path).to_owned());
                let secret = from_vault(path, key, sources.vault).map_err(Missing::Unknown)?;
                Ok(secret.expose().to_owned())
            }
        }
    }

    /// The reference as it is written in the middle of a text.
    fn written(&self) -> String {
        match self {
            Part::Text(text) => (*text).to_owned(),
            Part::Env(name) => format!("${{env:{name}}}"),
            Part::File(name) => format!("${{file:{name}}}"),
            Part::Vault { path, key } => format!("${{vault:{path}#{key}}}"),
        }
    }

    /// The same in characters that a host may have, such as `$REDIS_HOST`.
    fn written_in_url(&self) -> String {
        let name = match self {
            Part::Text(text) => (*text).to_owned(),
            Part::Env(name) | Part::File(name) => (*name).to_owned(),
            Part::Vault { path, key } => format!("{path}.{key}"),
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        format!("${}", name.replace(|c| !fits(c), "."))
    }
}

fn vault(reference: &str) -> Result<Part<'_>, String> {
    match reference.split_once('#') {
        Some((path, key)) if !path.trim_matches('/').is_empty() && !key.is_empty() => {
            Ok(Part::Vault { path: path.trim_matches('/'), key })
        }
        _ => {
            Err("expected a reference such as `vault:secret/production/db#password`: the secret's \
                  path, `#`, and the key in it"
                .to_owned())
        }
    }
}

fn from_vault(path: &str, key: &str, known: &SecretCache) -> Result<Secret, Failure> {
    let unknown = |why: &str| Failure::msg("read secret", format!("{why} (vault:{path}#{key})"));
    match known.get(path) {
        None => Err(unknown("not read from vault yet")),
        Some(Err(failure)) => {
            Err(unknown(&format!("{}: {}", failure.step(), failure.cause().text())))
        }
        Some(Ok(secret)) => {
            secret.get(key).cloned().ok_or_else(|| unknown(&format!("it has no `{key}`")))
        }
    }
}

fn file(name: &str, sources: Sources<'_>, found: &mut Resolved) -> Result<String, String> {
    let path = sources.folder.join(name);
    let text = read_bounded(&path).map_err(|error| format!("cannot read `{name}`: {error}"))?;
    found.files.insert(path, text.clone());
    // Files end with a newline that belongs to no secret.
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// The text of a file of a sane size.
pub fn read_bounded(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let plain = |error: std::io::Error| probe::Cause::from(error).text().to_owned();
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(plain)?;
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(plain)?;
    if text.len() as u64 > MAX_FILE {
        return Err(format!("it is larger than {MAX_FILE} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<String, String> {
        let secret = BTreeMap::from([("password".to_owned(), Secret::new("p@ss/w"))]);
        let vault = SecretCache::from([
            ("secret/db".to_owned(), Ok(secret)),
            ("secret/down".to_owned(), Err(Failure::msg("connect", "connection refused"))),
        ]);
        let env = |name: &str| (name == "WORD").then(|| "a b".to_owned());
        let folder = Path::new("/nowhere");
        let sources = Sources { env: &env, folder, vault: &vault, placeholders: None };
        let mut node = Node { line: 7, value: Value::String(text.to_owned()) };
        let mut found = Resolved::default();
        replace(&mut node, "db.url", sources, &mut found);
        match (node.value, found.diagnostics.first()) {
            (_, Some(diagnostic)) => Err(diagnostic.to_string()),
            (Value::String(text), None) => Ok(text),
            (Value::Unknown(failure), None) => Err(failure.render("")),
            (other, None) => Err(format!("{other:?}")),
        }
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(resolve(text).as_deref(), Ok(expected));
    }

    fn check_refused(text: &str, expected: &str) {
        assert_eq!(resolve(text).err().as_deref(), Some(expected));
    }

    #[test]
    fn a_text_without_references_stays_as_it_is() {
        check("redis://cache:6379/1", "redis://cache:6379/1");
        check("costs $5 {really}", "costs $5 {really}");
    }

    #[test]
    fn references_are_replaced_where_they_stand() {
        check("<${env:WORD}>", "<a b>");
        check("vault:secret/db#password", "p@ss/w");
        check("x${vault:/secret/db#password}y", "xp@ss/wy");
    }

    #[test]
    fn a_value_within_user_info_is_percent_encoded() {
        check("redis://me:${vault:secret/db#password}@cache/1", "redis://me:p%40ss%2Fw@cache/1");
        check("redis://${env:WORD}:x@cache/1", "redis://a%20b:x@cache/1");
        check("redis://cache/${env:WORD}?x=@", "redis://cache/a b?x=@");
    }

    #[test]
    fn a_doubled_dollar_stands_for_itself() {
        check("a$${env:WORD}", "a${env:WORD}");
    }

    #[test]
    fn what_vault_does_not_tell_is_unknown_with_the_reason() {
        check_refused(
            "vault:secret/down#x",
            "read secret: connect: connection refused (vault:secret/down#x)",
        );
        check_refused(
            "vault:secret/db#user",
            "read secret: it has no `user` (vault:secret/db#user)",
        );
        check_refused(
            "vault:secret/new#x",
            "read secret: not read from vault yet (vault:secret/new#x)",
        );
    }

    #[test]
    fn a_wrong_reference_is_a_mistake_with_its_place() {
        check_refused("${env:NONE}", "7: db.url: the environment variable `NONE` is not set");
        check_refused("${env:WORD", "7: db.url: a reference that begins with `${` has no `}`");
        check_refused("${file:none}", "7: db.url: cannot read `none`: no such file or directory");
        assert!(resolve("${secret}").is_err_and(|text| text.contains("expected a reference")));
        assert!(
            resolve("vault:secret/db").is_err_and(|text| text.contains("expected a reference"))
        );
    }

    /// What stands for `text` when nothing is known.
    fn stands_in(text: &str, placeholders: &Placeholders) -> Value {
        let (folder, vault) = (Path::new("/nowhere"), SecretCache::new());
        let sources =
            Sources { env: &|_| None, folder, vault: &vault, placeholders: Some(placeholders) };
        let mut node = Node { line: 7, value: Value::String(text.to_owned()) };
        let mut found = Resolved::default();
        replace(&mut node, "db.url", sources, &mut found);
        assert!(found.diagnostics.is_empty(), "{:?}", found.diagnostics);
        node.value
    }

    fn check_stands_in(text: &str, expected: &str) {
        let value = stands_in(text, &Placeholders::default());
        assert!(matches!(&value, Value::String(text) if text == expected), "{text}");
    }

    #[test]
    fn a_reference_stands_in_for_what_is_not_known() {
        check_stands_in("vault:secret/db#user", "${vault:secret/db#user}");
        check_stands_in("<${file:none}>", "<${file:none}>");
        check_stands_in(
            "redis://${env:U}:${vault:a/b#c}@${env:HOST}/${vault:a/b#d}",
            "redis://%24%7Benv%3AU%7D:%24%7Bvault%3Aa%2Fb%23c%7D@$HOST/$a.b.d",
        );
    }

    #[test]
    fn where_it_cannot_stand_in_the_value_is_not_known() {
        let mut placeholders = Placeholders::default();
        let diagnostic = |line| Diagnostic { line, key: String::new(), message: String::new() };
        assert!(matches!(stands_in("${env:A}", &placeholders), Value::String(_)));
        assert!(!placeholders.give_up(&[diagnostic(8)]));
        assert!(matches!(stands_in("${env:A}", &placeholders), Value::String(_)));
        assert!(placeholders.give_up(&[diagnostic(7), diagnostic(8)]));
        let Value::Unknown(failure) = stands_in("${env:A}", &placeholders) else { panic!("known") };
        assert_eq!(failure.render(""), "read reference: not known without `${env:A}`");
        assert!(!placeholders.give_up(&[diagnostic(7)]));
    }
}
