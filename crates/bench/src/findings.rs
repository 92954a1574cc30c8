//! What a long task has found, and the secrets that it looks for.

use parking_lot::Mutex;

/// Findings beyond this number are only counted.
const MAX_FINDINGS: usize = 20;

/// The findings of all threads.
#[derive(Debug)]
pub(crate) struct Findings {
    /// The task in the messages.
    task: &'static str,
    /// A part of each planted secret, which no encoding changes.
    secrets: Mutex<Vec<String>>,
    found: Mutex<Vec<String>>,
}

impl Findings {
    pub(crate) fn new(task: &'static str) -> Self {
        Self { task, secrets: Mutex::default(), found: Mutex::default() }
    }

    /// Adds a secret that no text may contain from now on.
    pub(crate) fn plant(&self, secret: &str) {
        self.secrets.lock().push(secret.to_owned());
    }

    /// Adds a finding.
    pub(crate) fn report(&self, finding: impl Into<String>) {
        let finding = finding.into();
        let mut found = self.found.lock();
        if found.len() < MAX_FINDINGS {
            eprintln!("{}: {finding}", self.task);
        }
        found.push(finding);
    }

    /// Reports a text of the gateway that contains a secret. The text is quoted without it.
    pub(crate) fn check_text(&self, source: &str, text: &str) {
        let secrets = self.secrets.lock();
        let leaked: Vec<_> = secrets.iter().filter(|secret| text.contains(*secret)).collect();
        if leaked.is_empty() {
            return;
        }
        let masked =
            leaked.iter().fold(text.to_owned(), |text, secret| text.replace(*secret, "***"));
        self.report(format!("{source} contains a secret: {masked}"));
    }

    /// Prints one line, which is `success` if nothing was found, and returns whether that is so.
    pub(crate) fn print(&self, success: &str) -> bool {
        let (task, found) = (self.task, self.found.lock());
        match found.as_slice() {
            [] => println!("{success}"),
            [first] => println!("{task} failed: {first}"),
            [first, more @ ..] => println!("{task} failed: {first}; and {} more", more.len()),
        }
        found.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_secret_is_found_and_not_quoted() {
        let findings = Findings::new("test");
        findings.plant("hunter2");
        findings.check_text("the log", "login refused");
        assert!(findings.print(""));
        findings.check_text("the log", "login of health:hunter2 refused");
        assert_eq!(
            findings.found.lock().as_slice(),
            ["the log contains a secret: login of health:*** refused"]
        );
        assert!(!findings.print(""));
    }
}
