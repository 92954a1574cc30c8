//! References in the strings of a configuration: `${env:NAME}`, `${file:PATH}`, `${vault:PATH#KEY}`, `vault:PATH#KEY`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use probe::config::{Diagnostic, Diagnostics, Node, Value, split_urls};
use probe::{Failure, Secret, append_secret};
use vault_client::Values;
use zeroize::Zeroizing;

use super::files::read_bounded;

/// All but the unreserved characters of RFC 3986, which need no encoding in any part of a URL.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The secrets that have been read from Vault so far, by path, or the failure for a path that could not be read.
pub type SecretCache = BTreeMap<String, Result<Values, Failure>>;

/// The content of the files that references name, by path, or the reason why it could not be read.
pub(super) type FileContents = BTreeMap<PathBuf, Result<Zeroizing<String>, String>>;

/// The settings that contain certificates. No placeholder can be parsed as a certificate, and grants do not depend on them.
const CERTIFICATES: [&str; 3] = ["ca", "certificate", "private_key"];

/// The settings with values that the gateway shows: names, addresses, and URLs, of which the probe masks the secret parts.
#[rustfmt::skip]
const SHOWN: &[&str] = &[
    "address", "api_destination", "broker", "bucket", "bus", "connection", "database",
    "distribution", "domain", "endpoint_url", "key_prefix", "kind", "management", "mount",
    "namespace", "object", "prefix", "profile", "queue_prefix", "region", "result_backend", "role",
    "rule", "source", "table", "url", "user", "vault_namespace",
];

/// Everything that a file refers to, except environment variables.
#[derive(Default)]
pub(crate) struct References {
    /// Each file that a reference names.
    pub(crate) files: FileContents,
    /// Each path in Vault that a reference names.
    pub(crate) vault_paths: BTreeSet<String>,
}

impl References {
    /// Adds every reference in `node`, and reads the files among them. [`replace`] reports malformed references.
    pub(super) fn collect(&mut self, node: &Node, folder: &Path) {
        match &node.value {
            Value::String(text) if has_reference(text) => {
                let template = Template::parse(text);
                for segment in template.iter().flat_map(|template| &template.0) {
                    match segment {
                        Segment::File(name) => {
                            let path = folder.join(name);
                            self.files.entry(path).or_insert_with_key(|path| read_bounded(path));
                        }
                        Segment::Vault { path, .. } => {
                            self.vault_paths.insert((*path).to_owned());
                        }
                        Segment::Literal(_) | Segment::Env(_) => {}
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.collect(item, folder)),
            Value::Table(entries) => {
                for (_, entry) in entries {
                    self.collect(entry, folder);
                }
            }
            _ => {}
        }
    }
}

/// Where references get their values from.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    /// The environment.
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    /// The folder of the configuration file, where relative paths start.
    pub(super) folder: &'a Path,
    /// The content of every file that a reference names.
    pub(super) files: &'a FileContents,
    /// The secrets that are known.
    pub(super) vault: &'a SecretCache,
    /// If present, a reference without a value becomes a placeholder.
    pub(super) placeholders: Option<&'a Placeholders>,
}

/// The lines on which a reference itself takes the place of its missing value.
#[derive(Debug, Default)]
pub(super) struct Placeholders {
    lines: RefCell<BTreeSet<usize>>,
    /// The lines on which a check rejected the placeholder. Their values are unknown.
    given_up: BTreeSet<usize>,
}

impl Placeholders {
    /// Gives up the placeholders that caused these `diagnostics`. Returns whether there were any, so that another build may succeed.
    pub(super) fn give_up(&mut self, diagnostics: &[Diagnostic]) -> bool {
        let before = self.given_up.len();
        let lines = self.lines.take();
        self.given_up
            .extend(diagnostics.iter().map(|it| it.line).filter(|line| lines.contains(line)));
        self.given_up.len() > before
    }
}

/// Replaces every reference in `node`, which is found at `path` in the file.
///
/// A secret that has not been read from Vault becomes [`Value::Unknown`], which is not an error in the file.
pub(super) fn replace(
    node: &mut Node,
    path: &str,
    sources: Sources<'_>,
    diagnostics: &Diagnostics,
) {
    match &mut node.value {
        // No grant depends on the access token, so it needs no placeholder.
        Value::String(text)
            if has_reference(text)
                && path == super::ACCESS_TOKEN
                && sources.placeholders.is_some() =>
        {
            node.value = Value::Unknown(Failure::msg("read reference", "it is not needed"));
        }
        Value::String(text) if has_reference(text) => {
            let template = Template::parse(text);
            if let Ok(template) = &template {
                template.mask(path, sources.vault);
            }
            match template.and_then(|template| template.value(node.line, sources)) {
                Ok(value) => node.value = value,
                Err(message) => {
                    // The value becomes unknown, so that it causes no second diagnostic.
                    node.value = Value::Unknown(Failure::msg("read reference", "it is wrong"));
                    let (line, key) = (node.line, path.to_owned());
                    diagnostics.push(Diagnostic { line, key, message });
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                replace(item, path, sources, diagnostics);
            }
        }
        Value::Table(entries) => {
            if sources.placeholders.is_some() && entries.iter().any(is_certificate_reference) {
                entries.retain(|(key, _)| !CERTIFICATES.contains(&key.as_str()));
            }
            for (key, entry) in entries {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                replace(entry, &path, sources, diagnostics);
            }
        }
        _ => {}
    }
}

fn has_reference(text: &str) -> bool {
    text.contains("${") || text.starts_with("vault:")
}

fn is_certificate_reference((key, node): &(String, Node)) -> bool {
    let is_reference = matches!(&node.value, Value::String(text) if has_reference(text));
    is_reference && CERTIFICATES.contains(&key.as_str())
}

/// Why a reference has no value.
enum ResolveError {
    /// The file is wrong, or what it refers to is missing.
    Invalid(String),
    /// The secret has not been read from Vault.
    Unknown(Failure),
}

/// A string with references.
struct Template<'a>(Vec<Segment<'a>>);

#[derive(Clone, Copy)]
enum Segment<'a> {
    Literal(&'a str),
    Env(&'a str),
    File(&'a str),
    Vault { path: &'a str, key: &'a str },
}

impl<'a> Template<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        if let Some(reference) = text.strip_prefix("vault:") {
            return Ok(Self(vec![parse_vault(reference)?]));
        }
        let mut segments = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, after) = rest.split_at(at);
            // `$${` is an escaped `${`.
            if let Some(before) = before.strip_suffix('$') {
                segments.extend([Segment::Literal(before), Segment::Literal("${")]);
                rest = &after[2..];
                continue;
            }
            segments.push(Segment::Literal(before));
            let (reference, tail) =
                after[2..].split_once('}').ok_or("a reference that begins with `${` has no `}`")?;
            segments.push(match reference.split_once(':') {
                Some(("env", name)) if !name.is_empty() => Segment::Env(name),
                Some(("file", name)) if !name.is_empty() => Segment::File(name),
                Some(("vault", reference)) => parse_vault(reference)?,
                _ => {
                    return Err("expected a reference such as `${env:NAME}`, `${file:PATH}` or \
                                `${vault:PATH#KEY}` (and `$${` for `${` itself)"
                        .to_owned());
                }
            });
            rest = tail;
        }
        segments.push(Segment::Literal(rest));
        segments.retain(|segment| !matches!(segment, Segment::Literal("")));
        Ok(Self(segments))
    }

    /// The value of the string, which is found on this `line`.
    fn value(&self, line: usize, sources: Sources<'_>) -> Result<Value, String> {
        let mut text = Zeroizing::new(String::new());
        let mut unknown = None;
        for (at, segment) in self.0.iter().enumerate() {
            if let Segment::Literal(literal) = segment {
                append_secret(&mut text, literal);
                continue;
            }
            let in_user_info = self.is_in_user_info(at, &text);
            let value = match (segment.value(sources), sources.placeholders) {
                (Ok(value), _) => value,
                (Err(ResolveError::Invalid(message)), None) => return Err(message),
                (Err(ResolveError::Unknown(failure)), None) => {
                    unknown.get_or_insert(failure);
                    continue;
                }
                (Err(_), Some(placeholders)) if placeholders.given_up.contains(&line) => {
                    let reason = format!("not known without `{}`", segment.placeholder());
                    unknown.get_or_insert(Failure::msg("read reference", reason));
                    continue;
                }
                (Err(_), Some(placeholders)) => {
                    placeholders.lines.borrow_mut().insert(line);
                    let in_url = text.contains("://") && !in_user_info;
                    if in_url { segment.url_placeholder() } else { segment.placeholder() }
                }
            };
            let value = Zeroizing::new(value);
            if in_user_info || self.is_parameter_value(at, &text) {
                utf8_percent_encode(&value, RESERVED)
                    .for_each(|part| append_secret(&mut text, part));
            } else {
                append_secret(&mut text, &value);
            }
        }
        Ok(unknown.map_or_else(|| Value::String(std::mem::take(&mut text)), Value::Unknown))
    }

    /// Masks the values from Vault in this string, which is the value of the setting at `path`, except those that the gateway shows.
    ///
    /// Of a URL, the probe masks the user-info and the secret parameters. The path and the query of a web page may be secrets as well.
    fn mask(&self, path: &str, vault: &SecretCache) {
        let key = path.rsplit('.').next().unwrap_or_default();
        let mut text = String::new();
        for segment in &self.0 {
            let is_shown = match text.split_once("://") {
                Some(("http" | "https" | "ws" | "wss", rest)) => !rest.contains(['/', '?', '#']),
                Some(_) => true,
                None => SHOWN.contains(&key),
            };
            if let Segment::Vault { path, key } = segment
                && let (false, Some(Ok(secret))) = (is_shown, vault.get(*path))
                && let Some(value) = secret.get(*key)
            {
                value.mask();
            }
            // A value may contain anything, and does not end the authority.
            text += if let Segment::Literal(literal) = segment { literal } else { "x" };
        }
    }

    /// Whether the segment at `at` belongs to the user-info of a URL, where a password may contain any character.
    fn is_in_user_info(&self, at: usize, before: &str) -> bool {
        let ends_authority = |c| matches!(c, '/' | '?' | '#');
        let Some((_, authority)) = split_last_url(before) else { return false };
        if authority.contains(ends_authority) {
            return false;
        }
        self.0[at + 1..].iter().any(|segment| match segment {
            Segment::Literal(text) => {
                text.split(ends_authority).next().is_some_and(|text| text.contains('@'))
            }
            _ => false,
        })
    }

    /// Whether the segment at `at` is the whole value of a parameter of a URL, which may contain any character as well.
    fn is_parameter_value(&self, at: usize, before: &str) -> bool {
        let Some((scheme, rest)) = split_last_url(before) else { return false };
        // JDBC puts a scheme before the scheme.
        let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.:".contains(&byte);
        let Some((_, query)) = rest.split_once('?').filter(|_| !rest.contains('#')) else {
            return false;
        };
        let is_named = query
            .rsplit('&')
            .next()
            .and_then(|parameter| parameter.split_once('='))
            .is_some_and(|(name, value)| !name.is_empty() && value.is_empty());
        let is_whole = match self.0.get(at + 1) {
            None => true,
            Some(Segment::Literal(text)) => text.starts_with(['&', '#']),
            Some(_) => false,
        };
        scheme.bytes().all(is_scheme) && is_named && is_whole
    }
}

/// The scheme of the last URL in `text`, and what follows it.
fn split_last_url(text: &str) -> Option<(&str, &str)> {
    split_urls(text).pop()?.split_once("://")
}

impl Segment<'_> {
    fn value(&self, sources: Sources<'_>) -> Result<String, ResolveError> {
        match self {
            Segment::Literal(text) => Ok((*text).to_owned()),
            Segment::Env(name) => (sources.env)(name).ok_or_else(|| {
                ResolveError::Invalid(format!("the environment variable `{name}` is not set"))
            }),
            Segment::File(name) => file_content(name, sources).map_err(ResolveError::Invalid),
            Segment::Vault { path, key } => {
                let secret =
                    vault_secret(path, key, sources.vault).map_err(ResolveError::Unknown)?;
                Ok(secret.expose().to_owned())
            }
        }
    }

    /// The reference as it is written in the middle of a text.
    fn placeholder(&self) -> String {
        match self {
            Segment::Literal(text) => (*text).to_owned(),
            Segment::Env(name) => format!("${{env:{name}}}"),
            Segment::File(name) => format!("${{file:{name}}}"),
            Segment::Vault { path, key } => format!("${{vault:{path}#{key}}}"),
        }
    }

    /// The reference in characters that a host may have, such as `$REDIS_HOST`.
    fn url_placeholder(&self) -> String {
        let name = match self {
            Segment::Literal(text) => (*text).to_owned(),
            Segment::Env(name) | Segment::File(name) => (*name).to_owned(),
            Segment::Vault { path, key } => format!("{path}.{key}"),
        };
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        format!("${}", name.replace(|c| !is_allowed(c), "."))
    }
}

fn parse_vault(reference: &str) -> Result<Segment<'_>, String> {
    match reference.split_once('#') {
        Some((path, key)) if !path.trim_matches('/').is_empty() && !key.is_empty() => {
            Ok(Segment::Vault { path: path.trim_matches('/'), key })
        }
        _ => {
            Err("expected a reference such as `vault:secret/production/db#password`: the secret's \
                  path, `#`, and the key in it"
                .to_owned())
        }
    }
}

fn vault_secret(path: &str, key: &str, known: &SecretCache) -> Result<Secret, Failure> {
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

/// The content of a file that was read when the configuration file was parsed.
fn file_content(name: &str, sources: Sources<'_>) -> Result<String, String> {
    let content = sources.files.get(&sources.folder.join(name));
    match content {
        // A file may end with a newline, which is not part of the secret.
        Some(Ok(text)) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
        Some(Err(error)) => Err(format!("cannot read `{name}`: {error}")),
        None => Err(format!("cannot read `{name}`: it was not read with the configuration")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<String, String> {
        let secret = BTreeMap::from([("password".to_owned(), Secret::new("p@ss/w"))]);
        let vault = SecretCache::from([
            ("secret/db".to_owned(), Ok(secret.into())),
            ("secret/down".to_owned(), Err(Failure::msg("connect", "connection refused"))),
        ]);
        let env = |name: &str| match name {
            "WORD" => Some("a b".to_owned()),
            "ODD" => Some("a+b%25&c#d=e/f?g@h ü".to_owned()),
            _ => None,
        };
        let folder = Path::new("/nowhere");
        let mut node = Node { line: 7, value: Value::String(text.to_owned()) };
        let mut references = References::default();
        references.collect(&node, folder);
        let files = &references.files;
        let sources = Sources { env: &env, folder, files, vault: &vault, placeholders: None };
        let diagnostics = Diagnostics::default();
        replace(&mut node, "db.url", sources, &diagnostics);
        match (node.value, diagnostics.into_diagnostics().first()) {
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
    fn a_text_without_references_is_unchanged() {
        check("redis://cache:6379/1", "redis://cache:6379/1");
        check("costs $5 {really}", "costs $5 {really}");
    }

    #[test]
    fn references_are_replaced_in_place() {
        check("<${env:WORD}>", "<a b>");
        check("vault:secret/db#password", "p@ss/w");
        check("x${vault:/secret/db#password}y", "xp@ss/wy");
    }

    #[test]
    fn a_value_within_user_info_is_percent_encoded() {
        check("redis://me:${vault:secret/db#password}@cache/1", "redis://me:p%40ss%2Fw@cache/1");
        check("redis://${env:WORD}:x@cache/1", "redis://a%20b:x@cache/1");
        check("redis://cache/${env:WORD}?x=@", "redis://cache/a b?x=@");
        check(
            "amqp://me:${vault:secret/db#password}@a/v;amqp://me:${vault:secret/db#password}@b/v",
            "amqp://me:p%40ss%2Fw@a/v;amqp://me:p%40ss%2Fw@b/v",
        );
    }

    #[test]
    fn a_value_that_is_a_whole_parameter_is_percent_encoded() {
        for (text, expected) in [
            (
                "jdbc:postgresql://db/a?user=me&password=IT",
                "jdbc:postgresql://db/a?user=me&password=EN",
            ),
            ("postgres://db/a?password=IT&user=me", "postgres://db/a?password=EN&user=me"),
            ("redis-sentinel://a?x=IT#main", "redis-sentinel://a?x=EN#main"),
            ("sentinel://a?x=IT;sentinel://b?x=IT", "sentinel://a?x=RAW;sentinel://b?x=EN"),
            ("wss://me@app/ws?token=IT&again=IT", "wss://me@app/ws?token=EN&again=EN"),
            // It may be a part of an encoded value, or be several parameters.
            ("postgres://db/a?options=-c%20IT", "postgres://db/a?options=-c%20RAW"),
            ("postgres://db/a?x=ITIT", "postgres://db/a?x=RAWRAW"),
            ("postgres://db/a?x=IT/b", "postgres://db/a?x=RAW/b"),
            ("postgres://db/a?x=y=IT", "postgres://db/a?x=y=RAW"),
            ("postgres://db/a?IT", "postgres://db/a?RAW"),
            ("postgres://db/a?=IT", "postgres://db/a?=RAW"),
            ("postgres://db/IT", "postgres://db/RAW"),
            ("redis://cache#x?y=IT", "redis://cache#x?y=RAW"),
            // It is no URL.
            ("password=IT", "password=RAW"),
            ("a?b=IT", "a?b=RAW"),
            ("see https://app/?b=IT", "see https://app/?b=RAW"),
            ("{\"a\":\"https://app/?b=IT", "{\"a\":\"https://app/?b=RAW"),
        ] {
            let (raw, encoded) =
                ("a+b%25&c#d=e/f?g@h ü", "a%2Bb%2525%26c%23d%3De%2Ff%3Fg%40h%20%C3%BC");
            let text = text.replace("IT", "${env:ODD}");
            check(&text, &expected.replace("RAW", raw).replace("EN", encoded));
        }
    }

    /// Whether the value `it` from Vault is masked because a setting at `path` has the text `text`.
    fn is_masked(path: &str, text: &str) -> bool {
        let name = format!("{path}-{text}");
        let secret = BTreeMap::from([("it".to_owned(), Secret::unmasked(&name))]);
        let vault = SecretCache::from([("secret/a".to_owned(), Ok(secret.into()))]);
        let text = text.replace("IT", "${vault:secret/a#it}");
        Template::parse(&text).expect("a reference").mask(path, &vault);
        probe::scrub(&name) == "***"
    }

    #[test]
    fn only_what_is_used_as_a_secret_is_masked() {
        for (path, text) in [
            ("clickhouse.password", "IT"),
            ("vault.secret_id", "IT"),
            ("websocket.headers.X-Key", "IT"),
            ("websocket.send", "{\"key\": \"IT\"}"),
            ("api.url", "https://api/hooks/IT"),
            ("api.url", "https://api:IT/hooks?a=IT"),
        ] {
            assert!(is_masked(path, text), "{path} = {text}");
        }
        for (path, text) in [
            ("postgres.url", "IT"),
            ("postgres.url", "postgres://u:p@IT/a"),
            ("postgres.url", "postgres://u:p@h:IT/a"),
            ("postgres.url", "postgres://IT:p@h/a"),
            ("postgres.url", "postgres://u:p@h/IT?application_name=IT"),
            ("websocket.url", "wss://IT:1/a"),
            ("clickhouse.user", "IT"),
            ("s3.files.bucket", "app-IT"),
        ] {
            assert!(!is_masked(path, text), "{path} = {text}");
        }
    }

    #[test]
    fn a_doubled_dollar_escapes_a_reference() {
        check("a$${env:WORD}", "a${env:WORD}");
    }

    #[test]
    fn a_secret_that_cannot_be_read_is_unknown_with_the_reason() {
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
    fn an_invalid_reference_is_a_diagnostic_with_line_and_key() {
        check_refused("${env:NONE}", "7: db.url: the environment variable `NONE` is not set");
        check_refused("${env:WORD", "7: db.url: a reference that begins with `${` has no `}`");
        check_refused("${file:none}", "7: db.url: cannot read `none`: no such file or directory");
        assert!(resolve("${secret}").is_err_and(|text| text.contains("expected a reference")));
        assert!(
            resolve("vault:secret/db").is_err_and(|text| text.contains("expected a reference"))
        );
    }

    /// The value of `text` if nothing is known.
    fn with_placeholder(text: &str, placeholders: &Placeholders) -> Value {
        let (folder, vault) = (Path::new("/nowhere"), SecretCache::new());
        let mut node = Node { line: 7, value: Value::String(text.to_owned()) };
        let mut references = References::default();
        references.collect(&node, folder);
        let (env, files) = (&|_: &str| None, &references.files);
        let placeholders = Some(placeholders);
        let sources = Sources { env, folder, files, vault: &vault, placeholders };
        let diagnostics = Diagnostics::default();
        replace(&mut node, "db.url", sources, &diagnostics);
        assert!(diagnostics.is_clean(), "{:?}", diagnostics.into_diagnostics());
        node.value
    }

    fn check_placeholder(text: &str, expected: &str) {
        let value = with_placeholder(text, &Placeholders::default());
        assert!(matches!(&value, Value::String(text) if text == expected), "{text}");
    }

    #[test]
    fn a_reference_is_the_placeholder_of_its_missing_value() {
        check_placeholder("vault:secret/db#user", "${vault:secret/db#user}");
        check_placeholder("<${file:none}>", "<${file:none}>");
        check_placeholder(
            "redis://${env:U}:${vault:a/b#c}@${env:HOST}/${vault:a/b#d}",
            "redis://%24%7Benv%3AU%7D:%24%7Bvault%3Aa%2Fb%23c%7D@$HOST/$a.b.d",
        );
    }

    #[test]
    fn a_value_is_unknown_after_its_placeholder_was_rejected() {
        let mut placeholders = Placeholders::default();
        let diagnostic = |line| Diagnostic { line, key: String::new(), message: String::new() };
        assert!(matches!(with_placeholder("${env:A}", &placeholders), Value::String(_)));
        assert!(!placeholders.give_up(&[diagnostic(8)]));
        assert!(matches!(with_placeholder("${env:A}", &placeholders), Value::String(_)));
        assert!(placeholders.give_up(&[diagnostic(7), diagnostic(8)]));
        let value = with_placeholder("${env:A}", &placeholders);
        let Value::Unknown(failure) = value else { panic!("known") };
        assert_eq!(failure.render(""), "read reference: not known without `${env:A}`");
        assert!(!placeholders.give_up(&[diagnostic(7)]));
    }

    #[test]
    fn every_file_and_every_path_in_vault_is_collected() {
        let text = "a = ['${file:none}']\nb = { c = 'x${vault:secret/db#user}${env:A}' }\n";
        let mut references = References::default();
        references.collect(&Node::parse(text).unwrap(), Path::new("/nowhere"));
        let files: Vec<_> = references.files.keys().collect();
        assert_eq!(files, [Path::new("/nowhere/none")]);
        assert_eq!(references.vault_paths, ["secret/db".to_owned()].into());
    }
}
