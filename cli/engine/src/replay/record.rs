//! The record of calls, read back: opened where it is encrypted.

use super::Selection;
use super::error::ReplayError;
use crate::error::Failure;
use crate::repository::{Repository, manifest_on_disk};
use crate::telemetry::{self, Signal};
use crate::world::encryption::{self, DecryptionError, EncryptionKey};
use agent_core::formats::committed::Warnings;
use agent_core::formats::record::Record;
use agent_core::replay::served_call::ServedCall;
use jiff::Timestamp;
use std::cell::OnceCell;

/// Calls in the order of time.
pub struct Calls {
    pub calls: Vec<ServedCall>,
    pub warnings: Warnings,
}

/// Reads what is on record.
pub fn calls(repository: &Repository, selection: &Selection) -> Result<Calls, Failure> {
    let records = repository.records()?;
    let keys = Keys { record: settings(repository), found: OnceCell::new() };
    let mut reading = Reading { keys, selection, calls: Vec::new(), damaged: 0 };
    for source in records.sources(Signal::Calls, selection.since)? {
        for line in records.read(&source)?.lines() {
            reading.take(line, &source.key)?;
        }
    }
    let mut warnings = Warnings::none();
    records.missed().into_iter().for_each(|missed| warnings.push(missed));
    if reading.damaged > 0 {
        warnings.push(format!("{} lines of the record cannot be read", reading.damaged));
    }
    let mut calls = reading.calls;
    calls.sort_by_key(|(at, _)| *at);
    let skipped = selection.limit.map_or(0, |most| calls.len().saturating_sub(most));
    let calls = calls.into_iter().skip(skipped).map(|(_, call)| call).collect();
    Ok(Calls { calls, warnings })
}

/// Of what is served, else of the working tree.
fn settings(repository: &Repository) -> Record {
    let on_disk = || manifest_on_disk(repository.git.worktree()?.as_ref()).ok();
    repository
        .served_manifest()
        .or_else(on_disk)
        .map(|manifest| manifest.record)
        .unwrap_or_default()
}

struct Reading<'a> {
    keys: Keys,
    selection: &'a Selection,
    calls: Vec<(Timestamp, ServedCall)>,
    damaged: usize,
}

/// The key, looked up for the first encrypted line.
struct Keys {
    record: Record,
    found: OnceCell<Option<EncryptionKey>>,
}

impl Reading<'_> {
    fn take(&mut self, line: &str, source: &str) -> Result<(), Failure> {
        if !encryption::is_encrypted(line) {
            self.add(line);
            return Ok(());
        }
        match self.keys.key(source)?.decrypt(line) {
            Ok(plain) => String::from_utf8_lossy(&plain).lines().for_each(|line| self.add(line)),
            Err(DecryptionError::Damaged) => self.damaged += 1,
            Err(DecryptionError::OtherKey) => return Err(self.keys.other(source).into()),
        }
        Ok(())
    }

    fn add(&mut self, line: &str) {
        let Some(call) = ServedCall::from_line(line) else {
            self.damaged += 1;
            return;
        };
        let Ok(at) = call.at.parse::<Timestamp>() else {
            self.damaged += 1;
            return;
        };
        let Selection { since, tool, .. } = self.selection;
        let is_wanted = since.is_none_or(|since| at >= since)
            && tool.as_ref().is_none_or(|tool| *tool == call.tool);
        if is_wanted {
            self.calls.push((at, call));
        }
    }
}

impl Keys {
    fn key(&self, source: &str) -> Result<&EncryptionKey, ReplayError> {
        if self.found.get().is_none() {
            let key = telemetry::key_of(&self.record)
                .map_err(|error| ReplayError::NoKey { problem: error.to_string() })?;
            let _ = self.found.set(key);
        }
        let found = self.found.get().and_then(Option::as_ref);
        found.ok_or_else(|| ReplayError::NoKeyNamed { record: source.to_owned() })
    }

    fn other(&self, source: &str) -> ReplayError {
        let variable = self.record.key.clone().unwrap_or_default();
        ReplayError::OtherKey { record: source.to_owned(), variable }
    }
}
