//! Durations as a histogram with logarithmic buckets, as a `DDSketch` has them: quantiles within
//! 2.5 %, of a bounded size, and joined in any order to the same result.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Buckets per doubling of a duration: adjacent bounds differ by 4.4 %.
const PER_DOUBLING: f64 = 16.0;
/// Durations outside count as these: a microsecond, and eleven days. There are 638 buckets between.
const BOUNDS_MS: (f64, f64) = (1e-3, 1e9);

/// Counts by bucket; only those that are not empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Latencies(BTreeMap<i32, u64>);

impl Latencies {
    pub fn add(&mut self, ms: f64) {
        *self.0.entry(bucket(ms)).or_default() += 1;
    }

    pub fn join(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            *self.0.entry(*bucket).or_default() += count;
        }
    }

    /// In milliseconds; `None` without a duration.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let total: u64 = self.0.values().sum();
        let mut seen = 0;
        let found = self.0.iter().find(|(_, count)| {
            seen += **count;
            seen as f64 >= share * total as f64
        });
        found.map(|(bucket, _)| middle(*bucket))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a logarithm of a bounded time is small")]
fn bucket(ms: f64) -> i32 {
    let (least, most) = BOUNDS_MS;
    (ms.max(least).min(most).log2() * PER_DOUBLING).floor() as i32
}

fn middle(bucket: i32) -> f64 {
    ((f64::from(bucket) + 0.5) / PER_DOUBLING).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_quantile_is_near_that_of_the_sorted_durations(
            mut durations in prop::collection::vec(0.01f64..1e5, 1..200),
            share in 0.01f64..1.0, split in 0usize..200,
        ) {
            let fold = |durations: &[f64]| {
                let mut latencies = Latencies::default();
                for ms in durations {
                    latencies.add(*ms);
                }
                latencies
            };
            let (left, right) = durations.split_at(split.min(durations.len()));
            let mut joined = fold(right);
            joined.join(&fold(left));
            prop_assert_eq!(&joined, &fold(&durations));
            durations.sort_by(f64::total_cmp);
            #[expect(
                clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index"
            )]
            let rank = (share * durations.len() as f64).ceil() as usize;
            let exact = durations[rank.max(1) - 1];
            let found = joined.quantile(share).unwrap();
            prop_assert!((found / exact - 1.0).abs() < 0.025, "{found} {exact}");
        }
    }

    #[test]
    fn any_duration_has_a_bucket() {
        let mut latencies = Latencies::default();
        for ms in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MAX, 1e-300] {
            latencies.add(ms);
        }
        assert_eq!(latencies.0.len(), 2, "{latencies:?}");
        assert_eq!(Latencies::default().quantile(0.5), None);
    }
}
