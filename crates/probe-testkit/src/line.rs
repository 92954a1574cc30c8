//! Checks the format of a failure's line.

use probe::MAX_LINE;

/// Returns what is wrong with a failure's line.
pub(crate) fn validate(step: &str, line: &str, target: &str) -> Result<(), &'static str> {
    let tail = match target {
        "" => String::new(),
        target => format!(" ({target})"),
    };
    let Some(cause) = line.strip_prefix(step).and_then(|rest| rest.strip_suffix(&tail)) else {
        return Err("no step at the beginning, or no target at the end");
    };
    if !step.starts_with(|c: char| c.is_ascii_lowercase()) || step.chars().any(char::is_uppercase) {
        return Err("a step that is not in lower case");
    }
    if line.chars().any(char::is_control) {
        return Err("more than one line");
    }
    if line.chars().count() > MAX_LINE {
        return Err("too many characters");
    }
    match cause.strip_prefix(": ") {
        None | Some("") => Err("no cause"),
        Some(cause) if cause.ends_with('.') => Err("a final dot"),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(step: &str, line: &str, expected: Result<(), &str>) {
        assert_eq!(validate(step, line, "db:5432"), expected, "{line}");
    }

    #[test]
    fn a_line_is_a_step_a_cause_and_the_target() {
        check("connect", "connect: connection refused (db:5432)", Ok(()));
    }

    #[test]
    fn any_other_form_is_rejected() {
        let no_frame = Err("no step at the beginning, or no target at the end");
        check("connect", "connect: connection refused", no_frame);
        check("connect", "refused (db:5432)", no_frame);
        check("connect", "connect:  (db:5432)", Err("no cause"));
        check("connect", "connect: refused. (db:5432)", Err("a final dot"));
        check("connect", "connect: one\ntwo (db:5432)", Err("more than one line"));
        check("Connect", "Connect: refused (db:5432)", Err("a step that is not in lower case"));
        let long = format!("connect: {} (db:5432)", "x".repeat(MAX_LINE));
        check("connect", &long, Err("too many characters"));
    }
}
