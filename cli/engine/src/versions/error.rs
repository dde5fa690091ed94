//! Why code becomes no version.

use crate::error::Failure;
use agent_core::formats::diagnose::{Diagnose, FailureKind};

/// Why a commit cannot be served with the state that is served.
#[derive(Debug)]
pub enum CandidateError {
    /// Its manifest, its state, its schema or a migration is wrong, or a migration failed.
    Unfit(Failure),
    Failed(Failure),
}

/// For errors of lower modules, which need not be distinguished.
impl From<Failure> for CandidateError {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Input | FailureKind::Child => Self::Unfit(failure),
            _ => Self::Failed(failure),
        }
    }
}

impl<E: Diagnose> From<E> for CandidateError {
    fn from(error: E) -> Self {
        Failure::from(error).into()
    }
}

impl From<CandidateError> for Failure {
    fn from(error: CandidateError) -> Self {
        match error {
            CandidateError::Unfit(failure) | CandidateError::Failed(failure) => failure,
        }
    }
}

/// Why a release has no outcome.
#[derive(Debug)]
pub enum ReleaseError {
    /// Its cause is not the released code: a file, a program, the object store, a
    /// remote.
    Surroundings(Failure),
    /// This commit is not released as it is, or not now.
    NotReleased(Failure),
}

/// Of lower modules, whose failures need not be distinguished.
impl From<Failure> for ReleaseError {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Surroundings => Self::Surroundings(failure),
            _ => Self::NotReleased(failure),
        }
    }
}

impl From<ReleaseError> for Failure {
    fn from(error: ReleaseError) -> Self {
        match error {
            ReleaseError::Surroundings(failure) | ReleaseError::NotReleased(failure) => failure,
        }
    }
}
