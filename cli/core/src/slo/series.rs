//! Good events and all events over time: by minute for the last days, by hour before. Additions in
//! any order, and any split joined, give the same counts.

use super::{HOUR, LONGEST_WINDOW, MINUTE};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::{AddAssign, RangeInclusive};

/// Minutes are kept for so long: the longest window that is looked at to the minute is three days.
const BY_MINUTE: u64 = 4 * 24 * HOUR;

/// Counts of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct Count {
    pub good: u64,
    pub total: u64,
}

impl From<(u64, u64)> for Count {
    fn from((good, total): (u64, u64)) -> Self {
        Self { good, total }
    }
}

impl From<Count> for (u64, u64) {
    fn from(count: Count) -> Self {
        (count.good, count.total)
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.good += other.good;
        self.total += other.total;
    }
}

impl Count {
    pub const fn bad(self) -> u64 {
        self.total.saturating_sub(self.good)
    }
}

/// Times are seconds since 1970, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Series {
    /// By the number of the minute since 1970.
    minutes: BTreeMap<u64, Count>,
    /// By the number of the hour, for what is older.
    hours: BTreeMap<u64, Count>,
    /// Of all that is older than any window.
    #[serde(default)]
    dropped: Count,
}

impl Series {
    pub fn add(&mut self, at: u64, is_good: bool) {
        let count = Count { good: u64::from(is_good), total: 1 };
        *self.minutes.entry(at / MINUTE).or_default() += count;
    }

    pub fn join(&mut self, other: Self) {
        for (minute, count) in other.minutes {
            *self.minutes.entry(minute).or_default() += count;
        }
        for (hour, count) in other.hours {
            *self.hours.entry(hour).or_default() += count;
        }
        self.dropped += other.dropped;
    }

    /// All that was ever added.
    pub fn total(&self) -> Count {
        let mut total = self.dropped;
        self.minutes.values().chain(self.hours.values()).for_each(|count| total += *count);
        total
    }

    /// Sums minutes that are older than a few days up to hours, and what no window reaches up to one
    /// count.
    pub fn compact(&mut self, now: u64) {
        // whole hours move, so that a window's end never lies inside one of them
        let first_hour = now.saturating_sub(BY_MINUTE) / HOUR;
        let recent = self.minutes.split_off(&(first_hour * HOUR / MINUTE));
        for (minute, count) in std::mem::replace(&mut self.minutes, recent) {
            *self.hours.entry(minute * MINUTE / HOUR).or_default() += count;
        }
        let reached = self.hours.split_off(&(now.saturating_sub(LONGEST_WINDOW) / HOUR));
        for (_, count) in std::mem::replace(&mut self.hours, reached) {
            self.dropped += count;
        }
    }

    /// What happened in the minutes from the one that holds `start` to the one that holds `end`;
    /// hours, where that long ago, that begin among them.
    pub fn between(&self, range: RangeInclusive<u64>) -> Count {
        let (start, end) = range.into_inner();
        let mut sum = Count::default();
        if start > end {
            return sum;
        }
        let minutes = self.minutes.range(start / MINUTE..=end / MINUTE).map(|(_, count)| count);
        let hours = self.hours.range(start.div_ceil(HOUR)..=end / HOUR).map(|(_, count)| count);
        minutes.chain(hours).for_each(|count| sum += *count);
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_800_000_000;

    fn fill(series: &mut Series, events: &[(u64, bool)]) {
        for (ago, is_good) in events {
            series.add(NOW - ago, *is_good);
        }
    }

    proptest! {
        #[test]
        fn any_order_split_and_compaction_give_the_same_counts(
            events in prop::collection::vec((0u64..40 * 24 * HOUR, any::<bool>()), 0..200),
            split in 0usize..200, days in 1u64..40,
        ) {
            let mut whole = Series::default();
            fill(&mut whole, &events);
            let (left, right) = events.split_at(split.min(events.len()));
            let mut joined = Series::default();
            fill(&mut joined, right);
            joined.compact(NOW);
            let mut other = Series::default();
            fill(&mut other, left);
            joined.join(other);
            joined.compact(NOW);
            // from a whole hour on, a window counts alike by minutes and by hours
            let start = (NOW - days * 24 * HOUR).div_ceil(HOUR) * HOUR;
            prop_assert_eq!(joined.between(start..=NOW), whole.between(start..=NOW));
            // what no window reaches counts in the total
            joined.compact(NOW + LONGEST_WINDOW);
            prop_assert_eq!(joined.total(), whole.total());
            let kept: Series =
                serde_json::from_str(&serde_json::to_string(&joined).unwrap()).unwrap();
            prop_assert_eq!(kept, joined);
        }
    }

    #[test]
    fn a_window_holds_its_minutes_alone() {
        let mut series = Series::default();
        for (ago, good) in [(0, true), (59, false), (60, true), (300, false)] {
            series.add(NOW - ago, good);
        }
        assert_eq!(NOW % MINUTE, 0);
        assert_eq!(series.between(NOW - 60..=NOW), Count { good: 2, total: 3 });
        let (start, end) = (NOW, NOW - 60);
        assert_eq!(series.between(start..=end), Count::default());
        let total = series.total();
        series.compact(NOW + LONGEST_WINDOW + 2 * HOUR);
        assert_eq!(series, Series { dropped: total, ..Series::default() });
        // of a file that was written before there was a total
        let older: Series = serde_json::from_str(r#"{"minutes":{},"hours":{"1":[1,2]}}"#).unwrap();
        assert_eq!(older.total(), Count { good: 1, total: 2 });
    }
}
