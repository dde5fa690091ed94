//! Signals taken back: staging as it would be had they never been sent.
//!
//! The Journal is kept up to the group of the first of them; what follows is replayed without them.
//! In the place of each is a record with digests alone, so that it is not counted again when it is
//! sent again, and no file of staging has its content. The new Journal replaces the old one by a
//! rename, which is the commit point.

use super::error::StagingError;
use super::manager::Staging;
use super::places::Places;
use super::succession::{NewJournal, REPLAYED_GROUP, Replayed, reapply, redraft};
use crate::world::fs::FsError;
use agent_core::formats::canonical;
use agent_core::formats::committed::{Committed, Warnings};
use agent_core::formats::object_id::ObjectId;
use agent_core::state::journal::{self, Draft, Fold, Record};
use json_patch::Patch;
use serde_json::Value;

/// What a withdrawal did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawn {
    /// How many signals.
    pub signals: u64,
    /// How many later updates were made again; the others led to the recorded states.
    pub replayed: u64,
    pub before: ObjectId,
    pub after: ObjectId,
}

/// A record behind the kept groups, and what it leads to.
struct Later {
    record: Record,
    effect: Effect,
}

enum Effect {
    /// It was before the first of them: to the recorded state.
    Known(Value),
    /// No Tuner made it: it changes the same again.
    Own(Patch),
    Tuner,
}

impl Staging {
    /// The signals in staging that a selection takes.
    pub fn selected(
        &mut self,
        takes: impl Fn(&Record) -> bool,
    ) -> Result<Vec<Record>, StagingError> {
        let mut records = Vec::new();
        let bytes = self.journal()?;
        journal::scan(&bytes, |record| {
            if record.is_by_tuner() && takes(&record) {
                records.push(record);
            }
        })
        .map_err(|error| self.unreadable(error))?;
        Ok(records)
    }

    /// Whether a signal of this id was taken back here.
    pub fn has_withdrawn(&mut self, id: &str) -> Result<bool, StagingError> {
        let id = journal::withdrawn_id(id);
        let ids = journal::ids(&self.journal()?).map_err(|error| self.unreadable(error))?;
        Ok(ids.contains(&id))
    }

    /// Takes signals back, under the lock. `replay` computes the outcome of a later update on
    /// another state, as for a rebase.
    pub async fn withdraw<E: From<StagingError>>(
        &mut self,
        takes: impl Fn(&Record) -> bool,
        replay: impl AsyncFnMut(&Value, &Record) -> Result<Replayed, E>,
    ) -> Result<Committed<Withdrawn>, E> {
        self.hold()?;
        let outcome = self.withdraw_locked(takes, replay).await;
        self.release();
        outcome
    }

    async fn withdraw_locked<E: From<StagingError>>(
        &mut self,
        takes: impl Fn(&Record) -> bool,
        mut replay: impl AsyncFnMut(&Value, &Record) -> Result<Replayed, E>,
    ) -> Result<Committed<Withdrawn>, E> {
        self.drop_torn_tail()?;
        let takes = |record: &Record| record.is_by_tuner() && takes(record);
        let before = self.fold.revision.clone();
        let selected = self.selected(takes)?;
        let [Some(first), Some(last)] = [selected.first(), selected.last()] else {
            let none = Withdrawn { signals: 0, replayed: 0, after: before.clone(), before };
            return Ok(Committed::whole(none));
        };
        let (first, last) = (first.seq, last.seq);
        let old = self.journal()?;
        let kept = journal::before(&old, first).map_err(self.places.damaged())?;
        let mut next = NewJournal::of(kept).map_err(self.places.damaged())?;
        let later = later(&old, kept.len(), &next.fold, first).map_err(self.places.damaged())?;
        let mut state = next.fold.state.clone();
        let mut drafts = Vec::new();
        let (mut replayed, mut agreed) = (0, None);
        for Later { record, effect } in &later {
            if takes(record) {
                drafts.push(without_content(record));
            } else {
                let again = match effect {
                    Effect::Known(after) => Replayed::State(after.clone()),
                    Effect::Own(change) => reapply(&state, record, change),
                    Effect::Tuner => replay(&state, record).await?,
                };
                replayed += u64::from(matches!(effect, Effect::Tuner));
                drafts.push(redraft(record, again, &mut state));
            }
            if drafts.len() == REPLAYED_GROUP {
                next.add(std::mem::take(&mut drafts));
            }
            // from the same state on, the same updates lead to the same states
            if record.seq >= last && canonical::revision(&state) == record.after {
                agreed = Some(record.seq);
                break;
            }
        }
        if let Some(agreed) = agreed {
            journal::walk(&old, |record, after| {
                if record.seq > agreed {
                    drafts.push(redraft(record, Replayed::State(after.clone()), &mut state));
                }
                if drafts.len() == REPLAYED_GROUP {
                    next.add(std::mem::take(&mut drafts));
                }
            })
            .map_err(self.places.damaged())?;
        }
        if !drafts.is_empty() {
            next.add(drafts);
        }
        let after = next.fold.revision.clone();
        let mut warnings = forget_aside(&self.places, &selected).map_err(StagingError::from)?;
        warnings.extend(self.succeed(&next.bytes)?);
        let signals = selected.len() as u64;
        Ok(Committed { value: Withdrawn { signals, replayed, before, after }, warnings })
    }
}

/// The records of a Journal behind the kept groups, of which those before `first` are as they were.
fn later(
    bytes: &[u8],
    end: usize,
    kept: &Fold,
    first: u64,
) -> Result<Vec<Later>, journal::JournalError> {
    let mut later = Vec::new();
    journal::walk_from(bytes, end, kept.state.clone(), |record, before, after| {
        let effect = if record.seq < first {
            Effect::Known(after.clone())
        } else if record.is_by_tuner() {
            Effect::Tuner
        } else {
            Effect::Own(json_patch::diff(before, after))
        };
        later.push(Later { record, effect });
    })?;
    Ok(later)
}

/// What stands in the place of a signal that was taken back.
fn without_content(record: &Record) -> Draft {
    Draft {
        id: journal::withdrawn_id(&record.id),
        tool: journal::WITHDRAW.to_owned(),
        arguments: serde_json::json!({ "content": record.content() }),
        conversation: None,
        trace: None,
        at: record.at.clone(),
        tags: Vec::new(),
        effects: None,
        summary: None,
        state: None,
    }
}

/// Removes the files that were set aside and have one of the signals.
fn forget_aside(places: &Places, selected: &[Record]) -> Result<Warnings, FsError> {
    let mut warnings = Warnings::none();
    for path in places.aside()? {
        let text = std::fs::read(&path).map_err(FsError::while_doing("read", &path))?;
        let text = String::from_utf8_lossy(&text);
        let has = |record: &Record| text.contains(&format!("\"id\":{}", Value::from(&*record.id)));
        if selected.iter().any(has) {
            std::fs::remove_file(&path).map_err(FsError::while_doing("remove", &path))?;
            warnings
                .push(format!("{} is removed: it had a signal that is taken back", path.display()));
        }
    }
    Ok(warnings)
}
