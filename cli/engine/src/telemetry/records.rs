//! Reads the record back: from the object store, and from the spool what is not stored yet.

use super::spool::{self, STORE_FOLDER, Signal, SpoolError};
use crate::world::layout::Layout;
use crate::world::store::{Store, StoreError};
use crate::world::{clock, fs};
use agent_core::formats::diagnose::Messages as _;
use agent_core::protocol::conventions as names;
use agent_core::protocol::otlp::{self, Event, Span};
use agent_core::slo::Objective;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A file may hold records this much younger than its name.
const SLACK: SignedDuration = SignedDuration::from_mins(10);
/// For more days than this, one listing of everything is cheaper.
const DAYS_LISTED: i64 = 31;

/// One thing on record.
#[derive(Debug, Clone, Copy)]
pub enum Recorded<'a> {
    Span(&'a Span),
    Event(&'a Event),
}

impl<'a> Recorded<'a> {
    /// Its time, which is a span's end: nanoseconds since 1970, UTC.
    pub const fn at(self) -> u64 {
        match self {
            Self::Span(span) => span.ended,
            Self::Event(event) => event.at,
        }
    }

    /// Its time in seconds since 1970.
    pub const fn at_second(self) -> u64 {
        self.at() / 1_000_000_000
    }

    pub const fn trace(self) -> Option<&'a String> {
        match self {
            Self::Span(span) => Some(&span.trace),
            Self::Event(event) => event.trace.as_ref(),
        }
    }

    /// Whether it is an event of an objective, and a good one.
    pub fn is_good_for(self, objective: &Objective) -> Option<bool> {
        match self {
            Self::Span(span) => objective.of_span(span),
            Self::Event(event) => objective.of_event(event),
        }
    }

    /// The version that it is about, as `1.2.3`.
    pub fn version(self) -> Option<&'a str> {
        match self {
            Self::Span(span) => span.text(names::VERSION),
            Self::Event(event) => event.text(names::VERSION),
        }
    }
}

pub struct Records {
    layout: Layout,
    store: Store,
    /// Why the store was not read to its end, the first of it.
    missed: OnceCell<String>,
}

/// A file of lines. Those in the store never change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is in the store, or will be; by this they sort by time.
    pub key: String,
    spooled: Option<PathBuf>,
}

impl Source {
    pub const fn is_stored(&self) -> bool {
        self.spooled.is_none()
    }
}

impl Records {
    pub const fn new(layout: Layout, store: Store) -> Self {
        Self { layout, store, missed: OnceCell::new() }
    }

    /// What is missing from the result; the store is skipped after a failed request.
    pub fn missed(&self) -> Option<String> {
        self.missed.get().map(|why| format!("records in the object store are not included: {why}"))
    }

    fn query<T: Default>(&self, read: impl FnOnce(&Store) -> Result<T, StoreError>) -> T {
        if self.missed.get().is_some() {
            return T::default();
        }
        read(&self.store).unwrap_or_else(|error| {
            self.missed.get_or_init(|| error.messages().join(": "));
            T::default()
        })
    }

    /// The files of a signal, oldest first; with a time, those that can hold something since then.
    pub fn sources(
        &self,
        signal: Signal,
        since: Option<Timestamp>,
    ) -> Result<Vec<Source>, SpoolError> {
        let mut sources = BTreeMap::new();
        // first what is on its way: what is shipped meanwhile is found in the store
        for path in self.spooled()? {
            if let Some(key) = spool::key_of(&path).filter(|key| key.starts_with(&folder(signal))) {
                sources.insert(key.clone(), Source { key, spooled: Some(path) });
            }
        }
        for key in self.query(|store| stored(store, signal, since)) {
            sources.insert(key.clone(), Source { key, spooled: None });
        }
        let earliest = since.map(|since| spool::key_at(signal, since - SLACK));
        Ok(sources
            .into_values()
            .filter(|source| earliest.as_ref().is_none_or(|earliest| source.key >= *earliest))
            .collect())
    }

    fn spooled(&self) -> Result<Vec<PathBuf>, SpoolError> {
        let folders = spool::folders(&self.layout.telemetry())?;
        let files =
            folders.iter().map(|folder| spool::files(folder)).collect::<Result<Vec<_>, _>>()?;
        Ok(files.into_iter().flatten().collect())
    }

    /// Each span, or each event, of a file in turn; lines of other programs may be unreadable.
    pub fn each(
        &self,
        signal: Signal,
        source: &Source,
        take: impl FnMut(Recorded<'_>),
    ) -> Result<(), SpoolError> {
        each_of(signal, &self.read(source)?, take);
        Ok(())
    }

    /// The complete lines of a file; of one that was just shipped, from its new location.
    pub fn read(&self, source: &Source) -> Result<String, SpoolError> {
        let spooled = source.spooled.as_deref().map(fs::read_if_there).transpose()?.flatten();
        let bytes = match spooled {
            Some(bytes) => bytes,
            None => self.query(|store| Ok(store.get(&source.key)?.unwrap_or_default())),
        };
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        Ok(String::from_utf8_lossy(&bytes[..whole]).into_owned())
    }
}

/// Takes each record of a file's text. Lines of calls are read by a replay.
pub fn each_of(signal: Signal, text: &str, mut take: impl FnMut(Recorded<'_>)) {
    for line in text.lines() {
        if signal == Signal::Traces {
            for span in &otlp::spans(line).unwrap_or_default() {
                take(Recorded::Span(span));
            }
        } else {
            for event in &otlp::events(line).unwrap_or_default() {
                take(Recorded::Event(event));
            }
        }
    }
}

fn stored(
    store: &Store,
    signal: Signal,
    since: Option<Timestamp>,
) -> Result<Vec<String>, StoreError> {
    let today = TimeZone::UTC.to_datetime(clock::now()).date();
    let first = since.map(|since| TimeZone::UTC.to_datetime(since - SLACK).date());
    let days = first.map(|first| {
        (first, i64::from(first.until(today).map_or(i32::MAX, |span| span.get_days())))
    });
    match days {
        Some((first, days)) if days < DAYS_LISTED => {
            let listed = first.series(jiff::Span::new().days(1)).take_while(|day| *day <= today);
            let keys = listed
                .map(|day| store.list(&spool::day_folder(signal, day)))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(keys.into_iter().flatten().collect())
        }
        _ => store.list(&folder(signal)),
    }
}

fn folder(signal: Signal) -> String {
    format!("{STORE_FOLDER}/{}", signal.as_str())
}
