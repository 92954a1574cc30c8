//! The settings `ca`, `certificate`, `private_key` and `min_certificate_validity`, and their rustls configuration.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use probe::config::Fields;
use probe::{Cause, Secret};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};

use super::expiry::verify_expiry;
use super::roots::system_roots;
use super::verifier::{AnyHost, SelfSigned};
use crate::Verification;

/// The trusted authorities, the client certificate, and how long the server's must be valid.
#[derive(Clone)]
pub struct TlsSettings(Arc<Inner>);

struct Inner {
    /// Trusted instead of the system's authorities.
    ca: Option<Authorities>,
    client_certificate: Option<Arc<SingleCertAndKey>>,
    min_certificate_validity: Option<Duration>,
    /// The protocol that is offered by ALPN.
    protocol: Option<&'static str>,
    identity: Secret,
    /// One configuration for each [`Verification`], built when it is first used.
    configs: [OnceLock<Arc<ClientConfig>>; 3],
}

impl Inner {
    /// The same settings without the configurations that were built from them.
    fn unconfigured(&self) -> Self {
        Self {
            ca: self.ca.clone(),
            client_certificate: self.client_certificate.clone(),
            min_certificate_validity: self.min_certificate_validity,
            protocol: self.protocol,
            identity: self.identity.clone(),
            configs: Default::default(),
        }
    }
}

/// The certificates of `ca`.
#[derive(Clone)]
struct Authorities {
    roots: Arc<RootCertStore>,
    certificates: Arc<[CertificateDer<'static>]>,
}

impl TlsSettings {
    /// Reads `ca`, `certificate` and `private_key`, optional PEM texts, and `min_certificate_validity`.
    ///
    /// Returns `None` if an error was recorded in `fields` or a value is not available yet.
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let authorities: Option<String> = fields.optional("ca");
        let certificate: Option<String> = fields.optional("certificate");
        let private_key: Option<Secret> = fields.optional("private_key");
        let min_certificate_validity: Option<Duration> =
            fields.optional("min_certificate_validity");
        for (key, other) in [("certificate", "private_key"), ("private_key", "certificate")] {
            if fields.has(key) && !fields.has(other) {
                fields.error(key, format!("expected `{other}` beside it"));
            }
        }
        let identity = Secret::formatted(format_args!(
            "ca={};certificate={};private_key={};min_certificate_validity={:?}",
            authorities.as_deref().unwrap_or_default(),
            certificate.as_deref().unwrap_or_default(),
            private_key.as_ref().map(Secret::expose).unwrap_or_default(),
            min_certificate_validity,
        ));
        let ca = parse(fields, "ca", authorities, |text| parse_authorities(text));
        let chain = parse(fields, "certificate", certificate, |text| parse_certificates(text));
        let key = parse(fields, "private_key", private_key, |text| parse_key(text.expose()));
        let is_missing = |key, parsed: bool| fields.has(key) && !parsed;
        if is_missing("ca", ca.is_some())
            || is_missing("certificate", chain.is_some())
            || is_missing("private_key", key.is_some())
            || is_missing("min_certificate_validity", min_certificate_validity.is_some())
        {
            return None;
        }
        let client_certificate = match chain.zip(key) {
            Some((chain, key)) => {
                let certified = certified_key(chain, key);
                Some(certified.map_err(|message| fields.error("private_key", message)).ok()?)
            }
            None => None,
        };
        Some(Self::new(Inner {
            ca,
            client_certificate,
            min_certificate_validity,
            protocol: None,
            identity,
            configs: Default::default(),
        }))
    }

    /// The same settings, with which a `protocol` is offered by ALPN.
    #[must_use]
    pub fn with_protocol(&self, protocol: &'static str) -> Self {
        Self::new(Inner { protocol: Some(protocol), ..self.0.unconfigured() })
    }

    /// The same settings with PEM texts from elsewhere than the section: authorities, and a certificate with its private key.
    pub fn with_pem(
        &self,
        authorities: Option<&str>,
        certificate: Option<(&str, &Secret)>,
    ) -> Result<Self, Cause> {
        let ca = authorities.map(parse_authorities).transpose().map_err(Cause::msg)?;
        let client_certificate = match certificate {
            Some((chain, key)) => {
                let chain = parse_certificates(chain).map_err(Cause::msg)?;
                let key = parse_key(key.expose()).map_err(Cause::msg)?;
                Some(certified_key(chain, key).map_err(Cause::msg)?)
            }
            None => None,
        };
        let identity = Secret::new("");
        Ok(Self::new(Inner { ca, client_certificate, identity, ..self.0.unconfigured() }))
    }

    /// Records an error if a setting is given although nothing in the section uses TLS. The error names `what`, which would use it.
    pub fn expect_use(&self, fields: &mut Fields<'_>, encrypted: bool, what: &str) -> Option<()> {
        if encrypted || self.is_default() {
            return Some(());
        }
        let keys = ["ca", "certificate", "min_certificate_validity"];
        let key = keys.into_iter().find(|key| fields.has(key)).unwrap_or("ca");
        fields.error(key, format!("expected only with {what}"));
        None
    }

    /// Whether authorities or a client certificate are given.
    pub fn has_pem(&self) -> bool {
        self.0.ca.is_some() || self.0.client_certificate.is_some()
    }

    /// Whether no setting is given: the system's authorities are trusted, there is no client certificate, and the server's may expire soon.
    pub fn is_default(&self) -> bool {
        !self.has_pem() && self.0.min_certificate_validity.is_none()
    }

    /// Whether `ca` is given.
    pub fn has_ca(&self) -> bool {
        self.0.ca.is_some()
    }

    /// The part of a shared resource's key that distinguishes these settings from others.
    pub fn identity(&self) -> &Secret {
        &self.0.identity
    }

    /// The configuration for rustls.
    /// It is built at the first call because building a check must not read files, such as those of the system's authorities.
    pub fn client_config(&self, verification: Verification) -> Result<Arc<ClientConfig>, Cause> {
        let config = &self.0.configs[verification as usize];
        if let Some(config) = config.get() {
            return Ok(config.clone());
        }
        let built = self.build_config(verification)?;
        Ok(config.get_or_init(|| built).clone())
    }

    /// Fails if a certificate of the server `name` expires within `min_certificate_validity`. `chain` has its certificates after a handshake with this `verification`.
    pub(crate) fn verify_expiry(
        &self,
        verification: Verification,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
    ) -> Result<(), Cause> {
        let Some(min_validity) = self.0.min_certificate_validity else { return Ok(()) };
        let provider = provider();
        let verifier: Arc<dyn ServerCertVerifier> = match verification {
            // Without authorities, no certificate is accepted, but one that has expired is refused for that.
            Verification::None => Arc::new(AnyHost {
                roots: Some(Arc::new(RootCertStore::empty())),
                algorithms: provider.signature_verification_algorithms,
            }),
            Verification::Full | Verification::Chain => self.verifier(verification, provider)?,
        };
        verify_expiry(verifier.as_ref(), chain, name, min_validity)
    }

    fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    fn build_config(&self, verification: Verification) -> Result<Arc<ClientConfig>, Cause> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(verification, provider)?);
        let mut config = match &self.0.client_certificate {
            Some(certificate) => {
                let resolver: Arc<dyn ResolvesClientCert> = certificate.clone();
                builder.with_client_cert_resolver(resolver)
            }
            None => builder.with_no_client_auth(),
        };
        // A server sends no certificate in a resumed session, so one that has expired would not be noticed.
        config.resumption = Resumption::disabled();
        config.alpn_protocols =
            self.0.protocol.map(|name| name.as_bytes().to_vec()).into_iter().collect();
        Ok(Arc::new(config))
    }

    fn verifier(
        &self,
        verification: Verification,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, Cause> {
        let algorithms = provider.signature_verification_algorithms;
        let roots = match &self.0.ca {
            _ if verification == Verification::None => None,
            Some(ca) => Some(ca.roots.clone()),
            None => Some(system_roots()?),
        };
        let verifier: Arc<dyn ServerCertVerifier> = match roots {
            Some(roots) if verification == Verification::Full => {
                WebPkiServerVerifier::builder_with_provider(roots, provider).build()?
            }
            roots => Arc::new(AnyHost { roots, algorithms }),
        };
        Ok(match &self.0.ca {
            Some(ca) => Arc::new(SelfSigned {
                verifier,
                trusted: ca.certificates.clone(),
                any_host: verification != Verification::Full,
            }),
            None => verifier,
        })
    }
}

/// The settings of a section with none of the four.
impl Default for TlsSettings {
    fn default() -> Self {
        Self::new(Inner {
            ca: None,
            client_certificate: None,
            min_certificate_validity: None,
            protocol: None,
            identity: Secret::new(""),
            configs: Default::default(),
        })
    }
}

/// Prints which settings are given, but not their values.
impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSettings")
            .field("ca", &self.0.ca.is_some())
            .field("certificate", &self.0.client_certificate.is_some())
            .field("min_certificate_validity", &self.0.min_certificate_validity)
            .finish()
    }
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())).clone()
}

/// Parses the text of `key`, if it is given, and records an error under the key.
fn parse<S, T>(
    fields: &mut Fields<'_>,
    key: &'static str,
    text: Option<S>,
    parser: impl FnOnce(&S) -> Result<T, &'static str>,
) -> Option<T> {
    let hint = |message| format!("{message}; a file is read with `${{file:/path}}`");
    parser(&text?).map_err(|message| fields.error(key, hint(message))).ok()
}

fn parse_authorities(text: &str) -> Result<Authorities, &'static str> {
    let certificates = parse_certificates(text)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots
            .add(certificate.clone())
            .map_err(|_| "expected valid certificates, but one cannot be parsed")?;
    }
    Ok(Authorities { roots: Arc::new(roots), certificates: certificates.into() })
}

fn parse_certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    certificates
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or("expected PEM with at least one certificate")
}

fn parse_key(text: &str) -> Result<PrivateKeyDer<'static>, &'static str> {
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| "expected PEM with a private key that is not encrypted")
}

fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<SingleCertAndKey>, &'static str> {
    let certified = CertifiedKey::from_der(chain, key, &provider())
        .map_err(|_| "expected the private key that belongs to `certificate`")?;
    Ok(Arc::new(SingleCertAndKey::from(certified)))
}
