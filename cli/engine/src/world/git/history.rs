//! Walks through history.

use super::error::GitError;
use super::ids::{from_gix, to_gix};
use super::repository::Git;
use agent_core::formats::object_id::ObjectId;
use std::collections::HashSet;

impl Git {
    /// All commits reachable from refs and reflogs.
    pub fn reachable(&self) -> Result<HashSet<ObjectId>, GitError> {
        let listed = self.command().args(["rev-list", "--all", "--reflog"]).succeed()?;
        Ok(listed.text().lines().filter_map(ObjectId::parse).collect())
    }

    /// The commits that `to` has and `from` has not, newest first.
    pub fn between(&self, from: &ObjectId, to: &ObjectId) -> Result<Vec<ObjectId>, GitError> {
        let what = || format!("the history from {} to {}", from.short(), to.short());
        let walk = self
            .repository
            .rev_walk([to_gix(to)])
            .with_hidden([to_gix(from)])
            .all()
            .map_err(GitError::reading(what()))?;
        walk.map(|info| info.map(|info| from_gix(info.id)).map_err(GitError::reading(what())))
            .collect()
    }
}
