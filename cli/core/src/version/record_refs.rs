//! Which refs hold records: append-only histories that every clone extends.
//!
//! Two clones must be able to push at any time, in any order, without ever being rejected. So a
//! clone with a remote writes to its own ref, and reads the union of all refs it has:
//! - `refs/agent/NAME`: the record as it is shared. Where there is no remote, this is where it is
//!   written.
//! - `refs/agent-own/CLONE/NAME`: written by this clone only; no fetch updates it. It is outside of
//!   `refs/agent/`, so that a `git fetch --prune` of `refs/agent/*` cannot delete it.
//!   `refs/agent-own/CLONE/lost/` holds superseded versions: those that lost the race for `active`.
//! - `refs/agent/peers/CLONE/`: where each clone pushes its own to.
//! - `refs/agent-remotes/REMOTE/`: remote-tracking refs, as `refs/remotes/` has for branches; below
//!   `own/` the own refs of a remote that is itself a clone.

/// The prefix of refs that are shared through a remote.
pub const SHARED: &str = "refs/agent/";
/// The prefix of refs that only this clone writes.
pub const OWN: &str = "refs/agent-own/";
/// The prefix of the copies of remotes' refs.
pub const REMOTES: &str = "refs/agent-remotes/";
/// Below `SHARED`: where each clone pushes its own.
pub const PEERS: &str = "peers/";
/// Below a clone's own refs: versions that lost the race for `active`.
pub const LOST: &str = "lost/";

/// Below `SHARED`, and below a remote in `REMOTES`: pins; the last writer wins.
pub const PINS: &str = "pins/";

/// The gate's ledger, the inbox, and the ids of signals that were counted.
pub const NAMES: [&str; 3] = ["ledger", "inbox", "counted"];

/// The purpose of a managed ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefPurpose<'a> {
    /// A record, written where it is shared, by a clone, or pushed there by one.
    Record(&'a str),
    /// A version that lost the race for `active`, kept permanently.
    Superseded,
}

/// What a ref is for, where it is one that a repository writes; a remote's refs as they were seen
/// are none of these.
pub fn purpose(reference: &str) -> Option<RefPurpose<'_>> {
    let of_clone = |rest: &'_ str| rest.find('/').map(|slash| slash + 1);
    let below = if let Some(rest) = reference.strip_prefix(OWN) {
        &rest[of_clone(rest)?..]
    } else if let Some(rest) =
        reference.strip_prefix(SHARED).and_then(|rest| rest.strip_prefix(PEERS))
    {
        &rest[of_clone(rest)?..]
    } else {
        reference.strip_prefix(SHARED).filter(|rest| !rest.contains('/'))?
    };
    if below.starts_with(LOST) {
        return Some(RefPurpose::Superseded);
    }
    NAMES.into_iter().find(|name| *name == below).map(RefPurpose::Record)
}

/// Whether a ref is a head of a record, by its name below `SHARED` + `PEERS`, `OWN` or `REMOTES`:
/// `CLONE/NAME`, `REMOTE/NAME`, `REMOTE/peers/CLONE/NAME`, `REMOTE/own/CLONE/NAME`.
pub fn is_head_of(below: &str, record: &str) -> bool {
    let Some(before) = below.strip_suffix(record).and_then(|before| before.strip_suffix('/'))
    else {
        return false;
    };
    // a pin may be called like a record
    !before.is_empty() && !before.ends_with("/pins")
}

/// The refspecs by which a clone fetches managed refs from a remote: only remote-tracking refs are
/// overwritten.
pub fn fetch_refspecs(remote: &str) -> [String; 2] {
    [format!("+{SHARED}*:{REMOTES}{remote}/*"), format!("+{OWN}*:{REMOTES}{remote}/own/*")]
}

/// The refspec by which a clone pushes its own refs: no other clone pushes there, so it is never
/// rejected.
pub fn push_refspec(clone: &str) -> String {
    format!("{OWN}{clone}/*:{SHARED}{PEERS}{clone}/*")
}

/// Whether a configured refspec covers managed refs, including those of earlier versions of
/// `agent`.
pub fn is_ours(refspec: &str) -> bool {
    let source = refspec.trim_start_matches(['+', '^']);
    source.starts_with(SHARED) || source.starts_with(OWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_are_classified_by_prefix() {
        for (reference, expected) in [
            ("refs/agent/ledger", Some(RefPurpose::Record("ledger"))),
            ("refs/agent/peers/a1/inbox", Some(RefPurpose::Record("inbox"))),
            ("refs/agent-own/a1/counted", Some(RefPurpose::Record("counted"))),
            ("refs/agent-own/a1/lost/v0.1.1-abc", Some(RefPurpose::Superseded)),
            ("refs/agent/peers/a1/lost/v0.1.1-abc", Some(RefPurpose::Superseded)),
            ("refs/agent/pins/ledger", None),
            ("refs/agent/other", None),
            ("refs/agent-own/ledger", None),
            ("refs/agent-remotes/origin/ledger", None),
            ("refs/heads/ledger", None),
        ] {
            assert_eq!(purpose(reference), expected, "{reference}");
        }
    }

    #[test]
    fn heads_are_classified_by_prefix() {
        for (name, expected) in [
            ("a1/ledger", true),
            ("origin/ledger", true),
            ("origin/peers/a1/ledger", true),
            ("team/origin/own/a1/ledger", true),
            ("origin/pins/ledger", false),
            ("ledger", false),
            ("a1/inbox", false),
            ("a1/my-ledger", false),
        ] {
            assert_eq!(is_head_of(name, "ledger"), expected, "{name}");
        }
    }

    #[test]
    fn managed_refspecs_are_recognised() {
        for ours in [
            "refs/agent/*:refs/agent/*",
            "+refs/agent/*:refs/agent-remotes/origin/*",
            "refs/agent-own/a1/*:refs/agent/peers/a1/*",
        ] {
            assert!(is_ours(ours), "{ours}");
        }
        assert!(!is_ours("+refs/heads/*:refs/remotes/origin/*") && !is_ours("HEAD"));
    }
}
