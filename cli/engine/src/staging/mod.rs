//! The State Manager: staging as the end of the Journal, updated under compare-and-swap.
//!
//! Files under `.agent/journal/`:
//! - `current.jsonl`: the Journal (format in `agent_core::state::journal`). It is the only source
//!   of staging.
//! - `lock`: held while anything here is changed. `open`: shared by every process that has staging
//!   open.
//! - `counted`: digests of the signal ids in sealed Journals, as far as `active` has them: a cache.
//! - `set-aside/`: discarded, rebased or replaced files, the last few of each kind.
//!
//! `state/staging.state.json` is a view: renamed into place after the update, at most every few
//! milliseconds, and rebuilt when it differs from the Journal.
//!
//! An update, in order: lock; read what others appended; compare the Revision; write the group into
//! reserved space; unlock; fdatasync (here it is acknowledged). Groups of several processes are
//! synced at the same time, which costs the disk about one flush; a sync covers all groups that
//! were written before it began, so what an update builds on is durable with it. A kill before the
//! sync leaves a torn tail, or a complete group that was not acknowledged: the next reader handles
//! both. What is to build on durable updates alone (a promotion, the view) syncs under the lock.
//! New files (a new Journal, the counted ids) are written to a temporary name, synced, renamed, and
//! their folder synced.

mod counted;
mod error;
mod file;
mod idle;
mod manager;
pub mod past;
mod places;
mod recovery;
mod succession;
mod view;
mod withdrawal;

pub use agent_core::state::journal::rewriting::{BatchOutcome, Replay, Replayed};
pub use counted::Known;
pub use error::StagingError;
pub use idle::Idle;
pub use manager::{Active, Append, Snapshot, Staging};
pub use succession::{Discarded, Rebased, Sealed};
pub use view::Notice;
pub use withdrawal::{Scope, Withdrawn};

#[cfg(test)]
mod tests;
