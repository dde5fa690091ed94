//! The operations of the Architect for the terminal, REST and MCP: add feedback; start, list and
//! stop runs.
//!
//! A run is a process of its own that outlives its caller. Its state is read from the repository,
//! so that every front lists every run.

use crate::architect::events::{self, Kind, RunEvent};
use crate::architect::run;
use crate::conversations;
use crate::error::Failure;
use crate::repository::Repository;
use crate::repository::inbox::{Inbox, entry};
use crate::repository::records::INBOX;
use crate::repository::run_report::Report;
use crate::telemetry::Span;
use crate::world::clock;
use crate::world::env;
use crate::world::fs;
use crate::world::git_command::GitCommand;
use crate::world::process::{self, Run};
use agent_core::architect::feedback::{Feedback, Status};
use agent_core::formats::canonical;
use agent_core::formats::committed::Committed;
use agent_core::formats::diagnose::FailureKind;
use agent_core::formats::manifest::CoderKind;
use agent_core::formats::object_id::digest;
use agent_core::testing::evaluation::{held_out_folder, is_held_out};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Feedback as a program gives it.
#[derive(Debug, Clone)]
pub struct Submission {
    pub text: String,
    pub conversation: Option<String>,
    /// Where it comes from: a person, REST or MCP.
    pub source: &'static str,
    /// The same key with the same content is the same item, however often it is sent.
    pub key: Option<String>,
}

#[derive(Debug)]
pub enum Submitted {
    New(Feedback),
    /// It came with this key before; the item is as it is now.
    Again(Feedback),
    /// The key came before, with something else.
    OtherContent,
    NoConversation,
}

/// What a key stood for, kept beside the items: `keys/<digest>.json`.
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
    let conversation = submission.conversation.as_deref();
    if let Some(id) = conversation
        && conversations::load(&repository.layout, id)?.is_none()
    {
        return Ok(Committed::whole(Submitted::NoConversation));
    }
    let item = Feedback::new(
        &submission.text,
        conversation,
        submission.source,
        &clock::rfc3339(clock::now()),
    )?;
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
    let before: Used = serde_json::from_slice(&before).map_err(|error| {
        Failure::input(format!("inbox:{path} is not a record of a key: {error}"))
    })?;
    if before.content != content {
        return Ok(Committed::whole(Submitted::OtherContent));
    }
    Ok(Committed::whole(Submitted::Again(Inbox::new(&repository.git).item(&before.item)?)))
}

/// All feedback, newest first.
pub fn feedback(repository: &Repository) -> Result<Vec<Feedback>, Failure> {
    let mut items = Inbox::new(&repository.git).items()?;
    items.reverse();
    Ok(items)
}

/// All runs, newest first; one whose process is gone has ended by now.
pub fn runs(repository: &Repository) -> Result<Vec<Report>, Failure> {
    let mut local = run::local_runs(repository)?;
    if !local.is_empty() {
        run::sweep_if_free(repository)?;
        local = run::local_runs(repository)?;
    }
    let mut runs = Inbox::new(&repository.git).runs()?;
    local.retain(|run| !runs.iter().any(|ended| ended.run == run.run));
    runs.append(&mut local);
    runs.sort_by(|one, other| (&other.started, &other.run).cmp(&(&one.started, &one.run)));
    Ok(runs)
}

pub fn run(repository: &Repository, id: &str) -> Result<Option<Report>, Failure> {
    Ok(runs(repository)?.into_iter().find(|run| run.run == id))
}

/// What a run is to be, also as programs write it: `NewRun` in both of their documents.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename = "NewRun", deny_unknown_fields, default)]
pub struct Start {
    /// Ids; the oldest open item where there are none.
    pub feedback: Vec<String>,
    pub coder: Option<CoderKind>,
}

/// Why no run was started.
#[derive(Debug)]
pub enum NotStarted {
    NoFeedback(String),
    /// It is answered, withdrawn, or a run works on it.
    NotRunnable {
        id: String,
        status: Status,
    },
    NothingOpen,
    /// The repository is not in a state that a run can begin from.
    NotReady(Failure),
    Failed(Failure),
}

impl From<Failure> for NotStarted {
    fn from(error: Failure) -> Self {
        Self::Failed(error)
    }
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
        failure: Failure,
    },
}

impl Announcement {
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("an announcement is JSON")
    }
}

/// Starts a run in a process of its own; once this returns, the run is on record.
pub fn start(repository: &Repository, start: &Start) -> Result<Report, NotStarted> {
    let items = chosen(repository, start)?;
    let log = fs::unused_path(&repository.layout.temporary()).map_err(Failure::from)?;
    let stderr = fs::create_file(&log).map_err(Failure::from)?;
    let mut command = Run::new(process::own_program()).arg("-C").arg(&repository.directory);
    command = command.args(["architect", "run", "--announce", "--no-wait"]);
    if let Some(coder) = start.coder {
        command = command.args(["--coder", coder.as_str()]);
    }
    if let Some(asked) = Span::current().traceparent() {
        command = command.env(env::TRACEPARENT, asked);
    }
    let mut process = command.args(&items).start_apart(stderr).map_err(Failure::from)?;
    let announced = process.first_line().and_then(|line| serde_json::from_str(&line).ok());
    let Some(Announcement::Started { run: id }) = announced else {
        process.wait();
        let stderr = fs::read_if_there(&log).map_err(Failure::from)?.unwrap_or_default();
        fs::remove_if_there(&log).map_err(Failure::from)?;
        return Err(not_started(announced, &String::from_utf8_lossy(&stderr)));
    };
    process.let_go();
    // its stderr goes to this file to the end
    fs::rename(&log, &repository.layout.architect(&id).join("agent.log")).map_err(Failure::from)?;
    run(repository, &id)?.ok_or_else(|| {
        Failure::new(FailureKind::Child, format!("run {id} was announced and is not there")).into()
    })
}

fn chosen(repository: &Repository, start: &Start) -> Result<Vec<String>, NotStarted> {
    let items = Inbox::new(&repository.git).items()?;
    if start.feedback.is_empty() {
        let oldest = items
            .into_iter()
            .find(|item| item.status.can_be_run(false))
            .ok_or(NotStarted::NothingOpen)?;
        return Ok(vec![oldest.id]);
    }
    for id in &start.feedback {
        let item = items
            .iter()
            .find(|item| item.id == *id)
            .ok_or_else(|| NotStarted::NoFeedback(id.clone()))?;
        if !item.status.can_be_run(true) {
            return Err(NotStarted::NotRunnable { id: id.clone(), status: item.status.clone() });
        }
    }
    Ok(start.feedback.clone())
}

/// Why the process of a run put none on record.
fn not_started(announced: Option<Announcement>, stderr: &str) -> NotStarted {
    let failure = match announced {
        Some(Announcement::NotStarted { failure }) => failure,
        _ => Failure::new(
            FailureKind::Child,
            stderr.lines().last().unwrap_or("its process ended without a message").trim(),
        ),
    };
    let message = format!("the run was not started: {}", failure.messages.join(": "));
    let failure = Failure { messages: vec![message], ..failure };
    match failure.kind {
        FailureKind::Input => NotStarted::NotReady(failure),
        _ => NotStarted::Failed(failure),
    }
}

/// What happened in a run after the event of this number. One that went on elsewhere has left its
/// end alone.
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
/// none did. Files of held-out cases are named alone unless `shows_held_out`: what reads this may
/// be what the cases are held out from.
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
    // what stands before the first `diff --git` is no part of a patch
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

    /// The kind, messages and hint of what ended the process of a run arrive as they were.
    #[test]
    fn an_announced_failure_keeps_its_kind_and_its_hint() {
        let failure =
            Failure::new(FailureKind::Conflict, "another run is going on").with_hint("wait for it");
        let line = Announcement::NotStarted { failure }.to_line();
        let NotStarted::Failed(failure) =
            not_started(serde_json::from_str(&line).ok(), "error: something else")
        else {
            panic!()
        };
        assert_eq!(
            (failure.kind, failure.hint.as_deref()),
            (FailureKind::Conflict, Some("wait for it"))
        );
        assert_eq!(failure.messages, ["the run was not started: another run is going on"]);

        let line = Announcement::NotStarted { failure: Failure::input("agent.toml has no coder") }
            .to_line();
        assert!(matches!(
            not_started(serde_json::from_str(&line).ok(), ""),
            NotStarted::NotReady(_)
        ));
        let NotStarted::Failed(failure) = not_started(None, "thread panicked\n") else { panic!() };
        assert_eq!(
            (failure.kind, failure.messages),
            (FailureKind::Child, vec!["the run was not started: thread panicked".to_owned()])
        );
    }
}
