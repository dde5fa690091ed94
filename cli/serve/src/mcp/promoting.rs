//! `[promote] auto`: promotes staging after a number of signals, or a time after the first of them.
//!
//! A promotion runs as a process of its own, `agent promote`, and passes the same gate. A signal
//! that is in staging is acknowledged independently of it. An attempt is not repeated on the same
//! signals: its last signal is recorded before it begins, where other servers of the repository
//! read it too, so a refused staging is tried again only with new signals. There is no attempt
//! while a canary runs.

use crate::mcp::shim::Shim;
use agent_engine::canary;
use agent_engine::error::Failure;
use agent_engine::staging::Snapshot;
use agent_engine::target::tuner::Tuner;
use agent_engine::world::fs::{self, Durability, FileLock};
use agent_engine::world::layout::Layout;
use agent_engine::world::process::{self, Run};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const SCHEMA: &str = "agent/auto-promotion@1";
/// The interval of checks while another server of the repository runs an attempt.
const ANOTHER: Duration = Duration::from_secs(1);

/// The last signal that an attempt of any server covered.
#[derive(Debug, Serialize, Deserialize)]
struct LastAttempt {
    schema: String,
    seq: u64,
}

/// One server's record of the waiting signals.
#[derive(Debug, Default)]
pub struct Promoter {
    /// When it received the first of them.
    first: Cell<Option<Instant>>,
    has_timer: Cell<bool>,
    is_under_way: Cell<bool>,
}

/// Promotes staging if that is due. A failure here does not fail the signal that triggered it.
pub fn check(shim: &Rc<Shim<Tuner>>) {
    if let Err(error) = promote_if_due(shim) {
        shim.repository.warn(&format!(
            "[promote] auto: cannot read whether a promotion is due: {}",
            error.messages.join(": ")
        ));
    }
}

fn promote_if_due(shim: &Rc<Shim<Tuner>>) -> Result<(), Failure> {
    let promoter = &shim.state.promoter;
    let target = shim.main_target()?;
    // a version made meanwhile would end the canary without a decision
    if canary::running(&shim.repository)?.is_some() {
        return Ok(());
    }
    let Some(auto) = target.manifest.promote.auto.filter(|_| !promoter.is_under_way.get()) else {
        return Ok(());
    };
    let (staged, kept) = shim.state.staging.take().snapshot(&shim.repository)?;
    shim.state.staging.replace(kept);
    let waiting = waiting(&staged, tried(&shim.repository.layout)?);
    if waiting == 0 {
        promoter.first.set(None);
        return Ok(());
    }
    let first = promoter.first.get().unwrap_or_else(Instant::now);
    promoter.first.set(Some(first));
    if auto.is_due(waiting, first.elapsed()) {
        begin(shim, staged.seq)?;
    } else if let Some(after) = auto.after() {
        look_after(shim, after.saturating_sub(first.elapsed()));
    }
    Ok(())
}

/// How many of staging's signals no attempt has covered. A recorded number from before a reset is
/// not valid.
fn waiting(staged: &Snapshot, tried: u64) -> u64 {
    let tried = if tried > staged.seq { 0 } else { tried };
    staged.updates.min(staged.seq - tried)
}

fn tried(layout: &Layout) -> Result<u64, Failure> {
    let bytes = fs::read_if_there(&layout.auto_promotion())?;
    Ok(bytes
        .and_then(|bytes| serde_json::from_slice::<LastAttempt>(&bytes).ok())
        .map_or(0, |tried| tried.seq))
}

fn look_after(shim: &Rc<Shim<Tuner>>, time: Duration) {
    if shim.state.promoter.has_timer.replace(true) {
        return;
    }
    let shim = Rc::downgrade(shim);
    tokio::task::spawn_local(async move {
        tokio::time::sleep(time).await;
        if let Some(shim) = shim.upgrade() {
            shim.state.promoter.has_timer.set(false);
            check(&shim);
        }
    });
}

fn begin(shim: &Rc<Shim<Tuner>>, seq: u64) -> Result<(), Failure> {
    let layout = &shim.repository.layout;
    let Some(lock) = FileLock::try_acquire(&layout.auto_promotion_lock())? else {
        look_after(shim, ANOTHER);
        return Ok(());
    };
    let tried = serde_json::to_vec(&LastAttempt { schema: SCHEMA.to_owned(), seq })
        .expect("a number is JSON");
    fs::replace(&layout.auto_promotion(), &tried, Durability::Rebuildable)?;
    shim.state.promoter.first.set(None);
    shim.state.promoter.is_under_way.set(true);
    let directory = shim.repository.directory.clone();
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        let outcome = promote(&directory);
        drop(lock);
        let _ = ended.send(outcome);
    });
    let shim = Rc::downgrade(shim);
    tokio::task::spawn_local(async move {
        let outcome = end.await;
        let Some(shim) = shim.upgrade() else { return };
        shim.state.promoter.is_under_way.set(false);
        match outcome {
            Ok(Ok(why)) => {
                shim.repository.notices.info(format!("promoted by [promote] auto: {why}"));
            }
            Ok(Err(why)) => {
                shim.repository.warn(&format!(
                    "[promote] auto: staging was not promoted and waits for new signals: {why}"
                ));
            }
            Err(_) => shim.repository.warn(
                "[promote] auto: the promotion ended without a result; staging waits for new \
                signals",
            ),
        }
        check(&shim);
    });
    Ok(())
}

/// Runs the promotion: returns the version and its evidence, or the reason for none.
fn promote(directory: &Path) -> Result<String, String> {
    let command = Run::new(process::own_program())
        .arg("-C")
        .arg(directory)
        .args(["promote", "--json"])
        .stdin(Vec::new());
    let finished = command.finish().map_err(|error| error.to_string())?;
    let outcome: Value = serde_json::from_slice(&finished.stdout).unwrap_or_default();
    let why = outcome["why"].as_str().or(outcome["error"].as_str()).map(str::to_owned);
    let why = why.unwrap_or_else(|| String::from_utf8_lossy(&finished.stderr).trim().to_owned());
    if outcome["done"] == true { Ok(why) } else { Err(why) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::formats::object_id::ObjectId;
    use agent_core::state::journal::Base;

    #[test]
    fn signals_of_an_earlier_attempt_are_not_waiting() {
        let id = ObjectId::of_blob(b"");
        let base = Base {
            version: semver::Version::new(0, 1, 0),
            commit: id.clone(),
            revision: id.clone(),
        };
        let staged = |seq, updates| Snapshot {
            base: base.clone(),
            state: Value::Null,
            revision: id.clone(),
            seq,
            updates,
            dirty: true,
        };
        let waits = [(0, 0, 0), (3, 3, 0), (3, 3, 3), (5, 5, 3), (9, 2, 3), (2, 2, 7)]
            .map(|(seq, updates, tried)| waiting(&staged(seq, updates), tried));
        assert_eq!(waits, [0, 3, 0, 2, 2, 2]);
    }
}
