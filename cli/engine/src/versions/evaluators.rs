//! Which evaluators judge a version, and what a change does to them: gathered from git objects,
//! judged in core.

use crate::error::Failure;
use crate::repository::Repository;
use crate::target::Target;
use crate::target::evaluators::{Evaluators, Source};
use crate::world::git::{CommitInfo, Entry, Git, Mode};
use agent_core::architect::evaluators::{
    CaseFile, Effect, effect, files_to_read, judging_arguments,
};
use agent_core::architect::paths::{Evaluator, Manifests, evaluators};
use agent_core::formats::manifest::{self, EvaluatorChanges, Manifest, Tier};
use agent_core::formats::object_id::ObjectId;
use agent_core::testing::case::Cases;
use agent_core::version::Kind;
use agent_core::version::trailers::is_unattended;
use std::collections::{BTreeMap, BTreeSet};

/// The evaluators for changes on top of a version. They exclude cases that coders added since the
/// last release by a maintainer: a coder could otherwise outweigh the other cases when its next
/// change is judged.
pub fn judging(repository: &Repository, served: &Target) -> Result<Evaluators, Failure> {
    let own = served.own_evaluators();
    match &served.commit {
        Some(commit)
            if served.manifest.architect.evaluators == EvaluatorChanges::AllowAdditions =>
        {
            let decided = decided_on(&repository.git, commit)?;
            Ok(Evaluators {
                manifest: repository.manifest(&decided)?,
                source: Source::Objects(decided),
            })
        }
        // no other change adds cases
        _ => Ok(own),
    }
}

/// Like `judging`: the commit whose evaluators judge changes on top of a version.
pub fn judging_on(git: &Git, served: &ObjectId) -> Result<ObjectId, Failure> {
    decided_or(git, served, served)
}

/// The commit with the last evaluators approved by a maintainer, where coders may add cases to
/// those of `served`, else `otherwise`.
fn decided_or(git: &Git, served: &ObjectId, otherwise: &ObjectId) -> Result<ObjectId, Failure> {
    let bytes = git.read(served, manifest::FILE).ok().flatten();
    let manifest = bytes.and_then(|bytes| Manifest::read(&bytes, manifest::FILE).ok());
    let allows_additions = manifest
        .is_some_and(|manifest| manifest.architect.evaluators == EvaluatorChanges::AllowAdditions);
    if allows_additions { decided_on(git, served) } else { Ok(otherwise.clone()) }
}

/// The commit whose evaluators the evaluation of a version was made with. A rollback has the
/// evaluation of the version that it serves again.
pub fn judged_by(git: &Git, version: &CommitInfo) -> Result<ObjectId, Failure> {
    let parent = version.parents.first().filter(|parent| git.exists(parent));
    // where coders may not add cases, a version's own tree has what judged it, and what differs
    // there is found
    match (version.trailers.kind, parent) {
        (Some(Kind::Promotion), Some(parent)) => decided_or(git, parent, &version.id),
        (Some(Kind::Release), Some(parent)) if is_unattended(version.trailers.coder.as_deref()) => {
            decided_or(git, parent, &version.id)
        }
        (Some(Kind::Rollback), Some(parent)) => {
            for earlier in git.first_parents(parent) {
                let earlier = earlier?;
                if earlier.tree == version.tree {
                    return judged_by(git, &earlier);
                }
            }
            Ok(version.id.clone())
        }
        _ => Ok(version.id.clone()),
    }
}

/// The newest version at or before this one with evaluators approved by a maintainer.
fn decided_on(git: &Git, version: &ObjectId) -> Result<ObjectId, Failure> {
    let mut again = None;
    let mut newest = version.clone();
    for commit in git.first_parents(version) {
        let commit = commit?;
        if again.as_ref().is_some_and(|tree| *tree != commit.tree) {
            continue;
        }
        again = None;
        newest = commit.id;
        match commit.trailers.as_version() {
            // it serves what an earlier version served
            Some((Kind::Rollback, _)) => again = Some(commit.tree),
            Some((Kind::Release, _)) if is_unattended(commit.trailers.coder.as_deref()) => {}
            Some((Kind::Promotion, _)) => {}
            Some((Kind::Release, _)) | None => break,
        }
    }
    Ok(newest)
}

/// What a version that a coder made did to the evaluators of the one it replaced. Both are commits
/// or trees.
pub fn between(
    repository: &Repository,
    served: &ObjectId,
    new: &ObjectId,
) -> Result<Effect, Failure> {
    let changed = repository.git.diff(Some(served), new)?;
    let (old, new_manifest) = (repository.manifest(served)?, repository.manifest(new)?);
    let judges = judges(&repository.git, served)?;
    let touched =
        evaluators(&changed, &Manifests { old: &old, new: &new_manifest, judges: &judges });
    of(repository, served, new, &old, &touched)
}

/// Like `between`, where the evaluators that are touched are known.
pub fn of(
    repository: &Repository,
    served: &ObjectId,
    new: &ObjectId,
    manifest: &Manifest,
    touched: &[Evaluator],
) -> Result<Effect, Failure> {
    let mode = manifest.architect.evaluators;
    let Some(paths) = files_to_read(touched, mode) else { return Ok(effect(touched, mode, None)) };
    let files = paths
        .into_iter()
        .map(|path| case_file(&repository.git, served, new, path))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(effect(touched, mode, Some((&files, &served_cases(&repository.git, served)?))))
}

/// The files that cases of a tree name as their judges.
pub fn judges(git: &Git, tree: &ObjectId) -> Result<BTreeSet<String>, Failure> {
    let texts = case_files(git, tree)?.into_iter().map(|(_, _, text)| text).collect::<Vec<_>>();
    let mut judges = judging_arguments(texts.iter().map(String::as_str));
    // the others are options, and programs of the machine
    judges.retain(|word| {
        matches!(git.entry(tree, word), Ok(Some(Entry { mode: Mode::File | Mode::Executable, .. })))
    });
    Ok(judges)
}

fn served_cases(git: &Git, tree: &ObjectId) -> Result<BTreeMap<Tier, Cases>, Failure> {
    let mut served: BTreeMap<Tier, Cases> = BTreeMap::new();
    for (tier, path, text) in case_files(git, tree)? {
        served.entry(tier).or_default().read(&text, &path)?;
    }
    Ok(served)
}

/// Tier, path and text of every file of cases.
pub fn case_files(git: &Git, tree: &ObjectId) -> Result<Vec<(Tier, String, String)>, Failure> {
    let mut files = Vec::new();
    for tier in Tier::ALL {
        for file in git
            .files(tree, &format!("tests/{tier}"))?
            .into_iter()
            .filter(|file| file.path.strip_suffix(".jsonl").is_some())
        {
            files.push((
                tier,
                file.path,
                String::from_utf8_lossy(&git.blob(&file.id)?).into_owned(),
            ));
        }
    }
    Ok(files)
}

fn case_file(
    git: &Git,
    served: &ObjectId,
    new: &ObjectId,
    path: &str,
) -> Result<CaseFile, Failure> {
    Ok(CaseFile {
        path: path.to_owned(),
        before: git.read(served, path)?,
        after: git.read(new, path)?,
    })
}
