//! Why a tier has no outcome.

use crate::child::ChildError;
use crate::error::Failure;
use crate::repository::RepositoryError;
use crate::target::TargetError;
use crate::world::fs::FsError;
use crate::world::process::ProcessError;
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::document::DocumentError;
use agent_core::formats::manifest::Tier;

/// What ends the run of a tier.
#[derive(Debug, thiserror::Error)]
pub enum TierError {
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error(transparent)]
    Scorer(#[from] DocumentError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error("{tier} did not finish within its time limit")]
    OutOfTime { tier: Tier },
}

impl Diagnose for TierError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Child(error) => error.kind(),
            Self::Scorer(error) => error.kind(),
            Self::Process(error) => error.kind(),
            Self::Fs(error) => error.kind(),
            Self::OutOfTime { .. } => FailureKind::NotEnoughEvidence,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Child(error) => error.hint(),
            Self::Scorer(error) => error.hint(),
            Self::Process(error) => error.hint(),
            Self::Fs(error) => error.hint(),
            Self::OutOfTime { .. } => None,
        }
    }
}

/// Why a tier has no outcome. What that means is for the caller: a case that errored, a trial that
/// failed, a check that a hook skips.
#[derive(Debug, Clone)]
pub enum TierFailure {
    /// The Runner or the process of the scorers failed before any case was judged.
    Child(ChildError),
    /// The request's deadline passed.
    OutOfTime {
        tier: Tier,
    },
    /// The code under test or what judges it is malformed: a manifest, a lock file, a case.
    Malformed(Failure),
    /// This machine cannot run it now: a file, a program, an environment, the object store.
    Surroundings(Failure),
    Other(Failure),
}

impl TierFailure {
    /// The failure, where code that was changed is at fault; else it is an error.
    pub fn attributable_to_code(self) -> Result<Failure, Failure> {
        match self {
            Self::Child(_) | Self::Malformed(_) => Ok(self.into()),
            Self::OutOfTime { .. } | Self::Surroundings(_) | Self::Other(_) => Err(self.into()),
        }
    }
}

impl From<TierError> for TierFailure {
    fn from(error: TierError) -> Self {
        match error {
            TierError::Child(error) => Self::Child(error),
            TierError::OutOfTime { tier } => Self::OutOfTime { tier },
            TierError::Scorer(_) => Self::Malformed(error.into()),
            TierError::Process(_) | TierError::Fs(_) => Self::Surroundings(error.into()),
        }
    }
}

impl From<RepositoryError> for TierFailure {
    fn from(error: RepositoryError) -> Self {
        Failure::from(error).into()
    }
}

impl From<TargetError> for TierFailure {
    fn from(error: TargetError) -> Self {
        Failure::from(error).into()
    }
}

/// Of lower modules, whose failures need not be distinguished.
impl From<Failure> for TierFailure {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Input => Self::Malformed(failure),
            FailureKind::Surroundings => Self::Surroundings(failure),
            _ => Self::Other(failure),
        }
    }
}

impl From<TierFailure> for Failure {
    fn from(failure: TierFailure) -> Self {
        match failure {
            TierFailure::Child(error) => error.into(),
            TierFailure::OutOfTime { tier } => TierError::OutOfTime { tier }.into(),
            TierFailure::Malformed(failure)
            | TierFailure::Surroundings(failure)
            | TierFailure::Other(failure) => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::Role;

    /// What a tier's failure means, and the kind that a front maps.
    #[test]
    fn a_failure_keeps_its_kind_and_says_whether_the_code_is_at_fault() {
        let child = || ChildError::ReaderFailed { role: Role::Runner };
        let scorer = DocumentError::new("tests/fast/a.jsonl:1", "no scorer `x`", "write it");
        let network = Failure::new(FailureKind::Surroundings, "no network");
        let cases = [
            (TierError::from(child()).into(), FailureKind::Child, true),
            (TierError::from(scorer).into(), FailureKind::Input, true),
            (TierFailure::from(Failure::input("no lock file")), FailureKind::Input, true),
            (network.into(), FailureKind::Surroundings, false),
            (
                TierError::OutOfTime { tier: Tier::Fast }.into(),
                FailureKind::NotEnoughEvidence,
                false,
            ),
            (Failure::new(FailureKind::Conflict, "busy").into(), FailureKind::Conflict, false),
        ];
        for (failure, kind, is_attributable) in cases {
            let failure: TierFailure = failure;
            let judged = failure.clone().attributable_to_code();
            assert_eq!(judged.is_ok(), is_attributable, "{failure:?}");
            assert_eq!(Failure::from(failure).kind, kind);
        }
    }
}
