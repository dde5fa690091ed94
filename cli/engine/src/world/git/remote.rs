//! A remote as the place where clones meet: one atomic push with leases is the compare-and-swap
//! there.

use super::error::GitError;
use super::refs::Move;
use super::repository::{ACTIVE, Git};
use crate::world::process::Run;
use agent_core::formats::object_id::{ObjectId, short_digest};
use std::collections::BTreeMap;
use std::time::Duration;

/// The outcome of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// All of it is present.
    Done,
    /// A ref of the remote is not where it had to be; nothing was changed.
    Conflict { why: String },
}

/// Whether git runs the `pre-push` hook of this clone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrePush {
    Runs,
    /// For managed refs, which need no tests.
    Skipped,
}

impl Git {
    /// Updates refs of a remote atomically: each must still have its expected value. An update that
    /// is already in effect counts as done.
    pub fn push(&self, remote: &str, moves: &[Move], hook: PrePush) -> Result<Pushed, GitError> {
        let mut run = self.command().args(["push", "--atomic", "--porcelain"]);
        if hook == PrePush::Skipped {
            run = run.arg("--no-verify");
        }
        for Move { name, from, .. } in moves {
            run = run.arg(format!(
                "--force-with-lease={name}:{}",
                from.as_ref().map(ObjectId::as_str).unwrap_or_default()
            ));
        }
        let refspecs = moves.iter().map(|change| {
            format!(
                "{}:{}",
                change.to.as_ref().map(ObjectId::as_str).unwrap_or_default(),
                change.name
            )
        });
        let finished = run.arg(remote).args(refspecs).finish()?;
        if finished.success() {
            return Ok(Pushed::Done);
        }
        let lines = finished.text();
        let rejected: Vec<&str> = lines.lines().filter(|line| line.starts_with('!')).collect();
        if self.remote_has(remote, moves) {
            return Ok(Pushed::Done);
        }
        if rejected
            .iter()
            .any(|line| REJECTED_MESSAGES.iter().any(|message| line.contains(message)))
        {
            return Ok(Pushed::Conflict { why: rejected.join("; ") });
        }
        let why = if rejected.is_empty() { finished.complaint() } else { rejected.join("; ") };
        Err(GitError::NotPushed {
            remote: remote.to_owned(),
            why,
            was_judged: !rejected.is_empty(),
        })
    }

    /// Whether refs of a remote have the expected values; false as well when it is unreachable.
    fn remote_has(&self, remote: &str, moves: &[Move]) -> bool {
        let names: Vec<_> = moves.iter().map(|change| change.name.clone()).collect();
        self.remote_refs(remote, &names).is_ok_and(|there| {
            moves.iter().all(|change| there.get(&change.name) == change.to.as_ref())
        })
    }

    /// The refs of a remote that match patterns, as `git ls-remote` takes them.
    pub fn remote_refs(
        &self,
        remote: &str,
        patterns: &[String],
    ) -> Result<BTreeMap<String, ObjectId>, GitError> {
        let listed = self.listing_of(remote, patterns).finish()?;
        if !listed.success() {
            return Err(GitError::NotFetched {
                remote: remote.to_owned(),
                why: listed.complaint(),
            });
        }
        Ok(parse_listing(&listed.text()))
    }

    /// Like `remote_refs`, with a timeout: `None` when the remote did not answer in time.
    pub fn remote_refs_within(
        &self,
        limit: Duration,
        remote: &str,
        patterns: &[String],
    ) -> Option<BTreeMap<String, ObjectId>> {
        let listed = self.listing_of(remote, patterns).finish_within(limit).ok()??;
        listed.success().then(|| parse_listing(&listed.text()))
    }

    fn listing_of(&self, remote: &str, patterns: &[String]) -> Run {
        self.command().args(["ls-remote", "--refs"]).arg(remote).args(patterns)
    }

    /// Fetches refs and no tags, and takes away those that were fetched before and are no longer
    /// there.
    pub fn fetch(&self, remote: &str, refspecs: &[String]) -> Result<(), GitError> {
        self.fetch_with(Some("--no-tags"), remote, refspecs)
    }

    fn fetch_with(
        &self,
        tags: Option<&str>,
        remote: &str,
        refspecs: &[String],
    ) -> Result<(), GitError> {
        let quiet = [
            "-c",
            "maintenance.auto=false",
            "fetch",
            "--quiet",
            "--prune",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
        ];
        // of the configured refspecs, those of a mirror would move our own refs
        let finished = self
            .command()
            .args(quiet)
            .arg("--refmap=")
            .args(tags)
            .arg(remote)
            .args(refspecs)
            .finish()?;
        if finished.success() {
            return Ok(());
        }
        Err(GitError::NotFetched { remote: remote.to_owned(), why: finished.complaint() })
    }

    /// Fetches `active` of a remote to its remote-tracking branch; returns its commit. A remote
    /// need not have one.
    pub fn fetch_active(&self, remote: &str) -> Result<Option<ObjectId>, GitError> {
        self.fetch(remote, &[active_refspec(remote)])?;
        self.reference(&remote_active(remote))
    }

    /// Fetches the tags of what a remote serves, as far as they are not here.
    pub fn fetch_tags(&self, remote: &str) -> Result<(), GitError> {
        self.fetch_with(None, remote, &[active_refspec(remote)])
    }

    /// The name of a remote below `refs/agent-remotes/`: its name, or one derived from its URL.
    pub fn remote_place(&self, remote: &str) -> String {
        let named = self.remotes().iter().any(|name| name == remote);
        if named { remote.to_owned() } else { format!("url-{}", short_digest(remote.as_bytes())) }
    }
}

/// Where `active` of a remote was when it was last fetched.
pub fn remote_active(remote: &str) -> String {
    format!("refs/remotes/{remote}/active")
}

/// A pattern, since one that nothing matches is no error.
fn active_refspec(remote: &str) -> String {
    format!("+{ACTIVE}*:{}*", remote_active(remote))
}

/// The messages of git for a rejected push after a lost race.
const REJECTED_MESSAGES: [&str; 5] =
    ["stale info", "already exists", "fetch first", "cannot lock ref", "failed to update ref"];

/// `ID<tab>NAME` lines.
fn parse_listing(text: &str) -> BTreeMap<String, ObjectId> {
    let parse = |line: &str| {
        line.split_once('\t').and_then(|(id, name)| Some((name.to_owned(), ObjectId::parse(id)?)))
    };
    text.lines().filter_map(parse).collect()
}
