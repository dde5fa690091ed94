//! What kind of failure an error is, and what the reader can do next.

use serde::{Deserialize, Serialize};

/// What kind of failure it is. Each front maps it to its own codes: the terminal to exit codes, the
/// servers to HTTP statuses and JSON-RPC codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// What was asked was judged, and the answer is no.
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
    /// Not enough evidence to say yes or no.
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

    /// What the reader can do next, as one sentence.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// An error in words: what happened, to what; the causes follow, outermost first.
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
