//! The ledger of the gate on a ref of the repository, so that it is cloned, pushed and never lost.
//!
//! `refs/agent/ledger` holds `ledger.jsonl`, a line an attempt. A line is on disk before anything is done on its answer.

use crate::error::CommandError;
use crate::world::clock;
use crate::world::git::{Git, TreeEdit};
use agent_core::committed::Committed;
use agent_core::evaluation::Verdict;
use agent_core::gate::{Comparison, GateVerdict, Level};
use agent_core::ledger::{Asked, Entry, Ledger, SCHEMA};
use agent_core::object_id::ObjectId;

pub const REF: &str = "refs/agent/ledger";
const FILE: &str = "ledger.jsonl";

pub struct LedgerRef<'a> {
    git: &'a Git,
}

impl<'a> LedgerRef<'a> {
    pub const fn new(git: &'a Git) -> Self {
        Self { git }
    }

    /// Judges a comparison at the level that the ledger leaves it; one that no test has to answer costs nothing.
    pub fn judge(
        &self,
        comparison: &Comparison,
        asked: &Asked,
        state: &ObjectId,
        alpha: f64,
    ) -> Result<Committed<GateVerdict>, CommandError> {
        if !comparison.is_tested() {
            return Ok(Committed::whole(comparison.judged(Level { value: alpha, index: None })));
        }
        let mut entry = None;
        let recorded = self.git.edit_ref_by(REF, |tip| {
            let text = self.text(tip)?;
            let ledger = Ledger::parse(&text, &format!("{REF}:{FILE}"))?;
            if let Some(there) = ledger.of(asked) {
                entry = Some(there.clone());
                return Ok(None);
            }
            let new = new_entry(comparison, asked.clone(), state, alpha, ledger.next(alpha));
            let blob = self.git.write_blob(format!("{text}{}", new.to_line()).as_bytes())?;
            let subject = format!("gate: test {}, {}", new.index, if new.accepted { "accepted" } else { "not accepted" });
            entry = Some(new);
            Ok::<_, CommandError>(Some((subject, vec![TreeEdit::file(FILE, blob)])))
        })?;
        Ok(recorded.map(|_| comparison.judged(entry.expect("it was found or added").level())))
    }

    fn text(&self, tip: Option<&ObjectId>) -> Result<String, CommandError> {
        let Some(tip) = tip else { return Ok(String::new()) };
        let bytes = self.git.read(tip, FILE)?.unwrap_or_default();
        String::from_utf8(bytes).map_err(|_| CommandError::input(format!("{REF}:{FILE} is no UTF-8")))
    }
}

fn new_entry(comparison: &Comparison, asked: Asked, state: &ObjectId, alpha: f64, level: Level) -> Entry {
    let judged = comparison.judged(level);
    Entry {
        schema: SCHEMA.to_owned(),
        index: level.index.expect("the ledger counts"),
        at: clock::rfc3339(clock::now()),
        asked,
        state: state.clone(),
        alpha,
        level: level.value,
        log_e_value: judged.log_e_value,
        p_value: judged.p_value,
        accepted: judged.verdict == Verdict::Pass,
    }
}
