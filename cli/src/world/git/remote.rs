//! A remote as the place where versions meet: one atomic push with leases is the compare-and-swap there.

use super::{Git, GitError, Publication};
use agent_core::object_id::ObjectId;

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// Branch and tag are there, both or neither being the only ways it can end.
    Done,
    /// The remote's branch is elsewhere, or the tag is taken there; nothing was changed.
    Conflict { why: String },
}

impl Git {
    /// Pushes a version: the branch must still be at `expect` there, and the tag must not exist; the same tag on the same commit counts as done.
    pub fn publish_remote(&self, remote: &str, publication: &Publication) -> Result<Pushed, GitError> {
        let (branch, tag) = (publication.branch_ref(), publication.tag_ref());
        let commit = &publication.commit;
        let expected = publication.expect.as_ref().map(ObjectId::as_str).unwrap_or_default();
        let finished = self
            .command()
            .args(["push", "--atomic", "--porcelain"])
            .arg(format!("--force-with-lease={branch}:{expected}"))
            .arg(format!("--force-with-lease={tag}:"))
            .arg(remote)
            .args([format!("{commit}:{branch}"), format!("{commit}:{tag}")])
            .finish()?;
        if finished.success() {
            return Ok(Pushed::Done);
        }
        let lines = finished.text();
        let rejected: Vec<&str> = lines.lines().filter(|line| line.starts_with('!')).collect();
        if self.remote_has(remote, &[(&branch, commit), (&tag, commit)])? {
            return Ok(Pushed::Done);
        }
        if rejected.iter().any(|line| line.contains("stale info") || line.contains("already exists") || line.contains("fetch first")) {
            return Ok(Pushed::Conflict { why: rejected.join("; ") });
        }
        let why = if rejected.is_empty() { String::from_utf8_lossy(&finished.stderr).trim().to_owned() } else { rejected.join("; ") };
        Err(GitError::NotPushed { remote: remote.to_owned(), why, was_judged: !rejected.is_empty() })
    }

    /// Whether refs of a remote are where they should be; false as well when it cannot be asked.
    fn remote_has(&self, remote: &str, refs: &[(&String, &ObjectId)]) -> Result<bool, GitError> {
        let listed = self.command().arg("ls-remote").arg(remote).args(refs.iter().map(|(name, _)| name)).finish()?;
        let text = listed.text();
        Ok(listed.success() && refs.iter().all(|(name, id)| text.lines().any(|line| line == format!("{id}\t{name}"))))
    }
}
