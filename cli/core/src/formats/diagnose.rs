//! The kind of an error, and a hint for the user.

use serde::{Deserialize, Serialize};

/// The kind of a failure. Each front end maps it to its own codes: the terminal to exit codes, the
/// servers to HTTP statuses and JSON-RPC codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The operation was judged and the verdict is no.
    Refused,
    /// The command line is wrong.
    Usage,
    /// The repository, the manifest or an input file is wrong.
    Input,
    /// Another process was first and retrying did not help; nothing was changed.
    Conflict,
    /// A child failed: Runner, Tuner, Coder or scorer.
    Child,
    /// git or Python missing, store or remote unreachable.
    Surroundings,
    /// Not enough evidence for a verdict.
    NotEnoughEvidence,
}

impl FailureKind {
    /// The value of `error.type` in telemetry.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "no",
            Self::Usage => "usage",
            Self::Input => "input",
            Self::Conflict => "conflict",
            Self::Child => "child",
            Self::Surroundings => "surroundings",
            Self::NotEnoughEvidence => "not_enough_evidence",
        }
    }
}

/// Implemented by each module's error, beside the knowledge of what went wrong.
pub trait Diagnose: std::error::Error + Send + Sync + 'static {
    fn kind(&self) -> FailureKind;

    /// The next step for the user, as one sentence.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// The message of an error with its causes, outermost first.
pub trait Messages {
    fn messages(&self) -> Vec<String>;
}

impl<E: std::error::Error> Messages for E {
    fn messages(&self) -> Vec<String> {
        let mut messages = vec![self.to_string()];
        let mut cause = self.source();
        while let Some(inner) = cause {
            let text = inner.to_string();
            // many errors repeat their cause in their own text
            if !messages.iter().any(|message| message.contains(&text)) {
                messages.push(text);
            }
            cause = inner.source();
        }
        messages
    }
}
