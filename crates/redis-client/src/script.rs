//! A Lua script, which the server knows by its digest once it has run.

use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use data_encoding::HEXLOWER;

/// A Lua script, for [`crate::Redis::run_script`].
#[derive(Debug)]
pub struct Script {
    text: &'static str,
    digest: OnceLock<String>,
}

impl Script {
    /// The script with this text.
    pub const fn new(text: &'static str) -> Self {
        Self { text, digest: OnceLock::new() }
    }

    pub(crate) fn text(&self) -> &str {
        self.text
    }

    /// The digest by which `EVALSHA` names the script.
    pub(crate) fn digest(&self) -> &str {
        self.digest.get_or_init(|| {
            HEXLOWER.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, self.text.as_bytes()).as_ref())
        })
    }
}
