//! An objective's error budget: what is spent of it, and how fast.
//!
//! Google's SRE workbook, chapter 5 (2018): with a target of 99.9 % the budget is 0.1 % of the
//! events of the window; a burn rate of 1 spends it exactly over the window, 14.4 spends 2 % of a
//! 30-day budget in an hour.

use super::series::{Count, Series};
use super::{Objective, Window};

/// Where an objective stands at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Of the objective's whole window.
    pub count: Count,
    /// Of all that was ever counted.
    pub ever: Count,
    /// The share of good events; `None` without events.
    pub compliance: Option<f64>,
    /// The share of the error budget that is left: below 0 where more is spent than there is.
    pub budget_left: Option<f64>,
    pub burn: Vec<Burn>,
    /// The window in equal parts, oldest first.
    pub history: Vec<Count>,
}

/// How fast the budget was spent over a window, as a multiple of what would use it up exactly over
/// the objective's window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burn {
    pub window: Window,
    pub count: Count,
    pub rate: Option<f64>,
}

/// The windows that burn rates are shown for: those of the workbook's three alerts.
pub const WINDOWS: [&str; 6] = ["5m", "30m", "1h", "6h", "1d", "3d"];

impl Objective {
    pub fn standing(&self, series: &Series, now: u64, parts: u64) -> Standing {
        let count = over(series, self.window, now);
        let windows = WINDOWS.iter().filter_map(|text| Window::parse(text));
        Standing {
            count,
            ever: series.total(),
            compliance: share(count.good, count.total),
            budget_left: self.burn_rate(count).map(|rate| 1.0 - rate),
            burn: windows
                .filter(|window| *window <= self.window)
                .map(|window| {
                    let count = over(series, window, now);
                    Burn { window, count, rate: self.burn_rate(count) }
                })
                .collect(),
            history: history(series, self.window, now, parts),
        }
    }

    /// The share of bad events over the share that the target allows.
    pub fn burn_rate(&self, count: Count) -> Option<f64> {
        share(count.bad(), count.total).map(|bad| bad / (1.0 - self.target))
    }
}

pub fn over(series: &Series, window: Window, now: u64) -> Count {
    series.between(now.saturating_sub(window.seconds) + 1..=now)
}

fn share(part: u64, total: u64) -> Option<f64> {
    (total > 0).then(|| part as f64 / total as f64)
}

fn history(series: &Series, window: Window, now: u64, parts: u64) -> Vec<Count> {
    let start = now.saturating_sub(window.seconds);
    let edge = |part: u64| start + window.seconds * part / parts;
    (0..parts).map(|part| series.between(edge(part) + 1..=edge(part + 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Filter, Indicator};
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn objective(target: f64, window: &str) -> Objective {
        Objective {
            name: "calls-succeed".to_owned(),
            display_name: None,
            description: None,
            indicator: Indicator::Success,
            filter: Filter::default(),
            target,
            window: Window::parse(window).unwrap(),
        }
    }

    #[test]
    fn a_burn_rate_is_a_multiple_of_the_rate_that_spends_the_budget_over_the_window() {
        let mut series = Series::default();
        // 2 % of the calls of the last hour fail, none before
        for number in 0..1000 {
            series.add(NOW - number % 3600, Count::of(number % 50 != 0));
            series.add(NOW - 2 * 3600 - number, Count::of(true));
        }
        let standing = objective(0.99, "30d").standing(&series, NOW, 30);
        assert_eq!(standing.count, Count { good: 1980, total: 2000 });
        assert_eq!(standing.compliance, Some(0.99));
        assert!(standing.budget_left.unwrap().abs() < 1e-9);
        let burn = |window: &str| {
            let burn = standing.burn.iter().find(|burn| burn.window.to_string() == window);
            burn.unwrap().rate.unwrap()
        };
        assert!((burn("1h") - 2.0).abs() < 1e-9);
        assert!((burn("1d") - 1.0).abs() < 1e-9);
        assert_eq!(standing.history.len(), 30);
        assert_eq!(standing.history[29].total, 2000);
        let short = objective(0.99, "1h").standing(&series, NOW, 4);
        assert_eq!(short.burn.len(), 3);
        assert!((short.budget_left.unwrap() + 1.0).abs() < 1e-9);
    }

    #[test]
    fn without_events_there_is_nothing_to_say() {
        let standing = objective(0.9, "28d").standing(&Series::default(), NOW, 1);
        assert_eq!((standing.compliance, standing.budget_left), (None, None));
        assert!(standing.burn.iter().all(|burn| burn.rate.is_none()));
    }
}
