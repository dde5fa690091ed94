//! Counts over time: by minute for the last days, by hour before. Additions in any order, and any
//! split joined, give the same counts.

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
    pub const fn of(is_good: bool) -> Self {
        Self { good: is_good as u64, total: 1 }
    }

    pub const fn bad(self) -> u64 {
        self.total.saturating_sub(self.good)
    }
}

/// Times are seconds since 1970, UTC; what is counted are good events among all, or a value of
/// another kind that can be added up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series<T = Count> {
    /// By the number of the minute since 1970.
    minutes: BTreeMap<u64, T>,
    /// By the number of the hour, for what is older.
    hours: BTreeMap<u64, T>,
    /// Of all that is older than any window.
    #[serde(default)]
    dropped: T,
}

impl<T: Default> Default for Series<T> {
    fn default() -> Self {
        Self { minutes: BTreeMap::new(), hours: BTreeMap::new(), dropped: T::default() }
    }
}

impl<T: Default + Clone + AddAssign> Series<T> {
    pub fn add(&mut self, at: u64, value: T) {
        *self.minutes.entry(at / MINUTE).or_default() += value;
    }

    pub fn is_empty(&self) -> bool {
        self.minutes.is_empty() && self.hours.is_empty()
    }

    /// When the newest minute or hour up to a time begins that has something.
    pub fn newest(&self, now: u64) -> Option<u64> {
        let minute = self.minutes.range(..=now / MINUTE).next_back().map(|(at, _)| at * MINUTE);
        let hour = self.hours.range(..=now / HOUR).next_back().map(|(at, _)| at * HOUR);
        minute.max(hour)
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
    pub fn total(&self) -> T {
        let mut total = self.dropped.clone();
        for value in self.minutes.values().chain(self.hours.values()) {
            total += value.clone();
        }
        total
    }

    /// Sums minutes that are older than a few days up to hours, and what no window reaches up to
    /// one count.
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
    pub fn between(&self, range: RangeInclusive<u64>) -> T {
        let mut sum = T::default();
        let (hours, minutes) = self.parts(range);
        hours.chain(minutes).for_each(|(_, value)| sum += value.clone());
        sum
    }

    /// The values of `between` one by one, oldest first, each with the second at which its minute
    /// or hour begins.
    pub fn buckets(&self, range: RangeInclusive<u64>) -> Vec<(u64, &T)> {
        let (hours, minutes) = self.parts(range);
        let mut buckets: Vec<_> = hours
            .map(|(hour, value)| (hour * HOUR, value))
            .chain(minutes.map(|(minute, value)| (minute * MINUTE, value)))
            .collect();
        // a late event is in the minutes, whatever its age
        buckets.sort_by_key(|(at, _)| *at);
        buckets
    }

    fn parts(
        &self,
        range: RangeInclusive<u64>,
    ) -> (impl Iterator<Item = (&u64, &T)>, impl Iterator<Item = (&u64, &T)>) {
        let (start, end) = range.into_inner();
        (
            within(&self.hours, start.div_ceil(HOUR), end / HOUR),
            within(&self.minutes, start / MINUTE, end / MINUTE),
        )
    }
}

/// Nothing where the end is before the start, for which a map's own range panics.
fn within<T>(
    buckets: &BTreeMap<u64, T>,
    first: u64,
    last: u64,
) -> impl Iterator<Item = (&u64, &T)> {
    (first <= last).then(|| buckets.range(first..=last)).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_800_000_000;

    fn fill(series: &mut Series, events: &[(u64, bool)]) {
        for (ago, is_good) in events {
            series.add(NOW - ago, Count::of(*is_good));
        }
    }

    proptest! {
        #[test]
        fn any_order_split_and_compaction_give_the_same_counts(
            events in prop::collection::vec((0u64..40 * 24 * HOUR, any::<bool>()), 0..200),
            split in 0usize..200, days in 1u64..40,
        ) {
            let mut whole = Series::<Count>::default();
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
            series.add(NOW - ago, Count::of(good));
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
