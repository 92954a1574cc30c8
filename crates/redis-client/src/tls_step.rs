//! Shows the moment at which a TLS handshake begins, which the client library keeps to itself.

use std::fmt;
use std::sync::Arc;

use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, NamedGroup};
use tokio::sync::mpsc::UnboundedSender;

/// The same configuration, which also sends the step `tls` when a handshake begins.
///
/// rustls first looks into its store of sessions; ours is empty, and sees that. A kept connection has no session to resume anyway.
pub(crate) fn announced(
    config: &ClientConfig,
    reached: UnboundedSender<&'static str>,
) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.resumption = Resumption::store(Arc::new(Announcer(reached)));
    Arc::new(config)
}

struct Announcer(UnboundedSender<&'static str>);

impl ClientSessionStore for Announcer {
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        // Nobody listens any more once the attempt was given up.
        let _given_up = self.0.send("tls");
        None
    }

    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {}

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

impl fmt::Debug for Announcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcer").finish_non_exhaustive()
    }
}
