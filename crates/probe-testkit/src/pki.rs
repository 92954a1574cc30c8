//! Authorities and the certificates they issue, generated in memory.

use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate as PEM.
    pub pem: String,
}

/// A certificate with its private key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate as PEM.
    pub certificate: String,
    /// Its private key as PEM.
    pub key: String,
}

impl Authority {
    /// A new authority with this common name.
    pub fn new(name: &str) -> Self {
        let params = authority_params(name);
        let key = KeyPair::generate().expect("a certificate can be made");
        let pem = params.self_signed(&key).expect("a certificate can be made").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// The TOML setting that trusts this authority.
    pub fn toml(&self) -> String {
        format!("ca = '''{}'''\n", self.pem)
    }

    /// Issues a certificate for a host, a name or an address.
    pub fn issue(&self, host: &str) -> Identity {
        self.sign(&CertificateParams::new([host.to_owned()]).expect("a certificate can be made"))
    }

    /// A host's own certificate, which no authority has issued, as `openssl req -x509` makes it.
    pub fn self_signed(host: &str) -> Identity {
        let mut params =
            CertificateParams::new([host.to_owned()]).expect("a certificate can be made");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a certificate can be made");
        let certificate = params.self_signed(&key).expect("a certificate can be made").pem();
        Identity { certificate, key: key.serialize_pem() }
    }

    /// The same with an RSA key, the only kind that Celery signs messages with.
    pub fn self_signed_rsa(name: &str) -> Identity {
        let params = CertificateParams::new([name.to_owned()]).expect("a certificate can be made");
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a certificate can be made");
        let certificate = params.self_signed(&key).expect("a certificate can be made").pem();
        Identity { certificate, key: key.serialize_pem() }
    }

    /// Issues a certificate for a host that has expired.
    pub fn issue_expired(&self, host: &str) -> Identity {
        let mut params =
            CertificateParams::new([host.to_owned()]).expect("a certificate can be made");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        self.sign(&params)
    }

    /// Issues a certificate for a host that expires after this time.
    pub fn issue_valid_for(&self, host: &str, time: Duration) -> Identity {
        let mut params =
            CertificateParams::new([host.to_owned()]).expect("a certificate can be made");
        params.not_after = (SystemTime::now() + time).into();
        self.sign(&params)
    }

    /// Issues the certificate of an intermediate authority that expires after this time.
    #[must_use]
    pub fn issue_intermediate(&self, name: &str, time: Duration) -> Self {
        let mut params = authority_params(name);
        params.not_after = (SystemTime::now() + time).into();
        let key = KeyPair::generate().expect("a certificate can be made");
        let pem = params.signed_by(&key, &self.issuer).expect("a certificate can be made").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Issues a client certificate; its common name is `user`.
    pub fn issue_for_user(&self, user: &str) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a certificate can be made");
        let certificate =
            params.signed_by(&key, &self.issuer).expect("a certificate can be made").pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

impl Identity {
    /// The TOML settings that present this identity to a server.
    pub fn toml(&self) -> String {
        let Self { certificate, key } = self;
        format!("certificate = '''{certificate}'''\nprivate_key = '''{key}'''\n")
    }
}
