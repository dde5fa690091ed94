//! Processes: the only file that names duct or `tokio::process`.

use agent_core::diagnose::{Diagnose, Exit};
use std::ffi::{OsStr, OsString};
use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("`{program}` cannot be started")]
    NotStarted {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("`{command}` failed with {status}{}", streams(stdout, stderr))]
    Failed { command: String, status: String, stdout: String, stderr: String },
}

fn streams(stdout: &str, stderr: &str) -> String {
    [("stdout", stdout), ("stderr", stderr)]
        .into_iter()
        .filter(|(_, text)| !text.trim().is_empty())
        .map(|(name, text)| format!("\n  {name}: {}", text.trim().replace('\n', "\n          ")))
        .collect::<Vec<_>>()
        .concat()
}

impl Diagnose for ProcessError {
    fn exit(&self) -> Exit {
        Exit::Surroundings
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotStarted { program, .. } => Some(format!("is `{program}` installed and on PATH? `agent doctor` looks")),
            Self::Failed { .. } => None,
        }
    }
}

/// A finished process, whatever its status.
#[derive(Debug, Clone)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Finished {
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

/// A process to run to its end.
#[derive(Debug, Clone)]
pub struct Run {
    program: OsString,
    arguments: Vec<OsString>,
    directory: Option<std::path::PathBuf>,
    environment: Vec<(OsString, Option<OsString>)>,
    stdin: Vec<u8>,
}

impl Run {
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self { program: program.as_ref().to_owned(), arguments: Vec::new(), directory: None, environment: Vec::new(), stdin: Vec::new() }
    }

    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    #[must_use]
    pub fn directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), None));
        self
    }

    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Runs to the end and hands back whatever the status was.
    pub fn finish(&self) -> Result<Finished, ProcessError> {
        let mut expression =
            duct::cmd(&self.program, &self.arguments).stdin_bytes(self.stdin.clone()).stdout_capture().stderr_capture().unchecked();
        if let Some(directory) = &self.directory {
            expression = expression.dir(directory);
        }
        for (name, value) in &self.environment {
            expression = match value {
                Some(value) => expression.env(name, value),
                None => expression.env_remove(name),
            };
        }
        let output =
            expression.run().map_err(|source| ProcessError::NotStarted { program: self.program.to_string_lossy().into_owned(), source })?;
        Ok(Finished { code: output.status.code(), stdout: output.stdout, stderr: output.stderr })
    }

    /// Runs to the end; anything but success is an error that shows command, status and both streams.
    pub fn succeed(&self) -> Result<Finished, ProcessError> {
        let finished = self.finish()?;
        if finished.success() {
            return Ok(finished);
        }
        Err(ProcessError::Failed {
            command: self.shown(),
            status: finished.code.map_or_else(|| "a signal".to_owned(), |code| format!("exit status {code}")),
            stdout: String::from_utf8_lossy(&finished.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&finished.stderr).into_owned(),
        })
    }

    fn shown(&self) -> String {
        std::iter::once(&self.program).chain(&self.arguments).map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}
