//! The ids of the channels that are in use on a connection.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// The ids in use, shared by the handle of the connection and its I/O loop.
#[derive(Clone, Default)]
pub(crate) struct ChannelIds(Arc<Mutex<BTreeSet<u16>>>);

impl ChannelIds {
    /// Allocates the lowest free id.
    pub(crate) fn allocate(&self) -> Option<u16> {
        let mut used = self.0.lock();
        let free = (1..=u16::MAX).find(|id| !used.contains(id))?;
        used.insert(free);
        Some(free)
    }

    pub(crate) fn release(&self, id: u16) {
        self.0.lock().remove(&id);
    }
}
