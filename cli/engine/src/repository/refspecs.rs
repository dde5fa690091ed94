//! The refspecs by which plain `git fetch` and `git push` transfer managed refs without failing.

use crate::repository::error::RepositoryError;
use crate::world::git::Git;
use crate::world::git_command::GitCommand;
use agent_core::version::record_refs::{fetch_refspecs, is_ours, push_refspec};

/// How a remote is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Set,
    /// By an earlier version of `agent`: two clones that push to the same refs conflict.
    Old,
    Missing,
}

pub fn standing(git: &Git, remote: &str) -> Result<Standing, RepositoryError> {
    let command = GitCommand::isolated(git.common_dir());
    let [fetch, push] = keys(remote);
    let (fetch, push) = (ours(&command, &fetch)?, ours(&command, &push)?);
    let wanted = git.known_clone_id()?.map(|clone| push_refspec(&clone));
    if fetch == fetch_refspecs(remote) && wanted.is_some_and(|wanted| push == [wanted]) {
        return Ok(Standing::Set);
    }
    Ok(if fetch.is_empty() && push.is_empty() { Standing::Missing } else { Standing::Old })
}

/// Configures the refspecs, and replaces those of earlier versions.
pub fn set_up(git: &Git, remote: &str) -> Result<(), RepositoryError> {
    let command = GitCommand::isolated(git.common_dir());
    let [fetch, push] = keys(remote);
    replace(&command, &fetch, &fetch_refspecs(remote))?;
    // once a push refspec is configured, `git push` no longer pushes the current branch by default
    if command.config_values(&push)?.is_empty() {
        command.add_config(&push, "HEAD")?;
    }
    replace(&command, &push, &[push_refspec(&git.clone_id()?)])
}

fn keys(remote: &str) -> [String; 2] {
    ["fetch", "push"].map(|direction| format!("remote.{remote}.{direction}"))
}

fn ours(command: &GitCommand, key: &str) -> Result<Vec<String>, RepositoryError> {
    Ok(command.config_values(key)?.into_iter().filter(|value| is_ours(value)).collect())
}

fn replace(command: &GitCommand, key: &str, wanted: &[String]) -> Result<(), RepositoryError> {
    let there = ours(command, key)?;
    for old in there.iter().filter(|value| !wanted.contains(value)) {
        command.remove_config(key, old)?;
    }
    for new in wanted.iter().filter(|value| !there.contains(value)) {
        command.add_config(key, new)?;
    }
    Ok(())
}
