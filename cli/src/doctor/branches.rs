//! Whether `active` was moved back, and whether each version's tag is on its commit.

use super::Finding;
use agent_core::formats::object_id::ObjectId;
use agent_core::verification::history::{Chain, Link};
use agent_core::version::tag;
use agent_engine::error::Failure;
use agent_engine::world::env::SKIP_HOOKS;
use agent_engine::world::git::{ACTIVE, CommitInfo, Git, remote_active};
use semver::Version;
use std::collections::HashSet;

/// The limit of versions that are named.
const SHOWN: usize = 5;

/// A version on top of the served one, and the evidence for it.
struct Ahead {
    version: Version,
    commit: ObjectId,
    seen: Seen,
}

enum Seen {
    /// Its tag.
    Tag,
    /// The reflog of `active`.
    Moved,
    /// A remote's branch, as of the last fetch.
    Remote(String),
}

/// Whether a version on top of `active` is known.
pub(super) fn forced_back(git: &Git) -> Finding {
    const CHECK: &str = "moved back";
    let look = || -> Result<Option<(CommitInfo, Ahead)>, Failure> {
        let Some(tip) = git.reference(ACTIVE)? else { return Ok(None) };
        let tip = git.commit(&tip)?;
        Ok(ahead(git, &tip)?.map(|ahead| (tip, ahead)))
    };
    let (tip, ahead) = match look() {
        Ok(Some(found)) => found,
        Ok(None) => return Finding::ok(CHECK, "no version is known on top of active"),
        Err(error) => return Finding::of(CHECK, error),
    };
    let newer = tag(&ahead.version);
    let served = tip.trailers.version.as_ref().map_or_else(|| tip.id.short().to_owned(), tag);
    let hint = format!("serve {newer} again: git update-ref {ACTIVE} {} {}", ahead.commit, tip.id);
    match ahead.seen {
        Seen::Tag => Finding::bad(
            CHECK,
            format!("active is at {served}, but the tag {newer} exists on top of it, on no branch"),
            hint,
        ),
        Seen::Moved => Finding::bad(
            CHECK,
            format!(
                "active was moved back: it is at {served}, and its reflog has {newer} on top of it"
            ),
            hint,
        ),
        Seen::Remote(remote) => Finding::warn(
            CHECK,
            format!("active is at {served}; {remote} has {newer} on top of it"),
            format!("run agent sync (or git fetch {remote} active:active --tags)"),
        ),
    }
}

/// The newest valid version on top of the tip.
fn ahead(git: &Git, tip: &CommitInfo) -> Result<Option<Ahead>, Failure> {
    let on_top = |commit: &ObjectId, seen: Seen| -> Result<Option<Ahead>, Failure> {
        let Some(version) = descends_from(git, commit, tip) else { return Ok(None) };
        Ok(Some(Ahead { version, commit: commit.clone(), seen }))
    };
    let mut found = Vec::new();
    for version in git
        .versions()?
        .into_iter()
        .rev()
        .take_while(|version| tip.trailers.version.as_ref().is_none_or(|tip| version > tip))
    {
        if let Ok(Some(commit)) = git.version_commit(&version) {
            found.extend(on_top(&commit, Seen::Tag)?);
        }
    }
    for commit in git.past_tips(ACTIVE)? {
        found.extend(on_top(&commit, Seen::Moved)?);
    }
    if found.is_empty() {
        for remote in git.remotes() {
            if let Some(commit) = git.reference(&remote_active(&remote))? {
                found.extend(on_top(&commit, Seen::Remote(remote))?);
            }
        }
    }
    Ok(found
        .into_iter()
        .reduce(|newest, other| if other.version > newest.version { other } else { newest }))
}

/// The version of a commit that is valid and descends from another one along first parents.
fn descends_from(git: &Git, commit: &ObjectId, tip: &CommitInfo) -> Option<Version> {
    let newest = git.commit(commit).ok().filter(|newest| newest.id != tip.id)?;
    let version = newest.trailers.version.clone()?;
    let above = git
        .first_parents(commit)
        .map_while(Result::ok)
        .take_while(|past| past.trailers.version > tip.trailers.version || past.id == tip.id);
    let stands = above.into_iter().any(|past| past.id == tip.id);
    (stands && matches!(git.violation(&newest), Ok(None))).then_some(version)
}

const TAGS: &str = "tags";

/// Every version of a branch has its tag, and every tag of a version is on a branch.
pub(super) fn tags(git: &Git) -> Finding {
    let chains = match git.chains() {
        Ok(chains) => chains,
        Err(error) => return Finding::of(TAGS, error),
    };
    let links: Vec<&Link> = chains.iter().flat_map(|chain: &Chain| &chain.links).collect();
    without_branch(git, &chains)
        .or_else(|| moved_tags(&links))
        .or_else(|| missing_tags(git, &links))
        .unwrap_or_else(|| foreign_tags(git, &links))
}

fn without_branch(git: &Git, chains: &[Chain]) -> Option<Finding> {
    if !chains.is_empty() {
        return None;
    }
    let newest = git.versions().unwrap_or_default().pop()?;
    let hint = format!(
        "fetch the branch (git fetch origin active:active --tags), or make it from the tag (git \
        branch active {})",
        tag(&newest)
    );
    let problem =
        format!("tags of versions up to {} exist, but no branch contains them", tag(&newest));
    Some(Finding::warn(TAGS, problem, hint))
}

fn moved_tags(links: &[&Link]) -> Option<Finding> {
    let moved: Vec<_> = links
        .iter()
        .filter(|link| link.tagged.as_ref().is_some_and(|tagged| *tagged != link.commit))
        .collect();
    let link = moved.first()?;
    let (name, commit) = (tag(link.version()), &link.commit);
    Some(Finding::bad(
        TAGS,
        format!(
            "{} not on the commit whose trailers name that version",
            named(moved.iter().map(|link| link.version()))
        ),
        format!(
            "restore it: git fetch origin tag {name} --force, or from the branch: {SKIP_HOOKS}=1 \
            git tag --force {name} {commit}"
        ),
    ))
}

fn missing_tags(git: &Git, links: &[&Link]) -> Option<Finding> {
    let missing: Vec<_> = links.iter().filter(|link| link.tagged.is_none()).collect();
    (!missing.is_empty() && !git.is_shallow()).then(|| {
        Finding::warn(
            TAGS,
            format!("{} missing", named(missing.iter().map(|link| link.version()))),
            "run agent verify --all, which makes them again",
        )
    })
}

fn foreign_tags(git: &Git, links: &[&Link]) -> Finding {
    let foreign = match foreign(git, links) {
        Ok(foreign) => foreign,
        Err(error) => return Finding::of(TAGS, error),
    };
    match foreign.first() {
        None => Finding::ok(
            TAGS,
            "each version on a branch has its tag, and each version tag is on a branch",
        ),
        Some(first) => Finding::warn(
            TAGS,
            format!(
                "{} on a commit that is neither on active nor on a line",
                named(foreign.iter())
            ),
            format!(
                "fetch the branch that contains it, or if it was never published: {SKIP_HOOKS}=1 \
                git tag --delete {}",
                tag(first)
            ),
        ),
    }
}

/// The versions whose tags are on a commit of no branch or of another version, except those on top
/// of `active`, which `forced_back` reports.
fn foreign(git: &Git, links: &[&Link]) -> Result<Vec<Version>, Failure> {
    let ours: HashSet<(&Version, &ObjectId)> =
        links.iter().map(|link| (link.version(), &link.commit)).collect();
    let tip = git.reference(ACTIVE)?.map(|tip| git.commit(&tip)).transpose()?;
    let mut foreign = Vec::new();
    for version in git.versions()? {
        let commit = git.version_commit(&version)?;
        let is_ours = commit.as_ref().is_some_and(|commit| ours.contains(&(&version, commit)));
        let is_ahead = || {
            commit
                .as_ref()
                .zip(tip.as_ref())
                .is_some_and(|(commit, tip)| descends_from(git, commit, tip).is_some())
        };
        if !is_ours && !is_ahead() {
            foreign.push(version);
        }
    }
    Ok(foreign)
}

fn named<'a>(versions: impl ExactSizeIterator<Item = &'a Version>) -> String {
    let count = versions.len();
    let shown: Vec<_> = versions.take(SHOWN).map(tag).collect();
    let more = count.saturating_sub(SHOWN);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    if count == 1 {
        format!("the tag {} is", shown[0])
    } else {
        format!("the tags {}{rest} are", shown.join(", "))
    }
}
