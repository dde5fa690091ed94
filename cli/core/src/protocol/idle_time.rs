//! The observed idle time of a conversation.
//!
//! No single clock measures it: the wall clock can be set, and the monotonic clock restarts at each
//! boot. So garbage collection records the conversation's stamp and both times; while the stamp is
//! unchanged, the time that certainly passed is added. Both clocks must agree on that time, so a
//! jump of one cannot expire a conversation; downtime and rare collection only extend its lifetime.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A moment, by two clocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Which boot of the machine it is.
    pub boot: String,
    /// Since that boot, in milliseconds.
    pub uptime_ms: u64,
    /// Since 1970, in milliseconds, by the clock that can be set.
    pub clock_ms: i64,
}

impl Moment {
    /// A lower bound of the time elapsed until a later reading.
    fn until(&self, later: &Self) -> Duration {
        let counted = if self.boot == later.boot {
            later.uptime_ms.saturating_sub(self.uptime_ms)
        } else {
            later.uptime_ms
        };
        let elapsed_by_clock =
            u64::try_from(later.clock_ms.saturating_sub(self.clock_ms)).unwrap_or(0);
        Duration::from_millis(counted.min(elapsed_by_clock))
    }
}

/// The observation of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The stamp of its content: each turn changes it.
    pub looks: String,
    /// Earlier versions of `agent` name it so.
    #[serde(rename = "silent_ms")]
    pub idle_ms: u64,
    pub at: Moment,
}

impl Observation {
    /// Records an observation. Earlier idle time counts while the stamp is unchanged.
    pub fn next(before: Option<&Self>, looks: String, at: Moment) -> Self {
        let idle = before
            .filter(|before| before.looks == looks)
            .map_or(Duration::ZERO, |before| before.idle() + before.at.until(&at));
        Self { looks, idle_ms: u64::try_from(idle.as_millis()).unwrap_or(u64::MAX), at }
    }

    pub const fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn moment(boot: &str, uptime_days: i64, clock_days: i64) -> Moment {
        Moment {
            boot: boot.to_owned(),
            uptime_ms: u64::try_from(uptime_days * DAY).unwrap(),
            clock_ms: clock_days * DAY,
        }
    }

    /// Idle days after observations at these times; the conversation has a new turn before the
    /// given observation.
    fn check(looks: &[Moment], goes_on_before: Option<usize>, expected: u64) {
        let mut seen: Option<Observation> = None;
        for (number, at) in looks.iter().enumerate() {
            let looks = if goes_on_before.is_some_and(|before| number >= before) {
                "two turns"
            } else {
                "a turn"
            };
            seen = Some(Observation::next(seen.as_ref(), looks.to_owned(), at.clone()));
        }
        assert_eq!(seen.unwrap().idle(), Duration::from_secs(expected * 86_400), "{looks:?}");
    }

    #[test]
    fn idle_time_is_the_minimum_of_both_clocks() {
        check(&[moment("a", 1, 100)], None, 0);
        check(&[moment("a", 1, 100), moment("a", 31, 130)], None, 30);
        check(&[moment("a", 1, 100), moment("a", 11, 110), moment("a", 31, 130)], None, 30);
        check(&[moment("a", 1, 100), moment("a", 31, 130), moment("a", 41, 140)], Some(1), 10);
    }

    #[test]
    fn a_clock_that_jumps_adds_nothing() {
        check(&[moment("a", 1, 100), moment("a", 1, 3750)], None, 0);
        check(&[moment("a", 1, 100), moment("a", 2, 3750)], None, 1);
        check(&[moment("a", 1, 3750), moment("a", 2, 100)], None, 0);
        // back and forth, and back again: each pair of observations counts what is certain
        check(&[moment("a", 1, 3750), moment("a", 2, 100), moment("a", 3, 101)], None, 1);
        // the monotonic clock set ahead, as in a time namespace
        check(&[moment("a", 1, 100), moment("a", 5000, 101)], None, 1);
    }

    #[test]
    fn idle_time_restarts_after_a_reboot() {
        check(&[moment("a", 90, 100), moment("b", 2, 140)], None, 2);
        check(&[moment("a", 90, 100), moment("b", 2, 140), moment("b", 12, 150)], None, 12);
    }
}
