//! Why a case would be run, or not.

use super::history::History;
use super::known::{Known, RunKey};
use super::memo::{environment, platform};
use super::subject::{judging, scoring};
use crate::error::Failure;
use crate::repository::Repository;
use crate::target::Target;
use crate::target::overlay;
use crate::testing::cases;
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::ObjectId;
use agent_core::testing::cached_result::{Answer, Changed, StateDigests};
use agent_core::testing::case_result::CaseResult;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The known result of a case, which decides whether it would be run.
#[derive(Debug)]
pub struct Explanation {
    pub id: String,
    pub place: String,
    pub tier: Tier,
    pub why: Why,
}

#[derive(Debug)]
pub enum Why {
    /// It would not: this is its result under a state that agrees on the keys it read.
    Known(Box<CaseResult>),
    State(Changed),
    Varies,
    /// Not with this code; what is other than in the tier's last run here, if that is known.
    Never(Vec<String>),
    /// git cannot describe the working tree.
    NoTree,
}

/// `None` when the tier has no such case.
pub fn explain(
    repository: &Repository,
    target: &Target,
    tier: Tier,
    id: &str,
) -> Result<Option<Explanation>, Failure> {
    let evaluators = target.own_evaluators();
    let files = evaluators.files(&repository.git)?;
    let cases = cases::load(&files, tier)?.cases;
    let Some(case) = cases.list.iter().find(|case| case.id == id) else { return Ok(None) };
    let definition = case.definition(&scoring(judging(&files, &cases)?.as_ref()));
    let why = match repository.tree_of(target)? {
        Some(tree) => why(repository, target, (tier, &definition), &tree)?,
        None => Why::NoTree,
    };
    Ok(Some(Explanation { id: id.to_owned(), place: case.place.clone(), tier, why }))
}

fn why(
    repository: &Repository,
    target: &Target,
    (tier, definition): (Tier, &str),
    tree: &ObjectId,
) -> Result<Why, Failure> {
    let store = repository.store(&target.manifest)?;
    let mut known = Known::new(
        &store,
        &repository.layout,
        RunKey::new(repository, &target.manifest, &target.manifest, tree)?,
    );
    known.find()?;
    known.read()?;
    let digests = StateDigests::new(&target.state.value, &target.state.revision)
        .with_applied(overlay::key(target));
    Ok(match known.lookup(definition, &digests) {
        Answer::Known(result) | Answer::SameReads(result) => Why::Known(Box::new(result.clone())),
        Answer::Changed(changed) => Why::State(changed),
        Answer::Varies => Why::Varies,
        Answer::Never => Why::Never(since_last_run(repository, target, tier, tree)?),
    })
}

fn since_last_run(
    repository: &Repository,
    target: &Target,
    tier: Tier,
    tree: &ObjectId,
) -> Result<Vec<String>, Failure> {
    let last = History::read(&repository.layout, tier).last;
    let Some(last) = last.filter(|last| repository.git.exists(&last.tree)) else {
        return Ok(Vec::new());
    };
    let mut changed: Vec<_> = repository
        .git
        .diff(Some(&last.tree), tree)?
        .into_iter()
        .map(|change| change.path)
        .collect();
    changed.retain(|path| !path.starts_with("state/"));
    if last.platform != platform(repository, &target.manifest)? {
        changed.push("the interpreter".to_owned());
    }
    let now = environment(&target.manifest, &target.manifest);
    let names: BTreeSet<_> = now.keys().chain(last.environment.keys()).collect();
    let differs = |name: &&String| now.get(*name) != last.environment.get(*name);
    changed.extend(
        names.into_iter().filter(differs).map(|name| format!("the environment variable {name}")),
    );
    Ok(changed)
}

impl Explanation {
    pub fn would_run(&self) -> bool {
        !matches!(self.why, Why::Known(_))
    }

    /// The reason as a sentence.
    pub fn reason(&self) -> String {
        match &self.why {
            Why::Known(result) => {
                format!("its result is known and still valid: {}", what_it_read(result))
            }
            Why::State(Changed::Keys(keys)) => format!(
                "the state has changed where it was read: \
                {}",
                keys.join(", ")
            ),
            Why::State(_) => "the state has changed, and it read all of it or its Runner does not \
                report what it reads"
                .to_owned(),
            Why::Varies => {
                "it gave two results although nothing had changed, so neither is reused".to_owned()
            }
            Why::Never(changed) if changed.is_empty() => "it was not run with this code".to_owned(),
            Why::Never(changed) => {
                let more = if changed.len() > 5 {
                    format!(" and {} more", changed.len() - 5)
                } else {
                    String::new()
                };
                let first: Vec<_> = changed.iter().take(5).map(String::as_str).collect();
                format!(
                    "it was not run with these inputs yet; changed since the last run here: \
                        {}{more}",
                    first.join(", ")
                )
            }
            Why::NoTree => "git cannot describe the working tree".to_owned(),
        }
    }

    pub fn to_value(&self) -> Value {
        let keys = match &self.why {
            Why::State(Changed::Keys(keys)) => json!(keys),
            _ => json!([]),
        };
        let result = if let Why::Known(result) = &self.why { json!(result) } else { Value::Null };
        json!({"schema": "agent/explanation@1", "id": self.id, "tier": self.tier,
            "place": self.place, "would_run": self.would_run(),
            "why": self.reason(), "changed_keys": keys, "result": result})
    }
}

fn what_it_read(result: &CaseResult) -> String {
    match &result.reads {
        None => "the state is the same".to_owned(),
        Some(keys) if keys.is_empty() => "it read nothing of the state".to_owned(),
        Some(keys) if keys.iter().any(|key| key == "*") => {
            "it read all of the state, which is the same".to_owned()
        }
        Some(keys) => format!("what it read of the state is the same: {}", keys.join(", ")),
    }
}
