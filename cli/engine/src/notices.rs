//! Notices and progress of work, for the front end: the terminal prints them, a service drops them.

use crate::error::Failure;
use agent_core::formats::manifest::Tier;
use agent_core::testing::event::Event;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Shown under `-v`.
    Detail,
    /// Progress.
    Info,
    /// A warning: the command continues.
    Warning,
}

/// Milliseconds that slow cases took in the run before, by tier and case.
pub type SlowCases = BTreeMap<Tier, BTreeMap<String, f64>>;

pub trait Reporter: Send + Sync {
    fn notice(&self, level: Level, text: &str);

    /// An error that ends less than the command: a call, a connection, a child.
    fn error(&self, error: &Failure);

    /// Starts work of many steps. The returned callback gets each number of completed steps, and is
    /// dropped at the end.
    fn steps(&self, _title: &str, _total: Option<u64>) -> Box<dyn Fn(u64) + '_> {
        Box::new(|_| {})
    }

    /// Starts a tier run. The returned callback gets each event, and is dropped at the end.
    fn tiers(&self, _slow: SlowCases) -> Box<dyn FnMut(&Event) + '_> {
        Box::new(|_| {})
    }
}

/// The way to a reporter; clones share it.
#[derive(Clone)]
pub struct Notices(Arc<dyn Reporter>);

impl Notices {
    pub fn to(reporter: impl Reporter + 'static) -> Self {
        Self(Arc::new(reporter))
    }

    pub fn detail(&self, text: impl AsRef<str>) {
        self.0.notice(Level::Detail, text.as_ref());
    }

    pub fn info(&self, text: impl AsRef<str>) {
        self.0.notice(Level::Info, text.as_ref());
    }

    pub fn warn(&self, text: impl AsRef<str>) {
        self.0.notice(Level::Warning, text.as_ref());
    }

    pub fn error(&self, error: &Failure) {
        self.0.error(error);
    }

    pub fn steps(&self, title: &str, total: Option<u64>) -> Box<dyn Fn(u64) + '_> {
        self.0.steps(title, total)
    }

    pub fn tiers(&self, slow: SlowCases) -> Box<dyn FnMut(&Event) + '_> {
        self.0.tiers(slow)
    }
}

/// Drops everything.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Reporter for Silent {
    fn notice(&self, _: Level, _: &str) {}

    fn error(&self, _: &Failure) {}
}

impl fmt::Debug for Notices {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Notices")
    }
}
