//! Reports the start of a TLS handshake, which the client library does not report.

use std::fmt;
use std::sync::Arc;

use probe::step;
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, NamedGroup};
use tokio::sync::mpsc::UnboundedSender;

/// Returns the same configuration, except that it sends the step `tls` to `steps` when a handshake starts.
///
/// A handshake begins with a lookup in the session store.
/// This store is empty and reports the lookup.
/// A cached connection has no session to resume in any case.
pub(crate) fn report_handshakes(
    config: &ClientConfig,
    steps: UnboundedSender<&'static str>,
) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.resumption = Resumption::store(Arc::new(HandshakeObserver(steps)));
    Arc::new(config)
}

struct HandshakeObserver(UnboundedSender<&'static str>);

impl ClientSessionStore for HandshakeObserver {
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        // The receiver is gone once the attempt has been dropped.
        let _dropped = self.0.send(step::TLS);
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

impl fmt::Debug for HandshakeObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandshakeObserver").finish_non_exhaustive()
    }
}
