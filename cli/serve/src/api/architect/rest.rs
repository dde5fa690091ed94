//! `agent serve architect`: the REST API of the Architect: feedback and runs.

use super::schemas::SCHEMAS;
use crate::rest::{Call, Event, Events, Kind, Problem, Reply, Route, Service};
use agent_core::architect::feedback::TEXT_LIMIT;
use agent_core::formats::committed::Committed;
use agent_core::formats::committed::WithWarnings;
use agent_engine::architect::NotStarted;
use agent_engine::architect::events::{Kind as What, RunEvent};
use agent_engine::architect::operations::{
    self, NewFeedback, NotCancelled, Start, Submission, Submitted,
};
use agent_engine::error::Failure;
use agent_engine::repository::Location;
use agent_engine::repository::Repository;
use agent_engine::repository::run_report::Report;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::time::Duration;

/// A worker's state.
struct WorkerState {
    repository: Repository,
    location: Location,
    /// Whether the server requires a token. Without one, code under test on this machine could read
    /// held-out cases through it.
    shows_held_out: bool,
}

const ID_OF_RUN: Kind = Kind::Text { pattern: "^r-[0-9a-f]{10}$", longest: 12 };
const ID_OF_FEEDBACK: Kind = Kind::Text { pattern: "^f-[0-9a-f]{10}$", longest: 12 };
const LIMIT: Kind = Kind::Integer { least: 1, most: 500 };
const A_PAGE: usize = 50;
const STATUSES: [&str; 6] = ["open", "taken", "answered", "refused", "needs-person", "withdrawn"];

pub fn service(location: &Location, shows_held_out: bool) -> Service<impl Sized + use<>> {
    let location = location.clone();
    Service {
        title: "Architect",
        description: "Takes feedback. Runs change the agent's code for it, test the change, and \
        end with a new version or with a report of why there is none.",
        schemas: SCHEMAS,
        routes: feedback_routes().into_iter().chain(run_routes()).collect(),
        open: Box::new(move || {
            Ok(WorkerState {
                repository: location.open()?,
                location: location.clone(),
                shows_held_out,
            })
        }),
        metrics: |worker| measured(&worker.repository),
    }
}

fn feedback_routes() -> [Route<WorkerState>; 3] {
    [
        Route::post(
            "/v1/feedback",
            "giveFeedback",
            "Adds an item of feedback to the inbox. The item is on disk before the response is \
            sent.",
            give,
        )
        .header(
            "Idempotency-Key",
            Kind::Text { pattern: r"^[!-~]+$", longest: 255 },
            "Requests with the same key and content create one item; the same key with other \
            content is refused.",
        )
        .takes("NewFeedback")
        .answers(202, "Feedback", "The item is in the inbox.")
        .problems(&[404]),
        Route::get(
            "/v1/feedback",
            "listFeedback",
            "The feedback items, newest first.",
            list_feedback,
        )
        .query("limit", LIMIT, "The maximum number of items [default: 50].")
        .query("after", ID_OF_FEEDBACK, "The last item of the previous page.")
        .query("status", Kind::OneOf(&STATUSES), "Only items with this status.")
        .answers(200, "FeedbackPage", "A page; `Link` has the next one.")
        .problems(&[404]),
        Route::get(
            "/v1/feedback/{feedback}",
            "showFeedback",
            "One item and its status.",
            show_feedback,
        )
        .part("feedback", ID_OF_FEEDBACK, "The item's id.")
        .answers(200, "Feedback", "The item.")
        .problems(&[404]),
    ]
}

fn run_routes() -> [Route<WorkerState>; 6] {
    let id = "The run's id.";
    [
        Route::post(
            "/v1/runs",
            "startRun",
            "Starts a run. One run is active at a time, in a process that outlives this server.",
            start,
        )
        .takes("NewRun")
        .answers(202, "Run", "The run is recorded and active; `Location` has its status.")
        .problems(&[404, 409, 502]),
        Route::get("/v1/runs", "listRuns", "The runs, newest first.", list_runs)
            .query("limit", LIMIT, "The maximum number of items [default: 50].")
            .query("after", ID_OF_RUN, "The last item of the previous page.")
            .answers(200, "RunPage", "A page; `Link` has the next one.")
            .problems(&[404]),
        Route::get(
            "/v1/runs/{run}",
            "showRun",
            "A run: its status, attempts and outcome.",
            show_run,
        )
        .part("run", ID_OF_RUN, id)
        .answers(200, "Run", "The run.")
        .problems(&[404]),
        Route::get(
            "/v1/runs/{run}/events",
            "runEvents",
            "The events of a run, from its start to its end.",
            stream,
        )
        .part("run", ID_OF_RUN, id)
        .header(
            "Last-Event-ID",
            Kind::Text { pattern: "^[0-9]{1,9}$", longest: 9 },
            "The last event that was received.",
        )
        .streams("RunStreamEvent", "The events; the last one is named `ended`.")
        .problems(&[404]),
        Route::get(
            "/v1/runs/{run}/diff",
            "runDiff",
            "The changes of the run's last attempt, in the format of `git diff`; empty without \
            changes. Of files of held-out cases only the path is shown, in a line before the \
            patch, unless the server requires a token.",
            diff,
        )
        .part("run", ID_OF_RUN, id)
        .answers_as(
            200,
            "text/x-diff; charset=utf-8",
            "The difference to the version that the run started from.",
        )
        .problems(&[404]),
        Route::post(
            "/v1/runs/{run}/cancel",
            "cancelRun",
            "Requests that a run stop. Its feedback is open again afterwards.",
            cancel,
        )
        .part("run", ID_OF_RUN, id)
        .answers(202, "Cancellation", "The request is recorded.")
        .problems(&[404, 409]),
    ]
}

// ---- feedback

fn give(worker: &mut WorkerState, call: &Call<'_>) -> Result<Reply, Problem> {
    let new: NewFeedback = call.json()?;
    if new.text.trim().is_empty() || new.text.len() > TEXT_LIMIT {
        return Err(Problem::new(
            422,
            format!("`text` must not be blank or longer than {TEXT_LIMIT} bytes"),
        ));
    }
    let key = call.header("idempotency-key").map(str::to_owned);
    if key
        .as_ref()
        .is_some_and(|key| key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        return Err(Problem::bad_request(
            "the header `Idempotency-Key` must consist of visible ASCII characters",
        ));
    }
    let submission = Submission { new, source: "api", key };
    let Committed { value, warnings } = operations::submit(&worker.repository, &submission)?;
    match value {
        Submitted::New(item) | Submitted::Again(item) => {
            let document = WithWarnings { document: &item, warnings: warnings.as_slice() };
            Ok(Reply::json(&document)
                .status(202)
                .header("Location", format!("/v1/feedback/{}", item.id))
                .once())
        }
        Submitted::OtherContent => {
            Err(Problem::new(422, "this Idempotency-Key was used before, with other content")
                .with_hint("use a new key for a new item"))
        }
        Submitted::NoConversation { .. } => Err(Problem::not_found("unknown conversation")
            .with_hint("use a conversation of this repository, or leave `conversation` out")),
    }
}

fn list_feedback(worker: &mut WorkerState, call: &Call<'_>) -> Result<Reply, Problem> {
    let mut items = operations::feedback(&worker.repository)?;
    if let Some(status) = call.query::<String>("status")? {
        let after = call.query::<String>("after")?;
        items.retain(|item| item.status.as_str() == status || Some(&item.id) == after.as_ref());
    }
    page(&items, "agent/feedback-list@1", "feedback", |item| &item.id, call)
}

fn show_feedback(worker: &mut WorkerState, call: &Call<'_>) -> Result<Reply, Problem> {
    let id: String = call.path("feedback")?;
    let item = operations::item(&worker.repository, &id)?;
    Ok(Reply::json(
        &item.ok_or_else(|| Problem::not_found(format!("there is no feedback item `{id}`")))?,
    ))
}

/// The page of a list after an id.
fn page<T: Serialize>(
    items: &[T],
    schema: &'static str,
    key: &'static str,
    id: impl Fn(&T) -> &str,
    call: &Call<'_>,
) -> Result<Reply, Problem> {
    let after = call.query::<String>("after")?;
    let from = match &after {
        None => 0,
        Some(after) => {
            let found = items.iter().position(|item| id(item) == after);
            found.ok_or_else(|| {
                Problem::not_found(format!("`after` is `{after}`, which is not in the list"))
            })? + 1
        }
    };
    let limit = call.query("limit")?.unwrap_or(A_PAGE);
    let shown = items.get(from..(from + limit).min(items.len())).unwrap_or_default();
    let next = (from + shown.len() < items.len()).then(|| shown.last().map(&id)).flatten();
    let mut document = Map::new();
    document.insert("schema".to_owned(), schema.into());
    document.insert(
        key.to_owned(),
        serde_json::to_value(shown).expect("the API's own documents serialise"),
    );
    document.insert("next".to_owned(), next.map_or(Value::Null, Value::from));
    let reply = Reply::json(&Value::Object(document));
    Ok(call.with_next(reply, next))
}

// ---- runs

fn start(worker: &mut WorkerState, call: &Call<'_>) -> Result<Reply, Problem> {
    let start: Start = call.json()?;
    let run = operations::start(&worker.repository, &start).map_err(|error| match error {
        NotStarted::NoFeedback { id } => {
            Problem::not_found(format!("there is no feedback item `{id}`"))
        }
        NotStarted::NotRunnable { id, status } => {
            Problem::new(409, format!("`{id}` is {}", status.as_str()))
        }
        NotStarted::NothingOpen => Problem::new(409, "there is no open feedback"),
        NotStarted::NotReady(error) => Problem::of(409, error),
        NotStarted::Failed(error) => error.into(),
    })?;
    Ok(Reply::json(&run).status(202).header("Location", format!("/v1/runs/{}", run.run)).once())
}

fn list_runs(worker: &mut WorkerState, call: &Call<'_>) -> Result<Reply, Problem> {
    page(&operations::runs(&worker.repository)?, "agent/runs@1", "runs", |run| &run.run, call)
}

fn found(worker: &WorkerState, call: &Call<'_>) -> Result<Report, Problem> {
    let id: String = call.path("run")?;
    operations::run(&worker.repository, &id)?
        .ok_or_else(|| Problem::not_found(format!("there is no run `{id}`")))
}

fn show_run(worker: &mut WorkerState, call: &Call<'_>) -> Result<Reply, Problem> {
    Ok(Reply::json(&found(worker, call)?))
}

fn diff(worker: &mut WorkerState, call: &Call<'_>) -> Result<Reply, Problem> {
    let run = found(worker, call)?;
    Ok(Reply::of(
        "text/x-diff; charset=utf-8",
        operations::diff(&worker.repository, &run, worker.shows_held_out)?,
    ))
}

fn cancel(worker: &mut WorkerState, call: &Call<'_>) -> Result<Reply, Problem> {
    let id: String = call.path("run")?;
    let cancelled = operations::cancel(&worker.repository, &id).map_err(|why| match why {
        NotCancelled::NoRun { id } => Problem::not_found(format!("there is no run `{id}`")),
        NotCancelled::Ended { .. } => Problem::of(409, why.into()),
        NotCancelled::Failed(failure) => failure.into(),
    })?;
    let message = cancelled.to_string();
    Ok(Reply::json(&json!({"schema": "agent/cancellation@1", "run": id, "message": message}))
        .status(202)
        .once())
}

// ---- events

/// Between two polls of a run's events.
const POLL: Duration = Duration::from_millis(100);
/// Polls between two checks whether the run's process is still running.
const POLLS_PER_CHECK: usize = 20;

fn stream(worker: &mut WorkerState, call: &Call<'_>) -> Result<Reply, Problem> {
    let run = found(worker, call)?;
    let last = call.header("last-event-id");
    let after = last.unwrap_or("0");
    let after = after.parse().map_err(|_| {
        Problem::bad_request(format!("`Last-Event-ID` is `{after}`, which is not a number"))
    })?;
    if last.is_some() && is_over(&worker.repository, &run, after)? {
        return Ok(Reply::nothing());
    }
    let (events, reply) = call.events()?;
    let location = worker.location.clone();
    std::thread::spawn(move || {
        // the stream ends, and the client reconnects with the last id
        if let Err(error) = follow(run, after, &events, &location) {
            location.notices.warn(error.messages.join(": "));
        }
    });
    Ok(reply)
}

/// Whether an event is the last one. A client that has received it would reconnect for ever without
/// a 204.
fn is_over(repository: &Repository, run: &Report, after: u64) -> Result<bool, Failure> {
    // `ended` is written before the run's report has `finished`
    let left = operations::happened(repository, run, after.saturating_sub(1))?;
    let has_seen_the_end =
        left.first().is_some_and(|event| event.number == after && event.kind == What::Ended);
    Ok(has_seen_the_end
        || (run.finished.is_some() && left.iter().all(|event| event.number <= after)))
}

fn follow(
    mut run: Report,
    mut after: u64,
    events: &Events,
    location: &Location,
) -> Result<(), Failure> {
    let repository = location.open_without_recovery()?;
    for poll in 1_usize.. {
        for event in operations::happened(&repository, &run, after)? {
            after = event.number;
            if !events.send(shown(&event)) || event.kind == What::Ended {
                return Ok(());
            }
        }
        if events.is_closed() || run.finished.is_some() {
            return Ok(());
        }
        if poll % POLLS_PER_CHECK == 0
            && let Some(now) = operations::run(&repository, &run.run)?
        {
            run = now;
            continue;
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

fn shown(event: &RunEvent) -> Event {
    Event {
        id: Some(event.number.to_string()),
        name: Some(event.kind.as_str().to_owned()),
        data: serde_json::to_string(event).expect("an event is JSON"),
    }
}

// ---- metrics

fn measured(repository: &Repository) -> Result<String, Failure> {
    let items = operations::feedback(repository)?;
    let mut text =
        "# HELP agent_feedback_items Items of feedback by status.\n# TYPE agent_feedback_items \
        gauge\n"
            .to_owned();
    for status in STATUSES {
        let count = items.iter().filter(|item| item.status.as_str() == status).count();
        let _ = writeln!(text, "agent_feedback_items{{status=\"{status}\"}} {count}");
    }
    Ok(text)
}
