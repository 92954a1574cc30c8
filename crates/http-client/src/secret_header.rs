//! Header values with secrets, without a copy of them.

use bytes::Bytes;
use http::HeaderValue;
use probe::Secret;

/// A secret that lends its text to a header.
struct HeaderText(Secret);

impl AsRef<[u8]> for HeaderText {
    fn as_ref(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

/// Returns a sensitive header value that shares the memory of `secret`, or `None` if a header cannot hold it.
pub fn secret_header(secret: &Secret) -> Option<HeaderValue> {
    let text = Bytes::from_owner(HeaderText(secret.clone()));
    let mut value = HeaderValue::from_maybe_shared(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_shares_the_memory_of_its_secret_and_does_not_print() {
        let secret = Secret::new("hunter2-header");
        let header = secret_header(&secret).expect("a value");
        assert_eq!(header.as_bytes().as_ptr(), secret.expose().as_ptr());
        assert!(!format!("{header:?}").contains("hunter2"));
        assert!(secret_header(&Secret::new("hunter2\nheader")).is_none());
    }
}
