//! Caches a complete tier by its inputs: two small reads, for hooks and repeated runs.

use super::outcome::TierOutcome;
use super::request::Request;
use crate::error::Failure;
use crate::repository::Repository;
use crate::target::evaluators::Evaluators;
use crate::templates;
use crate::world::store::{Store, StoreError};
use crate::world::{clock, env, node, python};
use agent_core::formats::canonical;
use agent_core::formats::manifest::{Manifest, Tier};
use agent_core::formats::object_id::{ObjectId, digest};
use agent_core::testing::budget::Budget;
use agent_core::testing::cached_result::Reuse;
use agent_core::testing::definitions::Definitions;
use agent_core::testing::evaluation::{TierSummary, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const SCHEMA: &str = "agent/tier@3";

/// What the results of a tier depend on: the code with its lock, the state, the evaluators, the
/// interpreters and the machine's kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheKey(String);

impl CacheKey {
    /// Starts no process: what interpreters answered is remembered. `None` where what judges can
    /// change at any time.
    pub fn new(
        repository: &Repository,
        (manifest, code, revision): (&Manifest, &ObjectId, &ObjectId),
        evaluators: &Evaluators,
        request: &Request,
    ) -> Result<Option<Self>, Failure> {
        let Some(identity) = evaluators.identity(&repository.git)? else { return Ok(None) };
        let part = request.part.map(|part| format!("{}/{}", part.index, part.of));
        let platforms = platforms(repository, manifest, &evaluators.manifest)?;
        let scoring = scoring_environment(&evaluators.manifest);
        let parts = json!([
            SCHEMA,
            request.tier,
            part,
            code,
            revision,
            platforms,
            identity,
            scoring,
            templates::harness_digest()
        ]);
        Ok(Some(Self(
            digest(canonical::to_compact(&parts).as_bytes())
                .trim_start_matches("sha256:")
                .to_owned(),
        )))
    }

    fn summary(&self) -> String {
        format!("results/{}/{}.json", &self.0[..2], self.0)
    }

    fn lines(&self) -> String {
        format!("results/{}/{}.jsonl", &self.0[..2], self.0)
    }
}

/// Where it runs, as far as that can change an answer.
pub(super) fn platform(repository: &Repository, manifest: &Manifest) -> Result<Value, Failure> {
    let interpreter = python::find(&repository.layout, &manifest.python.requires)?;
    let node = manifest.node.as_ref().map(|_| node::version(&repository.layout)).transpose()?;
    let words = [
        interpreter.implementation,
        interpreter.version,
        std::env::consts::OS.to_owned(),
        std::env::consts::ARCH.to_owned(),
    ];
    Ok(json!(words.into_iter().chain(node).collect::<Vec<_>>()))
}

/// The confinement of the code and of its evaluators; the limits, where they differ from its own
/// manifest.
pub(super) fn platforms(
    repository: &Repository,
    code: &Manifest,
    evaluators: &Manifest,
) -> Result<Vec<Value>, Failure> {
    let of_code = platform(repository, code)?;
    let of_evaluators =
        if (&code.python.requires, &code.node) == (&evaluators.python.requires, &evaluators.node) {
            of_code.clone()
        } else {
            platform(repository, evaluators)?
        };
    let held = code.held_to(evaluators);
    let bounds = (held != *code).then(|| json!([held.runner, held.limits]));
    Ok([of_code, of_evaluators, json!(environment(code, evaluators))]
        .into_iter()
        .chain(bounds)
        .collect())
}

/// The variables that a Runner's answers depend on, by digest. It gets those that the judging
/// manifest declares.
pub(super) fn environment(code: &Manifest, judging: &Manifest) -> BTreeMap<String, String> {
    env::depended_on(&judging.runner.env, &code.python)
}

/// The same of scorers and judge commands.
pub(super) fn scoring_environment(judging: &Manifest) -> BTreeMap<String, String> {
    env::depended_on(&judging.evaluators.env, &judging.python)
}

/// The small half of a cached tier: all that a hook needs.
#[derive(Debug, Serialize, Deserialize)]
pub struct CachedTier {
    schema: String,
    pub tier: Tier,
    pub summary: TierSummary,
    pub definitions: Definitions,
    /// Every case was run under this identical state. Absent in entries of an earlier `agent`,
    /// which did not record it.
    #[serde(default)]
    exact: bool,
}

const CACHED: &str = "agent/cached-tier@1";

/// The stored summary, `cached` counting all its cases; one small read.
pub fn look_up(store: &Store, key: &CacheKey) -> Result<Option<CachedTier>, StoreError> {
    let bytes = store.get(&key.summary())?;
    let found = bytes.and_then(|bytes| serde_json::from_slice::<CachedTier>(&bytes).ok());
    // a case whose quarantine has ended since counts again
    let still_holds = |until: &String| clock::today() < *until;
    let found = found.filter(|found| {
        found.schema == CACHED && found.summary.quarantined_until.as_ref().is_none_or(still_holds)
    });
    Ok(found.map(|mut found| {
        found.summary.cached = found.summary.cases;
        found
    }))
}

pub(super) fn look_up_whole(
    store: &Store,
    key: &CacheKey,
    reuse: Reuse,
) -> Result<Option<TierOutcome>, StoreError> {
    let takes = |found: &CachedTier| reuse == Reuse::SameReads || found.exact;
    let Some(found) = look_up(store, key)?.filter(takes) else { return Ok(None) };
    let lines = store.get(&key.lines())?.and_then(|bytes| String::from_utf8(bytes).ok());
    // lines that are not those the summary was made of are no evidence
    let lines = lines.filter(|lines| {
        found.summary.results.as_deref() == Some(digest(lines.as_bytes()).as_str())
    });
    let CachedTier { tier, summary, definitions, .. } = found;
    Ok(lines.map(|lines| TierOutcome::stored(tier, summary, definitions, lines)))
}

pub(super) fn keep(
    store: &Store,
    key: &CacheKey,
    outcome: &TierOutcome,
    exact: bool,
) -> Result<(), StoreError> {
    let cached = CachedTier {
        schema: CACHED.to_owned(),
        tier: outcome.tier,
        summary: outcome.summary.clone(),
        definitions: outcome.definitions.clone(),
        exact,
    };
    store.put_rebuildable(&key.lines(), outcome.lines.clone().into_bytes())?;
    store
        .put_rebuildable(&key.summary(), serde_json::to_vec(&cached).expect("a summary serialises"))
}

pub(super) fn forget(store: &Store, key: &CacheKey) -> Result<(), StoreError> {
    store.remove(&key.summary())
}

/// Whether a repeated run would agree: no crash, no repeated cases, all cases run, and no time
/// limit exceeded.
pub(super) fn is_repeatable(summary: &TierSummary) -> bool {
    let certain = summary.errored == 0
        && summary.missing == 0
        && summary.flaky == 0
        && summary.pass_hat_k.is_none();
    certain && summary.verdict != Verdict::NotEnoughEvidence && is_in_time(summary)
}

pub(super) fn is_in_time(summary: &TierSummary) -> bool {
    let Budget { wall_s, p95_ms, .. } = summary.budget;
    wall_s.is_none_or(|most| summary.wall_s <= most)
        && p95_ms.is_none_or(|most| summary.p95_ms <= most)
}
