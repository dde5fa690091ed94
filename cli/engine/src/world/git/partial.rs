//! Partial clones: objects that were left out of the clone are fetched when they are needed, as git
//! itself does it.

use super::error::GitError;
use super::ids::to_gix;
use super::repository::Git;
use agent_core::formats::object_id::ObjectId;

impl Git {
    /// Whether objects that are not here may be fetched from a remote when they are needed.
    pub fn is_partial(&self) -> bool {
        !self.promisors().is_empty()
    }

    /// The remotes that have what is not here.
    fn promisors(&self) -> Vec<String> {
        let is_promisor = |remote: &String| {
            let setting =
                self.repository.config_snapshot().boolean(&format!("remote.{remote}.promisor"));
            setting == Some(true)
        };
        let mut remotes: Vec<_> = self.remotes().into_iter().filter(is_promisor).collect();
        remotes.extend(
            self.config("extensions.partialClone").filter(|remote| !remotes.contains(remote)),
        );
        remotes
    }

    /// Fetches the missing ones of these objects in one request; a tree includes the trees below
    /// it.
    pub(super) fn bring(&self, ids: &[&ObjectId]) -> Result<(), GitError> {
        const AS_GIT_DOES: [&str; 4] =
            ["--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--filter=blob:none"];
        let absent: Vec<_> = ids
            .iter()
            .filter(|id| !self.repository.has_object(to_gix(id)))
            .map(|id| id.as_str())
            .collect();
        let Some(first) = absent.first() else { return Ok(()) };
        let mut why = "no remote has what was left out of this clone".to_owned();
        for remote in self.promisors() {
            // none of the hooks, and nothing that a fetch does besides, is meant for what git calls
            // a lazy fetch
            let run = self
                .command()
                .args(["-c", "fetch.negotiationAlgorithm=noop", "-c", "maintenance.auto=false"])
                .arg("fetch");
            let run = run
                .arg("--quiet")
                .arg(&remote)
                .args(AS_GIT_DOES)
                .arg("--stdin")
                .stdin(absent.join("\n") + "\n");
            let fetched = run.finish()?;
            if fetched.success() {
                return Ok(());
            }
            why = first_line(&fetched.complaint());
        }
        Err(GitError::LeftOut { id: (*first).to_owned(), why })
    }

    /// What reads trees, once more where some of what is below these were left out of this clone
    /// and git has fetched them.
    pub(super) fn with_trees<T>(
        &self,
        trees: &[&ObjectId],
        read: impl Fn() -> Result<T, GitError>,
    ) -> Result<T, GitError> {
        let first = read();
        if first.is_ok() || !self.is_partial() {
            return first;
        }
        for tree in trees {
            let walked = self.command().args(["ls-tree", "-r", "-z", tree.as_str()]).finish()?;
            if !walked.success() {
                return Err(GitError::LeftOut {
                    id: tree.to_string(),
                    why: walked.complaint().lines().next().unwrap_or_default().to_owned(),
                });
            }
        }
        read()
    }
}

fn first_line(complaint: &str) -> String {
    complaint.lines().next().unwrap_or_default().to_owned()
}
