//! Arguments and results of calls in service, where the manifest has them recorded: taken over by
//! the thread that answers, redacted, encrypted and written by the thread of telemetry.

use super::spool::{self, STORE_FOLDER, Signal};
use crate::world::clock;
use crate::world::encryption::EncryptionKey;
use crate::world::env;
use crate::world::store::{Store, StoreError};
use agent_core::formats::object_id::ObjectId;
use agent_core::formats::record::Record;
use agent_core::replay::redaction::Redaction;
use agent_core::replay::served_call::{self, ServedCall};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::Arc;

/// A call that is longer than this with its result is not recorded.
const LONGEST: usize = 1 << 20;
/// A file has no call that is this much younger than its name.
const SLACK: SignedDuration = SignedDuration::from_hours(1);

/// The processing of a call before it is written.
#[derive(Debug)]
pub struct Recorder {
    redaction: Redaction,
    key: Option<EncryptionKey>,
    /// For how long calls are kept.
    keep: SignedDuration,
}

/// Why nothing is recorded although the manifest has it so, or why a record is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the environment variable {0}, which `record.key` of agent.toml names, is not set")]
    Unset(String),
    #[error(
        "the environment variable {0}, which `record.key` of agent.toml names, holds no key: a key \
        is 32 bytes, as 64 hexadecimal digits or in base64"
    )]
    Malformed(String),
}

/// The key that a manifest names; `None` where it names none.
pub fn key_of(record: &Record) -> Result<Option<EncryptionKey>, KeyError> {
    let Some(name) = &record.key else { return Ok(None) };
    let text = env::token_in(name).ok_or_else(|| KeyError::Unset(name.clone()))?;
    EncryptionKey::parse(&text).map(Some).ok_or_else(|| KeyError::Malformed(name.clone()))
}

impl Recorder {
    /// Without its key nothing is recorded: never plain text where the manifest names a key.
    pub fn new(record: &Record) -> Result<Self, KeyError> {
        let redaction = Redaction::new(&record.redact);
        Ok(Self { redaction, key: key_of(record)?, keep: record.keep() })
    }
}

/// An answered call, before its content is read.
#[derive(Debug)]
pub struct AnsweredCall {
    pub tool: String,
    pub arguments: Option<Box<RawValue>>,
    pub result: Box<RawValue>,
    pub conversation: Option<String>,
    pub turn: Option<u64>,
    pub version: Option<String>,
    pub code: Option<ObjectId>,
    pub revision: ObjectId,
    pub duration_ms: f64,
    pub trace: Option<String>,
}

/// One that waits to be written.
pub(super) struct Waiting {
    call: AnsweredCall,
    at: Timestamp,
    recorder: Arc<Recorder>,
}

impl Waiting {
    pub(super) fn new(call: AnsweredCall, recorder: &Arc<Recorder>) -> Self {
        Self { call, at: clock::now(), recorder: Arc::clone(recorder) }
    }

    pub(super) fn keep(&self) -> SignedDuration {
        self.recorder.keep
    }

    pub(super) fn bytes(&self) -> usize {
        let arguments = self.call.arguments.as_ref().map_or(0, |raw| raw.get().len());
        arguments + self.call.result.get().len()
    }

    /// `None` for what no JSON parser of ours reads, since it could not be redacted, and for
    /// arguments that are no object, which no tool takes.
    fn read(self) -> Option<ServedCall> {
        let AnsweredCall { arguments, result, .. } = self.call;
        let arguments = arguments.map(|raw| serde_json::from_str::<Value>(raw.get()));
        let arguments = match arguments.transpose().ok()? {
            None | Some(Value::Null) => Value::Object(serde_json::Map::new()),
            Some(arguments) => Some(arguments).filter(Value::is_object)?,
        };
        let result = serde_json::from_str(result.get()).ok()?;
        let call = ServedCall {
            schema: served_call::SCHEMA.to_owned(),
            at: clock::rfc3339(self.at),
            tool: self.call.tool,
            arguments,
            result,
            conversation: self.call.conversation,
            turn: self.call.turn,
            version: self.call.version,
            code: self.call.code,
            revision: self.call.revision,
            duration_ms: self.call.duration_ms,
            trace: self.call.trace,
            redacted: Vec::new(),
        };
        Some(call.redacted_by(&self.recorder.redaction))
    }
}

pub(super) fn is_too_long(waiting: &Waiting) -> bool {
    waiting.bytes() > LONGEST
}

/// The lines to write: those of one recorder that names a key are encrypted as one.
pub(super) fn lines(waiting: Vec<Waiting>) -> Vec<u8> {
    let mut written = Vec::new();
    let mut waiting = waiting.into_iter().peekable();
    while let Some(first) = waiting.next() {
        let recorder = Arc::clone(&first.recorder);
        let mut plain = first.read().map(|call| call.to_line()).unwrap_or_default();
        while let Some(next) = waiting.next_if(|next| Arc::ptr_eq(&next.recorder, &recorder)) {
            plain.extend(next.read().map(|call| call.to_line()).unwrap_or_default());
        }
        match &recorder.key {
            _ if plain.is_empty() => {}
            None => written.extend(plain),
            Some(key) => written.extend(key.encrypt(&plain).unwrap_or_default()),
        }
    }
    written
}

/// Removes the files whose calls are kept no longer.
pub(super) fn expire(
    store: &Store,
    now: Timestamp,
    keep: SignedDuration,
) -> Result<(), StoreError> {
    let oldest = spool::key_at(Signal::Calls, now - keep - SLACK);
    let keys = store.list(&format!("{STORE_FOLDER}/{}", Signal::Calls.as_str()))?;
    keys.into_iter().filter(|key| *key < oldest).try_for_each(|key| store.remove(&key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::encryption;

    fn recorder(key: Option<&str>) -> Arc<Recorder> {
        let key = key.map(|text| EncryptionKey::parse(text).unwrap());
        Arc::new(Recorder { redaction: Redaction::new(&[]), key, keep: SLACK })
    }

    fn waiting(arguments: &str, result: &str, recorder: &Arc<Recorder>) -> Waiting {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let call = AnsweredCall {
            tool: "t".to_owned(),
            arguments: Some(raw(arguments)),
            result: raw(result),
            conversation: None,
            turn: None,
            version: Some("1.2.0".to_owned()),
            code: None,
            revision: ObjectId::of_blob(b"{}"),
            duration_ms: 1.5,
            trace: None,
        };
        Waiting { call, at: Timestamp::UNIX_EPOCH, recorder: Arc::clone(recorder) }
    }

    #[test]
    fn lines_are_redacted_and_encrypted_by_their_recorder() {
        let [plain, encrypted] = [recorder(None), recorder(Some(&"07".repeat(32)))];
        // the parser of ours reads no such nesting, so it could not be redacted
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let lines = lines(vec![
            waiting("{\"n\":1.10}", "{\"token\":\"abc\"}", &plain),
            waiting("{}", &deep, &plain),
            waiting("{\"n\":2}", "{}", &encrypted),
            waiting("{\"n\":3}", "{}", &encrypted),
        ]);
        let text = String::from_utf8(lines).unwrap();
        let [first, second] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        assert!(first.contains("{\"n\":1.10}") && first.contains("[redacted]"), "{first}");
        let call = ServedCall::from_line(first).unwrap();
        assert_eq!(
            (call.version.as_deref(), call.at.as_str()),
            (Some("1.2.0"), "1970-01-01T00:00:00.000Z")
        );
        assert!(encryption::is_encrypted(second));
        let decrypted = encrypted.key.as_ref().unwrap().decrypt(second).unwrap();
        let decrypted = String::from_utf8(decrypted).unwrap();
        let numbers: Vec<_> = decrypted
            .lines()
            .map(|line| ServedCall::from_line(line).unwrap().arguments["n"].clone())
            .collect();
        assert_eq!(numbers, [2, 3]);
    }

    #[test]
    fn files_of_calls_that_are_kept_no_longer_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let settings = agent_core::formats::manifest::Store::default();
        let store = Store::open(&settings, folder.path()).unwrap();
        let days = ["2026/10/29", "2026/10/31", "2026/11/28"];
        for day in days {
            store.put(&format!("telemetry/calls/{day}/120000000-p-0.jsonl"), vec![1]).unwrap();
        }
        store.put("telemetry/traces/2020/01/01/120000000-p-0.jsonl", vec![1]).unwrap();
        let now = "2026-11-29T12:00:00Z".parse().unwrap();
        expire(&store, now, SLACK * 24 * 30).unwrap();
        let left = store.list("telemetry").unwrap();
        assert_eq!(left.len(), 3, "{left:?}");
        assert!(left.iter().all(|key| !key.contains("2026/10/29")), "{left:?}");
    }

    #[test]
    fn a_call_above_the_limit_is_too_long() {
        let recorder = recorder(None);
        let long = format!("\"{}\"", "x".repeat(LONGEST));
        assert!(is_too_long(&waiting("{}", &long, &recorder)));
        assert!(!is_too_long(&waiting("{}", "{}", &recorder)));
    }
}
