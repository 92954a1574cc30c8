//! Supplies credentials to the client library, and reports the steps of a connection attempt.

use std::fmt;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use fred::error::Error;
use fred::types::config::{CredentialProvider, Server};
use probe::Secret;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::deployment::{Credentials, Deployment, Layout};

/// The credentials for one connection attempt.
///
/// The library fetches the credentials for each connection right after opening it, so a fetch also means that the step `connect` is done.
pub(crate) struct CredentialSource {
    deployment: Arc<Deployment>,
    /// Sends the steps that the attempt reaches.
    pub(crate) steps: UnboundedSender<&'static str>,
}

impl CredentialSource {
    /// A source for one attempt, and the steps that the attempt reaches.
    pub(crate) fn new(deployment: &Arc<Deployment>) -> (Self, UnboundedReceiver<&'static str>) {
        let (steps, reached) = unbounded_channel();
        (Self { deployment: deployment.clone(), steps }, reached)
    }

    fn credentials_for(&self, server: Option<&Server>) -> (&Credentials, &'static str) {
        match &self.deployment.layout {
            Layout::Sentinel { credentials, .. } if self.is_seed(server) => {
                (credentials, "ask sentinel")
            }
            _ => (&self.deployment.credentials, self.deployment.credentials.step()),
        }
    }

    /// Whether the URL names this server. With Sentinel, such a server is a sentinel.
    fn is_seed(&self, server: Option<&Server>) -> bool {
        let same = |server: &Server| {
            let mut nodes = self.deployment.nodes.iter();
            nodes.any(|node| *node.host == *server.host && node.port == server.port)
        };
        server.is_some_and(same)
    }
}

type UsernameAndPassword = (Option<String>, Option<String>);

impl CredentialProvider for CredentialSource {
    // The trait uses `async_trait`. This is the expanded form of its `async fn fetch`.
    fn fetch<'a, 'b, 'r>(
        &'a self,
        server: Option<&'b Server>,
    ) -> Pin<Box<dyn Future<Output = Result<UsernameAndPassword, Error>> + Send + 'r>>
    where
        'a: 'r,
        'b: 'r,
        Self: 'r,
    {
        let (credentials, step) = self.credentials_for(server);
        // The receiver is gone once the attempt has been dropped.
        let _dropped = self.steps.send(step);
        let password = credentials.password.as_ref().map(Secret::expose).map(str::to_owned);
        Box::pin(ready(Ok((credentials.username.clone(), password))))
    }
}

/// Omits the credentials.
impl fmt::Debug for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialSource").finish_non_exhaustive()
    }
}
