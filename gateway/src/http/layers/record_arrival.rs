//! Records when a request arrived.

use std::time::Instant;

use http::Request;

/// When the request reached the layers.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceivedAt(pub(super) Instant);

/// Adds the time to the request as an extension.
pub(super) fn record_arrival(mut request: Request<()>) -> Request<()> {
    request.extensions_mut().insert(ReceivedAt(Instant::now()));
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::layers::extension;

    #[test]
    fn the_arrival_is_the_time_of_the_call() {
        let before = Instant::now();
        let ReceivedAt(arrival) = *extension(&record_arrival(Request::new(())));
        assert!((before..=Instant::now()).contains(&arrival));
    }
}
