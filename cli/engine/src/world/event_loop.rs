//! Event loops: one future is run to its end on the calling thread.

use crate::world::process::ProcessError;
use std::future::Future;

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

/// The same for a future that may leave a read of stdin behind, which nothing can take back: it is
/// not waited for.
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
