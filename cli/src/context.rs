//! The context of every verb: the working directory and the printer.

use crate::global_flags::Global;
use crate::printer::Printer;
use crate::report::progress::{Progress, TierProgress};
use agent_core::testing::event::Event;
use agent_engine::error::Failure;
use agent_engine::notices::{Level, Notices, Reporter, SlowCases};
use agent_engine::repository::{Location, Repository, Writes};
use std::path::PathBuf;

#[derive(Debug, Clone)]
pub struct Context {
    /// The working directory, after `-C`.
    pub directory: PathBuf,
    pub printer: Printer,
}

impl Context {
    pub fn new(global: &Global) -> Self {
        Self {
            directory: global.directory.clone().unwrap_or_else(|| PathBuf::from(".")),
            printer: Printer::new(global.json, global.volume(), global.color),
        }
    }

    /// The repository of the working directory, after completing what a killed command left undone.
    pub fn repository(&self) -> Result<Repository, Failure> {
        Ok(self.location().open()?)
    }

    /// The repository for a command that writes to it.
    pub fn repository_to(&self, writes: Writes) -> Result<Repository, Failure> {
        Ok(self.location().open_to(writes)?)
    }

    /// The repository as it is, without completing anything.
    pub fn repository_without_recovery(&self) -> Result<Repository, Failure> {
        Ok(self.location().open_without_recovery()?)
    }

    pub fn location(&self) -> Location {
        Location { directory: self.directory.clone(), notices: self.notices() }
    }

    /// The engine's reporter: notices are printed.
    pub fn notices(&self) -> Notices {
        Notices::to(self.printer.clone())
    }
}

impl Reporter for Printer {
    fn notice(&self, level: Level, text: &str) {
        match level {
            Level::Detail => self.detail(text),
            Level::Info => self.say(text),
            Level::Warning => self.warn(text),
        }
    }

    fn error(&self, error: &Failure) {
        let _ = Self::error(self, error);
    }

    fn steps(&self, title: &str, total: Option<u64>) -> Box<dyn Fn(u64) + '_> {
        let progress = Progress::start(self, title, total);
        Box::new(move |done| progress.advance(done))
    }

    fn tiers(&self, slow: SlowCases) -> Box<dyn FnMut(&Event) + '_> {
        let mut progress = TierProgress::new(self, slow);
        Box::new(move |event| progress.add(event))
    }
}
