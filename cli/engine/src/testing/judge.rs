//! Programs of the repository that judge an answer; their answers are stored, so that a judge that
//! costs money runs once.

use crate::child::link::ChildSpec;
use crate::world::process::Finished;
use crate::world::python;
use crate::world::store::Store;
use agent_core::child::stderr_tail;
use agent_core::formats::canonical;
use agent_core::formats::manifest::EntryPoint;
use agent_core::formats::object_id::digest;
use agent_core::testing::opinion::{CommandCall, Opinion};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;

const SCHEMA: &str = "agent/judgement@2";
/// How much of a judge's output is shown.
const SHOWN: usize = 160;

/// The programs of the evaluators.
pub struct Judges {
    /// The process that runs `tests/scorers.py`, and the folder and environment of judge commands.
    /// A worker that needs it starts it.
    pub scorer: ChildSpec,
    /// The digest of all their files.
    pub digest: String,
}

/// All inputs of a judge, which form the key of its answer.
pub(super) struct Question<'a> {
    pub(super) call: &'a CommandCall,
    pub(super) case: Value,
    pub(super) result: &'a Value,
    pub(super) judges: &'a Judges,
}

#[derive(Serialize, Deserialize)]
struct StoredAnswer {
    schema: String,
    votes: Vec<Opinion>,
}

impl Question<'_> {
    /// The key of the stored answer. `_meta` exchanged between shim and child is not part of the
    /// answer.
    pub(super) fn key(&self) -> String {
        let mut result = self.result.clone();
        if let Some(members) = result.as_object_mut() {
            members.shift_remove("_meta");
        }
        let asked =
            json!([SCHEMA, self.call.run, self.judges.digest, self.call.votes, self.case, result]);
        let digest = digest(canonical::to_compact(&asked).as_bytes());
        let digest = digest.trim_start_matches("sha256:");
        format!("judgements/{}/{digest}.json", &digest[..2])
    }

    /// The judge's stored answer to the same input.
    pub(super) fn recall(&self, store: &Store) -> Option<Vec<Opinion>> {
        let kept: StoredAnswer =
            serde_json::from_slice(&store.briefly().get(&self.key()).ok()??).ok()?;
        (kept.schema == SCHEMA).then_some(kept.votes)
    }

    /// The program, ready to run. It is started like a scorer: in the same folder, with the same
    /// environment.
    pub(super) fn judge_run(&self, limit: Duration) -> JudgeRun {
        let scorer = &self.judges.scorer;
        let entry = EntryPoint { command: self.call.run.clone(), ..EntryPoint::default() };
        let command = match scorer.command.first() {
            Some(interpreter) => python::command(&entry, Path::new(interpreter)),
            None => entry.command.iter().map(Into::into).collect(),
        };
        let mut input = json!({"case": self.case, "result": self.result}).to_string().into_bytes();
        input.push(b'\n');
        let (votes, at_least) = (self.call.votes, self.call.at_least);
        JudgeRun { spec: ChildSpec { command, ..scorer.clone() }, input, limit, votes, at_least }
    }
}

/// Stores a judge's answer; if the store is not writable, the judge runs again next time.
pub(super) fn keep(store: &Store, key: &str, votes: Vec<Opinion>) {
    let kept = StoredAnswer { schema: SCHEMA.to_owned(), votes };
    let _ = store.put(key, serde_json::to_vec(&kept).expect("opinions serialise"));
}

/// A program to run, once per vote.
pub(super) struct JudgeRun {
    spec: ChildSpec,
    input: Vec<u8>,
    limit: Duration,
    votes: u32,
    at_least: f64,
}

impl JudgeRun {
    pub(super) async fn run(self) -> Result<Vec<Opinion>, String> {
        let mut votes = Vec::new();
        for _ in 0..self.votes {
            votes.push(self.run_once().await?);
        }
        Ok(votes)
    }

    async fn run_once(&self) -> Result<Opinion, String> {
        let name = self.spec.shown();
        let program = self.spec.pipe();
        let finished = match timeout(self.limit, program.exchange(self.input.clone())).await {
            Ok(finished) => finished.map_err(|error| not_run(&error))?,
            Err(_) => {
                return Err(format!(
                    "the judge `{name}` gave no answer within {} s",
                    self.limit.as_secs_f64()
                ));
            }
        };
        if !finished.success() {
            return Err(format!("the judge `{name}` {}", ending(&finished)));
        }
        let answer = finished.text();
        let opinion = serde_json::from_str(&answer)
            .ok()
            .and_then(|answer| Opinion::read(&answer, self.at_least));
        opinion.ok_or_else(|| {
            let shown: String = answer.chars().take(SHOWN).collect();
            format!(
                "the judge `{name}` printed no {{\"score\": 0 to 1, \"passed\", \"why\"}}: \
                {shown:?}"
            )
        })
    }
}

fn not_run(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("the judge cannot be run: {error}{cause}")
}

fn ending(finished: &Finished) -> String {
    let how = finished.code.map_or_else(
        || "was ended by a signal".to_owned(),
        |code| format!("ended with exit status {code}"),
    );
    let stderr = String::from_utf8_lossy(&finished.stderr);
    let lines: Vec<_> = stderr.trim_end().lines().collect();
    if lines.is_empty() { how } else { format!("{how}: {}", stderr_tail::shown(&lines).join("\n")) }
}
