//! Progress on stderr, where that is a terminal: bars, and the steps of a command.

use crate::printer::Printer;
use agent_core::formats::manifest::Tier;
use agent_core::testing::case_result::{CaseResult, Outcome};
use agent_core::testing::event::Event;
use agent_engine::notices::SlowCases;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The time before the first estimate.
const SETTLED: Duration = Duration::from_millis(250);
/// The time between two pictures of a step that runs.
const TICK: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A bar towards a total, or a counter without one.
    pub fn start(printer: &Printer, title: &str, total: Option<u64>) -> Self {
        let template = if total.is_some() {
            "{msg} {wide_bar} {pos}/{len}, {eta} left"
        } else {
            "{msg} {pos} ({per_sec})"
        };
        Self::open(printer, title, total, template)
    }

    /// A bar with an estimate of the remaining time.
    fn with_estimate(printer: &Printer, title: &str, total: u64) -> Self {
        Self::open(printer, title, Some(total), "{msg} {wide_bar} {pos}/{len}{prefix}")
    }

    fn open(printer: &Printer, title: &str, total: Option<u64>, template: &str) -> Self {
        let bar = printer.shows_progress().then(|| {
            let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            bar.with_style(
                ProgressStyle::with_template(template).expect("the template is constant"),
            )
            .with_message(title.to_owned())
        });
        Self { bar }
    }

    pub fn advance(&self, by: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(by);
        }
    }

    /// Sets the title.
    fn name(&self, title: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_message(title());
        }
    }

    /// Sets the estimate.
    fn expect(&self, left: impl FnOnce(Duration) -> Duration) {
        if let Some(bar) = &self.bar {
            // starting the children is not part of the cases' time
            if bar.position() == 1 {
                bar.reset_elapsed();
            }
            let elapsed = bar.elapsed();
            if elapsed >= SETTLED {
                bar.set_prefix(format!(", {} left", HumanDuration(left(elapsed))));
            }
        }
    }

    /// Prints a line above the bar.
    pub fn aside(&self, say: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The steps of a command that takes seconds, one after another. On a terminal the current one is
/// shown with its time so far, and each one with its time at its end; elsewhere a step is a line.
#[derive(Debug)]
pub struct Steps<'a> {
    printer: &'a Printer,
    began: Instant,
    current: RefCell<Option<Step>>,
    done: RefCell<Vec<(String, Duration)>>,
}

#[derive(Debug)]
struct Step {
    name: String,
    began: Instant,
    spinner: Option<ProgressBar>,
}

impl<'a> Steps<'a> {
    pub fn new(printer: &'a Printer) -> Self {
        let began = Instant::now();
        Self { printer, began, current: RefCell::default(), done: RefCell::default() }
    }

    /// Ends the current step and begins another one.
    pub fn begin(&self, name: &str) {
        self.end();
        let spinner = self.printer.shows_progress().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
            let spinner = ProgressBar::new_spinner()
                .with_style(style.expect("the template is constant"))
                .with_message(name.to_owned());
            spinner.enable_steady_tick(TICK);
            spinner
        });
        if spinner.is_none() {
            self.printer.say(name);
        }
        let step = Step { name: name.to_owned(), began: Instant::now(), spinner };
        self.current.replace(Some(step));
    }

    /// Ends the current step.
    pub fn end(&self) {
        let Some(step) = self.current.take() else { return };
        let took = step.began.elapsed();
        if let Some(spinner) = &step.spinner {
            spinner.finish_and_clear();
            self.printer.say(format!("{} ({})", step.name, seconds(took)));
        }
        self.done.borrow_mut().push((step.name, took));
    }

    /// Prints something else, above the current step.
    pub fn aside(&self, say: impl FnOnce(&Printer)) {
        let spinner = self.current.borrow().as_ref().and_then(|step| step.spinner.clone());
        match spinner {
            Some(spinner) => spinner.suspend(|| say(self.printer)),
            None => say(self.printer),
        }
    }

    pub fn say(&self, text: &str) {
        self.aside(|printer| printer.say(text));
    }

    /// The time since the first step began, and that of each step that ended.
    pub fn times(&self) -> (Duration, Vec<(String, Duration)>) {
        (self.began.elapsed(), self.done.borrow().clone())
    }
}

impl Drop for Steps<'_> {
    fn drop(&mut self) {
        if let Some(spinner) = self.current.take().and_then(|step| step.spinner) {
            spinner.finish_and_clear();
        }
    }
}

/// Such as `1.2 s`.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Estimates the remaining time of a tier. Slow cases take their last duration, the others the mean
/// of those so far: by the clock, or summed up and divided by the shards. Concurrent calls make the
/// sum too long, and slow cases in progress the clock; the shorter of the two is closer.
#[derive(Debug, Default)]
struct Outlook {
    cases: usize,
    shards: usize,
    done: usize,
    /// Slow cases that are not done.
    slow_ms: BTreeMap<String, f64>,
    quick: usize,
    quick_ms: f64,
}

impl Outlook {
    fn finished(&mut self, result: &CaseResult) {
        self.done += 1;
        if self.slow_ms.remove(&result.id).is_none() {
            self.quick += 1;
            self.quick_ms += result.ms;
        }
    }

    /// The estimate, `elapsed` after the first case was done.
    fn left(&self, elapsed: Duration) -> Duration {
        let cases = self.cases.saturating_sub(self.done);
        let mut slow: Vec<f64> = self.slow_ms.values().copied().collect();
        slow.sort_by(|one, two| two.total_cmp(one));
        // some of the recorded slow cases may not be in this run
        slow.truncate(cases);
        let shards = self.shards.max(1) as f64;
        let each =
            (self.quick_ms / shards).min(elapsed.as_secs_f64() * 1000.0) / self.quick.max(1) as f64;
        let together = slow.iter().sum::<f64>() / shards + each * (cases - slow.len()) as f64;
        let longest = slow.first().copied().unwrap_or(0.0);
        Duration::try_from_secs_f64(together.max(longest) / 1000.0).unwrap_or_default()
    }
}

/// A bar for each tier that is run: a fold over its events.
#[derive(Debug)]
pub struct TierProgress<'a> {
    printer: &'a Printer,
    /// The last durations of slow cases, by tier and id.
    slow_ms: SlowCases,
    bar: Option<Progress>,
    outlook: Outlook,
    /// Cases of the tier that did not pass.
    failed: usize,
}

impl<'a> TierProgress<'a> {
    pub fn new(printer: &'a Printer, slow_ms: SlowCases) -> Self {
        Self { printer, slow_ms, bar: None, outlook: Outlook::default(), failed: 0 }
    }

    pub fn add(&mut self, event: &Event) {
        match event {
            Event::TierStarted { tier, cases, shards } => {
                let slow_ms = self.slow_ms.remove(tier).unwrap_or_default();
                self.outlook =
                    Outlook { cases: *cases, shards: *shards, slow_ms, ..Outlook::default() };
                self.failed = 0;
                self.bar =
                    Some(Progress::with_estimate(self.printer, tier.as_str(), *cases as u64));
            }
            Event::CaseFinished { tier, result } => self.finished(*tier, result),
            Event::PartStarted(_) | Event::KnownFlaky { .. } | Event::TierStopped { .. } => {}
            Event::TierFinished { .. } => self.bar = None,
        }
    }

    fn finished(&mut self, tier: Tier, result: &CaseResult) {
        self.outlook.finished(result);
        self.failed += usize::from(result.outcome != Outcome::Passed && !result.quarantined);
        if let Some(bar) = &self.bar {
            bar.advance(1);
            bar.name(|| {
                if self.failed == 0 {
                    tier.to_string()
                } else {
                    format!("{tier}, {} failed", self.failed)
                }
            });
            bar.expect(|elapsed| self.outlook.left(elapsed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_time_is_that_of_slow_cases_and_the_mean_of_the_others() {
        let slow_ms = BTreeMap::from([("a".to_owned(), 9000.0), ("b".to_owned(), 5000.0)]);
        let mut outlook = Outlook { cases: 12, shards: 2, slow_ms, ..Outlook::default() };
        let finished = |outlook: &mut Outlook, id: &str, ms| {
            outlook.finished(&CaseResult { ms, ..CaseResult::passed(id) });
        };
        let long = Duration::from_secs(100);
        assert_eq!(outlook.left(long), Duration::from_secs(9), "the longest case alone takes that");
        finished(&mut outlook, "c", 1000.0);
        // 9 + 5 and nine of a second each, on two shards
        assert_eq!(outlook.left(long), Duration::from_millis(11_500));
        // many concurrent cases: the clock is closer
        assert_eq!(outlook.left(Duration::from_millis(100)), Duration::from_secs(9));
        finished(&mut outlook, "a", 9000.0);
        assert_eq!(outlook.left(long), Duration::from_secs(7));
        for id in ["d", "e", "f", "g", "h", "i", "j", "k", "l", "m"] {
            finished(&mut outlook, id, 1000.0);
        }
        assert_eq!(outlook.left(long), Duration::ZERO, "a recorded slow case is not in this run");
    }
}
