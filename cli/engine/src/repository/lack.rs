//! What a clone lacks of the ledger of the gate.

use crate::world::git::Git;
use agent_core::formats::object_id::ObjectId;

/// Attempts that are missing from this clone's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// The evidence that there were more: a version, or this clone's record.
    pub(super) source: String,
    /// The commit of the ledger that has them.
    pub(super) commit: ObjectId,
    pub(super) problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// The commit is not here.
    Absent,
    /// The number of its attempts that are missing from the ledger or altered.
    Missing(usize),
    /// The ledger can no longer be read.
    Unreadable(String),
}

impl std::fmt::Display for Lack {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { source, commit, problem } = self;
        let commit = commit.short();
        match problem {
            Problem::Absent => write!(
                formatter,
                "this clone does not have the gate's ledger that {source} (commit {commit})"
            ),
            Problem::Missing(count) => {
                write!(
                    formatter,
                    "the gate's ledger of this clone lacks {count} of the attempts that {source} \
                    (commit {commit})"
                )
            }
            Problem::Unreadable(why) => write!(
                formatter,
                "the gate's ledger that {source} (commit {commit}) was damaged since: {why}"
            ),
        }
    }
}

impl Lack {
    /// The command that repairs it.
    pub fn hint(&self, git: &Git) -> String {
        match git.remotes().first() {
            Some(remote) if self.problem == Problem::Absent => {
                format!(
                    "agent sync (by git alone: git fetch {remote} \
                    '+refs/agent/*:refs/agent-remotes/{remote}/*')"
                )
            }
            None if self.problem == Problem::Absent => "fetch it from a clone that has it: git \
            fetch CLONE \
                 '+refs/agent/*:refs/agent-remotes/clone/*' \
                 '+refs/agent-own/*:refs/agent-remotes/clone/own/*'"
                .to_owned(),
            _ => "agent sync".to_owned(),
        }
    }
}
