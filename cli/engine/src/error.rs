//! The edge where typed errors become a message, a hint and an exit code.

use agent_core::formats::diagnose::{Diagnose, Exit, Messages};

pub type CommandResult = Result<Exit, CommandError>;

/// An error as the user meets it.
#[derive(Debug, Clone)]
pub struct CommandError {
    pub exit: Exit,
    /// What happened, to what; the causes follow, outermost first.
    pub messages: Vec<String>,
    pub hint: Option<String>,
}

impl CommandError {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, messages: vec![message.into()], hint: None }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The input is wrong (exit 3).
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Exit::Input, message)
    }

    /// The command line is wrong in a way clap cannot see (exit 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }
}

impl<E: Diagnose> From<E> for CommandError {
    fn from(error: E) -> Self {
        Self { exit: error.exit(), hint: error.hint(), messages: error.messages() }
    }
}

impl Messages for CommandError {
    fn messages(&self) -> Vec<String> {
        self.messages.clone()
    }
}
