//! A coder's change as a commit, after its paths have been checked.

use crate::error::Failure;
use crate::repository::Repository;
use crate::target::Target;
use crate::versions::evaluators;
use crate::world::git::CommitSpec;
use agent_core::architect::evaluators::Effect;
use agent_core::architect::paths::{self, Judgement, Manifests};
use agent_core::formats::diagnose::Messages as _;
use agent_core::formats::object_id::ObjectId;
use agent_core::version::trailers::Trailers;

/// A change that may be tried.
#[derive(Debug, Clone)]
pub struct Change {
    pub commit: ObjectId,
    pub paths: Vec<String>,
    /// What it does to the evaluators.
    pub effect: Effect,
}

/// The change of a coder.
pub enum CoderResult {
    /// The complete code with the edits.
    Tree(ObjectId),
    /// The edits cannot be read as a tree, or are refused.
    Unfit { why: String, paths: Vec<String> },
}

impl CoderResult {
    pub fn unfit(why: impl Into<String>) -> Self {
        Self::Unfit { why: why.into(), paths: Vec::new() }
    }
}

pub enum ChangeOutcome {
    Change(Change),
    Refused { why: String, paths: Vec<String> },
}

/// Who made the change, and for what.
pub struct Authorship<'a> {
    pub message: Option<&'a str>,
    pub feedback: &'a [String],
    pub coder: &'a str,
}

/// Takes the difference between what a coder left and what it started from.
pub fn take(
    left: CoderResult,
    active: &Target,
    repository: &Repository,
    by: &Authorship<'_>,
) -> Result<ChangeOutcome, Failure> {
    let base = active.commit.as_ref().expect("active is a commit");
    let tree = match left {
        CoderResult::Tree(tree) => tree,
        CoderResult::Unfit { why, paths } => return Ok(ChangeOutcome::Refused { why, paths }),
    };
    let touched = repository.git.diff(Some(base), &tree)?;
    let paths: Vec<String> = touched.iter().map(|change| change.path.clone()).collect();
    let refused = |why: String| Ok(ChangeOutcome::Refused { why, paths: paths.clone() });
    let new = match repository.manifest(&tree) {
        Ok(manifest) => manifest,
        Err(error) => return refused(error.messages().join(": ")),
    };
    let judges = evaluators::judges(&repository.git, base)?;
    let evaluators = match paths::judge(
        &touched,
        &Manifests { old: &active.manifest, new: &new, judges: &judges },
    ) {
        Judgement::Nothing => return refused("the coder changed nothing".to_owned()),
        Judgement::Refused { why } => return refused(why),
        Judgement::Allowed { evaluators } => evaluators,
    };
    let effect = evaluators::of(repository, base, &tree, &active.manifest, &evaluators)?;
    let commit = commit(tree, base, repository, by)?;
    Ok(ChangeOutcome::Change(Change { commit, paths, effect }))
}

fn commit(
    tree: ObjectId,
    base: &ObjectId,
    repository: &Repository,
    by: &Authorship<'_>,
) -> Result<ObjectId, Failure> {
    let fallback = format!("architect: answer {}", by.feedback.join(", "));
    let message = by.message.unwrap_or(&fallback);
    let (subject, body) = message.split_once('\n').unwrap_or((message, ""));
    let trailers = Trailers {
        feedback: by.feedback.to_vec(),
        coder: Some(by.coder.to_owned()),
        ..Trailers::default()
    };
    let spec =
        CommitSpec { tree, parents: vec![base.clone()], message: trailers.message(subject, body) };
    Ok(repository.git.write_commit(&spec)?)
}
