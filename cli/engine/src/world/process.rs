//! Programs that run to their end: the only file that names duct.

use crate::world::{env, fs};
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// The part of a child's stdout that is read.
pub(super) const OUTPUT_LIMIT: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("`{program}` cannot be started")]
    NotStarted {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the event loop cannot continue: {failure}")]
    EventLoop { failure: String },
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
    fn kind(&self) -> FailureKind {
        FailureKind::Surroundings
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotStarted { program, .. } => {
                Some(format!("is `{program}` installed and on PATH? `agent doctor` checks"))
            }
            Self::EventLoop { .. } => Some("check what was done before it is run again".to_owned()),
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
    fn of(output: std::process::Output) -> Self {
        Self { code: output.status.code(), stdout: output.stdout, stderr: output.stderr }
    }

    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// An error that shows the command, the status and both streams, unless it ended with one of
    /// these codes.
    pub fn end_with(
        self,
        codes: &[i32],
        command: impl FnOnce() -> String,
    ) -> Result<Self, ProcessError> {
        if self.code.is_some_and(|code| codes.contains(&code)) {
            return Ok(self);
        }
        Err(ProcessError::Failed {
            command: command(),
            status: self
                .code
                .map_or_else(|| "a signal".to_owned(), |code| format!("exit status {code}")),
            stdout: String::from_utf8_lossy(&self.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&self.stderr).into_owned(),
        })
    }

    /// Its stderr.
    pub fn complaint(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }
}

/// A process to run to its end.
#[derive(Debug, Clone)]
pub struct Run {
    program: OsString,
    arguments: Vec<OsString>,
    directory: Option<PathBuf>,
    environment: Vec<(OsString, Option<OsString>)>,
    stdin: Stdin,
}

#[derive(Debug, Clone)]
enum Stdin {
    Bytes(Vec<u8>),
    File(std::sync::Arc<std::fs::File>),
}

impl Run {
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            directory: None,
            environment: Vec::new(),
            stdin: Stdin::Bytes(Vec::new()),
        }
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
        self.stdin = Stdin::Bytes(bytes.into());
        self
    }

    /// An open file as stdin; the process shares its position, and its lock.
    #[must_use]
    pub fn stdin_file(mut self, file: std::fs::File) -> Self {
        self.stdin = Stdin::File(std::sync::Arc::new(file));
        self
    }

    /// Runs to the end and hands back whatever the status was.
    pub fn finish(&self) -> Result<Finished, ProcessError> {
        self.run_to_end(&self.expression()?.stdout_capture().stderr_capture()).map(Finished::of)
    }

    /// Like `finish`, within a time; a process that takes longer is ended, and the result is
    /// `None`.
    pub fn finish_within(&self, limit: Duration) -> Result<Option<Finished>, ProcessError> {
        let expression = self.expression()?.stdout_capture().stderr_capture();
        let started = expression.unchecked().start().map_err(|source| self.not_started(source))?;
        let output =
            started.wait_timeout(limit).map_err(|source| self.not_started(source))?.cloned();
        if output.is_none() {
            started.kill().map_err(|source| self.not_started(source))?;
        }
        Ok(output.map(Finished::of))
    }

    /// Runs to the end with our own stdout and stderr as its own; gives the exit code, `None` after
    /// a signal.
    pub fn pass_through(&self) -> Result<Option<i32>, ProcessError> {
        self.run_to_end(&self.expression()?).map(|output| output.status.code())
    }

    fn run_to_end(
        &self,
        expression: &duct::Expression,
    ) -> Result<std::process::Output, ProcessError> {
        expression.unchecked().run().map_err(|source| self.not_started(source))
    }

    fn not_started(&self, source: std::io::Error) -> ProcessError {
        ProcessError::NotStarted { program: self.program.to_string_lossy().into_owned(), source }
    }

    fn expression(&self) -> Result<duct::Expression, ProcessError> {
        let mut expression = duct::cmd(self.file(), &self.arguments);
        expression = match &self.stdin {
            Stdin::Bytes(bytes) if bytes.is_empty() => expression.stdin_null(),
            Stdin::Bytes(bytes) => expression.stdin_bytes(bytes.clone()),
            Stdin::File(file) => {
                expression.stdin_file(file.try_clone().map_err(|source| self.not_started(source))?)
            }
        };
        if let Some(directory) = &self.directory {
            expression = expression.dir(directory);
        }
        // duct uses the first setting of a variable; here the last one applies
        for (name, value) in self.environment.iter().rev() {
            expression = match value {
                Some(value) => expression.env(name, value),
                None => expression.env_remove(name),
            };
        }
        Ok(expression)
    }

    /// The program as a file. By a path it is started without a copy of this process
    /// (`posix_spawn`), and by a name with one, since duct sets the whole environment.
    fn file(&self) -> OsString {
        let has_own_path = self.environment.iter().any(|(name, _)| name == "PATH");
        let is_name = Path::new(&self.program).file_name() == Some(&self.program);
        let found = (is_name && !has_own_path).then(|| on_path(&self.program)).flatten();
        found.map_or_else(|| self.program.clone(), PathBuf::into_os_string)
    }

    /// Starts a process that outlives this one: in a separate group, its stderr in a file.
    #[expect(
        clippy::disallowed_methods,
        reason = "this module starts all processes, and duct would end this one"
    )]
    pub fn start_apart(&self, stderr: std::fs::File) -> Result<Apart, ProcessError> {
        use std::os::unix::process::CommandExt as _;
        let mut command = std::process::Command::new(&self.program);
        command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .process_group(0);
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mut child = command.spawn().map_err(|source| self.not_started(source))?;
        let stdout = std::io::BufReader::new(child.stdout.take().expect("stdout is piped"));
        Ok(Apart { child, stdout })
    }

    /// Runs to the end; anything but success is an error that shows command, status and both
    /// streams.
    pub fn succeed(&self) -> Result<Finished, ProcessError> {
        self.end_with(&[0])
    }

    /// Like `succeed`, for a program whose exit code is its answer: any code but these is an error.
    pub fn end_with(&self, codes: &[i32]) -> Result<Finished, ProcessError> {
        self.finish()?.end_with(codes, || self.shown())
    }

    fn shown(&self) -> String {
        std::iter::once(&self.program)
            .chain(&self.arguments)
            .map(|part| part.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A process that outlives this one.
#[derive(Debug)]
pub struct Apart {
    child: std::process::Child,
    stdout: std::io::BufReader<std::process::ChildStdout>,
}

impl Apart {
    /// The first line it prints; `None` when it ends without one.
    pub fn first_line(&mut self) -> Option<String> {
        use std::io::BufRead as _;
        let mut line = String::new();
        let read = self.stdout.by_ref().take(OUTPUT_LIMIT).read_line(&mut line);
        read.is_ok_and(|count| count > 0).then_some(line)
    }

    /// Waits for its end.
    pub fn wait(mut self) {
        let _ = self.child.wait();
    }

    /// Detaches it; it is reaped if this process is still running at its exit.
    pub fn let_go(mut self) {
        std::thread::spawn(move || self.child.wait());
    }
}

/// The first executable file of that name on PATH.
pub fn on_path(name: &OsStr) -> Option<PathBuf> {
    let path = env::path()?;
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| fs::is_program(file))
}

/// The very program that runs now, even when its file was replaced since.
pub fn own_program() -> OsString {
    if cfg!(target_os = "linux") {
        return "/proc/self/exe".into();
    }
    crate::world::env::binary().map_or_else(|| "agent".into(), PathBuf::into_os_string)
}

/// The arguments of the `git push` that runs this hook, which the hook does not get: as far as its
/// command line can be seen (Linux).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PushFlags {
    /// It changes nothing, and runs the hook all the same.
    pub dry_run: bool,
    /// It makes the remote what is here, and deletes the rest, which git leaves out of what it
    /// lists.
    pub mirror: bool,
    /// It deletes what is not here among what it pushes, likewise.
    pub prune: bool,
}

pub fn parent_push_flags() -> PushFlags {
    let parent = rustix::process::getppid();
    let arguments = parent.and_then(|parent| {
        std::fs::read(format!("/proc/{}/cmdline", parent.as_raw_nonzero())).ok()
    });
    push_flags(&arguments.unwrap_or_default())
}

/// From zero-terminated arguments.
fn push_flags(arguments: &[u8]) -> PushFlags {
    let words = arguments
        .split(|byte| *byte == 0)
        .skip_while(|word| *word != b"push")
        .take_while(|word| *word != b"--");
    let mut flags = PushFlags::default();
    for word in words.skip(1) {
        let is_short = word.starts_with(b"-") && !word.starts_with(b"--");
        flags.dry_run |= word == b"--dry-run" || (is_short && word.contains(&b'n'));
        flags.mirror |= word == b"--mirror";
        flags.prune |= word == b"--prune";
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn push_failure_is_classified_by_its_message() {
        let none = PushFlags::default();
        for (words, expected) in [
            ("git push origin", none),
            ("git -c x=n push --dry-run origin", PushFlags { dry_run: true, ..none }),
            ("git push -qn origin main", PushFlags { dry_run: true, ..none }),
            ("git push --mirror origin", PushFlags { mirror: true, ..none }),
            ("git push --prune origin refs/agent/*", PushFlags { prune: true, ..none }),
            ("git push origin -- --mirror", none),
            ("", none),
        ] {
            assert_eq!(push_flags(words.replace(' ', "\0").as_bytes()), expected, "{words}");
        }
    }
}
