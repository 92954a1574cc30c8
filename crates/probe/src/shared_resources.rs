//! What several checks use together: one connection to each distinct server, one session, one credentials cache.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use crate::Secret;
use parking_lot::Mutex;

/// Finds a thing that several checks share by its type and by what it connects to.
///
/// It keeps nothing alive: a thing goes with the last check that uses it.
/// When a changed configuration is built beside the one in use, whatever both need is handed over as it is, connection included.
#[derive(Default)]
pub struct SharedResources {
    things: Mutex<HashMap<(TypeId, Secret), Weak<dyn Any + Send + Sync>>>,
}

impl SharedResources {
    /// The thing of this type under `key`, made if there is none.
    ///
    /// The key holds everything that distinguishes one from another, credentials included, hence its type.
    pub fn get_or_insert<T: Any + Send + Sync>(
        &self,
        key: &Secret,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        let mut things = self.things.lock();
        let found = things.get(&(TypeId::of::<T>(), key.clone())).and_then(Weak::upgrade);
        if let Some(thing) = found.and_then(|thing| thing.downcast::<T>().ok()) {
            return thing;
        }
        things.retain(|_, thing| thing.strong_count() > 0);
        let thing = Arc::new(make());
        let erased: Arc<dyn Any + Send + Sync> = thing.clone();
        things.insert((TypeId::of::<T>(), key.clone()), Arc::downgrade(&erased));
        thing
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
    fn the_same_key_finds_the_same_thing_as_long_as_somebody_uses_it() {
        let shared = SharedResources::default();
        let key = Secret::new("redis://a");
        let first = shared.get_or_insert(&key, || 1_u8);
        assert!(Arc::ptr_eq(&first, &shared.get_or_insert(&key, || 2_u8)));
        drop(first);
        assert_eq!(*shared.get_or_insert(&key, || 3_u8), 3);
    }

    #[test]
    fn another_type_under_the_same_key_is_another_thing() {
        let shared = SharedResources::default();
        let key = Secret::new("redis://b");
        let number = shared.get_or_insert(&key, || 1_u8);
        let word = shared.get_or_insert(&key, || "one");
        assert_eq!((*number, *word), (1, "one"));
    }
}
