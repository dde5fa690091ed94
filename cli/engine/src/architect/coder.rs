//! A coder edits the code for a run; `coders` lists them.

use crate::architect::change::CoderResult;
use crate::error::Failure;
use crate::repository::Repository;
use crate::repository::run_report::CoderConfinement;
use crate::target::Target;
use agent_core::architect::brief::Brief;
use agent_core::formats::object_id::ObjectId;
use std::path::PathBuf;

pub trait Coder {
    /// How many attempts it has; `None` leaves that to agent.toml.
    fn attempts(&self) -> Option<u32> {
        None
    }

    /// How far it is confined to its workplace; `None` for one that runs no program.
    fn confinement(&self) -> Option<CoderConfinement> {
        None
    }

    /// Whether its changes were written and reviewed beforehand, one per attempt: a tool added by
    /// one of them counts as requested by the feedback.
    fn is_curated(&self) -> bool {
        false
    }

    /// Makes the attempt of the brief; returns its outcome and the resulting code.
    fn code(&self, brief: &Brief) -> Result<(Coded, CoderResult), Failure>;
}

/// The run that a coder works for.
pub struct Setting<'a> {
    pub repository: &'a Repository,
    pub active: &'a Target,
    /// The commit that is edited.
    pub base: ObjectId,
    /// The run's folder, for what is kept of its attempts.
    pub folder: PathBuf,
    pub run: String,
}

/// How an attempt of a coder ended. What it changed is read from its workplace, not from this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coded {
    Done {
        /// The last line of its output.
        summary: String,
        /// The commit message it proposes.
        message: Option<String>,
    },
    /// It crashed or ran out of time.
    Failed {
        why: String,
    },
    /// It has nothing (more) to try.
    NothingFits {
        why: String,
    },
    Cancelled,
    /// Something outside of its workplace is not as it was before.
    OutsideChange {
        changes: Vec<String>,
    },
}
