//! Cleanup after a panic: the runtime ends the task without reporting it.

/// Does something when a panic passes it, and nothing when its task ends or is aborted.
pub struct OnPanic<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> OnPanic<F> {
    pub fn new(then: F) -> Self {
        Self(Some(then))
    }
}

impl<F: FnOnce()> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if let Some(then) = self.0.take().filter(|_| std::thread::panicking()) {
            then();
        }
    }
}

/// What a thread gives. Where it panicked, this thread panics as well.
pub fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::event_loop;
    use std::sync::mpsc;

    /// The trace of a task that ends, is aborted, or panics.
    fn left(end: &'static str) -> Vec<&'static str> {
        let (sender, left) = mpsc::channel();
        event_loop::block_on(async {
            let (started, has_started) = tokio::sync::oneshot::channel();
            let task = tokio::spawn(async move {
                let _owed =
                    OnPanic::new(move || sender.send("an answer").expect("the receiver is there"));
                started.send(()).expect("the receiver is there");
                match end {
                    "ends" => {}
                    "is aborted" => std::future::pending().await,
                    why => panic!("{why}"),
                }
            });
            has_started.await.expect("it starts");
            if end == "is aborted" {
                task.abort();
            }
            let _ = task.await;
        })
        .expect("there is an event loop");
        left.iter().collect()
    }

    #[test]
    fn cleanup_runs_only_on_panic() {
        assert_eq!(
            (left("ends"), left("is aborted"), left("panics")),
            (vec![], vec![], vec!["an answer"])
        );
    }
}
