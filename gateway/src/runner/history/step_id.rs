//! The name of a step in one byte.

use std::num::NonZeroU8;

use parking_lot::RwLock;

/// The names so far. They are constants of the program, which has fewer than this can number.
static NAMES: RwLock<Vec<&'static str>> = RwLock::new(Vec::new());

/// The number of a step's name, as a history has many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepId(NonZeroU8);

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
