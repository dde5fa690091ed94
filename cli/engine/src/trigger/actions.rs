//! The actions of a firing: each is noted in its record once it was carried out.

use crate::architect::NotStarted;
use crate::architect::operations::{self, Start};
use crate::error::Failure;
use crate::repository::{Repository, firings};
use crate::world::clock;
use crate::world::http;
use crate::world::process::Run;
use agent_core::architect::feedback::Status;
use agent_core::formats::diagnose::Messages as _;
use agent_core::testing::judgement::cut;
use agent_core::trigger::firing::{ActionResult, Firing};
use agent_core::trigger::{Action, Rule};
use std::time::Duration;

/// A command or a request that takes longer is given up.
const ACTION_TIMEOUT: Duration = Duration::from_secs(30);

/// The number of characters that are recorded of a failed command's output.
const COMPLAINT: usize = 1000;

const HELD: &str = "promotions are held until it is cleared";

/// The note of `freeze`.
pub fn held(at: &str) -> ActionResult {
    ActionResult { at: at.to_owned(), result: HELD.to_owned(), pending: false }
}

/// Carries out what is not done yet; the result is the firing afterwards.
pub fn carry_out(
    repository: &Repository,
    rule: &Rule,
    mut firing: Firing,
) -> Result<Firing, Failure> {
    for action in &rule.actions {
        let key = action.key();
        if firing.actions.get(&key).is_some_and(|outcome| !outcome.pending) {
            continue;
        }
        let (result, pending) = one(repository, action, &firing);
        let known = firing.actions.get(&key);
        if known.is_some_and(|known| known.pending == pending && known.result == result) {
            continue;
        }
        let outcome = ActionResult { at: clock::rfc3339(clock::now()), result, pending };
        let note = |firing: &mut Firing| {
            firing.actions.insert(key.clone(), outcome.clone());
        };
        let changed = firings::change(repository, &firing.id, &key, note, &[])?;
        firing = repository.unpack(changed);
    }
    Ok(firing)
}

/// The result in words, and whether it is to be tried again.
fn one(repository: &Repository, action: &Action, firing: &Firing) -> (String, bool) {
    match action {
        Action::Wake => wake(repository, firing),
        Action::Freeze => (HELD.to_owned(), false),
        Action::Rollback => super::rollback::attempt(repository, firing),
        Action::Command(command) => (run_command(repository, command, firing), false),
        Action::Post(url) => (post(url, firing), false),
    }
}

/// Starts a run for the firing's feedback item, unless a run has taken it already.
fn wake(repository: &Repository, firing: &Firing) -> (String, bool) {
    let runs = match operations::runs(repository) {
        Ok(runs) => runs,
        Err(error) => return (format!("no run was started: {}", error.messages.join(": ")), true),
    };
    // a killed check may not have recorded the run, and a short run may have ended since
    if let Some(run) = runs.iter().find(|run| run.feedback.contains(&firing.feedback)) {
        return (format!("run {} was started", run.run), false);
    }
    if let Some(run) = runs.iter().find(|run| run.finished.is_none()) {
        return (format!("it waits for the end of run {}", run.run), true);
    }
    let start = Start { feedback: vec![firing.feedback.clone()], coder: None, once: true };
    match operations::start(repository, &start) {
        Ok(report) => (format!("run {} was started", report.run), false),
        Err(NotStarted::NotRunnable {
            status:
                Status::Taken { run }
                | Status::Answered { run, .. }
                | Status::Refused { run }
                | Status::NeedsPerson { run },
            ..
        }) => (format!("run {run} was started"), false),
        Err(reason) => {
            let failure = Failure::from(reason);
            (format!("no run was started: {}", failure.messages().join(": ")), false)
        }
    }
}

fn document(firing: &Firing) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(firing).expect("a firing is JSON");
    bytes.push(b'\n');
    bytes
}

fn run_command(repository: &Repository, command: &[String], firing: &Firing) -> String {
    let run = Run::new(&command[0])
        .args(&command[1..])
        .directory(&repository.directory)
        .stdin(document(firing));
    match run.finish_within(ACTION_TIMEOUT) {
        Ok(Some(finished)) if finished.success() => "the command succeeded".to_owned(),
        Ok(Some(finished)) => {
            let status = finished.code.map_or_else(
                || "was ended by a signal".to_owned(),
                |code| format!("failed with exit code {code}"),
            );
            // every clone gets the record, so the output of a command is truncated
            let complaint = cut(&finished.complaint(), COMPLAINT);
            if complaint.is_empty() {
                format!("the command {status}")
            } else {
                format!("the command {status}: {complaint}")
            }
        }
        Ok(None) => format!("the command did not end within {} s", ACTION_TIMEOUT.as_secs()),
        Err(error) => format!("the command failed: {}", error.messages().join(": ")),
    }
}

fn post(url: &str, firing: &Firing) -> String {
    match http::post_json(url, document(firing), ACTION_TIMEOUT) {
        Ok(status) => format!("the server answered with status {status}"),
        Err(problem) => format!("the request failed: {problem}"),
    }
}
