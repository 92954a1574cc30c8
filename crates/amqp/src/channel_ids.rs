//! The ids of the channels that are in use on a connection.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// The ids in use, shared by the handle of the connection and its I/O loop.
#[derive(Clone)]
pub(crate) struct ChannelIds {
    used: Arc<Mutex<BTreeSet<u16>>>,
    highest: u16,
}

impl ChannelIds {
    /// The ids of at most `channel_max` channels; zero means no limit.
    pub(crate) fn new(channel_max: u16) -> Self {
        let highest = if channel_max == 0 { u16::MAX } else { channel_max };
        Self { used: Arc::default(), highest }
    }

    /// Allocates the lowest free id.
    pub(crate) fn allocate(&self) -> Option<u16> {
        let mut used = self.used.lock();
        let free = (1..=self.highest).find(|id| !used.contains(id))?;
        used.insert(free);
        Some(free)
    }

    pub(crate) fn release(&self, id: u16) {
        self.used.lock().remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_channels_are_open_than_the_broker_allows() {
        let ids = ChannelIds::new(2);
        assert_eq!([(); 3].map(|()| ids.allocate()), [Some(1), Some(2), None]);
        ids.release(1);
        assert_eq!(ids.allocate(), Some(1));
        assert_eq!(ChannelIds::new(0).allocate(), Some(1));
    }
}
