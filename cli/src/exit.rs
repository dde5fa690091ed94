//! The public exit codes (see `agent help exit-codes`), and the one place that maps failures to
//! them.

use agent_core::formats::diagnose::FailureKind;
use agent_core::testing::evaluation::Refusal;
use agent_engine::error::Failure;
use agent_serve::listen::Ended;
use std::process::ExitCode;

/// How a verb ended.
pub type CommandResult = Result<Exit, Failure>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    No = 1,
    Usage = 2,
    Input = 3,
    Conflict = 4,
    Child = 5,
    Surroundings = 6,
    NotEnoughEvidence = 7,
    Interrupted = 130,
}

impl Exit {
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<FailureKind> for Exit {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Refused => Self::No,
            FailureKind::Usage => Self::Usage,
            FailureKind::Input => Self::Input,
            FailureKind::Conflict => Self::Conflict,
            FailureKind::Child => Self::Child,
            FailureKind::Surroundings => Self::Surroundings,
            FailureKind::NotEnoughEvidence => Self::NotEnoughEvidence,
        }
    }
}

impl From<Option<Refusal>> for Exit {
    fn from(refusal: Option<Refusal>) -> Self {
        refusal.map(Refusal::kind).into()
    }
}

/// The exit code of an outcome: 0, or that of its refusal.
impl From<Option<FailureKind>> for Exit {
    fn from(refusal: Option<FailureKind>) -> Self {
        refusal.map_or(Self::Done, Self::from)
    }
}

impl From<Ended> for Exit {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Stopped => Self::Done,
            Ended::Interrupted => Self::Interrupted,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_codes_are_public_and_stable() {
        let codes = [
            (FailureKind::Refused, 1),
            (FailureKind::Usage, 2),
            (FailureKind::Input, 3),
            (FailureKind::Conflict, 4),
            (FailureKind::Child, 5),
            (FailureKind::Surroundings, 6),
            (FailureKind::NotEnoughEvidence, 7),
        ];
        for (kind, code) in codes {
            assert_eq!(
                (Exit::from(kind).code(), Exit::from(Some(kind)).code()),
                (code, code),
                "{kind:?}"
            );
        }
        assert_eq!(
            (
                Exit::from(None::<FailureKind>).code(),
                Exit::from(Ended::Stopped).code(),
                Exit::from(Ended::Interrupted).code()
            ),
            (0, 0, 130)
        );
    }
}
