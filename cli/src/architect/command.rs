//! The coder that is any program: the brief on stdin and in a file, edits in its workplace, a time limit, its whole process group ended.

use crate::architect::coder::Coded;
use crate::architect::run::is_cancelled;
use crate::architect::workplace::Workplace;
use crate::error::CommandError;
use crate::world::process::{self, ChildStdin, ChildStdout, Pipe, Piped};
use crate::world::{env, fs};
use agent_core::architect::brief::Brief;
use agent_core::confinement::Confinement;
use std::ffi::OsString;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// What is kept of what a coder prints.
const SAID_LIMIT: usize = 64 << 10;
/// A longer commit message is none.
const MESSAGE_LIMIT: u64 = 64 << 10;
/// What the coder is told and says in files.
const PAGE: &str = "brief.md";
const DATA: &str = "brief.json";
const MESSAGE: &str = "message.txt";
/// How often a run looks whether somebody cancelled it.
const CANCEL_CHECK: Duration = Duration::from_millis(200);
/// How long what a coder printed last may be on its way after it ended.
const LAST_WORDS: Duration = Duration::from_millis(400);

pub struct CommandCoder<'a> {
    pub command: Vec<OsString>,
    pub workplace: &'a Workplace<'a>,
    /// The run's: where the brief and the coder's words are kept for people.
    pub folder: &'a Path,
    /// Variables of this process that are not for it.
    pub withheld: Vec<OsString>,
    /// What it may reach; without it, all that its user may.
    pub confinement: Option<Confinement>,
    /// Its own HOME; without it, its user's.
    pub home: Option<&'a Path>,
    pub time_limit: Duration,
    pub heard: process::Listener,
}

enum Ended {
    Exited { success: bool, status: String },
    TimedOut,
    Cancelled,
}

impl CommandCoder<'_> {
    pub fn code(&self, brief: &Brief) -> Result<Coded, CommandError> {
        let page = brief.to_markdown();
        for place in [self.folder, self.workplace.home()] {
            fs::write(&place.join(PAGE), page.as_bytes())?;
            fs::write(&place.join(DATA), brief.to_json().as_bytes())?;
        }
        let (ended, said) = process::block_on(self.carry_out(page.into_bytes()))??;
        fs::write(&self.folder.join(format!("coder-{}.log", brief.attempt)), said.as_bytes())?;
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned();
        Ok(match ended {
            Ended::Exited { success: true, .. } => Coded::Done { said: last, message: self.message() },
            Ended::Exited { status, .. } => Coded::Failed { why: failed(&self.shown(), &status, &last) },
            Ended::TimedOut => Coded::Failed {
                why: format!("the coder `{}` was not done after {} s and was ended", self.shown(), self.time_limit.as_secs_f64()),
            },
            Ended::Cancelled => Coded::Cancelled,
        })
    }

    async fn carry_out(&self, brief: Vec<u8>) -> Result<(Ended, String), process::ProcessError> {
        let pipe = Pipe {
            command: self.command.clone(),
            directory: self.workplace.folder(),
            environment: self.environment(),
            withheld: self.withheld(),
            confinement: self.confinement.clone(),
            memory: None,
            listener: Some(self.heard.clone()),
        };
        let (mut coder, stdin, stdout) = pipe.start()?;
        let mut said = Vec::new();
        let ended = tokio::select! {
            status = finished(&mut coder, tell(stdin, brief), hear(stdout, &mut said)) => Ended::Exited {
                success: status.is_some_and(|status| status.success()),
                status: status.map_or_else(|| "an unknown status".to_owned(), |status| status.to_string()),
            },
            () = tokio::time::sleep(self.time_limit) => Ended::TimedOut,
            () = self.cancelled() => Ended::Cancelled,
        };
        let mut said = String::from_utf8_lossy(&said).into_owned();
        for line in coder.stderr_tail() {
            said.push_str(&line);
            said.push('\n');
        }
        // nothing the coder started edits on
        coder.end_at_once().await;
        Ok((ended, said))
    }

    async fn cancelled(&self) {
        let mut ticks = tokio::time::interval(CANCEL_CHECK);
        while !is_cancelled(self.folder) {
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
            // without its own repository the workplace is in none
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

fn failed(command: &str, status: &str, last: &str) -> String {
    let said = if last.is_empty() { String::new() } else { format!("; it said: {last}") };
    format!("the coder `{command}` failed with {status}{said}")
}

/// The coder's end; a process it left behind may hold its stdout open and is not waited for.
async fn finished(coder: &mut Piped, tell: impl Future<Output = ()>, hear: impl Future<Output = ()>) -> Option<ExitStatus> {
    let mut streams = pin!(async { tokio::join!(tell, hear) });
    tokio::select! {
        status = coder.wait() => {
            let _ = timeout(LAST_WORDS, streams).await;
            status
        }
        _ = &mut streams => coder.wait().await,
    }
}

/// A coder that does not read its stdin is fine: the brief is in a file as well.
async fn tell(mut stdin: ChildStdin, brief: Vec<u8>) {
    let _ = stdin.write_all(&brief).await;
    drop(stdin);
}

/// Reads to the end, so that the coder never blocks, and keeps the last part.
async fn hear(mut stdout: ChildStdout, said: &mut Vec<u8>) {
    let mut chunk = vec![0; 8 << 10];
    while let Ok(count @ 1..) = stdout.read(&mut chunk).await {
        said.extend_from_slice(&chunk[..count]);
        let excess = said.len().saturating_sub(SAID_LIMIT);
        said.drain(..excess);
    }
}
