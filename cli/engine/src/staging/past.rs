//! What staging has to know of the past of `active`: which versions lie on the way to it, and which
//! signals their Journals hold.

use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::object_id::ObjectId;
use agent_core::state::journal::{Base, SealedAs};
use semver::Version;
use serde_json::Value;
use std::collections::HashMap;

/// An id of a signal, shortened: enough to tell a million apart.
pub type IdDigest = [u8; ID_DIGEST];
pub const ID_DIGEST: usize = 16;

pub fn id_digest(id: &str) -> IdDigest {
    let hash = <sha2::Sha256 as sha2::Digest>::digest(id.as_bytes());
    hash[..ID_DIGEST].try_into().expect("SHA-256 is longer")
}

/// How a version that staging knows of stands to the one that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// On the way to it.
    Before,
    /// It is on the way to this one: what was looked up as served was, before it moved.
    After,
    /// On another way: it lost the race for `active`.
    Aside,
    /// The repository does not have it.
    Unknown,
}

/// The last version that two ways have in common, with its state.
#[derive(Debug, Clone, PartialEq)]
pub struct Fork {
    pub base: Base,
    pub state: Value,
}

/// The signals of a version's Journal; `None` where that cannot be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedBy {
    pub version: Version,
    pub ids: Option<Vec<IdDigest>>,
}

/// The Journals on the way to a version, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    pub journals: Vec<CountedBy>,
    /// Whether the walk ended at the version that was named as known.
    pub reaches_known: bool,
}

/// The past of `active`, as the repository and the object store have it.
pub trait Past: std::fmt::Debug {
    fn standing(&self, commit: &ObjectId, active: &ObjectId) -> Result<Standing, PastError>;

    /// Where the way to a version parts from the way to `active`.
    fn fork(&self, commit: &ObjectId, active: &ObjectId) -> Result<Option<Fork>, PastError>;

    /// A Journal that this clone sealed, when the object store has it whole. A store that does not
    /// answer is an error.
    fn journal(&self, sealed: &SealedAs) -> Result<Option<Vec<u8>>, PastError>;

    /// The signals that were counted on the way to a version, back to one that is `known` or to so
    /// many of them.
    fn counts(
        &self,
        commit: &ObjectId,
        known: Option<&ObjectId>,
        most: usize,
    ) -> Result<Counts, PastError>;

    /// What the signals said that were counted lately on the way to a version, as far as their
    /// Journals are here: by id, digests of their content.
    fn contents(&self, _commit: &ObjectId) -> Result<HashMap<IdDigest, String>, PastError> {
        Ok(HashMap::new())
    }
}

/// Why the past could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PastError {
    pub message: String,
    pub kind: FailureKind,
    pub hint: Option<String>,
}

impl Diagnose for PastError {
    fn kind(&self) -> FailureKind {
        self.kind
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}
