//! The interface to the source of the reports, which verifies tokens and runs checks.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;

use crate::maybe_ready::MaybeReady;
use crate::namespace::Namespace;
use crate::namespaces::Namespaces;
use crate::overview::Overview;
use crate::report::Report;
use crate::runner::RunOptions;

/// Verifies access tokens, and reports on the namespaces that they open.
pub trait ReportSource: Send + Sync + 'static {
    /// What a token opens.
    type Namespace: Clone + Send + Sync + 'static;

    /// Returns the namespace that `token` opens.
    ///
    /// `credential` is that of an `Authorization: JWT` header. The namespace's settings determine whether it is required.
    fn authorize(
        self: &Arc<Self>,
        token: &str,
        credential: Option<&[u8]>,
        peer: IpAddr,
    ) -> MaybeReady<Option<Self::Namespace>>;

    /// Returns the namespace's name, for the log.
    fn name(namespace: &Self::Namespace) -> String;

    /// Returns the status code of a report in which a check failed.
    fn failure_status(namespace: &Self::Namespace) -> StatusCode;

    /// Returns how long an answer may take, counted from the arrival of its request.
    fn answer_timeout(namespace: &Self::Namespace) -> Duration;

    /// Returns a report of every check. The future is dropped when the caller disconnects.
    fn report(namespace: &Self::Namespace, options: RunOptions) -> MaybeReady<Report>;

    /// Returns what the page shows beside the report.
    fn overview(namespace: &Self::Namespace) -> Overview;
}

impl ReportSource for Namespaces {
    type Namespace = Arc<Namespace>;

    fn authorize(
        self: &Arc<Self>,
        token: &str,
        credential: Option<&[u8]>,
        peer: IpAddr,
    ) -> MaybeReady<Option<Arc<Namespace>>> {
        Self::authorize(self, token, credential, peer)
    }

    fn name(namespace: &Arc<Namespace>) -> String {
        namespace.name()
    }

    fn failure_status(namespace: &Arc<Namespace>) -> StatusCode {
        namespace.failure_status()
    }

    fn answer_timeout(namespace: &Arc<Namespace>) -> Duration {
        namespace.answer_timeout()
    }

    fn report(namespace: &Arc<Namespace>, options: RunOptions) -> MaybeReady<Report> {
        namespace.report(options)
    }

    fn overview(namespace: &Arc<Namespace>) -> Overview {
        namespace.overview(SystemTime::now())
    }
}
