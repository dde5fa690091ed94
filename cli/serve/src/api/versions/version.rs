//! One version: its state, its Contract, its provenance. And the difference of two versions.

use super::parameters::{Named, PAGE, VERSION};
use super::reader::{Reader, of_version};
use crate::rest::{Call, Kind, Problem, Reply, Route};
use agent_core::formats::object_id::digest;
use agent_core::state::journal::{self, Record};
use agent_core::version::registry::journal_key;
use agent_core::version::{Kind as Made, tag};
use agent_engine::error::Failure;
use agent_engine::repository::inbox::Inbox;
use agent_engine::target::contracts;
use agent_engine::versions::difference::{code, difference};
use agent_engine::world::clock::rfc3339;
use agent_engine::world::git::CommitInfo;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The default limit of changed cases per tier of a diff.
const FLIPS: Kind = Kind::Integer { least: 0, most: 100_000 };
const USUAL_FLIPS: usize = 1000;
const SEQUENCE: Kind = Kind::Integer { least: 0, most: u64::MAX >> 1 };
const USUAL_SIGNALS: usize = 100;

pub(super) fn routes() -> Vec<Route<Reader>> {
    vec![
        of_version(Route::get(
            "/v1/versions/{version}/state",
            "showState",
            "The learned state of the version.",
            state,
        ))
        .answers(200, "State", "The state."),
        of_version(Route::get(
            "/v1/versions/{version}/contract",
            "showContract",
            "The Contract of the version: its tools and the schema of its state.",
            contract,
        ))
        .answers(200, "Contract", "The Contract."),
        of_version(Route::get(
            "/v1/versions/{version}/provenance",
            "showProvenance",
            "The version's author, base, commits, feedback and Journal.",
            provenance,
        ))
        .answers(200, "Provenance", "The provenance."),
        of_version(Route::get(
            "/v1/versions/{version}/signals",
            "listSignals",
            "The signals that led to the version, oldest first.",
            signals,
        ))
        .query("limit", PAGE, "The maximum number of signals [default: 100].")
        .query(
            "after",
            SEQUENCE,
            "Only signals after this number: the `next` of the previous page.",
        )
        .answers(200, "Signals", "A page of its Journal."),
        Route::get(
            "/v1/diff/{from}...{to}",
            "diff",
            "The difference of two versions: Contract, code, state, and each case with another \
            outcome.",
            diff,
        )
        .part("from", VERSION, "A version.")
        .part("to", VERSION, "Another.")
        .query("limit", FLIPS, "The maximum number of cases of each tier [default: 1000].")
        .answers(
            200,
            "Diff",
            "The difference; missing evidence is listed with the command that creates it.",
        )
        .problems(&[404]),
        Route::get(
            "/v1/diff/{from}...{to}/code",
            "diffCode",
            "The files that differ between two versions, line by line, without the learned state.",
            diff_code,
        )
        .part("from", VERSION, "A version.")
        .part("to", VERSION, "Another.")
        .answers(200, "CodeDiff", "The files by path, and the number of files that are left out.")
        .problems(&[404]),
    ]
}

fn state(reader: &mut Reader, call: &Call<'_>) -> Result<Reply, Problem> {
    let commit = reader.commit(&call.path("version")?)?;
    let document = json!({
        "schema": "agent/state@1", "which": "version", "version": commit.trailers.version,
            "revision": commit.trailers.state,
        "base": null, "dirty": false, "updates": 0,
            "state": reader.repository.state_at(&commit.id)?,
    });
    Ok(Reply::json(&document).immutable())
}

fn contract(reader: &mut Reader, call: &Call<'_>) -> Result<Reply, Problem> {
    let commit = reader.commit(&call.path("version")?)?;
    let kept = contracts::kept(&reader.repository, &commit.id)?.ok_or_else(|| {
        let hint = format!("run in the repository: agent semver v0.0.0..{}", shown(&commit));
        Problem::not_found(format!("the Contract of {} is not in the object store", shown(&commit)))
            .with_hint(hint)
    })?;
    Ok(Reply::json(&kept).immutable())
}

fn shown(commit: &CommitInfo) -> String {
    commit.trailers.version.as_ref().map_or_else(|| commit.id.short().to_owned(), tag)
}

fn provenance(reader: &mut Reader, call: &Call<'_>) -> Result<Reply, Problem> {
    let commit = reader.commit(&call.path("version")?)?;
    let Named(version) = call.path("version")?;
    let trailers = &commit.trailers;
    let base = trailers.base.as_ref().filter(|base| reader.repository.git.exists(base));
    let base = base.map(|base| reader.repository.git.commit(base)).transpose()?;
    let entry = reader.repository.known_entry(&reader.known, &version)?;
    let journal = trailers.journal.as_deref().map(|named| {
        // null where the store cannot be reached
        let records = journal_of(reader, &commit, named).ok();
        let kept = records.as_ref().map(Option::is_some);
        let records = records.flatten();
        json!({"digest": named, "kept": kept, "signals": records.as_ref().map(Vec::len),
            "tools": records.map(by_tool)})
    });
    Ok(Reply::json(&json!({
        "schema": "agent/provenance@1", "version": version, "commit": commit.id,
            "kind": trailers.kind,
        "created": rfc3339(commit.time), "author": commit.author, "subject": commit.subject(),
            "coder": trailers.coder,
        "base": base.as_ref().map(|base| json!({"version": base.trailers.version,
            "commit": base.id})),
        "commits": commits(reader, &commit, base.as_ref())?,
        "feedback": feedback(reader, &trailers.feedback)?,
        "journal": journal, "evaluation": trailers.eval, "contract": trailers.contract,
        "undoes": trailers.undoes, "undone_by": entry.and_then(|(entry,
            _)| entry.evidence.undone_by),
    })))
}

/// The commits of a release: those of people and of coders.
fn commits(
    reader: &Reader,
    commit: &CommitInfo,
    base: Option<&CommitInfo>,
) -> Result<Vec<Value>, Failure> {
    let (Some(Made::Release), Some(base)) = (commit.trailers.kind, base) else {
        return Ok(Vec::new());
    };
    let git = &reader.repository.git;
    let between = git.between(&base.id, &commit.id)?.into_iter().filter(|id| *id != commit.id);
    let infos =
        between.take(USUAL_SIGNALS).map(|id| git.commit(&id)).collect::<Result<Vec<_>, _>>()?;
    let infos = infos.iter().filter(|info| info.trailers.as_version().is_none());
    Ok(infos
        .map(|info| {
            json!({"commit": info.id, "author": info.author, "subject": info.subject(),
        "at": rfc3339(info.time)})
        })
        .collect())
}

/// The feedback items that the version answers, with their text where the inbox has it.
fn feedback(reader: &Reader, ids: &[String]) -> Result<Vec<Value>, Failure> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let items = Inbox::new(&reader.repository.git).items()?;
    let item_of = |id: &String| {
        let item = items.iter().find(|item| item.id == *id);
        json!({"id": id, "text": item.map(|item| &item.text),
            "source": item.map(|item| &item.source), "at": item.map(|item| &item.at),
            "conversation": item.and_then(|item| item.conversation.as_ref())})
    };
    Ok(ids.iter().map(item_of).collect())
}

/// The sealed Journal of a version; `None` where the store does not have it.
fn journal_of(
    reader: &Reader,
    commit: &CommitInfo,
    named: &str,
) -> Result<Option<Vec<Record>>, Failure> {
    let store = reader.repository.store(&reader.repository.manifest(&commit.id)?)?;
    let Some(bytes) = store.get(&journal_key(named))?.filter(|bytes| digest(bytes) == named) else {
        return Ok(None);
    };
    Ok(Some(journal::records(&bytes)?))
}

fn by_tool(records: Vec<Record>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(record.tool).or_default() += 1;
    }
    counts
}

fn signals(reader: &mut Reader, call: &Call<'_>) -> Result<Reply, Problem> {
    let commit = reader.commit(&call.path("version")?)?;
    let limit = call.query("limit")?.unwrap_or(USUAL_SIGNALS);
    let after: u64 = call.query("after")?.unwrap_or(0);
    let named = commit.trailers.journal.as_deref();
    let named = named
        .ok_or_else(|| Problem::not_found(format!("{} was not made of signals", shown(&commit))))?;
    let records = journal_of(reader, &commit, named)?;
    let records = records.ok_or_else(|| {
        Problem::not_found(format!("the Journal of {} is not in the object store", shown(&commit)))
    })?;
    let count = records.len();
    let mut rest = records.iter().filter(|record| record.seq > after);
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let next = rest.next().and(page.last()).map(|last| last.seq);
    let document = json!({
        "schema": "agent/signals@1", "version": commit.trailers.version, "journal": named,
            "count": count,
        "signals": page.into_iter().map(signal).collect::<Vec<_>>(), "next": next,
    });
    let reply = Reply::json(&document).immutable();
    Ok(call.with_next(reply, next))
}

fn signal(record: &Record) -> Value {
    json!({
        "seq": record.seq, "id": record.id, "tool": record.tool, "arguments": record.arguments,
            "at": record.at, "summary": record.summary,
        "conversation": record.conversation.as_ref().map(|conversation| &conversation.id),
            "before": record.before, "after": record.after,
    })
}

fn diff(reader: &mut Reader, call: &Call<'_>) -> Result<Reply, Problem> {
    let (from, to) = (reader.commit(&call.path("from")?)?, reader.commit(&call.path("to")?)?);
    let limit = call.query("limit")?.unwrap_or(USUAL_FLIPS);
    let mut found = difference(&reader.repository, &from.id, &to.id, &BTreeSet::new())?;
    if !reader.results.shows_held_out {
        found.hide_held_out();
    }
    found.cut(limit);
    let reply = Reply::json(&found);
    // missing evidence may be created later, and withheld cases may be shown later
    Ok(if reader.results.shows_held_out && found.missing.is_empty() && !found.tiers.is_empty() {
        reply.immutable()
    } else {
        reply
    })
}

fn diff_code(reader: &mut Reader, call: &Call<'_>) -> Result<Reply, Problem> {
    let (from, to) = (reader.commit(&call.path("from")?)?, reader.commit(&call.path("to")?)?);
    let shows_held_out = reader.results.shows_held_out;
    let reply = Reply::json(&code(&reader.repository, &from, &to, shows_held_out)?);
    // withheld lines may be shown later
    Ok(if shows_held_out { reply.immutable() } else { reply })
}
