//! Hands the credentials to the client library when it asks, and says how far the connecting has come.

use std::fmt;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use fred::error::Error;
use fred::types::config::{CredentialProvider, Server};
use probe::Secret;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::deployment::{Credentials, Deployment, Layout};

/// The library asks for credentials on every connection that it has just opened: the one moment at which it shows that it got that far.
pub(crate) struct Desk {
    deployment: Arc<Deployment>,
    pub(crate) reached: UnboundedSender<&'static str>,
}

impl Desk {
    /// A desk for one attempt to connect, and the steps that this attempt reaches.
    pub(crate) fn new(deployment: &Arc<Deployment>) -> (Self, UnboundedReceiver<&'static str>) {
        let (reached, steps) = unbounded_channel();
        (Self { deployment: deployment.clone(), reached }, steps)
    }

    fn answer(&self, server: Option<&Server>) -> (&Credentials, &'static str) {
        match &self.deployment.layout {
            Layout::Sentinel { credentials, .. } if self.is_named(server) => {
                (credentials, "ask sentinel")
            }
            _ => (&self.deployment.credentials, self.deployment.credentials.step()),
        }
    }

    /// Whether the URL names this server, so that under Sentinel it is a sentinel.
    fn is_named(&self, server: Option<&Server>) -> bool {
        let same = |server: &Server| {
            let mut nodes = self.deployment.nodes.iter();
            nodes.any(|node| *node.host == *server.host && node.port == server.port)
        };
        server.is_some_and(same)
    }
}

type Answer = Result<(Option<String>, Option<String>), Error>;

impl CredentialProvider for Desk {
    // The trait is written with `async_trait`; this is what its `async fn fetch` stands for.
    fn fetch<'a, 'b, 'r>(
        &'a self,
        server: Option<&'b Server>,
    ) -> Pin<Box<dyn Future<Output = Answer> + Send + 'r>>
    where
        'a: 'r,
        'b: 'r,
        Self: 'r,
    {
        let (credentials, step) = self.answer(server);
        // Nobody listens any more once the attempt was given up.
        let _given_up = self.reached.send(step);
        let password = credentials.password.as_ref().map(Secret::expose).map(str::to_owned);
        Box::pin(ready(Ok((credentials.username.clone(), password))))
    }
}

/// Says nothing about the credentials.
impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}
