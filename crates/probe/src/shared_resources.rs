//! Resources that several checks share, such as a connection or a session.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::{Cleanups, Fingerprint, Secret};

/// A map of weak references to shared resources, by their type and key.
///
/// A resource is dropped with the last check that uses it.
/// When a changed configuration is built beside the active one, resources that both need are shared, open connections included.
#[derive(Default)]
pub struct SharedResources {
    /// The keys are digests, so that the credentials in them have no further copy.
    resources: Mutex<HashMap<(TypeId, Fingerprint), Weak<dyn Any + Send + Sync>>>,
    cleanups: Cleanups,
}

impl SharedResources {
    /// The tasks that remove what checks made.
    pub fn cleanups(&self) -> &Cleanups {
        &self.cleanups
    }

    /// The resource of this type under `key`, created by `make` if there is none.
    ///
    /// The key contains everything that distinguishes two resources, credentials included, and is therefore a [`Secret`].
    pub fn get_or_insert<T: Any + Send + Sync>(
        &self,
        key: &Secret,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        let key = (TypeId::of::<T>(), Fingerprint::of(key));
        let mut resources = self.resources.lock();
        let found = resources.get(&key).and_then(Weak::upgrade);
        if let Some(resource) = found.and_then(|resource| resource.downcast::<T>().ok()) {
            return resource;
        }
        let resource = Arc::new(make());
        let erased: Arc<dyn Any + Send + Sync> = resource.clone();
        resources.insert(key, Arc::downgrade(&erased));
        resource
    }

    /// Removes the keys of resources that were dropped.
    pub fn remove_unused(&self) {
        self.resources.lock().retain(|_, resource| resource.strong_count() > 0);
    }
}

impl fmt::Debug for SharedResources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedResources").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_its_resource_while_the_resource_is_used() {
        let shared = SharedResources::default();
        let key = Secret::new("redis://a");
        let first = shared.get_or_insert(&key, || 1_u8);
        assert!(Arc::ptr_eq(&first, &shared.get_or_insert(&key, || 2_u8)));
        drop(first);
        assert_eq!(*shared.get_or_insert(&key, || 3_u8), 3);
    }

    #[test]
    fn resources_of_different_types_may_have_the_same_key() {
        let shared = SharedResources::default();
        let key = Secret::new("redis://b");
        let number = shared.get_or_insert(&key, || 1_u8);
        let word = shared.get_or_insert(&key, || "one");
        assert_eq!((*number, *word), (1, "one"));
    }
}
