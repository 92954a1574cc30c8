//! One check or a group of named checks, or one value for each of them.

use std::fmt;
use std::sync::Arc;

use crate::DynCheck;

/// The checks of one component: a single one, or a group with names that are fixed when it is built.
///
/// The gateway maps it from checks to their cached results and to the lines of the report, so that the shape of a component is decided in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checks<T> {
    /// The component is a single check.
    Single(T),
    /// The component is a group of checks, in the order of the report.
    Group(Vec<(CheckName, T)>),
}

/// What a probe builds from its section of the configuration.
pub type DynChecks = Checks<Arc<dyn DynCheck>>;

impl<T> Checks<T> {
    /// The same shape with `f` applied to each check.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> Checks<U> {
        match self {
            Self::Single(check) => Checks::Single(f(check)),
            Self::Group(checks) => {
                Checks::Group(checks.into_iter().map(|(name, check)| (name, f(check))).collect())
            }
        }
    }

    /// The same shape with the next of `values` for each check, or `None` if there are too few.
    pub fn with_values<U>(&self, mut values: impl Iterator<Item = U>) -> Option<Checks<U>> {
        Some(match self {
            Self::Single(_) => Checks::Single(values.next()?),
            Self::Group(checks) => {
                let named = checks.iter().map(|(name, _)| Some((name.clone(), values.next()?)));
                Checks::Group(named.collect::<Option<_>>()?)
            }
        })
    }

    /// The checks that `keep` accepts by their names in the group; `None` if none is left, or this is a single check.
    pub fn filter_group(&self, mut keep: impl FnMut(&CheckName) -> bool) -> Option<Self>
    where
        T: Clone,
    {
        let Self::Group(checks) = self else { return None };
        let kept: Vec<_> = checks.iter().filter(|(name, _)| keep(name)).cloned().collect();
        (!kept.is_empty()).then_some(Self::Group(kept))
    }

    /// Each check, in the order of the report.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries().map(|(_, check)| check)
    }

    /// Each check with its full name: that of the `component`, and for a check in a group `component.check`.
    pub fn iter_named<'a>(&'a self, component: &'a str) -> impl Iterator<Item = (String, &'a T)> {
        self.entries().map(move |(name, check)| match name {
            None => (component.to_owned(), check),
            Some(name) => (name.within(component), check),
        })
    }

    /// Each check, with its name if it is in a group.
    fn entries(&self) -> impl Iterator<Item = (Option<&CheckName>, &T)> {
        let (single, group) = match self {
            Self::Single(check) => (Some((None, check)), [].as_slice()),
            Self::Group(checks) => (None, checks.as_slice()),
        };
        single.into_iter().chain(group.iter().map(|(name, check)| (Some(name), check)))
    }
}

/// The name of a check within its group, as the report has it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckName(Arc<str>);

impl CheckName {
    /// Accepts 1 to 100 characters, none of them a control character. The error says so, and does not quote the name.
    pub fn new(name: impl AsRef<str>) -> Result<Self, String> {
        let name = name.as_ref();
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            return Err(
                "expected a name of 1 to 100 characters without control characters".to_owned()
            );
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The full name of this check in the group called `component`.
    pub fn within(&self, component: &str) -> String {
        format!("{component}.{}", self.0)
    }
}

impl fmt::Debug for CheckName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Debug for dyn DynCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Check").field(&self.target()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> Checks<u8> {
        let name = |name| CheckName::new(name).expect("a name");
        Checks::Group(vec![(name("a"), 1), (name("b"), 2)])
    }

    fn full_names<T>(checks: &Checks<T>) -> Vec<String> {
        checks.iter_named("cache").map(|(name, _)| name).collect()
    }

    #[test]
    fn a_check_in_a_group_is_named_after_component_and_check() {
        assert_eq!(full_names(&Checks::Single(1)), ["cache"]);
        assert_eq!(full_names(&group()), ["cache.a", "cache.b"]);
    }

    #[test]
    fn mapping_and_replacing_values_keep_the_shape() {
        let texts = group().map(|number| number.to_string());
        assert_eq!(full_names(&texts), full_names(&group()));
        assert_eq!(texts.iter().collect::<Vec<_>>(), ["1", "2"]);
        let replaced = group().with_values(["x", "y", "z"].into_iter()).expect("enough values");
        assert_eq!(replaced.iter().collect::<Vec<_>>(), [&"x", &"y"]);
        assert_eq!(group().with_values(["x"].into_iter()), None);
    }

    #[test]
    fn a_part_of_a_group_keeps_its_order_and_is_never_empty() {
        let part = group().filter_group(|name| name.as_str() == "b").expect("one check");
        assert_eq!(full_names(&part), ["cache.b"]);
        assert_eq!(group().filter_group(|_| false), None);
        assert_eq!(Checks::Single(1).filter_group(|_| true), None);
    }
}
