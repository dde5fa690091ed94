//! `[store]` and `[remote]`: where evidence and versions are shared.

use serde::Deserialize;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Remote {
    /// The name of the remote in git. No version is made before its `active` was read.
    pub name: String,
    /// Whether a version is pushed when it was made, as with `--push`.
    pub push: bool,
}

impl Default for Remote {
    fn default() -> Self {
        Self { name: "origin".to_owned(), push: false }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    pub url: String,
    /// How long a read or write of a store elsewhere may keep a command waiting; longer only while
    /// bytes move.
    pub timeout_s: f64,
}

impl Store {
    pub fn timeout(&self) -> Duration {
        Duration::from_secs_f64(self.timeout_s)
    }

    pub(super) fn problem(&self) -> Option<String> {
        let seconds = self.timeout_s;
        let fits = seconds > 0.0 && seconds <= 3600.0;
        (!fits).then(|| {
            format!("is {seconds}; it has to be a number of seconds above 0 and at most an hour")
        })
    }

    /// Whether the store is remote and needs credentials.
    pub fn is_remote(&self) -> bool {
        self.url.starts_with("s3://")
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { url: "file:.agent/store".to_owned(), timeout_s: 20.0 }
    }
}
