use crate::world::fs::FsError;
use crate::world::process::ProcessError;
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::object_id::ObjectId;
use agent_core::version::legality::Violation;
use agent_core::version::registry::PinError;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("{} is in no git repository", directory.display())]
    NotARepository { directory: PathBuf },
    #[error("{} belongs to another user", directory.display())]
    Untrusted { directory: PathBuf },
    #[error("{} stores its refs as {format}, which `agent` cannot read", directory.display())]
    RefFormat { directory: PathBuf, format: String },
    #[error("the git repository of {} names its objects by SHA-256, which `agent` cannot read",
        directory.display())]
    ObjectFormat { directory: PathBuf },
    #[error("cannot open the git repository of {}", directory.display())]
    Open {
        directory: PathBuf,
        #[source]
        source: Box<gix::Error>,
    },
    #[error("`{revision}` names no commit{}",
        if *shallow { " that this shallow clone has" } else { "" })]
    NoCommit { revision: String, shallow: bool },
    #[error("cannot read {what} from the git repository")]
    Read {
        what: String,
        #[source]
        source: Box<gix::Error>,
    },
    #[error("cannot write {what} to the git repository")]
    Write {
        what: String,
        #[source]
        source: Box<gix::Error>,
    },
    #[error("the object {id} was left out of this partial clone and cannot be fetched{}",
        if why.is_empty() { String::new() } else { format!(": {why}") })]
    LeftOut { id: String, why: String },
    #[error("the submodule {path} is not initialised here, or lacks its commit {}", commit.short())]
    Submodule { path: String, commit: ObjectId },
    #[error("{id} is a {found} and not a {wanted}")]
    Kind { id: ObjectId, found: &'static str, wanted: &'static str },
    #[error("the content of the object {id} does not match its id")]
    Forged { id: ObjectId },
    #[error("`{path}` is not a path git can hold")]
    Path { path: String },
    #[error("the name of `{path}` is not UTF-8")]
    Name { path: String },
    #[error("git did not move {name}{}",
        if why.is_empty() { String::new() } else { format!(": {why}") })]
    NotMoved { name: String, why: String },
    #[error("git did not move {name}: its lock {} is held", lock.display())]
    Locked { name: String, lock: PathBuf },
    #[error("git did not move {name}: {why}")]
    RefusedByHook { name: String, why: String },
    #[error("it is not known whether {name} was moved{}",
        if why.is_empty() { String::new() } else { format!(" (git: {why})") })]
    InDoubt {
        name: String,
        why: String,
        #[source]
        source: Box<GitError>,
    },
    #[error("not allowed in this repository: {}",
        violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Illegal { violations: Vec<Violation> },
    #[error("the remote {remote} rejected the push{}",
        if why.is_empty() { String::new() } else { format!(": {why}") })]
    NotPushed { remote: String, why: String, was_judged: bool },
    #[error("nothing was fetched from the remote {remote}{}",
        if why.is_empty() { String::new() } else { format!(": {why}") })]
    NotFetched { remote: String, why: String },
    #[error("{name} was moved by other processes repeatedly")]
    Busy { name: String },
    #[error("the system gave no randomness for the name of this clone: {why}")]
    Random { why: String },
    #[error(transparent)]
    Pin(#[from] PinError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl GitError {
    pub(super) fn opening(directory: &Path, source: gix::Error) -> Self {
        let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        if source.is_permission_denied() {
            return Self::Untrusted { directory };
        }
        if source.is_not_found() {
            return Self::NotARepository { directory };
        }
        let problems =
            std::iter::successors(Some(&source as &dyn std::error::Error), |error| error.source());
        if problems
            .into_iter()
            .any(|problem| problem.to_string().contains("extensions.objectFormat"))
        {
            return Self::ObjectFormat { directory };
        }
        Self::Open { directory, source: Box::new(source) }
    }

    /// An error met in a submodule, with paths from the root of the repository.
    pub(super) fn below(self, folder: &str) -> Self {
        match self {
            Self::Submodule { path, commit } => {
                Self::Submodule { path: format!("{folder}/{path}"), commit }
            }
            other => other,
        }
    }

    /// For `map_err`: what was being read.
    pub(super) fn reading(what: impl Into<String>) -> impl FnOnce(gix::Error) -> Self {
        let what = what.into();
        move |source| Self::Read { what, source: Box::new(source) }
    }

    /// For `map_err`: what was being written.
    pub(super) fn writing(what: impl Into<String>) -> impl FnOnce(gix::Error) -> Self {
        let what = what.into();
        move |source| Self::Write { what, source: Box::new(source) }
    }
}

impl Diagnose for GitError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Process(error) => error.kind(),
            Self::Fs(error) => error.kind(),
            Self::Pin(error) => error.kind(),
            Self::Illegal { .. }
            | Self::RefusedByHook { .. }
            | Self::NotPushed { was_judged: true, .. } => FailureKind::Refused,
            Self::NotMoved { .. }
            | Self::InDoubt { .. }
            | Self::NotPushed { was_judged: false, .. }
            | Self::NotFetched { .. }
            | Self::LeftOut { .. }
            | Self::Open { .. }
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Random { .. } => FailureKind::Surroundings,
            Self::Busy { .. } | Self::Locked { .. } => FailureKind::Conflict,
            Self::NotARepository { .. }
            | Self::Untrusted { .. }
            | Self::RefFormat { .. }
            | Self::ObjectFormat { .. }
            | Self::NoCommit { .. }
            | Self::Submodule { .. }
            | Self::Kind { .. }
            | Self::Forged { .. }
            | Self::Path { .. }
            | Self::Name { .. } => FailureKind::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotARepository { .. } => {
                "go to an agent repository or name it with `-C DIR`; `agent init DIR` makes a new \
                one"
                .to_owned()
            }
            Self::Submodule { .. } => {
                "fetch it: git submodule update --init --recursive".to_owned()
            }
            Self::Untrusted { directory } => {
                format!(
                    "if you trust it: git config --global --add safe.directory '{}'",
                    directory.display()
                )
            }
            Self::RefFormat { .. } => "convert it: git refs migrate --ref-format=files".to_owned(),
            Self::ObjectFormat { .. } => {
                "git cannot convert a repository to SHA-1; make a new one (git init \
                --object-format=sha1 DIR) and commit the files there"
                    .to_owned()
            }
            Self::NoCommit { shallow: true, .. } => {
                "fetch the rest: git fetch --unshallow --tags".to_owned()
            }
            Self::NoCommit { .. } => "`agent versions` lists the versions, `git branch` the \
                branches"
                .to_owned(),
            Self::Read { .. } | Self::Forged { .. } => {
                "`git fsck` shows what is missing or damaged; a shallow or partial clone may lack \
                it"
                .to_owned()
            }
            Self::LeftOut { .. } => {
                "fetch all that was left out: git fetch --refetch --no-filter".to_owned()
            }
            Self::Locked { lock, .. } => format!(
                "another git holds the lock; when none is running any more, remove {}",
                lock.display()
            ),
            Self::Illegal { violations } => {
                return violations.first().map(|violation| violation.hint.to_owned());
            }
            Self::NotPushed { was_judged: true, .. } => {
                "a hook or a rule of the remote refused it; the message above is its reason"
                    .to_owned()
            }
            Self::NotPushed { remote, .. } | Self::NotFetched { remote, .. } => format!(
                "can it be \
                reached? git ls-remote {remote}"
            ),
            Self::Busy { .. } => "run it again; nothing was changed".to_owned(),
            Self::InDoubt { name, .. } => format!(
                "`git rev-parse {name}` prints where it is; run it \
                again only when it was not moved"
            ),
            Self::Name { .. } => "rename the file, and commit that".to_owned(),
            Self::Process(error) => return error.hint(),
            Self::Fs(error) => return error.hint(),
            Self::Pin(error) => return error.hint(),
            Self::NotMoved { .. }
            | Self::RefusedByHook { .. }
            | Self::Random { .. }
            | Self::Open { .. }
            | Self::Write { .. }
            | Self::Kind { .. }
            | Self::Path { .. } => return None,
        })
    }
}
