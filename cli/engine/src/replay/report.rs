//! The report of a replay: for the terminal, and in the object store without any content.

use super::error::ReplayError;
use crate::error::Failure;
use crate::repository::Repository;
use crate::world::clock;
use crate::world::store::Store;
use agent_core::formats::committed::Warnings;
use agent_core::formats::manifest::Manifest;
use agent_core::replay::units::LeftOut;
use agent_core::replay::verdict::{Compared, How, Report};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub const SCHEMA: &str = "agent/replay@1";
const FOLDER: &str = "replays";

#[derive(Debug)]
pub struct Names {
    pub candidate: String,
    pub baseline: String,
}

#[derive(Debug)]
pub struct Replayed {
    pub names: Names,
    /// Calls on record that were selected.
    pub recorded: usize,
    /// Calls that were run on their own, each distinct one once, and distinct conversations.
    pub distinct: usize,
    pub conversations: usize,
    /// The recorded calls that these stand for.
    pub calls: usize,
    /// Distinct calls and conversations beyond the sample.
    pub sampled_away: usize,
    pub left_out: LeftOut,
    /// Distinct calls whose baseline answer is the recorded one.
    pub from_record: usize,
    /// Tools whose record does not come out the same again: how many of how many calls differed.
    pub unsteady: BTreeMap<String, [usize; 2]>,
    pub report: Report,
    pub warnings: Warnings,
}

impl Replayed {
    /// `agent/replay@1`.
    pub fn document(&self) -> Value {
        let report = &self.report;
        let differing: Vec<&Compared> = report.shown().collect();
        let unsteady: BTreeMap<_, _> = self
            .unsteady
            .iter()
            .map(|(tool, [differing, repeated])| {
                (tool, json!({"differing": differing, "repeated": repeated}))
            })
            .collect();
        json!({
            "schema": SCHEMA, "at": clock::rfc3339(clock::now()),
            "candidate": self.names.candidate, "baseline": self.names.baseline,
            "recorded": self.recorded, "replayed": self.calls, "distinct": self.distinct,
            "conversations": self.conversations, "sampled_away": self.sampled_away,
            "left_out": self.left_out, "from_record": self.from_record, "unsteady": unsteady,
            "worse": report.count(How::Worse), "better": report.count(How::Better),
            "undecided": report.count(How::Undecided),
            "unrepeatable": report.count(How::Unrepeatable), "same": report.count(How::Same),
            "verdict": report.verdict, "reasons": report.reasons, "gate": report.gate,
            "differing": differing,
        })
    }

    /// In the object store; reasons quote answers, which stay in the record.
    pub(super) fn keep(&self, repository: &Repository, manifest: &Manifest) -> Result<(), Failure> {
        let mut document = self.document();
        for one in document["differing"].as_array_mut().into_iter().flatten() {
            if let Some(members) = one.as_object_mut() {
                members.remove("why");
            }
        }
        let now = clock::now().as_millisecond();
        let key = format!("{FOLDER}/{now:015}-{}.json", clock::fresh_id("r"));
        let kept = repository.store(manifest)?.put(&key, document.to_string().into_bytes());
        Ok(kept?)
    }
}

/// The ids of what differed in the last replay.
pub fn last_differing(
    repository: &Repository,
    manifest: &Manifest,
) -> Result<BTreeSet<String>, Failure> {
    let store: Store = repository.store(manifest)?;
    let last = store.list(FOLDER)?.into_iter().max();
    let bytes = last.map(|key| store.get(&key)).transpose()?.flatten();
    let bytes = bytes.ok_or(ReplayError::NoReplay)?;
    let document: Value = serde_json::from_slice(&bytes).map_err(|_| ReplayError::NoReplay)?;
    let ids = document["differing"].as_array().into_iter().flatten();
    Ok(ids.filter_map(|one| one["id"].as_str().map(str::to_owned)).collect())
}
