//! What every error of the house can say of itself at the edge: the exit code, and how to mend it.

/// The public exit codes (see `agent help exit-codes`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    /// What was asked was judged, and the answer is no.
    No = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The repository, the manifest or an input file is wrong.
    Input = 3,
    /// Somebody else was first and retrying did not help; nothing was changed.
    Conflict = 4,
    /// A child failed: Runner, Tuner, Coder or scorer.
    Child = 5,
    /// git or Python missing, store or remote unreachable.
    Surroundings = 6,
    /// Not enough evidence to say yes or no.
    NotEnoughEvidence = 7,
    Interrupted = 130,
}

impl Exit {
    /// In a word, for telemetry.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::No => "no",
            Self::Usage => "usage",
            Self::Input => "input",
            Self::Conflict => "conflict",
            Self::Child => "child",
            Self::Surroundings => "surroundings",
            Self::NotEnoughEvidence => "not_enough_evidence",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Implemented by each module's error, beside the knowledge of what went wrong.
pub trait Diagnose: std::error::Error + Send + Sync + 'static {
    fn exit(&self) -> Exit;

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
