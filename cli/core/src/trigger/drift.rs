//! The condition `drift`: the mean of a measure is lower than its reference.

use super::levels::{ByVersion, Levels, Watched};
use super::{Against, Assessment, Drift, Measure, State, Test};
use crate::slo::series::Series;
use crate::statistics::change::{EDetector, PageHinkley};
use crate::statistics::{binomial, e_process};
use serde_json::json;

/// The chance that the reference's lower limit is above the true mean.
const REFERENCE_LEVEL: f64 = 0.005;
/// A recovery is not seen in fewer events than this.
const RECOVERED: u64 = 20;

/// The served version, and since when the rule considers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    pub version: String,
    /// The version before it.
    pub previous: Option<String>,
    /// The version that an open firing of the rule is about.
    pub fired_for: Option<String>,
    /// When the last firing was cleared: the test begins anew then.
    pub since: u64,
}

/// The mean that values are held to.
#[derive(Debug, Clone, Copy)]
struct Reference {
    mean: f64,
    count: u64,
    /// The mean's lower limit, less the tolerance.
    bound: f64,
    /// From when on values are tested.
    tested_from: u64,
}

/// A fall that was found.
#[derive(Debug, Clone, Copy)]
struct Fall {
    began: u64,
    found: u64,
}

impl Drift {
    pub fn watched(&self) -> Watched {
        Watched { measure: self.measure, filter: self.filter.clone() }
    }

    pub fn assess(
        &self,
        counts: &ByVersion,
        served: &Served,
        (held_s, clear_s): (u64, u64),
        now: u64,
    ) -> Assessment {
        let none = Series::default();
        let series = counts.get(&served.version).unwrap_or(&none);
        let another = served.fired_for.as_ref().is_some_and(|fired| *fired != served.version);
        let Some(reference) = self.reference(counts, series, served, now) else {
            return self.without_reference(served, another, now);
        };
        let from = reference.tested_from.max(served.since);
        let fall = self.fall(series, reference, from, now);
        let recent = series.between(now.saturating_sub(clear_s.max(60)) + 1..=now);
        let recovered = recent.count() >= RECOVERED
            && recent.mean().is_some_and(|mean| mean >= reference.bound);
        let since = fall.map_or(from, |fall| fall.began);
        let after = series.between(since..=now);
        Assessment {
            state: match fall {
                Some(fall) => State::since(fall.began.min(fall.found), now, held_s),
                None if after.count() == 0 => State::NotEnough,
                None => State::Quiet,
            },
            is_over: another || fall.is_none() || recovered,
            // which version is served is known in every clone
            latest: if another { Some(now) } else { series.newest(now) },
            summary: self.summary(served, reference, &after),
            figures: json!({
                "version": served.version,
                "reference": {"mean": self.shown(reference.mean), "events": reference.count,
                    "bound": self.shown(reference.bound)},
                "mean": after.mean().map(|mean| self.shown(mean)),
                "events": after.count(),
                "found": fall.map(|fall| fall.found),
            }),
            version: Some(served.version.clone()),
        }
    }

    fn without_reference(&self, served: &Served, is_over: bool, now: u64) -> Assessment {
        let of = match self.against {
            Against::OwnPast => {
                format!("v{} has fewer than {} events", served.version, self.reference)
            }
            Against::PreviousVersion => match &served.previous {
                Some(previous) => format!("v{previous} has fewer than {} events", self.reference),
                None => format!("v{} has no version before it", served.version),
            },
        };
        Assessment {
            state: State::NotEnough,
            is_over,
            latest: is_over.then_some(now),
            summary: format!("there is no reference: {of}"),
            figures: json!({"version": served.version, "reference": null}),
            version: Some(served.version.clone()),
        }
    }

    fn reference(
        &self,
        counts: &ByVersion,
        series: &Series<Levels>,
        served: &Served,
        now: u64,
    ) -> Option<Reference> {
        let (levels, tested_from) = match self.against {
            Against::PreviousVersion => {
                (counts.get(served.previous.as_ref()?)?.between(0..=now), 0)
            }
            Against::OwnPast => {
                let mut first = Levels::default();
                let mut buckets = series.buckets(0..=now).into_iter();
                while first.count() < self.reference {
                    first += buckets.next()?.1.clone();
                }
                // the next bucket, or whatever comes after the last one
                (first, buckets.next().map_or(now, |(at, _)| at))
            }
        };
        let mean = levels.mean().filter(|_| levels.count() >= self.reference)?;
        let bound = self.lower_limit(&levels) - self.tolerance / self.width();
        Some(Reference { mean, count: levels.count(), bound, tested_from })
    }

    fn lower_limit(&self, levels: &Levels) -> f64 {
        match self.measure {
            Measure::Success => {
                let total = levels.count();
                let good = (levels.mean().unwrap_or_default() * total as f64).round();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a count"
                )]
                let (good, total) = (good as usize, total as usize);
                binomial::interval(good, total, 1.0 - 2.0 * REFERENCE_LEVEL).0
            }
            Measure::Reward { .. } => e_process::lower_limit(&levels.values(), REFERENCE_LEVEL),
        }
    }

    fn fall(
        &self,
        series: &Series<Levels>,
        reference: Reference,
        from: u64,
        now: u64,
    ) -> Option<Fall> {
        let buckets = series.buckets(from..=now);
        match self.test {
            Test::EDetector { form, false_alarm_minutes } => {
                let wanted = (false_alarm_minutes as f64).ln();
                let mut detector = EDetector::below(reference.bound, form)?;
                buckets.into_iter().find_map(|(at, levels)| {
                    detector.take(at, &levels.values());
                    (detector.log() >= wanted).then(|| Fall { began: detector.began(), found: at })
                })
            }
            Test::PageHinkley { threshold } => {
                let mut detector =
                    PageHinkley::below(reference.mean, self.tolerance / self.width());
                buckets.into_iter().find_map(|(at, levels)| {
                    detector.take(at, &levels.values());
                    (detector.statistic() * self.width() >= threshold)
                        .then(|| Fall { began: detector.began(), found: at })
                })
            }
        }
    }

    const fn width(&self) -> f64 {
        match self.measure {
            Measure::Success => 1.0,
            Measure::Reward { low, high } => high - low,
        }
    }

    /// A level in the units of the measure.
    fn shown(&self, level: f64) -> f64 {
        let low = match self.measure {
            Measure::Success => 0.0,
            Measure::Reward { low, .. } => low,
        };
        let value = low + level * self.width();
        (value * 1e4).round() / 1e4
    }

    fn summary(&self, served: &Served, reference: Reference, after: &Levels) -> String {
        let what = match self.measure {
            Measure::Success => "the share of calls without an error",
            Measure::Reward { .. } => "the mean reward",
        };
        let of = match (self.against, &served.previous) {
            (Against::PreviousVersion, Some(previous)) => format!("v{previous}"),
            _ => "its first events".to_owned(),
        };
        let mean = after.mean().map_or_else(|| "-".to_owned(), |mean| self.shown(mean).to_string());
        format!(
            "{what} of v{} is {mean} over {} events; {of} had {} over {}; the bound is {}",
            served.version,
            after.count(),
            self.shown(reference.mean),
            reference.count,
            self.shown(reference.bound)
        )
    }
}
