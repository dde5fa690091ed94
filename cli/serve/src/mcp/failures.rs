//! How often a child could not be started, or had to be started again.

use agent_engine::error::Failure;
use std::time::Duration;
use tokio::time::Instant;

/// How long a child that keeps failing waits before it is started again.
const BACK_OFF: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(2),
    Duration::from_secs(10),
];
/// A failure after this long without one is the first in a row again.
const STEADY: Duration = Duration::from_secs(60);

#[derive(Default)]
pub struct Failures {
    pub count: usize,
    in_a_row: usize,
    last: Option<Instant>,
    error: Option<Failure>,
}

impl Failures {
    pub fn add(&mut self, error: Option<&Failure>) {
        let calm = self.last.is_none_or(|last| last.elapsed() > STEADY);
        self.in_a_row = if calm { 1 } else { self.in_a_row + 1 };
        self.last = Some(Instant::now());
        if let Some(error) = error {
            self.count += 1;
            self.error = Some(error.clone());
        }
    }

    pub fn since(&self, count: usize) -> Option<Failure> {
        self.error.clone().filter(|_| self.count > count)
    }

    /// When the next start may be tried.
    pub fn wait(&self) -> Instant {
        let wait = BACK_OFF[self.in_a_row.min(BACK_OFF.len() - 1)];
        self.last.map_or_else(Instant::now, |last| last + wait)
    }
}
