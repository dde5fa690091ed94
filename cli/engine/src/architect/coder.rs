//! What edits the code for a run.

/// What a coder made of its brief. What it changed is seen elsewhere; this is only what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coded {
    Done {
        said: String,
        /// The commit message it wants.
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
    ReachedOut {
        traces: Vec<String>,
    },
}
