//! The evaluations of a version: its tiers, their cases, and one case with its call and result.

use super::parameters::{ANY, PAGE};
use super::reader::{Reader, of_version};
use super::results::Cases;
use crate::rest::{Call, Kind, Problem, Reply, Route};
use agent_core::formats::manifest::Tier;
use agent_core::formats::natural;
use agent_core::testing::case_result::{CaseResult, Outcome};
use agent_core::testing::evaluation::TierSummary;
use agent_core::version::registry::evaluation_key;
use agent_core::version::tag;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::versions::stored::StoredTiers;
use agent_engine::world::git::CommitInfo;
use serde_json::{Map, Value, json};

const TIER: Kind = Kind::OneOf(&["micro", "fast", "full"]);
const OUTCOMES: Kind = Kind::OneOf(&["passed", "failed", "errored"]);
const USUAL: usize = 100;
pub(super) fn routes() -> Vec<Route<Reader>> {
    vec![
        of_version(Route::get(
            "/v1/versions/{version}/evaluations",
            "listEvaluations",
            "The evaluation of a version by tier.",
            tiers,
        ))
        .answers(200, "Evaluations", "The summaries of the tiers that were run."),
        of_version(Route::get(
            "/v1/versions/{version}/evaluations/{tier}",
            "listCases",
            "The cases of a tier by id (`case-2` before `case-10`), a page at a time.",
            cases,
        ))
        .part("tier", TIER, "A tier.")
        .query("limit", PAGE, "The maximum number of cases [default: 100].")
        .query("after", ANY, "Only cases after this one: the `next` of the previous page.")
        .query("outcome", OUTCOMES, "Only cases with this outcome.")
        .answers(200, "Cases", "A page of the results."),
        of_version(Route::get(
            "/v1/versions/{version}/evaluations/{tier}/{case}",
            "showCase",
            "One case: its call, the expectation, and the result.",
            case,
        ))
        .part("tier", TIER, "A tier.")
        .part("case", ANY, "The id of a case.")
        .answers(200, "Case", "The case."),
    ]
}

fn tiers(reader: &mut Reader, call: &Call<'_>) -> Result<Reply, Problem> {
    let commit = reader.commit(&call.path("version")?)?;
    // without the store the tiers are unknown; the rest is answered from git
    let kept = StoredTiers::of(&reader.repository, &commit).ok();
    let summaries = |kept: &StoredTiers| {
        kept.tiers()
            .filter_map(|tier| Some((tier.to_string(), json!(kept.tier(tier)?.0))))
            .collect::<Map<_, _>>()
    };
    let tiers = kept.as_ref().map(summaries);
    let own = commit
        .trailers
        .eval
        .as_ref()
        .map(|digest| json!({"digest": digest, "uri": evaluation_key(commit.id.as_str())}));
    Ok(Reply::json(&json!({
        "schema": "agent/evaluations@1", "version": commit.trailers.version, "commit": commit.id,
            "eval": own, "tiers": tiers,
    })))
}

/// A tier of the version in the path.
struct Requested {
    commit: CommitInfo,
    tier: Tier,
    summary: TierSummary,
    results: Cases,
}

fn requested(reader: &Reader, call: &Call<'_>) -> Result<Requested, Problem> {
    let (commit, tier) = (reader.commit(&call.path("version")?)?, call.path("tier")?);
    let shown = commit.trailers.version.as_ref().map_or_else(|| commit.id.to_string(), tag);
    let not_kept = |what: &str| {
        let hint = format!("run in the repository: agent test --at {shown} --tier {tier}");
        Problem::not_found(format!("{what} of {shown} is not in the object store")).with_hint(hint)
    };
    let kept = StoredTiers::of(&reader.repository, &commit)?;
    let (summary, _) =
        kept.tier(tier).cloned().ok_or_else(|| not_kept(&format!("the tier {tier}")))?;
    let results = reader
        .results
        .of(&kept, &commit, tier, &summary)?
        .ok_or_else(|| not_kept(&format!("each case of the tier {tier}")))?;
    Ok(Requested { commit, tier, summary, results })
}

fn cases(reader: &mut Reader, call: &Call<'_>) -> Result<Reply, Problem> {
    let Requested { commit, tier, summary, results } = requested(reader, call)?;
    let limit = call.query("limit")?.unwrap_or(USUAL);
    let after: Option<String> = call.query("after")?;
    let outcome = match call.query::<String>("outcome")?.as_deref() {
        Some("passed") => Some(Outcome::Passed),
        Some("failed") => Some(Outcome::Failed),
        Some(_) => Some(Outcome::Errored),
        None => None,
    };
    let begin = after.map_or(0, |after| {
        results.partition_point(|result| natural::compare(&result.id, &after).is_le())
    });
    let mut rest = results[begin..]
        .iter()
        .filter(|result| outcome.is_none_or(|outcome| result.outcome == outcome));
    let page: Vec<&CaseResult> = rest.by_ref().take(limit).collect();
    let next = rest.next().and(page.last()).map(|last| last.id.as_str());
    let reply = Reply::json(&json!({
        "schema": "agent/cases@1", "version": commit.trailers.version, "commit": commit.id,
            "tier": tier, "summary": summary, "cases": page, "next": next,
    }));
    let reply = reader.results.lasting(reply, &summary);
    Ok(call.with_next(reply, next))
}

fn case(reader: &mut Reader, call: &Call<'_>) -> Result<Reply, Problem> {
    let Requested { commit, tier, summary, results } = requested(reader, call)?;
    let id: String = call.path("case")?;
    let found = results.binary_search_by(|result| natural::compare(&result.id, &id)).ok();
    let result = found
        .map(|at| &results[at])
        .ok_or_else(|| Problem::not_found(format!("there is no case `{id}` in the tier {tier}")))?;
    let reply = Reply::json(&json!({
        "schema": "agent/case@1", "version": commit.trailers.version, "commit": commit.id,
            "tier": tier, "result": result,
        "definition": definition(&reader.repository, &commit, result)?,
    }));
    Ok(reader.results.lasting(reply, &summary))
}

/// The case's definition in the commit; `None` for a held-out case.
fn definition(
    repository: &Repository,
    commit: &CommitInfo,
    result: &CaseResult,
) -> Result<Option<Value>, Failure> {
    let place = result
        .place
        .as_deref()
        .filter(|_| !result.is_held_out())
        .and_then(|place| place.rsplit_once(':'));
    let Some((path, Ok(line))) = place.map(|(path, line)| (path, line.parse::<usize>())) else {
        return Ok(None);
    };
    let Some(bytes) = repository.git.read(&commit.id, path)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    let value = text
        .lines()
        .nth(line.saturating_sub(1))
        .and_then(|line| serde_json::from_str::<Value>(line).ok());
    // a file outside the commit may have changed since the case was run
    Ok(value.filter(|value| value["id"] == result.id.as_str()))
}
