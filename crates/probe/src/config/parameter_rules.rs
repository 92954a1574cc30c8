//! What becomes of the parameters that other clients of a server know in a URL.

/// What becomes of a parameter. The documentation is compared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It has its meaning here.
    Honoured,
    /// It changes nothing that is checked, so it is ignored with a note.
    Ignored,
    /// It is ignored with these values in any case, which change nothing that is checked, and refused with any other.
    IgnoredIf(&'static [&'static str]),
    /// It would change what is checked, so it is refused. The text says what is right in its place; it is empty if nothing is.
    Refused(&'static str),
}

/// The parameters that are known, with what becomes of each. Any other is refused.
pub type ParameterRules = [(&'static str, Treatment)];

/// What becomes of a parameter with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has its meaning here.
    Honoured,
    /// The parameter with this name is ignored.
    Ignored(&'static str),
    /// It is refused for this reason, which quotes no value.
    Refused(String),
    /// It is not known. Its name may be a part of a password, so it is not quoted.
    Unknown,
}

/// What becomes of the parameter `name` with this `value`.
pub fn judge_parameter(rules: &'static ParameterRules, name: &str, value: &str) -> Verdict {
    let Some((name, treatment)) = rules.iter().find(|(known, _)| *known == name) else {
        return Verdict::Unknown;
    };
    match treatment {
        Treatment::Honoured => Verdict::Honoured,
        Treatment::Ignored => Verdict::Ignored(name),
        Treatment::IgnoredIf(values)
            if values.iter().any(|known| known.eq_ignore_ascii_case(value)) =>
        {
            Verdict::Ignored(name)
        }
        Treatment::IgnoredIf(_) => {
            Verdict::Refused(format!("this value of `{name}` is not supported here"))
        }
        Treatment::Refused("") => Verdict::Refused(format!("`{name}` is not supported here")),
        Treatment::Refused(right) => {
            Verdict::Refused(format!("expected {right} instead of `{name}`"))
        }
    }
}
