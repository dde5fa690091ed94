//! What a worker reads from, and the routes of one version.

use super::counted::Counted;
use super::parameters::{Named, VERSION};
use super::results::Results;
use crate::rest::{Problem, Route};
use agent_core::version::tag;
use agent_engine::repository::Repository;
use agent_engine::repository::registry::Known;
use agent_engine::world::git::CommitInfo;
use semver::Version;
use std::sync::Arc;

/// A worker's state.
pub struct Reader {
    pub(super) repository: Repository,
    pub(super) known: Arc<Known>,
    pub(super) results: Arc<Results>,
    pub(super) counted: Arc<Counted>,
}

impl Reader {
    /// The commit of a version of the path.
    pub(super) fn commit(&self, Named(version): &Named) -> Result<CommitInfo, Problem> {
        let commit = self.repository.git.version_commit(version)?;
        let commit = commit.ok_or_else(|| no_version(version))?;
        Ok(self.repository.git.commit(&commit)?)
    }
}

pub(super) fn no_version(version: &Version) -> Problem {
    Problem::not_found(format!("there is no {}", tag(version)))
        .with_hint("GET /v1/versions lists them")
}

/// A route of one version.
pub(super) fn of_version(route: Route<Reader>) -> Route<Reader> {
    route.part("version", VERSION, "A version, for example `0.1.2`.").problems(&[404])
}
