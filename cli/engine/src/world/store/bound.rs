//! How long a store elsewhere may keep a command waiting, and how much it may send.

use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The time limit of optional requests.
const BRIEF: Duration = Duration::from_secs(2);
/// The minimum transfer rate in bytes per second: each of these extends the time limit by a second.
const BYTES_A_SECOND: u64 = 256 << 10;
/// The largest object there may be: it is held in memory.
const LARGEST: u64 = 1 << 30;

/// How long an operation may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    /// `None` for files: they use no event loop with a timer.
    within: Option<Duration>,
    /// It is only nice to have, and left out for a while once the store did not answer in time.
    pub(super) brief: bool,
}

#[derive(Debug, thiserror::Error)]
enum TooMuch {
    #[error("it did not answer within {} s", .0.as_secs_f64())]
    Time(Duration),
    #[error("it sends an object of more than {LARGEST} bytes")]
    Bytes,
}

impl From<TooMuch> for object_store::Error {
    fn from(error: TooMuch) -> Self {
        Self::Generic { store: "network", source: Box::new(error) }
    }
}

impl Bound {
    pub(super) const NONE: Self = Self { within: None, brief: false };

    pub(super) const fn usual(within: Duration) -> Self {
        Self { within: Some(within), brief: false }
    }

    pub(super) fn briefly(self) -> Self {
        Self { within: self.within.map(|within| within.min(BRIEF)), brief: true }
    }

    pub(super) fn seconds(self) -> f64 {
        self.within.map_or(f64::INFINITY, |within| within.as_secs_f64())
    }

    /// Waits for an operation with this start and number of transferred bytes.
    async fn wait<T>(
        self,
        began: Instant,
        bytes: u64,
        step: impl Future<Output = T>,
    ) -> Result<T, TooMuch> {
        let Some(within) = self.within else { return Ok(step.await) };
        timeout_at(end(began, within, bytes), step).await.map_err(|_| TooMuch::Time(within))
    }

    /// Waits for an operation that transfers this number of bytes.
    pub(super) async fn keep<T>(
        self,
        bytes: u64,
        operation: impl Future<Output = Result<T, object_store::Error>>,
    ) -> Result<T, object_store::Error> {
        self.wait(Instant::now(), bytes, operation).await?
    }

    /// Receives an object in chunks, without relying on its declared size.
    pub(super) async fn read(
        self,
        object: impl Future<Output = Result<object_store::GetResult, object_store::Error>>,
    ) -> Result<Vec<u8>, object_store::Error> {
        use futures_util::StreamExt as _;
        if self.within.is_none() {
            return Ok(object.await?.bytes().await?.into());
        }
        let began = Instant::now();
        let mut stream = self.wait(began, 0, object).await??.into_stream();
        let mut bytes = Vec::new();
        while let Some(chunk) = self.wait(began, bytes.len() as u64, stream.next()).await? {
            let chunk = chunk?;
            if (bytes.len() + chunk.len()) as u64 > LARGEST {
                return Err(TooMuch::Bytes.into());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// When an operation is given up.
fn end(began: Instant, within: Duration, bytes: u64) -> Instant {
    began + within + Duration::from_secs(bytes / BYTES_A_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_extends_on_progress_and_is_shorter_for_optional_reads() {
        let began = Instant::now();
        let seconds = |bytes| (end(began, Duration::from_secs(20), bytes) - began).as_secs();
        assert_eq!(seconds(0), 20);
        assert_eq!(seconds(100_000), 20, "a byte a second is not progress");
        assert_eq!(seconds(100 << 20), 420);
        let brief = |seconds| Bound::usual(Duration::from_secs(seconds)).briefly().within;
        assert_eq!(
            (brief(20), brief(1)),
            (Some(Duration::from_secs(2)), Some(Duration::from_secs(1)))
        );
    }
}
