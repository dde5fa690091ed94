//! Reads a Journal: its records, its signals, the part that a version sealed.

use super::error::JournalError;
use super::fold::Fold;
use super::group::{COMMIT_START, RawGroup, holds_a_group};
use super::lines::{first_line, lines};
use super::record::{Heading, Record, WITHDRAWN_FROM_A_VERSION};
use memchr::{memmem, memrchr};
use serde_json::Value;

/// Every record of a Journal in order, each with the state after it.
pub fn walk(bytes: &[u8], mut visit: impl FnMut(&Record, &Value)) -> Result<Fold, JournalError> {
    let mut fold = Fold::begin(bytes)?;
    let mut state = fold.state.clone();
    let mut rest = &bytes[usize::try_from(fold.end).unwrap_or(usize::MAX)..];
    while let Some(group) = RawGroup::next(rest) {
        let damaged = |what: String| JournalError::Damaged { offset: fold.end, what };
        for line in lines(group.records) {
            let record: Record =
                serde_json::from_slice(line).map_err(|error| damaged(error.to_string()))?;
            record.apply(&mut state).map_err(|error| damaged(error.to_string()))?;
            visit(&record, &state);
        }
        fold.extend(&rest[..group.length])?;
        rest = &rest[group.length..];
    }
    if holds_a_group(rest) {
        return Err(JournalError::Damaged {
            offset: fold.end,
            what: "a group with a wrong checksum, and whole ones after it".to_owned(),
        });
    }
    Ok(fold)
}

/// The headings of a Journal that is known to be whole, in order, and the records of those that are
/// taken.
pub fn scan(
    bytes: &[u8],
    mut takes: impl FnMut(Heading) -> bool,
) -> Result<Vec<Record>, JournalError> {
    let header = usize::try_from(Fold::begin(bytes)?.end).unwrap_or(usize::MAX);
    let mut rest = &bytes[header..];
    let mut records = Vec::new();
    while let Some(group) = RawGroup::next(rest) {
        let damaged = |error: serde_json::Error| JournalError::Damaged {
            offset: (bytes.len() - rest.len()) as u64,
            what: error.to_string(),
        };
        for line in lines(group.records) {
            if takes(serde_json::from_slice(line).map_err(damaged)?) {
                records.push(serde_json::from_slice(line).map_err(damaged)?);
            }
        }
        rest = &rest[group.length..];
    }
    Ok(records)
}

/// Every record of a Journal, in order.
pub fn records(bytes: &[u8]) -> Result<Vec<Record>, JournalError> {
    let mut all = Vec::new();
    walk(bytes, |record, _| all.push(record.clone()))?;
    Ok(all)
}

/// The ids of a Journal's signals, in order: what is to be known of one to count each signal once.
pub fn ids(bytes: &[u8]) -> Result<Vec<String>, JournalError> {
    let mut fold = Fold::begin(bytes)?;
    let header = usize::try_from(fold.end).unwrap_or(usize::MAX);
    let (folded, _) = fold.extend(&bytes[header..])?;
    Ok(folded.into_iter().map(|record| record.id).collect())
}

/// A Journal up to and with the record `seq`: what is sealed when that state becomes active. `None`
/// when no group ends there.
pub fn sealed(bytes: &[u8], seq: u64) -> Result<Option<&[u8]>, JournalError> {
    let fold = Fold::begin(bytes)?;
    let mut end = usize::try_from(fold.end).unwrap_or(usize::MAX);
    if fold.first == seq + 1 {
        return Ok(Some(&bytes[..end]));
    }
    while let Some(group) = RawGroup::next(&bytes[end..]) {
        end += group.length;
        if group.commit.seq == seq {
            return Ok(Some(&bytes[..end]));
        }
    }
    Ok(None)
}

/// The fold of the header and the groups before the one with the record `seq`, of a Journal that is
/// known to be whole: from the last full state there on.
pub(super) fn fold_before(bytes: &[u8], seq: u64) -> Result<Fold, JournalError> {
    let mut fold = Fold::begin(bytes)?;
    let mut end = usize::try_from(fold.end).unwrap_or(usize::MAX);
    while let Some(group) = RawGroup::next(&bytes[end..]).filter(|group| group.commit.seq < seq) {
        end += group.length;
        if let Some(state) = group.commit.state {
            (fold.state, fold.revision) = (state, group.commit.after);
            (fold.next, fold.end) = (group.commit.seq + 1, end as u64);
        }
    }
    let folded = usize::try_from(fold.end).unwrap_or(usize::MAX);
    fold.extend(&bytes[folded..end])?;
    Ok(fold)
}

/// The records of a Journal that is known to be whole whose lines have this text, and that are
/// taken.
pub fn find(
    bytes: &[u8],
    text: &str,
    takes: impl Fn(&Heading) -> bool,
) -> Result<Vec<Record>, JournalError> {
    let header = usize::try_from(Fold::begin(bytes)?.end).unwrap_or(usize::MAX);
    let mut records = Vec::new();
    let mut from = header;
    while let Some(at) = bytes.get(from..).and_then(|rest| memmem::find(rest, text.as_bytes())) {
        let start = memrchr(b'\n', &bytes[..from + at]).map_or(0, |before| before + 1);
        let line = first_line(&bytes[start..]).unwrap_or(&bytes[start..]);
        from = start + line.len();
        let damaged = |error: serde_json::Error| JournalError::Damaged {
            offset: start as u64,
            what: error.to_string(),
        };
        if !line.starts_with(COMMIT_START) && takes(&serde_json::from_slice(line).map_err(damaged)?)
        {
            records.push(serde_json::from_slice(line).map_err(damaged)?);
        }
    }
    Ok(records)
}

/// What a record with this id has in its line.
pub fn text_of_id(id: &str) -> String {
    format!("\"id\":{}", Value::from(id))
}

/// Whether a record may withdraw a signal of a version.
pub fn has_withdrawals(bytes: &[u8]) -> bool {
    let text = format!("\"id\":\"{WITHDRAWN_FROM_A_VERSION}");
    memmem::find(bytes, text.as_bytes()).is_some()
}

/// Finds the group end whose prefix has this digest: where an interrupted promotion had
/// sealed the Journal.
pub fn sealed_at(bytes: &[u8], digest: &str) -> Result<Option<u64>, JournalError> {
    let fold = Fold::begin(bytes)?;
    let mut end = usize::try_from(fold.end).unwrap_or(usize::MAX);
    while let Some(group) = RawGroup::next(&bytes[end..]) {
        end += group.length;
        if crate::formats::object_id::digest(&bytes[..end]) == digest {
            return Ok(Some(group.commit.seq));
        }
    }
    Ok(None)
}
