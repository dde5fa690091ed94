//! The error of an operation for the front end: its kind, its messages and a hint.

use agent_core::formats::diagnose::{Diagnose, FailureKind, Messages};
use serde::{Deserialize, Serialize};

/// An error as a reader meets it; a front maps the kind to its own codes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    pub kind: FailureKind,
    /// What happened, to what; the causes follow, outermost first.
    pub messages: Vec<String>,
    pub hint: Option<String>,
}

impl Failure {
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, messages: vec![message.into()], hint: None }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The input is wrong.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Input, message)
    }

    /// The arguments are wrong in a way that no parser of them can see.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Usage, message)
    }
}

impl<E: Diagnose> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { kind: error.kind(), hint: error.hint(), messages: error.messages() }
    }
}

impl Messages for Failure {
    fn messages(&self) -> Vec<String> {
        self.messages.clone()
    }
}
