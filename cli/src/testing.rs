//! Tiers of a target: from the cache or run, and the evaluation they make.

use crate::children;
use crate::context::Context;
use crate::error::CommandError;
use crate::repository::Repository;
use crate::runner::attempt::Answered;
use crate::runner::cases::{self, SCORERS, TierCases};
use crate::runner::child::Role;
use crate::runner::tier::{self, TierJob};
use crate::target::Target;
use crate::world::fs::read_if_there;
use crate::world::store::{Store, StoreError, evaluation_key, results_key};
use crate::world::{clock, process, python};
use agent_core::budget::{self, Budget, Budgets};
use agent_core::canonical;
use agent_core::evaluation::{CaseResult, Definitions, Evaluation, TierFold, TierSummary};
use agent_core::event::Event;
use agent_core::manifest::{Manifest, Tier};
use agent_core::object_id::{ObjectId, digest};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Instant;

/// Part I of N of a tier, by a hash of the case's id that is the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// From 1.
    pub index: u32,
    pub of: u32,
}

impl Part {
    fn holds(self, id: &str) -> bool {
        crc32fast::hash(id.as_bytes()) % self.of == self.index - 1
    }
}

impl std::str::FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((index, of)) if 1 <= index && index <= of => Ok(Self { index, of }),
            _ => Err(format!("`{text}` is no part; write I/N, such as 2/4")),
        }
    }
}

/// How to run a tier.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub tier: Tier,
    /// Runners at once; `None` is as many as there are cores.
    pub shards: Option<usize>,
    pub part: Option<Part>,
    /// How often each case is run, at least.
    pub repeats: u32,
    /// Take a stored result of the same code and state.
    pub cache: bool,
    pub keep_goldens: bool,
    /// When it is given up, having said nothing.
    pub deadline: Option<Instant>,
}

impl Request {
    pub fn new(tier: Tier) -> Self {
        Self { tier, shards: None, part: None, repeats: 1, cache: true, keep_goldens: false, deadline: None }
    }
}

/// A tier that was run, or was found in the cache.
#[derive(Debug)]
pub struct TierOutcome {
    pub tier: Tier,
    pub summary: TierSummary,
    /// Events as stored lines; `results` reads them.
    pub lines: String,
    pub definitions: Definitions,
    pub goldens: Vec<Answered>,
}

impl TierOutcome {
    /// By case id.
    pub fn results(&self) -> Vec<CaseResult> {
        let mut fold = TierFold::default();
        for event in self.lines.lines().filter_map(Event::from_line) {
            fold.take(event);
        }
        fold.into_results()
    }
}

/// What the results of a tier depend on: the code (with cases, scorers, budgets and lock), the state, the interpreter and the machine's kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheKey(String);

impl CacheKey {
    /// Starts no process: what interpreters answered is remembered.
    pub fn new(
        repository: &Repository,
        manifest: &Manifest,
        code: &ObjectId,
        revision: &ObjectId,
        request: &Request,
    ) -> Result<Self, CommandError> {
        let interpreter = python::find(&repository.layout, &manifest.python.requires)?;
        let part = request.part.map(|part| format!("{}/{}", part.index, part.of));
        let platform = [std::env::consts::OS, std::env::consts::ARCH];
        let python = [interpreter.implementation, interpreter.version];
        let parts = json!(["agent/tier@1", request.tier, part, code, revision, python, platform]);
        Ok(Self(digest(canonical::to_compact(&parts).as_bytes()).trim_start_matches("sha256:").to_owned()))
    }

    fn summary(&self) -> String {
        format!("results/{}/{}.json", &self.0[..2], self.0)
    }

    fn lines(&self) -> String {
        format!("results/{}/{}.jsonl", &self.0[..2], self.0)
    }
}

/// The small half of a cached tier: all that a hook needs.
#[derive(Debug, Serialize, Deserialize)]
pub struct CachedTier {
    schema: String,
    pub tier: Tier,
    pub summary: TierSummary,
    pub definitions: Definitions,
}

const CACHED: &str = "agent/cached-tier@1";

/// The stored summary, `cached` counting all its cases; one small read.
pub fn look_up(store: &Store, key: &CacheKey) -> Result<Option<CachedTier>, StoreError> {
    let bytes = store.get(&key.summary())?;
    let found = bytes.and_then(|bytes| serde_json::from_slice::<CachedTier>(&bytes).ok());
    // a case whose quarantine has ended since counts again
    let still_holds = |until: &String| clock::today() < *until;
    let found = found.filter(|found| found.schema == CACHED && found.summary.quarantined_until.as_ref().is_none_or(still_holds));
    Ok(found.map(|mut found| {
        found.summary.cached = found.summary.cases;
        found
    }))
}

fn look_up_whole(store: &Store, key: &CacheKey) -> Result<Option<TierOutcome>, StoreError> {
    let Some(found) = look_up(store, key)? else { return Ok(None) };
    let lines = store.get(&key.lines())?.and_then(|bytes| String::from_utf8(bytes).ok());
    // lines that are not those the summary was made of are no evidence
    let lines = lines.filter(|lines| found.summary.results.as_deref() == Some(digest(lines.as_bytes()).as_str()));
    let CachedTier { tier, summary, definitions, .. } = found;
    Ok(lines.map(|lines| TierOutcome { tier, summary, lines, definitions, goldens: Vec::new() }))
}

fn keep(store: &Store, key: &CacheKey, outcome: &TierOutcome) -> Result<(), StoreError> {
    let cached = CachedTier {
        schema: CACHED.to_owned(),
        tier: outcome.tier,
        summary: outcome.summary.clone(),
        definitions: outcome.definitions.clone(),
    };
    store.put(&key.lines(), outcome.lines.clone().into_bytes())?;
    store.put(&key.summary(), serde_json::to_vec(&cached).expect("a summary serialises"))
}

/// Whether another run would say the same: nothing crashed or was repeated for its chance, all was run, and no time was too long.
fn is_repeatable(summary: &TierSummary) -> bool {
    let Budget { wall_s, p95_ms, .. } = summary.budget;
    let certain = summary.errored == 0 && summary.missing == 0 && summary.flaky == 0 && summary.pass_hat_k.is_none();
    certain && wall_s.is_none_or(|most| summary.wall_s <= most) && p95_ms.is_none_or(|most| summary.p95_ms <= most)
}

/// Runs a tier of a target, or takes its stored result. `on_event` hears of each case that is run now.
pub fn run_tier(
    repository: &Repository,
    target: &Target,
    request: &Request,
    context: &Context,
    on_event: &mut dyn FnMut(&Event),
) -> Result<TierOutcome, CommandError> {
    let store = repository.store(&target.manifest)?;
    let key = match (&target.code, request.keep_goldens) {
        (Some(code), false) if request.repeats == 1 => {
            Some(CacheKey::new(repository, &target.manifest, code, &target.state.revision, request)?)
        }
        _ => None,
    };
    if let (Some(key), true) = (&key, request.cache)
        && let Some(found) = look_up_whole(&store, key)?
    {
        return Ok(found);
    }
    let outcome = run_now(repository, target, request, context, on_event)?;
    if let Some(key) = &key
        && is_repeatable(&outcome.summary)
    {
        keep(&store, key, &outcome)?;
    }
    Ok(outcome)
}

fn run_now(
    repository: &Repository,
    target: &Target,
    request: &Request,
    context: &Context,
    on_event: &mut dyn FnMut(&Event),
) -> Result<TierOutcome, CommandError> {
    let tier = request.tier;
    let runner = children::spec(Role::Runner, target, &repository.layout, context)?;
    let scorer = children::spec(Role::Scorer, target, &repository.layout, context)?;
    let mut job = TierJob::new(tier, runner, scorer, (&target.state.revision, &target.state.path));
    job.shards = request.shards;
    job.keep_goldens = request.keep_goldens;
    job.deadline = request.deadline;
    process::end_on_interrupt();
    let mut defined = None;
    let load = || {
        let TierCases { mut cases, digest } = cases::load(&target.directory, tier)?;
        if let Some(part) = request.part {
            cases.list.retain(|case| part.holds(&case.id));
        }
        cases.as_of(&clock::today());
        cases.repeat(request.repeats);
        defined = Some(definitions(target, tier, digest)?);
        Ok::<_, CommandError>(cases)
    };
    let run = tier::run(&job, load, on_event)?;
    let (budget, definitions) = defined.expect("a tier that was run was loaded");
    let mut summary = run.fold.summary(budget);
    let lines = stored_lines(tier, &run.fold);
    summary.results = Some(digest(lines.as_bytes()));
    Ok(TierOutcome { tier, summary, lines, definitions, goldens: run.goldens })
}

/// By case id, so that the same results have the same digest whichever shard was first.
fn stored_lines(tier: Tier, fold: &TierFold) -> String {
    fold.results().map(|result| Event::case_line(tier, result)).collect()
}

fn definitions(target: &Target, tier: Tier, cases: String) -> Result<(Budget, Definitions), CommandError> {
    let budgets = read_if_there(&target.directory.join(budget::FILE))?;
    let scorers = read_if_there(&target.directory.join(SCORERS))?;
    let budget = match &budgets {
        None => Budget::default(),
        Some(bytes) => Budgets::parse(&String::from_utf8_lossy(bytes), budget::FILE)?.of(tier),
    };
    let definitions =
        Definitions { cases: [(tier, cases)].into(), scorers: scorers.as_deref().map(digest), budgets: budgets.as_deref().map(digest) };
    Ok((budget, definitions))
}

/// The evaluation of a target that these tiers make; `store_evaluation` names the commit.
pub fn evaluation(target: &Target, outcomes: &[TierOutcome]) -> Evaluation {
    let tree = target.tree.as_ref().map(ToString::to_string);
    let mut evaluation = Evaluation::new(tree, Some(target.state.revision.to_string()));
    for outcome in outcomes {
        evaluation.tiers.insert(outcome.tier, outcome.summary.clone());
        let Definitions { cases, scorers, budgets } = outcome.definitions.clone();
        evaluation.definitions.cases.extend(cases);
        evaluation.definitions.scorers = scorers;
        evaluation.definitions.budgets = budgets;
    }
    evaluation
}

/// Stores the evaluation of a commit and its results case by case; false when the commit has one already, which then stays.
pub fn store_evaluation(store: &Store, commit: &ObjectId, evaluation: &Evaluation, outcomes: &[TierOutcome]) -> Result<bool, StoreError> {
    let stored = Evaluation { commit: Some(commit.to_string()), ..evaluation.clone() };
    if store.get(&evaluation_key(commit.as_str()))?.is_some() {
        return Ok(false);
    }
    for outcome in outcomes {
        store.put(&results_key(commit.as_str(), outcome.tier), outcome.lines.clone().into_bytes())?;
    }
    store.put_new(&evaluation_key(commit.as_str()), stored.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_split_the_cases_without_rest() {
        let parts: Vec<Part> = ["1/3", "2/3", "3/3"].map(|text| text.parse().unwrap()).into();
        for id in ["a", "b", "case-17", "é"] {
            assert_eq!(parts.iter().filter(|part| part.holds(id)).count(), 1, "{id}");
        }
        // other machines run the other parts, so the split may never change
        assert!(Part { index: 3, of: 4 }.holds("c-1"));
        for wrong in ["0/2", "3/2", "1", "a/b", "1/0"] {
            assert!(wrong.parse::<Part>().is_err(), "{wrong}");
        }
    }
}
