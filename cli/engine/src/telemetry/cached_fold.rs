//! A fold over what is on record that is cached between processes: a file of the store never
//! changes, so it is read once, and the next look reads what is new.

use super::records::{Recorded, Records, each_of};
use super::spool::{Signal, SpoolError};
use crate::world::fs::{self, Durability, FsError};
use agent_core::formats::object_id::digest;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The files of the store that were read, and what they came to.
#[derive(Debug, Serialize, Deserialize)]
pub struct CachedFold<T> {
    schema: String,
    /// The identity of each file's content, by its key: the same content under another key, such as
    /// a batch that was sent twice, counts once.
    read: BTreeMap<String, String>,
    fold: T,
    #[serde(skip)]
    is_new: bool,
}

impl<T: Default + Clone + Serialize + DeserializeOwned> CachedFold<T> {
    /// A file that is missing, torn or of another schema is begun anew; so is one whose fold is
    /// `stale`.
    pub fn read(path: &Path, schema: &str, stale: impl Fn(&T) -> bool) -> Self {
        let bytes = fs::read_if_there(path).ok().flatten();
        let cached = bytes
            .and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok())
            .filter(|cached| cached.schema == schema && !stale(&cached.fold));
        cached.unwrap_or_else(|| Self {
            schema: schema.to_owned(),
            read: BTreeMap::new(),
            fold: T::default(),
            is_new: false,
        })
    }

    /// Takes what the store has had since, from `since` on; the result has what is on its way to
    /// the store as well, which is read anew each time.
    pub fn bring_up_to_date(
        &mut self,
        records: &Records,
        since: Option<Timestamp>,
        take: impl Fn(&mut T, Recorded<'_>),
    ) -> Result<T, SpoolError> {
        let mut listed = BTreeSet::new();
        let mut spooled = Vec::new();
        let mut known: BTreeSet<String> = self.read.values().cloned().collect();
        for signal in [Signal::Traces, Signal::Logs] {
            for source in records.sources(signal, since)? {
                listed.insert(source.key.clone());
                if self.read.contains_key(&source.key) {
                    continue;
                }
                if !source.is_stored() {
                    spooled.push((signal, source));
                    continue;
                }
                let text = records.read(&source)?;
                // what could not be read now is read another time
                if records.missed().is_some() {
                    continue;
                }
                let identity = identity(&text);
                if known.insert(identity.clone()) {
                    let fold = &mut self.fold;
                    each_of(signal, &text, |recorded| take(fold, recorded));
                }
                self.read.insert(source.key, identity);
                self.is_new = true;
            }
        }
        if records.missed().is_none() {
            self.read.retain(|key, _| listed.contains(key));
        }
        let mut fold = self.fold.clone();
        for (signal, source) in spooled {
            records.each(signal, &source, |recorded| take(&mut fold, recorded))?;
        }
        Ok(fold)
    }

    /// What is cached, for a change that makes it smaller.
    pub const fn fold_mut(&mut self) -> &mut T {
        &mut self.fold
    }

    /// Writes it down where it changed; it is cached for speed alone.
    pub fn write(&self, path: &Path) -> Result<(), FsError> {
        if !self.is_new {
            return Ok(());
        }
        let bytes = serde_json::to_vec(self).expect("a fold is JSON");
        fs::replace(path, &bytes, Durability::Rebuildable)
    }
}

/// By the length, the beginning and the end, which have the random ids of traces and spans.
fn identity(text: &str) -> String {
    const PART: usize = 4096;
    let bytes = text.as_bytes();
    let (head, tail) =
        (&bytes[..bytes.len().min(PART)], &bytes[bytes.len().saturating_sub(PART)..]);
    let parts = [bytes.len().to_string().as_bytes(), b" ", head, tail].concat();
    digest(&parts).trim_start_matches("sha256:").chars().take(24).collect()
}
