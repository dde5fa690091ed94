//! The coder that runs a command: it gets the brief on stdin and in a file, edits its workplace
//! under a time limit, and its process group is terminated at the end.

use crate::architect::cancellation;
use crate::architect::coder::Coded;
use crate::architect::workplace::Workplace;
use crate::error::Failure;
use crate::world::child_process;
use crate::world::child_process::{ChildStdin, OutputTail, Pipe};
use crate::world::event_loop;
use crate::world::process;
use crate::world::{env, fs};
use agent_core::architect::brief::Brief;
use agent_core::child::confinement::Confinement;
use std::ffi::OsString;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

/// The maximum length of a commit message in bytes; a longer one is ignored.
const MESSAGE_LIMIT: u64 = 64 << 10;
/// Files of the brief, and of the commit message that the coder may write.
const PAGE: &str = "brief.md";
const DATA: &str = "brief.json";
const MESSAGE: &str = "message.txt";
/// How often a run checks for a request to stop.
const CANCEL_CHECK: Duration = Duration::from_millis(200);

pub struct CommandCoder<'a> {
    pub command: Vec<OsString>,
    pub workplace: &'a Workplace<'a>,
    /// The run's folder, which keeps the brief and the coder's output for inspection.
    pub folder: &'a Path,
    /// Environment variables that the coder does not inherit.
    pub withheld: Vec<OsString>,
    /// The coder's access; `None` leaves it the access of the user.
    pub confinement: Option<Confinement>,
    /// The coder's HOME; `None` leaves it the user's.
    pub home: Option<&'a Path>,
    pub time_limit: Duration,
    pub listener: child_process::Listener,
}

enum Ended {
    Exited { success: bool, status: String },
    TimedOut,
    Cancelled,
}

impl CommandCoder<'_> {
    pub fn code(&self, brief: &Brief) -> Result<Coded, Failure> {
        let page = brief.to_markdown();
        for place in [self.folder, self.workplace.home()] {
            fs::write(&place.join(PAGE), page.as_bytes())?;
            fs::write(&place.join(DATA), brief.to_json().as_bytes())?;
        }
        let (ended, output) = event_loop::block_on(self.carry_out(page.into_bytes()))??;
        fs::write(
            &self.folder.join(format!("coder-{}.log", brief.attempt)),
            output.log().as_bytes(),
        )?;
        Ok(match ended {
            Ended::Exited { success: true, .. } => {
                Coded::Done { summary: output.last().to_owned(), message: self.message() }
            }
            Ended::Exited { status, .. } => Coded::Failed {
                why: format!(
                    "the coder `{}` failed with {status}{}",
                    self.shown(),
                    output.last_lines()
                ),
            },
            Ended::TimedOut => Coded::Failed {
                why: format!(
                    "the coder `{}` was not done after {} s and was ended{}",
                    self.shown(),
                    self.time_limit.as_secs_f64(),
                    output.last_lines()
                ),
            },
            Ended::Cancelled => Coded::Cancelled,
        })
    }

    async fn carry_out(&self, brief: Vec<u8>) -> Result<(Ended, Output), process::ProcessError> {
        let pipe = Pipe {
            command: self.command.clone(),
            directory: self.workplace.folder(),
            environment: self.environment(),
            withheld: self.withheld(),
            confinement: self.confinement.clone(),
            memory: None,
            listener: Some(self.listener.clone()),
        };
        let (mut coder, stdin, stdout) = pipe.start()?;
        let mut stdout = OutputTail::of(stdout, None);
        let ended = tokio::select! {
            status = send_brief(stdin, brief, coder.wait()) => Ended::Exited {
                success: status.is_some_and(|status| status.success()),
                status: status.map_or_else(|| "an unknown status".to_owned(),
                    |status| status.to_string()),
            },
            () = tokio::time::sleep(self.time_limit) => Ended::TimedOut,
            () = self.cancelled() => Ended::Cancelled,
        };
        // no process that the coder started may continue to edit
        coder.end_at_once().await;
        stdout.to_the_end().await;
        Ok((ended, Output { stdout: stdout.lines(), stderr: coder.stderr_tail() }))
    }

    async fn cancelled(&self) {
        let mut ticks = tokio::time::interval(CANCEL_CHECK);
        while !cancellation::is_requested(self.folder) {
            ticks.tick().await;
        }
    }

    fn withheld(&self) -> Vec<OsString> {
        // folders of the user's HOME, where they are not the usual ones
        let folders = if self.home.is_some() { env::XDG_FOLDERS.as_slice() } else { &[] };
        self.withheld.iter().cloned().chain(folders.iter().map(OsString::from)).collect()
    }

    fn environment(&self) -> Vec<(OsString, OsString)> {
        let home = self.workplace.home();
        let mut environment: Vec<(OsString, OsString)> = vec![
            (env::BRIEF.into(), home.join(PAGE).into()),
            (env::BRIEF_JSON.into(), home.join(DATA).into()),
            (env::COMMIT_MESSAGE.into(), home.join(MESSAGE).into()),
            (env::TEMPORARY.into(), self.workplace.temporary().into()),
            // git must not find a repository above the workplace
            (env::GIT_CEILING.into(), home.into()),
        ];
        environment.extend(self.home.map(|own| (env::HOME.into(), own.into())));
        environment
    }

    /// The commit message the coder wrote, if it wrote one.
    fn message(&self) -> Option<String> {
        let bytes = fs::read_at_most(&self.workplace.home().join(MESSAGE), MESSAGE_LIMIT).ok()?;
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        (!text.is_empty() && (bytes.len() as u64) < MESSAGE_LIMIT).then_some(text)
    }

    fn shown(&self) -> String {
        self.command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}

/// What a coder wrote, as far as it is kept.
struct Output {
    stdout: Vec<String>,
    stderr: Vec<String>,
}

impl Output {
    fn log(&self) -> String {
        self.stdout.iter().chain(&self.stderr).flat_map(|line| [line, "\n"]).collect()
    }

    /// The last line of stdout, or of stderr where stdout is empty.
    fn last(&self) -> &str {
        last(&self.stdout).or(last(&self.stderr)).unwrap_or_default()
    }

    /// Both streams, each with its last line.
    fn last_lines(&self) -> String {
        let stdout = last(&self.stdout).map(|line| format!("; last output: {line}"));
        let stderr = last(&self.stderr).map(|line| format!("; on stderr: {line}"));
        stdout.into_iter().chain(stderr).collect()
    }
}

fn last(lines: &[String]) -> Option<&str> {
    lines.iter().rev().map(|line| line.trim()).find(|line| !line.is_empty())
}

/// Writes the brief to the coder's stdin and waits for its exit. A coder may leave its stdin
/// unread: the brief is in a file as well.
async fn send_brief(
    mut stdin: ChildStdin,
    brief: Vec<u8>,
    end: impl Future<Output = Option<ExitStatus>>,
) -> Option<ExitStatus> {
    let mut end = pin!(end);
    tokio::select! {
        status = &mut end => return status,
        _ = stdin.write_all(&brief) => drop(stdin),
    }
    end.await
}
