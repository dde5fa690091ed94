//! The history of `active` as staging needs it: which versions are its ancestors, and which signals
//! their Journals hold.

use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::object_id::ObjectId;
use agent_core::state::journal::{self, Base, SealedAs};
use semver::Version;
use serde_json::Value;
use std::collections::HashMap;

/// A truncated signal id: sufficient to distinguish a million.
pub type IdDigest = [u8; ID_DIGEST];
pub const ID_DIGEST: usize = 16;

/// Of a withdrawn signal, the digest of the id that it had.
pub fn id_digest(id: &str) -> IdDigest {
    let withdrawn = journal::digest_of_withdrawn(id)
        .and_then(|digest| u128::from_str_radix(&digest[..2 * ID_DIGEST], 16).ok());
    if let Some(withdrawn) = withdrawn {
        return withdrawn.to_be_bytes();
    }
    let hash = <sha2::Sha256 as sha2::Digest>::digest(id.as_bytes());
    hash[..ID_DIGEST].try_into().expect("SHA-256 is longer")
}

/// The relation of a version to the served one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// An ancestor of it.
    Before,
    /// A descendant of it: `active` moved after it was read.
    After,
    /// Neither: it lost the race for `active`.
    Aside,
    /// The repository does not have it.
    Unknown,
}

/// The last common version of two lineages, with its state.
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

/// The Journals of a version and its ancestors, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    pub journals: Vec<CountedBy>,
    /// Whether the walk ended at the version that was named as known.
    pub reaches_known: bool,
}

/// A promotion: a version made by signals alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promoted {
    pub version: Version,
    pub journal: Vec<u8>,
}

/// The history of `active`, from the repository and the object store.
pub trait Past: std::fmt::Debug {
    fn standing(&self, commit: &ObjectId, active: &ObjectId) -> Result<Standing, PastError>;

    /// The last common version of a commit and `active`.
    fn fork(&self, commit: &ObjectId, active: &ObjectId) -> Result<Option<Fork>, PastError>;

    /// A Journal that this clone sealed, when the object store has all of it. An unreachable store
    /// is an error.
    fn journal(&self, sealed: &SealedAs) -> Result<Option<Vec<u8>>, PastError>;

    /// The signals counted up to a version, back to one that is `known` or up to a number of
    /// versions.
    fn counts(
        &self,
        commit: &ObjectId,
        known: Option<&ObjectId>,
        most: usize,
    ) -> Result<Counts, PastError>;

    /// The promotions from a version back to the last one that was made otherwise, oldest first.
    fn promoted(&self, _commit: &ObjectId) -> Result<Vec<Promoted>, PastError> {
        Ok(Vec::new())
    }

    /// The content digests, by id, of signals counted recently up to a version, as far as their
    /// Journals are present.
    fn contents(&self, _commit: &ObjectId) -> Result<HashMap<IdDigest, String>, PastError> {
        Ok(HashMap::new())
    }
}

/// Why the history could not be read.
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
