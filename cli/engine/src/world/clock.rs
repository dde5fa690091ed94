//! The clock. `AGENT_NOW` freezes it, so that tests and replays are repeatable.

use crate::world::env;
use agent_core::protocol::idle_time::Moment;
use jiff::Timestamp;
use std::hash::{BuildHasher as _, RandomState};

/// Now, in UTC.
pub fn now() -> Timestamp {
    env::frozen_now().and_then(|text| text.parse().ok()).unwrap_or_else(Timestamp::now)
}

/// Now, by both clocks the machine has.
pub fn moment() -> Moment {
    let since_boot = rustix::time::clock_gettime(SINCE_BOOT);
    let seconds = u64::try_from(since_boot.tv_sec).unwrap_or(0);
    let uptime_ms = seconds * 1000 + u64::try_from(since_boot.tv_nsec).unwrap_or(0) / 1_000_000;
    Moment { boot: boot(), uptime_ms, clock_ms: now().as_millisecond() }
}

/// Includes suspend, and cannot be set.
#[cfg(target_os = "linux")]
const SINCE_BOOT: rustix::time::ClockId = rustix::time::ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const SINCE_BOOT: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

/// Identifies this boot. Where it is unavailable, no two observations count as the same boot.
fn boot() -> String {
    #[cfg(target_os = "linux")]
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    #[cfg(not(target_os = "linux"))]
    let boot = crate::world::process::Run::new("sysctl")
        .args(["-n", "kern.bootsessionuuid"])
        .succeed()
        .ok()
        .map(|finished| finished.text());
    boot.map_or_else(|| fresh_id("boot"), |boot| boot.trim().to_owned())
}

/// RFC 3339 in UTC with milliseconds: the form used in all documents.
pub fn rfc3339(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// The time of so many seconds since 1970, UTC; the first one for a number beyond any time.
pub fn of_second(seconds: u64) -> Timestamp {
    let seconds = i64::try_from(seconds).unwrap_or_default();
    Timestamp::from_second(seconds).unwrap_or_default()
}

/// The day it is in UTC, as `YYYY-MM-DD`.
pub fn today() -> String {
    jiff::tz::TimeZone::UTC.to_datetime(now()).date().to_string()
}

/// A unique id: the time, and randomness the standard library seeds its hash maps with.
pub fn fresh_id(kind: &str) -> String {
    format!(
        "{kind}-{}-{:016x}",
        now().as_millisecond(),
        RandomState::new().hash_one(std::process::id())
    )
}
