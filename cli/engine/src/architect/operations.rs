//! The operations of the Architect for the terminal, REST and MCP: add and withdraw feedback;
//! start, carry out, list, stop and accept runs.
//!
//! REST and MCP start a run as a separate process that outlives its caller; the terminal executes
//! it in its own process. The state of a run is read from the repository, so that every front end
//! lists every run. A run whose process has exited is ended before anything is listed.

use crate::architect::error::ArchitectError;
use crate::architect::events::{self, Kind, RunEvent};
use crate::architect::run::{self, Assignment};
use crate::architect::{NotStarted, cancellation};
use crate::conversations;
use crate::error::Failure;
use crate::repository::Repository;
use crate::repository::inbox::{Inbox, entry, unknown};
use crate::repository::records::INBOX;
use crate::repository::run_report::Report;
use crate::telemetry::Span;
use crate::versions::{self, Outcome};
use crate::world::clock;
use crate::world::env;
use crate::world::fs::{self, FileLock};
use crate::world::git_command::GitCommand;
use crate::world::process::{self, Run};
use agent_core::architect::feedback::{Feedback, Status};
use agent_core::formats::canonical;
use agent_core::formats::committed::{Committed, Warnings};
use agent_core::formats::manifest::CoderKind;
use agent_core::formats::object_id::digest;
use agent_core::testing::case_result::{held_out_folder, is_held_out};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

/// Feedback as it is given, also as programs write it: `NewFeedback` in both of their documents.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewFeedback {
    pub text: String,
    #[serde(default)]
    pub conversation: Option<String>,
}

/// Feedback with its source and its idempotency key.
#[derive(Debug, Clone)]
pub struct Submission {
    pub new: NewFeedback,
    /// Its source: the terminal, REST or MCP.
    pub source: &'static str,
    /// The idempotency key: feedback with a known key and equal content is not added again.
    pub key: Option<String>,
}

#[derive(Debug)]
pub enum Submitted {
    New(Feedback),
    /// The key was used before; returns the current item.
    Again(Feedback),
    /// The key was used before with another request.
    OtherContent,
    NoConversation {
        id: String,
    },
}

/// The request of an idempotency key, stored beside the items: `keys/<digest>.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Used {
    schema: String,
    item: String,
    /// The digest of text and conversation.
    content: String,
}

const USED: &str = "agent/idempotency-key@1";

/// Once this returns without a warning, the item is on disk.
pub fn submit(
    repository: &Repository,
    submission: &Submission,
) -> Result<Committed<Submitted>, Failure> {
    let NewFeedback { text, conversation } = &submission.new;
    let conversation = conversation.as_deref();
    if let Some(id) = conversation
        && conversations::load(&repository.layout, id)?.is_none()
    {
        return Ok(Committed::whole(Submitted::NoConversation { id: id.to_owned() }));
    }
    let item = Feedback::new(text, conversation, submission.source, &clock::rfc3339(clock::now()))?;
    let Some(key) = &submission.key else {
        return Ok(Inbox::new(&repository.git).add(&item)?.map(|()| Submitted::New(item)));
    };
    submit_once(repository, item, key)
}

fn submit_once(
    repository: &Repository,
    item: Feedback,
    key: &str,
) -> Result<Committed<Submitted>, Failure> {
    let content = digest(canonical::to_compact(&json!([item.text, item.conversation])).as_bytes());
    let path = format!("keys/{}.json", digest(key.as_bytes()).trim_start_matches("sha256:"));
    let used = Used { schema: USED.to_owned(), item: item.id.clone(), content: content.clone() };
    let used = serde_json::to_vec(&used).expect("a key is JSON");
    let files = vec![entry(&item), (path.clone(), used)];
    let mut before = None;
    let added = INBOX.edit(&repository.git, |view| {
        before = view.read(&path)?;
        Ok(before.is_none().then(|| (format!("feedback: {}", item.headline(60)), files.clone())))
    })?;
    let Some(before) = before else { return Ok(added.map(|()| Submitted::New(item))) };
    let before: Used =
        serde_json::from_slice(&before).map_err(|error| ArchitectError::NotAKey { path, error })?;
    if before.content != content {
        return Ok(Committed::whole(Submitted::OtherContent));
    }
    Ok(Committed::whole(Submitted::Again(Inbox::new(&repository.git).item(&before.item)?)))
}

/// The active runs of this clone. A run whose process has exited is ended first, and its feedback
/// is open again.
fn under_way(repository: &Repository) -> Result<Vec<Report>, Failure> {
    let local = run::local_runs(repository)?;
    if local.is_empty() {
        return Ok(local);
    }
    run::sweep_if_free(repository)?;
    run::local_runs(repository)
}

/// Whether a run of this clone is in progress.
pub fn is_run_under_way(repository: &Repository) -> Result<bool, Failure> {
    Ok(!under_way(repository)?.is_empty())
}

/// Returns when no run of this clone is in progress.
pub fn wait_for_runs(repository: &Repository) -> Result<(), Failure> {
    while is_run_under_way(repository)? {
        // a run holds the lock until it ends
        drop(FileLock::acquire(&repository.layout.architect_lock())?);
    }
    Ok(())
}

/// All feedback, newest first.
pub fn feedback(repository: &Repository) -> Result<Vec<Feedback>, Failure> {
    under_way(repository)?;
    let mut items = Inbox::new(&repository.git).items()?;
    items.reverse();
    Ok(items)
}

pub fn item(repository: &Repository, id: &str) -> Result<Option<Feedback>, Failure> {
    Ok(feedback(repository)?.into_iter().find(|item| item.id == id))
}

/// All runs, newest first.
pub fn runs(repository: &Repository) -> Result<Vec<Report>, Failure> {
    let mut local = under_way(repository)?;
    let mut runs = Inbox::new(&repository.git).runs()?;
    local.retain(|run| !runs.iter().any(|ended| ended.run == run.run));
    runs.append(&mut local);
    runs.sort_by(|one, other| (&other.started, &other.run).cmp(&(&one.started, &one.run)));
    Ok(runs)
}

pub fn run(repository: &Repository, id: &str) -> Result<Option<Report>, Failure> {
    Ok(runs(repository)?.into_iter().find(|run| run.run == id))
}

/// The request of a run, also as programs write it: `NewRun` in both of their documents.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename = "NewRun", deny_unknown_fields, default)]
pub struct Start {
    /// Ids; the oldest open item where there are none.
    pub feedback: Vec<String>,
    pub coder: Option<CoderKind>,
    /// Only for items that no run has taken yet.
    #[serde(skip)]
    pub once: bool,
}

/// The first line on stdout of a process that `start` made.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "announced", rename_all = "snake_case")]
pub enum Announcement {
    /// The run is on record.
    Started {
        run: String,
    },
    NotStarted {
        reason: NotStarted,
    },
}

impl Announcement {
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("an announcement is JSON")
    }
}

/// Starts a run in a separate process; once this returns, the run is recorded.
pub fn start(repository: &Repository, start: &Start) -> Result<Report, NotStarted> {
    let items = chosen(repository, start)?;
    let log = fs::unused_path(&repository.layout.temporary())?;
    let stderr = fs::create_file(&log)?;
    let mut command = Run::new(process::own_program()).arg("-C").arg(&repository.directory);
    command = command.args(["architect", "run", "--announce", "--no-wait"]);
    if let Some(coder) = start.coder {
        command = command.args(["--coder", coder.as_str()]);
    }
    if start.once {
        command = command.arg("--once");
    }
    if let Some(asked) = Span::current().traceparent() {
        command = command.env(env::TRACEPARENT, asked);
    }
    let ids = items.iter().map(|item| &item.id);
    let mut process = command.args(ids).start_apart(stderr)?;
    let announced = process.first_line().and_then(|line| serde_json::from_str(&line).ok());
    let Some(Announcement::Started { run: id }) = announced else {
        process.wait();
        let stderr = fs::read_if_there(&log)?.unwrap_or_default();
        fs::remove_if_there(&log)?;
        return Err(not_started(announced, &String::from_utf8_lossy(&stderr)));
    };
    process.let_go();
    // its stderr is redirected to this file
    fs::rename(&log, &repository.layout.architect(&id).join("agent.log"))?;
    run(repository, &id)?.ok_or_else(|| Failure::from(ArchitectError::Vanished { run: id }).into())
}

/// The named items, or the oldest open one.
fn chosen(repository: &Repository, start: &Start) -> Result<Vec<Feedback>, NotStarted> {
    let items = Inbox::new(&repository.git).items()?;
    if start.feedback.is_empty() {
        let oldest = items.into_iter().find(|item| item.status.can_be_run(false));
        return oldest.map(|oldest| vec![oldest]).ok_or(NotStarted::NothingOpen);
    }
    start.feedback.iter().map(|id| run::runnable(&items, id, !start.once)).collect()
}

/// Why the process of a run put none on record.
fn not_started(announced: Option<Announcement>, stderr: &str) -> NotStarted {
    let with_output = |failure: Failure| {
        let message = format!("the run was not started: {}", failure.messages.join(": "));
        Failure { messages: vec![message], ..failure }
    };
    match announced {
        Some(Announcement::NotStarted { reason: NotStarted::NotReady(failure) }) => {
            NotStarted::NotReady(with_output(failure))
        }
        Some(Announcement::NotStarted { reason: NotStarted::Failed(failure) }) => {
            NotStarted::Failed(with_output(failure))
        }
        Some(Announcement::NotStarted { reason }) => reason,
        Some(Announcement::Started { .. }) | None => {
            let last = stderr.lines().last().unwrap_or("its process ended without a message");
            let died = ArchitectError::Died { last_line: last.trim().to_owned() };
            NotStarted::Failed(with_output(died.into()))
        }
    }
}

/// A run that this process carries out.
pub struct Begun<'a> {
    run: run::Begun<'a>,
    repository: &'a Repository,
    pushes: bool,
}

/// Puts a run on record for this process to carry out. `waits`: for the end of another run.
pub fn begin<'a>(
    repository: &'a Repository,
    start: &Start,
    waits: bool,
) -> Result<Begun<'a>, NotStarted> {
    let items = chosen(repository, start)?;
    let pushes = versions::pushes_by_manifest(repository);
    versions::require_up_to_date(repository, pushes)?;
    let run =
        run::begin(repository, &Assignment { items, coder: start.coder, waits, once: start.once })?;
    Ok(Begun { run, repository, pushes })
}

impl Begun<'_> {
    pub fn id(&self) -> &str {
        &self.run.report().run
    }

    /// The report, and the remote that the version was pushed to.
    pub fn carry_out(self) -> Result<(Report, Option<String>), Failure> {
        let report = self.run.carry_out()?;
        let pushed = self.pushes.then(|| pushed(self.repository, &report)).flatten();
        Ok((report, pushed))
    }
}

/// Pushes the version of a run. It is released already, so a failed push is a warning.
fn pushed(repository: &Repository, report: &Report) -> Option<String> {
    let (version, commit) = report.version.as_ref().zip(report.commit.as_ref())?;
    let mut warnings = Warnings::none();
    let pushed = versions::push_made(repository, version, commit);
    let pushed = warnings.note(
        pushed,
        &format!("{version} was released but not pushed; run `agent sync` to push it"),
    );
    repository.say(warnings);
    pushed
}

/// A run whose branch a person released.
pub struct Accepted {
    pub report: Report,
    pub outcome: Outcome,
    /// The remote that the version was pushed to.
    pub pushed: Option<String>,
}

/// Releases the branch of a run, as a person's decision. `again` is the reason for which code that
/// a rollback took out of service may be served.
pub fn accept(repository: &Repository, id: &str, again: Option<&str>) -> Result<Accepted, Failure> {
    let push = versions::pushes_by_manifest(repository);
    versions::require_up_to_date(repository, push)?;
    let (report, outcome) = run::accept(repository, id, again)?;
    let pushed = (push && outcome.done).then(|| pushed(repository, &report)).flatten();
    Ok(Accepted { report, outcome, pushed })
}

/// The result of a request to stop a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// The run ends at its next step.
    Requested { run: String },
    /// The process of the run had exited already.
    Gone { run: String },
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested { run } => write!(f, "cancellation of run {run} requested"),
            Self::Gone { run } => write!(
                f,
                "the process of run {run} had already ended; the run is marked as interrupted now"
            ),
        }
    }
}

/// Why no run was stopped.
#[derive(Debug)]
pub enum NotCancelled {
    NoRun { id: String },
    Ended { run: String, status: String },
    Failed(Failure),
}

impl From<Failure> for NotCancelled {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<NotCancelled> for Failure {
    fn from(why: NotCancelled) -> Self {
        match why {
            NotCancelled::NoRun { id } => unknown("run", &id).into(),
            NotCancelled::Ended { run, status } => {
                Self::input(format!("run `{run}` has ended: it is {status}"))
            }
            NotCancelled::Failed(failure) => failure,
        }
    }
}

/// Requests that a run stops.
pub fn cancel(repository: &Repository, id: &str) -> Result<Cancelled, NotCancelled> {
    let was_under_way = run::local_runs(repository)?.iter().any(|run| run.run == id);
    match run(repository, id)? {
        None => Err(NotCancelled::NoRun { id: id.to_owned() }),
        Some(run) if run.finished.is_none() => {
            cancellation::request(&repository.layout.architect(id)).map_err(Failure::from)?;
            Ok(Cancelled::Requested { run: run.run })
        }
        Some(run) if was_under_way => Ok(Cancelled::Gone { run: run.run }),
        Some(Report { run, status, .. }) => Err(NotCancelled::Ended { run, status }),
    }
}

/// Withdraws feedback that no version answers.
pub fn withdraw(repository: &Repository, item: &Feedback) -> Result<(), Failure> {
    match &item.status {
        Status::Taken { run } => {
            Err(ArchitectError::Taken { run: run.clone(), id: item.id.clone() }.into())
        }
        Status::Answered { version, .. } => {
            let version = version.clone();
            Err(ArchitectError::Answered { id: item.id.clone(), version }.into())
        }
        Status::Open | Status::Refused { .. } | Status::NeedsPerson { .. } | Status::Withdrawn => {
            let inbox = Inbox::new(&repository.git);
            repository.unpack(inbox.set_status(std::slice::from_ref(item), &Status::Withdrawn)?);
            Ok(())
        }
    }
}

/// The events of a run after the event of this number. Of a run in another clone only the end is
/// known.
pub fn happened(
    repository: &Repository,
    report: &Report,
    after: u64,
) -> Result<Vec<RunEvent>, Failure> {
    let folder = repository.layout.architect(&report.run);
    let found = events::read(&folder, after)?;
    if !found.is_empty() || report.finished.is_none() || !events::read(&folder, 0)?.is_empty() {
        return Ok(found);
    }
    let end = RunEvent {
        schema: events::SCHEMA.to_owned(),
        run: report.run.clone(),
        number: 1,
        at: report.finished.clone().unwrap_or_else(|| report.started.clone()),
        kind: Kind::Ended,
        status: report.status.clone(),
        attempt: report.progress.attempt,
        text: report.why.clone().unwrap_or_default(),
    };
    Ok(if after == 0 { vec![end] } else { Vec::new() })
}

/// What a run changed, as `git diff` shows it: its last attempt that changed anything. Empty where
/// none did. Files of held-out cases are named alone unless `shows_held_out`: the reader may be a
/// coder.
pub fn diff(
    repository: &Repository,
    report: &Report,
    shows_held_out: bool,
) -> Result<String, Failure> {
    let branch = || {
        repository
            .git
            .reference(&format!("refs/heads/{}", report.branch.as_deref()?))
            .ok()
            .flatten()
    };
    let attempt = report.attempts.iter().rev().find_map(|attempt| attempt.commit.clone());
    let there = attempt.filter(|commit| repository.git.exists(commit));
    let Some(commit) = there.or_else(branch).or_else(|| report.commit.clone()) else {
        return Ok(String::new());
    };
    let mut withheld = repository.git.diff(Some(&report.base), &commit)?;
    withheld.retain(|change| !shows_held_out && is_held_out(&change.path));
    let folders: BTreeSet<&str> =
        withheld.iter().filter_map(|change| held_out_folder(&change.path)).collect();
    let folders: Vec<&str> = folders.into_iter().collect();
    // text before the first `diff --git` is not part of a patch
    let mut shown = String::new();
    for change in &withheld {
        let _ = writeln!(shown, "withheld (held-out cases): {}", change.path);
    }
    Ok(shown
        + &GitCommand::isolated(repository.git.root()).diff(&report.base, &commit, &folders)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::formats::diagnose::FailureKind;

    /// The kind, messages and hint of what ended the process of a run arrive as they were.
    #[test]
    fn announced_error_keeps_kind_and_hint() {
        let failure = Failure::new(FailureKind::Conflict, "another run is in progress")
            .with_hint("wait for it");
        let line = Announcement::NotStarted { reason: failure.into() }.to_line();
        let NotStarted::Failed(failure) =
            not_started(serde_json::from_str(&line).ok(), "error: something else")
        else {
            panic!()
        };
        assert_eq!(
            (failure.kind, failure.hint.as_deref()),
            (FailureKind::Conflict, Some("wait for it"))
        );
        assert_eq!(failure.messages, ["the run was not started: another run is in progress"]);

        // which of the two it is was decided by the process that failed
        let reason = NotStarted::NotReady(Failure::input("agent.toml has no coder"));
        let line = Announcement::NotStarted { reason }.to_line();
        let NotStarted::NotReady(failure) = not_started(serde_json::from_str(&line).ok(), "")
        else {
            panic!()
        };
        assert_eq!(failure.messages, ["the run was not started: agent.toml has no coder"]);
        let reason = NotStarted::NotRunnable { id: "f-1".to_owned(), status: Status::Withdrawn };
        let line = Announcement::NotStarted { reason }.to_line();
        let NotStarted::NotRunnable { id, status: Status::Withdrawn } =
            not_started(serde_json::from_str(&line).ok(), "")
        else {
            panic!()
        };
        assert_eq!(id, "f-1");
        let NotStarted::Failed(failure) = not_started(None, "thread panicked\n") else { panic!() };
        assert_eq!(
            (failure.kind, failure.messages),
            (FailureKind::Child, vec!["the run was not started: thread panicked".to_owned()])
        );
    }
}
