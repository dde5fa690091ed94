//! Gathers the brief of a coder.

use crate::architect::trial::Baseline;
use crate::conversations;
use crate::error::Failure;
use crate::repository::Repository;
use crate::repository::inbox::Inbox;
use crate::target::Target;
use crate::target::contracts;
use crate::versions::kpi;
use agent_core::architect::brief::{Brief, CASES_SHOWN, Conversation, Idea, Rejected, SCHEMA};
use agent_core::architect::feedback::Feedback;
use agent_core::architect::inspiration::Inspiration;
use agent_core::formats::manifest::{Architect, EvaluatorChanges};
use serde_json::Value;

const BUDGETS_FILE: &str = "ci/budgets.json";

/// Everything that does not change from attempt to attempt.
pub fn gather(
    run: &str,
    items: &[Feedback],
    active: &Target,
    baseline: &mut Baseline<'_>,
    inspirations: &[Inspiration],
    repository: &Repository,
) -> Result<Brief, Failure> {
    let manifest = &active.manifest.architect;
    let failing = baseline.failing()?;
    let not_shown = failing.len().saturating_sub(CASES_SHOWN);
    let contract = contracts::of(active, repository)?;
    Ok(Brief {
        schema: SCHEMA,
        run: run.to_owned(),
        attempt: 0,
        attempts: manifest.attempts,
        time_limit_s: manifest.time_limit_s,
        version: active.version.as_ref().map(agent_core::version::tag),
        feedback: items.to_vec(),
        conversations: conversations(items, repository)?,
        failing: failing.into_iter().take(CASES_SHOWN).collect(),
        failing_not_shown: not_shown,
        kpis: kpis(active, repository)?,
        contract: serde_json::to_value(contract).expect("a Contract is JSON"),
        budgets: budgets(active, repository)?,
        inspirations: inspirations
            .iter()
            .map(|one| Idea {
                id: one.id.clone(),
                title: one.title.clone(),
                about: one.about.clone(),
                not_for: one.not_for.clone(),
                source: one.source.clone(),
            })
            .collect(),
        rejected: rejected(items, repository)?,
        rules: rules(manifest),
    })
}

/// The figures of the served version so far.
fn kpis(active: &Target, repository: &Repository) -> Result<Vec<Value>, Failure> {
    let served = active.version.as_ref().map(ToString::to_string);
    let kpis = kpi::by_version(repository)?
        .0
        .into_iter()
        .filter(|kpi| Some(&kpi.version) == served.as_ref());
    Ok(kpis.map(|kpi| serde_json::to_value(kpi).expect("a KPI is JSON")).collect())
}

fn conversations(
    items: &[Feedback],
    repository: &Repository,
) -> Result<Vec<Conversation>, Failure> {
    let mut found = Vec::new();
    for id in items.iter().filter_map(|item| item.conversation.as_deref()) {
        if let Some(conversation) = conversations::load(&repository.layout, id)? {
            let turns = conversation
                .turns
                .iter()
                .map(|turn| serde_json::to_value(turn).expect("a turn is JSON"))
                .collect();
            found.push(Conversation { id: id.to_owned(), turns });
        }
    }
    Ok(found)
}

/// The attempts of earlier runs for the same feedback.
fn rejected(items: &[Feedback], repository: &Repository) -> Result<Vec<Rejected>, Failure> {
    let same = |run: &&crate::repository::run_report::Report| {
        run.feedback.iter().any(|id| items.iter().any(|item| &item.id == id))
    };
    let runs = Inbox::new(&repository.git).runs()?;
    let failures = runs.iter().filter(same).flat_map(|run| {
        let failures = run.progress.failures.iter();
        failures.map(|failure| Rejected {
            run: run.run.clone(),
            attempt: failure.attempt,
            why: failure.why.clone(),
        })
    });
    Ok(failures.collect())
}

fn budgets(active: &Target, repository: &Repository) -> Result<Value, Failure> {
    let commit = active.commit.as_ref().expect("active is a commit");
    let bytes = repository.git.read(commit, BUDGETS_FILE)?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null))
}

fn rules(architect: &Architect) -> Vec<String> {
    let evaluators = match architect.evaluators {
        EvaluatorChanges::Propose => "ends in a branch for a maintainer",
        EvaluatorChanges::AllowAdditions => {
            "ends in a branch for a maintainer, unless it only adds cases to files below tests/"
        }
    };
    let protected = ["tests", "ci", "agent.toml", "hidden files"]
        .into_iter()
        .chain(architect.protect.iter().map(|path| path.trim_end_matches('/')));
    let mut named: Vec<_> = protected.collect();
    named.sort_unstable();
    named.dedup();
    vec![
        "change only files; what is in the workplace when you end is the change, whatever you \
        commit"
            .to_owned(),
        "leave the state, .git, .agent and agent_runtime alone; such a change is refused"
            .to_owned(),
        format!(
            "a change of evaluators ({}) is judged by them as they are now, and {evaluators}",
            named.join(", ")
        ),
        "a change that breaks the Contract is not released by a run; find a way that does not"
            .to_owned(),
        "a change that improves no case is not released by a run, even if it does no harm"
            .to_owned(),
        "the message of the commit may be written to the file named in AGENT_COMMIT_MESSAGE \
        (Conventional Commits)"
            .to_owned(),
    ]
}
