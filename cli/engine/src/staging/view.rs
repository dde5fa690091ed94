//! `state/staging.state.json`: a copy of the Journal's end for users and editors.

use super::places::Places;
use crate::world::clock;
use crate::world::fs::{self, FsError};
use agent_core::formats::canonical;
use agent_core::formats::object_id::ObjectId;
use agent_core::state::journal::Fold;
use agent_core::version::tags;
use semver::Version;
use serde_json::Value;
use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Under frequent updates, the view is written at most this often, by all processes together: a
/// rename per update would cost more than the update.
const PACE: Duration = Duration::from_millis(25);

/// What the view is when it could not be written.
pub(super) const VIEW_BEHIND: &str =
    "state/staging.state.json is behind the Journal, until the next command rebuilds it";

/// Inconsistencies that were repaired when staging was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    TornTail {
        bytes: usize,
    },
    ViewMissing,
    ViewBehind,
    ViewReplaced {
        why: String,
        kept: PathBuf,
    },
    Resealed {
        updates: u64,
    },
    /// Versions lost the race for `active`: their updates are restored.
    Returned {
        versions: Vec<Version>,
        updates: u64,
    },
    /// Versions lost the race for `active`, and their Journals cannot be found.
    NotReturned {
        versions: Vec<Version>,
    },
    /// A failure that does not prevent work.
    Afterwards(String),
}

impl Notice {
    /// Whether this also occurs while another process promotes, or replaces the view.
    pub(super) fn is_a_delay(&self) -> bool {
        matches!(self, Self::ViewBehind | Self::Resealed { .. })
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TornTail { bytes } => {
                write!(
                    formatter,
                    "the Journal of staging ended in {bytes} bytes of an update that was never \
                    acknowledged; they were cut off"
                )
            }
            Self::ViewMissing => formatter
                .write_str("state/staging.state.json was missing; it was rebuilt from the Journal"),
            Self::ViewBehind => formatter
                .write_str("state/staging.state.json was behind the Journal; it was rebuilt"),
            Self::ViewReplaced { why, kept } => write!(
                formatter,
                "state/staging.state.json {why}; it was rebuilt from the Journal and what was \
                there is kept in {} (edit staging with `agent state set` or `cas`)",
                kept.display()
            ),
            Self::Afterwards(warning) => formatter.write_str(warning),
            Self::Returned { versions, updates } => write!(
                formatter,
                "{} of this clone is superseded by another clone's version; the {updates} signals \
                that it counted are in staging again",
                tags(versions)
            ),
            Self::NotReturned { versions } => write!(
                formatter,
                "{} of this clone is superseded by another clone's version, and its Journal is not \
                in the object store: the signals that it counted cannot come back into staging",
                tags(versions)
            ),
            Self::Resealed { updates } => {
                write!(
                    formatter,
                    "a promotion was interrupted after its version was published; it is complete \
                    now, with its {updates} updates"
                )
            }
        }
    }
}

/// Whether a process has just put the view in place.
fn is_fresh(view: &Path) -> bool {
    let put = view.metadata().and_then(|found| found.modified());
    let age = put.ok().and_then(|put| SystemTime::from(clock::now()).duration_since(put).ok());
    age.is_some_and(|age| age < PACE)
}

#[derive(Debug)]
pub(super) struct View {
    /// The Revision that this process last put in place or found there.
    shown: Option<ObjectId>,
    at: Option<Instant>,
}

impl View {
    pub(super) fn new() -> Self {
        Self { shown: None, at: None }
    }

    pub(super) fn is_due(&self, fold: &Fold) -> bool {
        self.shown.as_ref() != Some(&fold.revision)
    }

    /// Leaves the view as it is until the next update.
    pub(super) fn keep_as_is(&mut self, fold: &Fold) {
        self.shown = Some(fold.revision.clone());
    }

    /// Whether the view was written a moment ago, by any process.
    pub(super) fn is_recent(&self, places: &Places) -> bool {
        self.at.is_some_and(|at| at.elapsed() < PACE) || is_fresh(&places.view)
    }

    /// Writes the view if it is due. The caller holds the lock.
    pub(super) fn put(&mut self, places: &Places, fold: &Fold) -> Result<(), FsError> {
        if self.is_due(fold) {
            fs::replace_view(&places.under_way(), &places.view, &canonical::to_bytes(&fold.state))?;
        }
        self.shown = Some(fold.revision.clone());
        self.at = Some(Instant::now());
        Ok(())
    }

    /// Compares the view with the Journal's end and rebuilds it; a state that is not in the Journal
    /// is moved to `set-aside/`. The lock is held.
    pub(super) fn repair(
        &mut self,
        places: &Places,
        fold: &Fold,
        known: impl IntoIterator<Item = ObjectId>,
        is_new: bool,
    ) -> Result<Option<Notice>, FsError> {
        let found = fs::read_if_there(&places.view)?;
        let notice = match &found {
            None => (!is_new).then_some(Notice::ViewMissing),
            Some(bytes) if ObjectId::of_blob(bytes) == fold.revision => {
                self.shown = Some(fold.revision.clone());
                None
            }
            Some(bytes) => {
                let mut known: HashSet<ObjectId> = known.into_iter().collect();
                known.insert(fold.base.revision.clone());
                let why = match serde_json::from_slice::<Value>(bytes) {
                    Err(error) => Some(format!("was no JSON ({error})")),
                    Ok(state) => (!known.contains(&canonical::revision(&state)))
                        .then(|| "held a state that is not in the Journal".to_owned()),
                };
                Some(match why {
                    None => Notice::ViewBehind,
                    Some(why) => Notice::ViewReplaced {
                        why,
                        kept: places.set_aside("staging", "json", bytes)?,
                    },
                })
            }
        };
        self.put(places, fold)?;
        Ok(notice)
    }
}
