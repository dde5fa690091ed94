//! The condition `burn`: an error budget is spent too fast, in a long and in a short window. And
//! `traffic`: far fewer calls than usual.

use super::levels::{Levels, Watched};
use super::{Assessment, Burn, Measure, Pair, State, Traffic};
use crate::slo::budget::over;
use crate::slo::series::{Count, Series};
use crate::slo::{DAY, HOUR, MINUTE, Objective, Window};
use serde_json::json;

/// How far back the beginning of a condition is looked for.
const LOOKED_BACK: u64 = DAY;
/// The days before, which define what is usual.
const USUAL_DAYS: u64 = 7;

/// Since when a condition has held without a break, by the minute; `None` where it does not hold
/// now.
pub fn held_since(now: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    let minutes = (0..=LOOKED_BACK / MINUTE).map(|ago| now.saturating_sub(ago * MINUTE));
    minutes.take_while(|at| holds(*at)).last()
}

/// How long to look back for a break of `over`: whether nothing of a condition was seen for so
/// long.
fn over_for(now: u64, seconds: u64, holds: impl Fn(u64) -> bool) -> bool {
    (0..=seconds.min(LOOKED_BACK) / MINUTE).all(|ago| !holds(now.saturating_sub(ago * MINUTE)))
}

impl Burn {
    /// The burn rate in a window that ends at a time, with the synthetic events; `None` without any
    /// event.
    fn rate(&self, objective: &Objective, series: &Series, window: Window, at: u64) -> Option<f64> {
        let Count { good, total } = over(series, window, at);
        let synthetic = self.synthetic_per_hour * window.seconds as f64 / HOUR as f64;
        let all = total as f64 + synthetic;
        (all > 0.0).then(|| (total - good) as f64 / all / (1.0 - objective.target))
    }

    fn burns(&self, objective: &Objective, series: &Series, pair: Pair, at: u64) -> bool {
        let burns =
            |window| self.rate(objective, series, window, at).is_some_and(|rate| rate >= pair.rate);
        burns(pair.short)
            && burns(pair.long)
            && over(series, pair.long, at).total >= self.min_events
    }

    /// `held_s` and `clear_s` are the rule's.
    pub fn assess(
        &self,
        objective: &Objective,
        series: &Series,
        (held_s, clear_s): (u64, u64),
        now: u64,
    ) -> Assessment {
        let any = |at| self.pairs.iter().any(|pair| self.burns(objective, series, *pair, at));
        let rate = |window| self.rate(objective, series, window, now);
        let shown = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), |r| format!("{r:.1}"));
        let figures: Vec<_> = self
            .pairs
            .iter()
            .map(|pair| {
                json!({"long": pair.long.to_string(), "short": pair.short.to_string(),
                    "threshold": pair.rate, "long_rate": rate(pair.long),
                    "short_rate": rate(pair.short),
                    "events": over(series, pair.long, now).total})
            })
            .collect();
        let pair = self
            .pairs
            .iter()
            .find(|pair| self.burns(objective, series, **pair, now))
            .unwrap_or(&self.pairs[0]);
        let longest = self.pairs.iter().map(|pair| pair.long).max().unwrap_or(pair.long);
        let began = held_since(now, any);
        let state = match began {
            Some(holds_since) => match State::since(holds_since, now, held_s) {
                State::Alarm { began } => {
                    State::Alarm { began: change_point(objective, series, *pair, began) }
                }
                pending => pending,
            },
            None if over(series, longest, now).total < self.min_events => State::NotEnough,
            None => State::Quiet,
        };
        Assessment {
            state,
            is_over: began.is_none() && over_for(now, clear_s, any),
            latest: series.newest(now),
            summary: format!(
                "the error budget of {} burns at {} over {} and {} over {}; the threshold is {}",
                self.objective,
                shown(rate(pair.long)),
                pair.long,
                shown(rate(pair.short)),
                pair.short,
                pair.rate
            ),
            figures: json!({"objective": self.objective, "target": objective.target,
                "windows": figures}),
            version: None,
        }
    }
}

/// The minute in which the bad events became more frequent: the start of the suffix with the
/// largest excess over half of the rate that fires (Page's CUSUM estimate), not before the long
/// window.
fn change_point(objective: &Objective, series: &Series, pair: Pair, holds_since: u64) -> u64 {
    let usual = (pair.rate * (1.0 - objective.target)).min(1.0) / 2.0;
    let start = holds_since.saturating_sub(pair.long.seconds);
    let (mut sum, mut largest, mut began) = (0.0, 0.0, holds_since / MINUTE * MINUTE);
    for (at, count) in series.buckets(start..=holds_since).into_iter().rev() {
        sum += count.bad() as f64 - usual * count.total as f64;
        if sum > largest {
            (largest, began) = (sum, at);
        }
    }
    began
}

impl Traffic {
    pub fn watched(&self) -> Watched {
        Watched { measure: Measure::Success, filter: self.filter.clone() }
    }

    /// The median of the same window on the days before on which there were calls.
    fn usual(&self, series: &Series<Levels>, at: u64) -> Option<u64> {
        let mut counts: Vec<_> = (1..=USUAL_DAYS)
            .map(|days| self.calls(series, at.saturating_sub(days * DAY)))
            .filter(|calls| *calls > 0)
            .collect();
        counts.sort_unstable();
        counts.get(counts.len() / 2).copied()
    }

    fn calls(&self, series: &Series<Levels>, at: u64) -> u64 {
        // whole minutes, whose end is the window's
        series.between(at.saturating_sub(self.window.seconds) + 1..=at).count()
    }

    fn is_low(&self, series: &Series<Levels>, at: u64) -> bool {
        self.usual(series, at).is_some_and(|usual| {
            usual >= self.min_events
                && self.calls(series, at) as f64 <= self.below_usual * usual as f64
        })
    }

    pub fn assess(
        &self,
        series: &Series<Levels>,
        (held_s, clear_s): (u64, u64),
        now: u64,
    ) -> Assessment {
        let (calls, usual) = (self.calls(series, now), self.usual(series, now));
        let began = held_since(now, |at| self.is_low(series, at));
        Assessment {
            state: match (began, usual) {
                (Some(began), _) => State::since(began, now, held_s),
                (None, Some(usual)) if usual >= self.min_events => State::Quiet,
                (None, _) => State::NotEnough,
            },
            is_over: began.is_none() && over_for(now, clear_s, |at| self.is_low(series, at)),
            latest: series.newest(now),
            summary: format!(
                "{calls} calls in {}; {} are usual at this time of the day",
                self.window,
                usual.map_or_else(|| "an unknown number".to_owned(), |usual| usual.to_string())
            ),
            figures: json!({"calls": calls, "usual": usual, "window": self.window.to_string()}),
            version: None,
        }
    }
}
