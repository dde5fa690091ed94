//! A bar on stderr while something takes time; nothing where nobody would see it.

use crate::printer::Printer;
use agent_core::evaluation::Outcome;
use agent_core::event::Event;
use indicatif::{ProgressBar, ProgressStyle};

#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A bar towards a total, or a counter where there is none.
    pub fn start(printer: &Printer, title: &str, total: Option<u64>) -> Self {
        let bar = printer.shows_progress().then(|| {
            let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            let template = if total.is_some() { "{msg} {wide_bar} {pos}/{len}, {eta} left" } else { "{msg} {pos} ({per_sec})" };
            bar.with_style(ProgressStyle::with_template(template).expect("the template is ours")).with_message(title.to_owned())
        });
        Self { bar }
    }

    pub fn advance(&self, by: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(by);
        }
    }

    /// Gives it another title.
    pub fn name(&self, title: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_message(title());
        }
    }

    /// Says something above the bar.
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

/// A bar for each tier that is run: a fold over its events.
#[derive(Debug)]
pub struct TierProgress<'a> {
    printer: &'a Printer,
    bar: Option<Progress>,
    /// Cases of the tier that did not pass.
    failed: usize,
}

impl<'a> TierProgress<'a> {
    pub fn new(printer: &'a Printer) -> Self {
        Self { printer, bar: None, failed: 0 }
    }

    pub fn add(&mut self, event: &Event) {
        match event {
            Event::TierStarted { tier, cases, .. } => {
                self.failed = 0;
                self.bar = Some(Progress::start(self.printer, tier.as_str(), Some(*cases as u64)));
            }
            Event::CaseFinished { tier, result } => {
                self.failed += usize::from(result.outcome != Outcome::Passed && !result.quarantined);
                if let Some(bar) = &self.bar {
                    bar.advance(1);
                    bar.name(|| if self.failed == 0 { tier.to_string() } else { format!("{tier}, {} failed", self.failed) });
                }
            }
            Event::PartStarted(_) | Event::KnownFlaky { .. } | Event::TierStopped { .. } => {}
            Event::TierFinished { .. } => self.bar = None,
        }
    }
}
