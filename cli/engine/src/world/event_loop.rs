//! Event loops: one future is run to its end on the calling thread.

use crate::world::process::ProcessError;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Runs a future to its end on this thread, which is also the one that starts children.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, ProcessError> {
    let runtime = event_loop()?;
    Ok(runtime.block_on(future))
}

/// The panic of tokio when the kernel denies the wake-up of its event loop, which it cannot recover
/// from.
const NOT_WOKEN: &str = "failed to wake I/O driver";

/// Runs what may run event loops. One that the kernel fails is an error of the surroundings, and no
/// bug to print a stack of.
pub fn with_event_loops<T>(work: impl FnOnce() -> T) -> Result<T, ProcessError> {
    let failure = |payload: &(dyn std::any::Any + Send)| {
        let message = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or(payload.downcast_ref::<&str>().copied());
        message.filter(|message| message.starts_with(NOT_WOKEN)).map(str::to_owned)
    };
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if failure(panic.payload()).is_none() {
            usual(panic);
        }
    }));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|payload| {
        match failure(&*payload) {
            Some(failure) => ProcessError::EventLoop { failure },
            None => std::panic::resume_unwind(payload),
        }
    })
}

/// Like `block_on`, for a future that may leave a read of stdin behind, which nothing can take
/// back: it is not waited for.
pub fn block_on_and_leave<F: Future>(future: F) -> Result<F::Output, ProcessError> {
    let runtime = event_loop()?;
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(output)
}

fn event_loop() -> Result<tokio::runtime::Runtime, ProcessError> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder
        .enable_all()
        .build()
        .map_err(|source| ProcessError::NotStarted { program: "the event loop".to_owned(), source })
}

/// A time limit beyond what the clock can express is this one.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
/// Unused timers that are kept.
const TIMERS_KEPT: usize = 64;

/// Timers of one event loop, used again and again. For each timer that is registered tokio wakes
/// its event loop with a system call; one that is reset to a later time stays registered.
#[derive(Default)]
pub struct Timers(Mutex<Vec<Pin<Box<Sleep>>>>);

impl Timers {
    /// The output of some work; `None` when it takes longer than the limit.
    pub async fn timeout<F: Future>(&self, limit: Duration, work: F) -> Option<F::Output> {
        let mut timer = self.timer(limit);
        let mut work = pin!(work);
        let output = poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => timer.as_mut().poll(context).map(|()| None),
        })
        .await;
        let mut unused = self.unused();
        if unused.len() < TIMERS_KEPT {
            unused.push(timer);
        }
        output
    }

    fn timer(&self, limit: Duration) -> Pin<Box<Sleep>> {
        let now = Instant::now();
        let deadline = now.checked_add(limit).unwrap_or_else(|| now + LONGEST);
        let unused = self.unused().pop();
        if let Some(mut timer) = unused {
            timer.as_mut().reset(deadline);
            timer
        } else {
            Box::pin(sleep_until(deadline))
        }
    }

    fn unused(&self) -> MutexGuard<'_, Vec<Pin<Box<Sleep>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[test]
    fn a_timer_is_used_again_for_any_limit() {
        const SHORT: Duration = Duration::from_millis(1);
        const LONG: Duration = Duration::from_secs(3600);
        let timers = Timers::default();
        let elapses = async |limit| timers.timeout(limit, pending::<()>()).await.is_none();
        let ends = async |limit| timers.timeout(limit, tokio::task::yield_now()).await == Some(());
        let all = async {
            // registered, extended, shortened, fired, and registered again
            assert!(ends(LONG).await && ends(Duration::MAX).await);
            assert!(elapses(SHORT).await && elapses(SHORT).await);
            assert!(ends(LONG).await && elapses(SHORT).await);
            assert_eq!(timers.unused().len(), 1);
            let both = async { tokio::join!(ends(LONG), ends(LONG), elapses(SHORT)) };
            assert_eq!(both.await, (true, true, true));
            assert_eq!(timers.unused().len(), 3);
        };
        block_on(all).unwrap();
    }
}
