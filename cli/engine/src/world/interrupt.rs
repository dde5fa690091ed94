//! The signals that shut down a server, awaited beside its work.

use agent_core::formats::diagnose::{Diagnose, FailureKind};

#[derive(Debug, thiserror::Error)]
#[error("cannot listen for signals: {0}")]
pub struct InterruptError(#[from] std::io::Error);

impl Diagnose for InterruptError {
    fn kind(&self) -> FailureKind {
        FailureKind::Surroundings
    }
}

/// The signals that end a server.
pub struct Interrupt {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Interrupt {
    pub fn expected() -> Result<Self, InterruptError> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
