//! The errors of reading and writing a repository's versions and records.

use crate::repository::lack::Lack;
use crate::staging::StagingError;
use crate::world::fs::FsError;
use crate::world::git::GitError;
use crate::world::process::ProcessError;
use crate::world::store::StoreError;
use agent_core::architect::feedback::FeedbackError;
use agent_core::architect::run::SCHEMA;
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::document::DocumentError;
use agent_core::formats::manifest::ManifestError;
use agent_core::formats::object_id::ObjectId;
use agent_core::formats::suggestion::did_you_mean;
use agent_core::gate::ledger::LedgerError;
use agent_core::verification::tip::Violation;
use agent_core::version::tag;
use agent_core::version::what::What;
use semver::{Version, VersionReq};

#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    #[error("nothing is served yet: there is no branch `active`{}",
        if *is_shallow { "; this clone is shallow, so it may only be missing here" } else { "" })]
    NothingServed { is_shallow: bool },
    #[error("this repository is bare: it has no working tree")]
    Bare,

    // versions
    #[error("there is no v{version}{}",
        did_you_mean(&tag(version), known.iter().map(String::as_str)))]
    NoVersion { version: Version, known: Vec<String>, is_shallow: bool },
    #[error("no version in service matches `{range}`")]
    NoneInRange { range: VersionReq, newest: Option<Version>, is_shallow: bool },
    #[error("`{what}` is commit {}, which is not a version", commit.short())]
    NotAVersion { what: What, commit: ObjectId },
    #[error("the tag {} is on commit {}, which declares {}",
        tag(version), commit.short(), tag(declared))]
    TagElsewhere { version: Version, commit: ObjectId, declared: Version },
    #[error("commit {}{} is not a valid version: {}", commit.short(),
        version.as_ref().map(|version| format!(" ({})", tag(version))).unwrap_or_default(),
        violation.why())]
    Unsound { commit: ObjectId, version: Option<Box<Version>>, violation: Violation, hint: String },

    // records
    #[error("{head} cannot be joined with {other}")]
    Unjoined { head: String, other: String, source: Box<RepositoryError> },
    #[error("{origin} is not UTF-8")]
    NotUtf8 { origin: String },
    #[error(
        "{lack}; no version is judged here until it is back, since its attempts have used \
        part of alpha"
    )]
    LedgerLacks { lack: Lack, hint: String },
    #[error("there is no {what} `{id}`")]
    NotInInbox { what: &'static str, id: String },
    #[error("{origin} is not a report of a run: {source}")]
    NotAReport { origin: String, source: serde_json::Error },
    #[error("{origin}: its schema is `{schema}`; this `agent` reads `{}`", SCHEMA)]
    ReportSchema { origin: String, schema: String },
    #[error("there is no firing `{id}`")]
    NoFiring { id: String },
    #[error("{origin} is not a mute: {source}")]
    NotAMute { origin: String, source: serde_json::Error },
    #[error("{origin}: {problem}")]
    Canary { origin: String, problem: String },
    #[error("other clones kept pushing to {remote}: {why}")]
    Outrun { remote: String, why: String },

    // Journals of versions
    #[error(
        "{} of this clone is superseded, and the signals that it counted cannot be read now",
        tag(version)
    )]
    Superseded { version: Box<Version>, source: StoreError },
    #[error("the Journal of {} is in no object store of this clone", tag(version))]
    NoJournal { version: Version },

    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    GitCommand(#[from] ProcessError),
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Staging(#[from] StagingError),
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Feedback(#[from] FeedbackError),
}

impl RepositoryError {
    /// The error that decides the kind and the hint, where it is not this one.
    fn decisive(&self) -> Option<&dyn Diagnose> {
        Some(match self {
            Self::Unjoined { source, .. } => source.as_ref(),
            Self::Superseded { source, .. } | Self::Store(source) => source,
            Self::Git(error) => error,
            Self::GitCommand(error) => error,
            Self::Fs(error) => error,
            Self::Staging(error) => error,
            Self::Document(error) => error,
            Self::Manifest(error) => error,
            Self::Ledger(error) => error,
            Self::Feedback(error) => error,
            _ => return None,
        })
    }
}

impl Diagnose for RepositoryError {
    fn kind(&self) -> FailureKind {
        if let Some(error) = self.decisive() {
            return error.kind();
        }
        match self {
            Self::LedgerLacks { .. } => FailureKind::NotEnoughEvidence,
            Self::Outrun { .. } => FailureKind::Conflict,
            Self::NoJournal { .. } => FailureKind::Surroundings,
            _ => FailureKind::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        if let Some(error) = self.decisive() {
            return error.hint();
        }
        let hint = match self {
            Self::NothingServed { .. } => {
                "`agent release` makes the first version of what is on `main`; in a fresh clone, \
                `agent sync` fetches it"
            }
            Self::Bare => "name a version with `--at`",
            Self::NoVersion { known, .. } if !known.is_empty() => "`agent versions` lists them",
            Self::NoneInRange { newest: Some(newest), .. } => {
                return Some(format!(
                    "the newest version is v{newest}; `agent versions` lists them all, and which \
                    are yanked"
                ));
            }
            Self::NoVersion { is_shallow: true, .. }
            | Self::NoneInRange { is_shallow: true, .. } => {
                "this clone is shallow and has no tags: git fetch --unshallow --tags"
            }
            Self::NoVersion { .. } | Self::NoneInRange { .. } => {
                "there is none yet: `agent release` makes the first"
            }
            Self::NotAVersion { .. } => "`agent versions` lists the versions",
            Self::TagElsewhere { .. } => {
                "tags are immutable: `agent doctor` shows which were moved; `git fetch origin \
                --tags --force` brings the published ones"
            }
            Self::Unsound { hint, .. } | Self::LedgerLacks { hint, .. } => hint,
            Self::NotInInbox { .. } => "`agent architect list` shows what there is",
            Self::NoFiring { .. } => "`agent trigger list` shows what fired",
            Self::Outrun { .. } => "run it again; nothing was lost",
            Self::NoJournal { .. } => "withdraw it in the clone that made the version",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Failure;

    /// The kind, the hint and the last line of an error are those of its cause, where it has one
    /// that decides them.
    #[test]
    fn an_error_with_a_cause_takes_its_kind_and_hint() {
        let damaged =
            || LedgerError::Line { origin: "a".to_owned(), line: 3, problem: "no JSON".to_owned() };
        let silent = || StoreError::Failed {
            action: "read",
            key: "k".to_owned(),
            store: "file:s".to_owned(),
            source: "timed out".into(),
        };
        let unjoined = RepositoryError::Unjoined {
            head: "refs/b".to_owned(),
            other: "refs/a".to_owned(),
            source: Box::new(damaged().into()),
        };
        let superseded = RepositoryError::Superseded {
            version: Box::new(Version::new(0, 1, 2)),
            source: silent(),
        };
        let cases: [(RepositoryError, Failure, &[&str]); 2] = [
            (unjoined, damaged().into(), &["refs/b cannot be joined with refs/a", "a:3: no JSON"]),
            (
                superseded,
                silent().into(),
                &[
                    "v0.1.2 of this clone is superseded, and the signals that it counted cannot be \
                    read now",
                    "cannot read `k` in the object store file:s",
                    "timed out",
                ],
            ),
        ];
        for (error, cause, messages) in cases {
            let failure = Failure::from(error);
            assert_eq!(failure.messages, messages);
            assert_eq!((failure.kind, failure.hint), (cause.kind, cause.hint));
        }
    }
}
