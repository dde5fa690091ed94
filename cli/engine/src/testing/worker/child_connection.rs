//! One of a worker's two children and its requests in flight.

use crate::child::link::{ChildError, ChildSpec, Incoming, Link, Role};
use agent_core::testing::attempt::Attempt;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// The number of consecutive failures of a child, without a response in between, that ends the
/// tier.
pub(super) const FAILURES_IN_A_ROW: u32 = 3;
const BACK_OFF: Duration = Duration::from_millis(100);

/// A request that was sent.
pub(super) struct RequestInFlight<'a> {
    pub(super) id: u64,
    pub(super) sent: Instant,
    /// How long the answer may take.
    pub(super) limit: Duration,
    pub(super) attempt: Attempt<'a>,
    /// For a scorer: the Runner's answer, in case the request has to be repeated.
    pub(super) result: Option<Box<RawValue>>,
}

pub(super) struct ChildConnection<'a> {
    role: Role,
    pub(super) link: Option<Link>,
    pub(super) in_flight: VecDeque<RequestInFlight<'a>>,
    pub(super) last_message: Instant,
    pub(super) failures: u32,
    /// Whether it ever started: if not, retrying is pointless.
    pub(super) was_started: bool,
}

impl<'a> ChildConnection<'a> {
    pub(super) fn new(role: Role) -> Self {
        Self {
            role,
            link: None,
            in_flight: VecDeque::new(),
            last_message: Instant::now(),
            failures: 0,
            was_started: false,
        }
    }

    /// When the oldest request is overdue: a child that works through them one by one has its limit
    /// for each.
    fn deadline(&self) -> Option<Instant> {
        let oldest = self.in_flight.front()?;
        Some(oldest.sent.max(self.last_message) + oldest.limit)
    }

    /// The next response, or an error when the child has exited or timed out. Pending while no
    /// request is in flight.
    pub(super) async fn next(&mut self) -> Result<Incoming, ChildError> {
        let (Some(deadline), Some(oldest), Some(link)) =
            (self.deadline(), self.in_flight.front(), &mut self.link)
        else {
            return std::future::pending().await;
        };
        tokio::select! {
            biased;
            incoming = link.next() => incoming,
            () = sleep_until(deadline) => {
                Err(ChildError::TimedOut { role: self.role,
                    what: oldest.attempt.step().tool.clone(), limit: oldest.limit })
            }
        }
    }

    /// Starts the child when there is none, with increasing delays after failures; returns whether
    /// it did.
    pub(super) async fn start(&mut self, spec: &ChildSpec) -> Result<bool, ChildError> {
        if self.link.is_some() {
            return Ok(false);
        }
        if self.failures > 0 {
            sleep(BACK_OFF * 2u32.pow(self.failures.min(FAILURES_IN_A_ROW) - 1)).await;
        }
        self.link = Some(Link::start(spec).await?);
        self.was_started = true;
        self.last_message = Instant::now();
        Ok(true)
    }

    pub(super) fn post(&mut self, method: &str, params: impl Serialize) -> u64 {
        self.link.as_mut().expect("it was started").post(method, params)
    }

    /// Removes the request that this answer is for.
    pub(super) fn take_answered(&mut self, id: u64) -> Option<RequestInFlight<'a>> {
        let index = self.in_flight.iter().position(|request| request.id == id)?;
        self.in_flight.remove(index)
    }

    /// Drops a failed child, and returns whether the failure limit is reached.
    pub(super) fn lose(&mut self) -> bool {
        self.link = None;
        self.failures += 1;
        self.failures >= FAILURES_IN_A_ROW
    }

    pub(super) async fn end(self) {
        if let Some(link) = self.link {
            link.end().await;
        }
    }
}
