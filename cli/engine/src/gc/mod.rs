//! Unused data that can be rebuilt, and leftovers of killed commands.

mod observe;
mod remove;

pub use observe::observe;
pub use remove::remove;

use crate::conversations::IdleTimes;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::path::PathBuf;

/// Older than any operation in progress.
const ABANDONED_AFTER: SignedDuration = SignedDuration::from_hours(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Checkout,
    State,
    /// A temporary folder.
    Temporary,
    /// A temporary file or folder of a killed command, in another location.
    Leftover,
    /// A Python environment that was not made to its end.
    Environment,
    /// Where the coder of an Architect's run worked.
    Workplace,
    /// Results of cases: traces, tiers and parts in an object store of files.
    Result,
    /// Of an unreachable commit: after a lost race, or a command killed before its commit point.
    Evaluation,
    /// One with an observed idle time above its limit, with its feedback.
    Conversation,
    /// Recorded calls beyond the time or the size that they are kept for, in an object store of
    /// files; old replays.
    Record,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::State => "state",
            Self::Temporary => "temporary",
            Self::Leftover => "leftover",
            Self::Environment => "environment",
            Self::Workplace => "workplace",
            Self::Result => "result",
            Self::Evaluation => "evaluation",
            Self::Conversation => "conversation",
            Self::Record => "record",
        }
    }
}

/// An item that can be rebuilt or is not needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    pub path: PathBuf,
    pub kind: Kind,
    pub bytes: u64,
    #[serde(skip)]
    pub used: Timestamp,
    #[serde(skip)]
    pub retained: Option<RetentionReason>,
}

/// Why a thing retained however old it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionReason {
    /// A branch of versions, a pin or HEAD leads to it.
    Served,
    /// A process holds it.
    InUse,
}

/// Everything there is.
pub struct Snapshot {
    pub items: Vec<Item>,
    pub now: Timestamp,
    /// The idle time of each conversation; expired ones are among the items.
    pub idle_times: IdleTimes,
}

/// What is neither served nor in use, and was not used lately.
pub fn plan(snapshot: &Snapshot, unused_for: SignedDuration) -> Vec<Item> {
    let is_expendable = |item: &&Item| {
        let age = snapshot.now.duration_since(item.used);
        let is_old = match item.kind {
            Kind::Checkout | Kind::State | Kind::Result => age > unused_for,
            Kind::Temporary | Kind::Leftover => age > ABANDONED_AFTER,
            // one in progress is as new as its commit
            Kind::Evaluation => age > unused_for.max(ABANDONED_AFTER),
            // a lock shows whether a process still needs it
            Kind::Environment | Kind::Workplace | Kind::Conversation | Kind::Record => true,
        };
        is_old && item.retained.is_none()
    };
    snapshot.items.iter().filter(is_expendable).cloned().collect()
}

/// Of the files of a record those that are too old, and the oldest beyond a size in bytes.
pub fn outlived(
    mut record: Vec<Item>,
    now: Timestamp,
    keep: SignedDuration,
    most: u64,
) -> Vec<Item> {
    record.sort_by(|one, other| other.used.cmp(&one.used).then_with(|| one.path.cmp(&other.path)));
    let mut sum = 0;
    record.retain(|item| {
        sum += item.bytes;
        sum > most || now.duration_since(item.used) > keep
    });
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_kept_for_a_time_and_up_to_a_size() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let file = |hours: i64, bytes: u64| Item {
            path: PathBuf::from(format!("{hours}")),
            kind: Kind::Record,
            bytes,
            used: now - SignedDuration::from_hours(hours),
            retained: None,
        };
        let removed = |most: u64| {
            let files = vec![file(30, 10), file(1, 10), file(5, 10), file(10, 10)];
            let gone = outlived(files, now, SignedDuration::from_hours(24), most);
            gone.into_iter().map(|item| item.path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(removed(1000), ["30"]);
        assert_eq!(removed(20), ["10", "30"], "the newest stay");
        assert_eq!(removed(5), ["1", "5", "10", "30"]);
    }

    fn check(kind: Kind, hours_unused: i64, retained: Option<RetentionReason>, goes: bool) {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let item = Item {
            path: PathBuf::from("x"),
            kind,
            bytes: 1,
            used: now - SignedDuration::from_hours(hours_unused),
            retained,
        };
        let snapshot = Snapshot { items: vec![item], now, idle_times: IdleTimes::default() };
        for (days, goes) in [(1, goes), (0, goes || (hours_unused > 1 && retained.is_none()))] {
            let removed = plan(&snapshot, SignedDuration::from_hours(24 * days));
            assert_eq!(
                !removed.is_empty(),
                goes,
                "{kind:?} unused for {hours_unused} h, {retained:?}, --days {days}"
            );
        }
    }

    #[test]
    fn served_used_and_recent_entries_are_retained() {
        for kind in [Kind::Checkout, Kind::State] {
            check(kind, 25, None, true);
            check(kind, 23, None, false);
            check(kind, 2500, Some(RetentionReason::Served), false);
            check(kind, 2500, Some(RetentionReason::InUse), false);
        }
        check(Kind::Result, 25, None, true);
        check(Kind::Result, 23, None, false);
        check(Kind::Evaluation, 25, None, true);
        check(Kind::Evaluation, 23, None, false);
        check(Kind::Evaluation, 1, None, false);
        for kind in [Kind::Temporary, Kind::Leftover] {
            check(kind, 2, None, true);
            check(kind, 1, None, false);
            check(kind, 2500, Some(RetentionReason::InUse), false);
        }
        for kind in [Kind::Conversation, Kind::Environment, Kind::Workplace] {
            check(kind, 0, None, true);
            check(kind, 2500, Some(RetentionReason::InUse), false);
        }
    }
}
