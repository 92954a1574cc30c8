//! The name of a step in one byte.

use std::num::NonZeroU8;

use parking_lot::RwLock;

/// The names so far. They are constants of the program, which has fewer than 255.
static NAMES: RwLock<Vec<&'static str>> = RwLock::new(Vec::new());

/// The number of a step's name, which takes less memory in a history than the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepId(NonZeroU8);

/// How many names may come from other replicas, which have the same program and therefore the same steps.
const MAX_INTERNED: usize = 200;

/// The step of another replica with this name, as a constant of this process.
pub(crate) fn intern(name: &str) -> &'static str {
    let mut names = NAMES.write();
    if let Some(known) = names.iter().find(|known| **known == name) {
        return known;
    }
    if names.len() >= MAX_INTERNED {
        return "other";
    }
    let name = name.to_owned().leak();
    names.push(name);
    name
}

impl StepId {
    pub(super) fn of(name: &'static str) -> Self {
        let known = NAMES.read().iter().position(|known| *known == name);
        let index = known.unwrap_or_else(|| {
            let mut names = NAMES.write();
            names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            })
        });
        let number = u8::try_from(index + 1).unwrap_or(u8::MAX);
        Self(NonZeroU8::new(number).unwrap_or(NonZeroU8::MAX))
    }

    /// The name.
    pub(crate) fn name(self) -> &'static str {
        let index = usize::from(self.0.get()) - 1;
        NAMES.read().get(index).copied().unwrap_or_default()
    }
}
