//! The settings `ca`, `certificate` and `private_key`, and the rustls configuration they become.

use std::fmt;
use std::sync::{Arc, OnceLock};

use probe::config::Fields;
use probe::{Cause, Secret};
use rustls::client::ResolvesClientCert;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};

use crate::verifier::AnyHost;
use crate::{Verification, roots};

/// Whom to trust and as whom to appear.
#[derive(Clone)]
pub struct Settings(Arc<Inner>);

struct Inner {
    /// Trusted in place of the system's authorities.
    ca: Option<Arc<RootCertStore>>,
    client: Option<Arc<SingleCertAndKey>>,
    identity: Secret,
    /// One configuration for each [`Verification`], made when it is first needed.
    configs: [OnceLock<Arc<ClientConfig>>; 3],
}

impl Settings {
    /// Reads `ca`, `certificate` and `private_key`, each PEM text and optional; `None` when a mistake was noted or a value is not known yet.
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let authorities: Option<String> = fields.optional("ca");
        let certificate: Option<String> = fields.optional("certificate");
        let private_key: Option<Secret> = fields.optional("private_key");
        for (key, other) in [("certificate", "private_key"), ("private_key", "certificate")] {
            if fields.has(key) && !fields.has(other) {
                fields.error(key, format!("expected `{other}` beside it"));
            }
        }
        let identity = Secret::new(format!(
            "ca={};certificate={};private_key={}",
            authorities.as_deref().unwrap_or_default(),
            certificate.as_deref().unwrap_or_default(),
            private_key.as_ref().map(Secret::expose).unwrap_or_default(),
        ));
        let ca = parsed(fields, "ca", authorities, |text| trusted(text));
        let chain = parsed(fields, "certificate", certificate, |text| certificates(text));
        let key = parsed(fields, "private_key", private_key, |text| key(text.expose()));
        let unread = |key, read: bool| fields.has(key) && !read;
        if unread("ca", ca.is_some())
            || unread("certificate", chain.is_some())
            || unread("private_key", key.is_some())
        {
            return None;
        }
        let client = match chain.zip(key) {
            Some((chain, key)) => Some(pair(fields, chain, key)?),
            None => None,
        };
        Some(Self::new(ca, client, identity))
    }

    /// Notes a mistake if any of the three is written although nothing in the section speaks TLS; `what` would.
    pub fn expect_use(&self, fields: &mut Fields<'_>, encrypted: bool, what: &str) -> Option<()> {
        if encrypted || self.is_default() {
            return Some(());
        }
        let key = if self.0.ca.is_some() { "ca" } else { "certificate" };
        fields.error(key, format!("expected only with {what}"));
        None
    }

    /// Whether none of the three was written: the system's authorities, no certificate of our own.
    pub fn is_default(&self) -> bool {
        self.0.ca.is_none() && self.0.client.is_none()
    }

    /// Whether authorities of our own were written.
    pub fn has_ca(&self) -> bool {
        self.0.ca.is_some()
    }

    /// What distinguishes these settings from others, for the key of something shared.
    pub fn identity(&self) -> &Secret {
        &self.0.identity
    }

    /// The configuration for rustls, made when it is first needed: the system's authorities are files, and building a check reads none.
    pub fn client_config(&self, verification: Verification) -> Result<Arc<ClientConfig>, Cause> {
        let config = &self.0.configs[verification as usize];
        if let Some(config) = config.get() {
            return Ok(config.clone());
        }
        let made = self.make(verification)?;
        Ok(config.get_or_init(|| made).clone())
    }

    fn new(
        ca: Option<Arc<RootCertStore>>,
        client: Option<Arc<SingleCertAndKey>>,
        identity: Secret,
    ) -> Self {
        Self(Arc::new(Inner { ca, client, identity, configs: Default::default() }))
    }

    fn make(&self, verification: Verification) -> Result<Arc<ClientConfig>, Cause> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(verification, provider)?);
        let config = match &self.0.client {
            Some(client) => {
                let client: Arc<dyn ResolvesClientCert> = client.clone();
                builder.with_client_cert_resolver(client)
            }
            None => builder.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }

    fn verifier(
        &self,
        verification: Verification,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, Cause> {
        let algorithms = provider.signature_verification_algorithms;
        let roots = || self.0.ca.clone().map_or_else(roots::of_the_system, Ok);
        Ok(match verification {
            Verification::Full => {
                WebPkiServerVerifier::builder_with_provider(roots()?, provider).build()?
            }
            Verification::Chain => Arc::new(AnyHost { roots: Some(roots()?), algorithms }),
            Verification::None => Arc::new(AnyHost { roots: None, algorithms }),
        })
    }
}

/// As if none of the three was written.
impl Default for Settings {
    fn default() -> Self {
        Self::new(None, None, Secret::new(""))
    }
}

/// Says what is set, not what it is.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("ca", &self.0.ca.is_some())
            .field("certificate", &self.0.client.is_some())
            .finish()
    }
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())).clone()
}

/// What `read` makes of the text under `key`, if there is one; its message is noted as a mistake.
fn parsed<S, T>(
    fields: &mut Fields<'_>,
    key: &'static str,
    text: Option<S>,
    read: impl FnOnce(&S) -> Result<T, String>,
) -> Option<T> {
    read(&text?).map_err(|message| fields.error(key, message)).ok()
}

fn trusted(text: &str) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(text)? {
        roots
            .add(certificate)
            .map_err(|_| "expected certificates that can be read, and one cannot".to_owned())?;
    }
    Ok(Arc::new(roots))
}

fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    certificates
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| expected("at least one certificate"))
}

fn key(text: &str) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| expected("a private key that is not encrypted"))
}

fn expected(what: &str) -> String {
    format!("expected PEM with {what}; a file is read with `${{file:/path}}`")
}

fn pair(
    fields: &mut Fields<'_>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Option<Arc<SingleCertAndKey>> {
    let pair = CertifiedKey::from_der(chain, key, &provider());
    if pair.is_err() {
        fields.error("private_key", "expected the private key that belongs to `certificate`");
    }
    pair.ok().map(|pair| Arc::new(SingleCertAndKey::from(pair)))
}
