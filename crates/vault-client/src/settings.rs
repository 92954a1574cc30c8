//! The settings of a session, as they are written in the configuration.

use std::path::PathBuf;

use http::HeaderValue;
use probe::Secret;
use probe::config::{Fields, Url};

use crate::login::{Login, SERVICE_ACCOUNT};
use crate::token::{Token, header_value};

/// The ways to log in, the usual one first.
const METHODS: [&str; 3] = ["token", "approle", "kubernetes"];

/// Which settings belong to which of them.
const KEYS: [(&str, &[&str]); 6] = [
    ("token", &["token"]),
    ("role_id", &["approle"]),
    ("secret_id", &["approle"]),
    ("role", &["kubernetes"]),
    ("jwt_file", &["kubernetes"]),
    ("mount", &["approle", "kubernetes"]),
];

/// One Vault and a login to it.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) url: Url,
    pub(crate) tls: net::TlsSettings,
    pub(crate) namespace: Option<HeaderValue>,
    pub(crate) login: Login,
    /// Everything that distinguishes this session from others.
    pub(crate) identity: Secret,
}

impl Settings {
    /// Reads them all; `None` when a mistake was noted or a value is not known yet.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let url = url(fields);
        let tls = net::TlsSettings::read(fields);
        let namespace = optional_text(fields, "vault_namespace")
            .and_then(|text| Some((header(fields, "vault_namespace", &text)?, text)));
        let login = login(fields);
        let (url, tls, (namespace, namespace_text), (login, credentials)) =
            (url?, tls?, namespace?, login?);
        let identity =
            [url.text(), tls.identity(), &namespace_text].into_iter().chain(&credentials);
        let identity: Vec<_> = identity.map(Secret::expose).collect();
        // None of them can hold the separator, so that no two settings look the same when joined.
        let identity = Secret::new(identity.join("\0"));
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        Some(Self { url, tls, namespace, login, identity })
    }
}

fn url(fields: &mut Fields<'_>) -> Option<Url> {
    let url = fields.url("url", &["http", "https"])?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_empty();
    if !plain {
        fields.error("url", "expected a URL without user-info and query");
    }
    plain.then_some(url)
}

/// The login, and its settings as they were written.
fn login(fields: &mut Fields<'_>) -> Option<(Login, Vec<Secret>)> {
    let method = fields.one_of("login", &METHODS.map(|method| (method, method)));
    ask_for_keys_of_other_methods(fields, method);
    match method? {
        "approle" => {
            let mount = mount(fields, "approle");
            let (role_id, secret_id) =
                (text(fields, "role_id"), optional_text(fields, "secret_id"));
            let (mount, role_id, secret_id) = (mount?, role_id?, secret_id?);
            let method = [Secret::new("approle"), Secret::new(&mount)];
            let written = method.into_iter().chain([role_id.clone(), secret_id.clone()]).collect();
            Some((Login::AppRole { mount, role_id, secret_id }, written))
        }
        "kubernetes" => {
            let mount = mount(fields, "kubernetes");
            let role = text(fields, "role");
            let jwt_file: String = fields.with_default("jwt_file", SERVICE_ACCOUNT.to_owned());
            let (mount, role) = (mount?, role?.expose().to_owned());
            let written = ["kubernetes", &mount, &role, &jwt_file].map(Secret::new).into();
            Some((Login::Kubernetes { mount, role, jwt_file: PathBuf::from(jwt_file) }, written))
        }
        _ => {
            let token = text(fields, "token")?;
            let header = header(fields, "token", &token)?;
            let written = vec![Secret::new("token"), token.clone()];
            Some((Login::Token(Token::given(token, header)), written))
        }
    }
}

/// Notes settings that another `login` would have; without a known one they are asked for all the same, so that none is taken for unknown.
fn ask_for_keys_of_other_methods(fields: &mut Fields<'_>, method: Option<&str>) {
    for (key, methods) in KEYS {
        if method.is_some_and(|method| methods.contains(&method)) {
            continue;
        }
        let _asked: Option<Secret> = fields.optional(key);
        if method.is_some() && fields.has(key) {
            let methods = methods.iter().map(|method| format!("`login = \"{method}\"`"));
            let methods: Vec<_> = methods.collect();
            fields.error(key, format!("expected only with {}", methods.join(" or ")));
        }
    }
}

/// The mount of an auth method: `approle` or, for instance, `teams/health`.
fn mount(fields: &mut Fields<'_>, default: &str) -> Option<String> {
    let mount: String = fields.with_default("mount", default.to_owned());
    let mount = mount.trim_matches('/');
    if mount.is_empty() {
        fields.error("mount", "expected the path of an auth method, such as `approle`");
    }
    (!mount.is_empty()).then(|| mount.to_owned())
}

/// A required text, trimmed: files end with a newline.
fn text(fields: &mut Fields<'_>, key: &'static str) -> Option<Secret> {
    let written: Secret = fields.required(key)?;
    trimmed(fields, key, &written)
}

fn trimmed(fields: &mut Fields<'_>, key: &'static str, written: &Secret) -> Option<Secret> {
    let text = written.expose().trim();
    if text.is_empty() {
        fields.error(key, "expected a text that is not empty");
    }
    (!text.is_empty()).then(|| Secret::new(text))
}

/// The text under `key` as a header's value.
fn header(fields: &mut Fields<'_>, key: &'static str, text: &Secret) -> Option<HeaderValue> {
    header_value(text.expose()).map_err(|message| fields.error(key, message)).ok()
}

/// An optional text, empty if it is absent.
fn optional_text(fields: &mut Fields<'_>, key: &'static str) -> Option<Secret> {
    let written: Option<Secret> = fields.optional(key);
    if !fields.has(key) {
        return Some(Secret::new(""));
    }
    trimmed(fields, key, &written?)
}
