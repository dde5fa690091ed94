//! How long nothing was said in a conversation, as far as that was observed.
//!
//! No clock says it: the one people set jumps, and the one that only counts forgets at each boot.
//! So whoever cleans up notes what a conversation looks like and when; as long as it looks the
//! same, what has surely passed since then is added. Both clocks have to have seen that time pass,
//! so neither one's jump ends a conversation; a machine that is off, or that nobody cleans up, only
//! lets them live longer.

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
    /// What has passed from here to a later moment, at least.
    fn until(&self, later: &Self) -> Duration {
        let counted = if self.boot == later.boot {
            later.uptime_ms.saturating_sub(self.uptime_ms)
        } else {
            later.uptime_ms
        };
        let told = u64::try_from(later.clock_ms.saturating_sub(self.clock_ms)).unwrap_or(0);
        Duration::from_millis(counted.min(told))
    }
}

/// What was seen of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// What it looked like: another turn makes it look otherwise.
    pub looks: String,
    pub silent_ms: u64,
    pub at: Moment,
}

impl Observation {
    /// Looks at it now. What was seen before counts while it looks the same.
    pub fn next(before: Option<&Self>, looks: String, at: Moment) -> Self {
        let silent = before
            .filter(|before| before.looks == looks)
            .map_or(Duration::ZERO, |before| before.silent() + before.at.until(&at));
        Self { looks, silent_ms: u64::try_from(silent.as_millis()).unwrap_or(u64::MAX), at }
    }

    pub const fn silent(&self) -> Duration {
        Duration::from_millis(self.silent_ms)
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

    /// Days of silence after looks at these moments; the conversation goes on before the look that
    /// is named.
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
        assert_eq!(seen.unwrap().silent(), Duration::from_secs(expected * 86_400), "{looks:?}");
    }

    #[test]
    fn silence_is_what_both_clocks_have_seen_pass() {
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
        // back and forth, and back again: each pair of looks counts for what it can
        check(&[moment("a", 1, 3750), moment("a", 2, 100), moment("a", 3, 101)], None, 1);
        // the clock that counts since boot set ahead, as in a container of its own
        check(&[moment("a", 1, 100), moment("a", 5000, 101)], None, 1);
    }

    #[test]
    fn of_a_machine_that_was_off_only_what_passed_since_is_known() {
        check(&[moment("a", 90, 100), moment("b", 2, 140)], None, 2);
        check(&[moment("a", 90, 100), moment("b", 2, 140), moment("b", 12, 150)], None, 12);
    }
}
