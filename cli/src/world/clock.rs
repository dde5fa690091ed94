//! The clock. `AGENT_NOW` freezes it, so that tests and replays are repeatable.

use crate::world::env;
use jiff::Timestamp;
use std::hash::{BuildHasher as _, RandomState};

/// Now, in UTC.
pub fn now() -> Timestamp {
    env::frozen_now().and_then(|text| text.parse().ok()).unwrap_or_else(Timestamp::now)
}

/// RFC 3339 in UTC with milliseconds: the form every document of ours has.
pub fn rfc3339(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// The day it is in UTC, as `YYYY-MM-DD`.
pub fn today() -> String {
    jiff::tz::TimeZone::UTC.to_datetime(now()).date().to_string()
}

/// An id nobody else has: the time, and randomness the standard library seeds its hash maps with.
pub fn fresh_id(kind: &str) -> String {
    format!("{kind}-{}-{:016x}", now().as_millisecond(), RandomState::new().hash_one(std::process::id()))
}
