//! What the soak has found, and the secrets that it looks for.

use parking_lot::Mutex;

/// Findings beyond this number are only counted.
const MAX_FINDINGS: usize = 20;

/// The findings of all threads.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// A part of each planted secret, which no encoding changes.
    secrets: Mutex<Vec<String>>,
    found: Mutex<Vec<String>>,
}

impl Findings {
    /// Adds a secret that no text may contain from now on.
    pub(super) fn plant(&self, secret: &str) {
        self.secrets.lock().push(secret.to_owned());
    }

    /// Adds a finding.
    pub(super) fn report(&self, finding: impl Into<String>) {
        let finding = finding.into();
        let mut found = self.found.lock();
        if found.len() < MAX_FINDINGS {
            eprintln!("soak: {finding}");
        }
        found.push(finding);
    }

    /// Reports a text of the gateway that contains a secret. The text is quoted without it.
    pub(super) fn check_text(&self, source: &str, text: &str) {
        let secrets = self.secrets.lock();
        let leaked: Vec<_> = secrets.iter().filter(|secret| text.contains(*secret)).collect();
        if leaked.is_empty() {
            return;
        }
        let masked =
            leaked.iter().fold(text.to_owned(), |text, secret| text.replace(*secret, "***"));
        self.report(format!("{source} contains a secret: {masked}"));
    }

    /// Prints one line, and returns whether nothing was found.
    pub(super) fn print(&self) -> bool {
        let found = self.found.lock();
        match found.as_slice() {
            [] => println!("nothing grew, and every answer was well-formed and in time"),
            [first] => println!("soak failed: {first}"),
            [first, more @ ..] => println!("soak failed: {first}; and {} more", more.len()),
        }
        found.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_secret_is_found_and_not_quoted() {
        let findings = Findings::default();
        findings.plant("hunter2");
        findings.check_text("the log", "login refused");
        assert!(findings.print());
        findings.check_text("the log", "login of health:hunter2 refused");
        assert_eq!(
            findings.found.lock().as_slice(),
            ["the log contains a secret: login of health:*** refused"]
        );
        assert!(!findings.print());
    }
}
