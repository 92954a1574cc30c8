//! The settings of a session, read from the configuration.

use std::path::PathBuf;

use http::HeaderValue;
use probe::Secret;
use probe::config::{Fields, Url};

use crate::login::{Login, SERVICE_ACCOUNT_TOKEN};
use crate::token::{Token, header_value};

/// The login methods, the default first.
const METHODS: [&str; 3] = ["token", "approle", "kubernetes"];

/// The keys that belong to login methods.
const METHOD_KEYS: [(&str, &[&str]); 6] = [
    ("token", &["token"]),
    ("role_id", &["approle"]),
    ("secret_id", &["approle"]),
    ("role", &["kubernetes"]),
    ("jwt_file", &["kubernetes"]),
    ("mount", &["approle", "kubernetes"]),
];

/// The settings of a session.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) url: Url,
    pub(crate) tls: net::TlsSettings,
    pub(crate) namespace: Option<HeaderValue>,
    pub(crate) login: Login,
    /// All settings that distinguish this session from others.
    pub(crate) identity: Secret,
}

impl Settings {
    /// Reads all settings. Returns `None` if one is wrong or not known yet.
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
        // No setting can contain the separator, so that different settings never have the same identity.
        let identity = Secret::unmasked(identity.join("\0"));
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        Some(Self { url, tls, namespace, login, identity })
    }
}

fn url(fields: &mut Fields<'_>) -> Option<Url> {
    let url = fields.url("url", &["http", "https"])?;
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && !url.text().expose().contains(['?', '#']);
    if !is_plain {
        fields.error("url", "expected a URL without user-info, query and fragment");
        return None;
    }
    if url.path().split('/').any(|part| matches!(part, "v1" | "ui")) {
        fields
            .error("url", "expected a URL without `/v1`, which is added to it, and without `/ui`");
        return None;
    }
    Some(url)
}

/// Reads the login, and returns its settings as a part of the identity.
fn login(fields: &mut Fields<'_>) -> Option<(Login, Vec<Secret>)> {
    let method = fields.one_of("login", &METHODS.map(|method| (method, method)));
    reject_keys_of_other_methods(fields, method);
    match method? {
        "approle" => {
            let mount = mount(fields, "approle");
            let (role_id, secret_id) =
                (text(fields, "role_id"), optional_text(fields, "secret_id"));
            let (mount, role_id, secret_id) = (mount?, role_id?, secret_id?);
            let method = [Secret::unmasked("approle"), Secret::unmasked(&mount)];
            let identity = method.into_iter().chain([role_id.clone(), secret_id.clone()]).collect();
            Some((Login::AppRole { mount, role_id, secret_id }, identity))
        }
        "kubernetes" => {
            let mount = mount(fields, "kubernetes");
            let role = text(fields, "role");
            let jwt_file: String =
                fields.with_default("jwt_file", SERVICE_ACCOUNT_TOKEN.to_owned());
            let (mount, role) = (mount?, role?.expose().to_owned());
            let identity = ["kubernetes", &mount, &role, &jwt_file].map(Secret::unmasked).into();
            Some((Login::Kubernetes { mount, role, jwt_file: PathBuf::from(jwt_file) }, identity))
        }
        _ => {
            let token = text(fields, "token")?;
            let header = header(fields, "token", &token)?;
            let identity = vec![Secret::unmasked("token"), token.clone()];
            Some((Login::Token(Token::configured(token, header)), identity))
        }
    }
}

/// Reports keys of other login methods. The keys are read even if `login` is wrong, so that none is reported as unknown.
fn reject_keys_of_other_methods(fields: &mut Fields<'_>, method: Option<&str>) {
    for (key, methods) in METHOD_KEYS {
        if method.is_some_and(|method| methods.contains(&method)) {
            continue;
        }
        let _known: Option<Secret> = fields.optional(key);
        if method.is_some() && fields.has(key) {
            let methods = methods.iter().map(|method| format!("`login = \"{method}\"`"));
            let methods: Vec<_> = methods.collect();
            fields.error(key, format!("expected only with {}", methods.join(" or ")));
        }
    }
}

/// The mount of an auth method: `approle` or, for instance, `teams/health`, also with the `auth/` of Vault Agent.
fn mount(fields: &mut Fields<'_>, default: &str) -> Option<String> {
    let mount: String = fields.with_default("mount", default.to_owned());
    let mount = mount.trim_matches('/');
    let mount = mount.strip_prefix("auth/").unwrap_or(mount);
    if mount.is_empty() {
        fields.error("mount", "expected the path of an auth method, such as `approle`");
    }
    (!mount.is_empty()).then(|| mount.to_owned())
}

/// A required text, trimmed, since files end with a newline.
fn text(fields: &mut Fields<'_>, key: &'static str) -> Option<Secret> {
    let value: Secret = fields.required(key)?;
    trimmed(fields, key, &value)
}

fn trimmed(fields: &mut Fields<'_>, key: &'static str, value: &Secret) -> Option<Secret> {
    let text = value.expose().trim();
    if text.is_empty() {
        fields.error(key, "expected a text that is not empty");
    }
    (!text.is_empty()).then(|| Secret::new(text))
}

/// The text under `key` as a header value.
fn header(fields: &mut Fields<'_>, key: &'static str, text: &Secret) -> Option<HeaderValue> {
    header_value(text).map_err(|message| fields.error(key, message)).ok()
}

/// An optional text, empty if it is absent.
fn optional_text(fields: &mut Fields<'_>, key: &'static str) -> Option<Secret> {
    let value: Option<Secret> = fields.optional(key);
    if !fields.has(key) {
        return Some(Secret::new(""));
    }
    trimmed(fields, key, &value?)
}
