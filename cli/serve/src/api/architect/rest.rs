//! `agent serve architect`: feedback in, runs started, watched and stopped.

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

/// What a worker has.
struct Desk {
    repository: Repository,
    location: Location,
    /// Whether each client has a token. Without one, code under test on this machine is a client
    /// too.
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
        description: "Feedback in words goes in; runs change the code for it, test the change, and \
            end in a version or in a report of why not.",
        schemas: SCHEMAS,
        routes: feedback_routes().into_iter().chain(run_routes()).collect(),
        open: Box::new(move || {
            Ok(Desk { repository: location.open()?, location: location.clone(), shows_held_out })
        }),
        metrics: |desk| measured(&desk.repository),
    }
}

fn feedback_routes() -> [Route<Desk>; 3] {
    [
        Route::post(
            "/v1/feedback",
            "giveFeedback",
            "Puts feedback into the inbox. Once it is \
            answered, it is on disk.",
            give,
        )
        .header(
            "Idempotency-Key",
            Kind::Text { pattern: r"^[!-~]+$", longest: 255 },
            "The same key with the same content is the same item, however often it is sent; \
                with another content it is refused.",
        )
        .takes("NewFeedback")
        .answers(202, "Feedback", "It is in the inbox.")
        .problems(&[404]),
        Route::get(
            "/v1/feedback",
            "listFeedback",
            "The feedback there is, newest first.",
            list_feedback,
        )
        .query("limit", LIMIT, "How many at most; 50 where it is left out.")
        .query("after", ID_OF_FEEDBACK, "What the last page ended with.")
        .query("status", Kind::OneOf(&STATUSES), "What became of it.")
        .answers(200, "FeedbackPage", "A page; `Link` leads to the next.")
        .problems(&[404]),
        Route::get(
            "/v1/feedback/{feedback}",
            "showFeedback",
            "One item, and what became of it.",
            show_feedback,
        )
        .part("feedback", ID_OF_FEEDBACK, "Its id.")
        .answers(200, "Feedback", "The item.")
        .problems(&[404]),
    ]
}

fn run_routes() -> [Route<Desk>; 6] {
    let id = "Its id.";
    [
        Route::post(
            "/v1/runs",
            "startRun",
            "Starts a run, one at a time. It goes on whatever \
            becomes of this server.",
            start,
        )
        .takes("NewRun")
        .answers(202, "Run", "It is on record and goes on; `Location` is where to look.")
        .problems(&[404, 409, 502]),
        Route::get("/v1/runs", "listRuns", "The runs there are, newest first.", list_runs)
            .query("limit", LIMIT, "How many at most; 50 where it is left out.")
            .query("after", ID_OF_RUN, "What the last page ended with.")
            .answers(200, "RunPage", "A page; `Link` leads to the next.")
            .problems(&[404]),
        Route::get(
            "/v1/runs/{run}",
            "showRun",
            "A run: where it is, what was tried, what came of \
            it.",
            show_run,
        )
        .part("run", ID_OF_RUN, id)
        .answers(200, "Run", "The run.")
        .problems(&[404]),
        Route::get(
            "/v1/runs/{run}/events",
            "runEvents",
            "What happens in a run, from its \
            beginning to its end.",
            stream,
        )
        .part("run", ID_OF_RUN, id)
        .header(
            "Last-Event-ID",
            Kind::Text { pattern: "^[0-9]{1,9}$", longest: 9 },
            "The event to go on after.",
        )
        .streams("RunStreamEvent", "The events; the last one's name is `ended`.")
        .problems(&[404]),
        Route::get(
            "/v1/runs/{run}/diff",
            "runDiff",
            "What the run's last attempt changed, as git shows it; nothing where it changed \
            nothing. Of files of held-out cases only the path, in a line before the \
             patch, unless the server asks for a token.",
            diff,
        )
        .part("run", ID_OF_RUN, id)
        .answers_as(
            200,
            "text/x-diff; charset=utf-8",
            "The difference from the version it started \
            from.",
        )
        .problems(&[404]),
        Route::post(
            "/v1/runs/{run}/cancel",
            "cancelRun",
            "Asks a run to stop; its feedback is \
            open again then.",
            cancel,
        )
        .part("run", ID_OF_RUN, id)
        .answers(202, "Cancellation", "It was asked.")
        .problems(&[404, 409]),
    ]
}

// ---- feedback

fn give(desk: &mut Desk, call: &Call<'_>) -> Result<Reply, Problem> {
    let new: NewFeedback = call.json()?;
    if new.text.trim().is_empty() || new.text.len() > TEXT_LIMIT {
        return Err(Problem::new(
            422,
            format!("`text` has to hold words, and at most {TEXT_LIMIT} bytes of them"),
        ));
    }
    let key = call.header("idempotency-key").map(str::to_owned);
    if key
        .as_ref()
        .is_some_and(|key| key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        return Err(Problem::bad_request(
            "the header `Idempotency-Key` has to be of visible ASCII characters",
        ));
    }
    let submission = Submission { new, source: "api", key };
    let Committed { value, warnings } = operations::submit(&desk.repository, &submission)?;
    match value {
        Submitted::New(item) | Submitted::Again(item) => {
            let document = WithWarnings { document: &item, warnings: warnings.as_slice() };
            Ok(Reply::json(&document)
                .status(202)
                .header("Location", format!("/v1/feedback/{}", item.id))
                .once())
        }
        Submitted::OtherContent => {
            Err(Problem::new(422, "this Idempotency-Key came before, with another content")
                .with_hint("a new item needs a new key"))
        }
        Submitted::NoConversation { .. } => {
            Err(Problem::not_found("there is no such conversation here")
                .with_hint("leave `conversation` out"))
        }
    }
}

fn list_feedback(desk: &mut Desk, call: &Call<'_>) -> Result<Reply, Problem> {
    let mut items = operations::feedback(&desk.repository)?;
    if let Some(status) = call.query::<String>("status")? {
        let after = call.query::<String>("after")?;
        items.retain(|item| item.status.as_str() == status || Some(&item.id) == after.as_ref());
    }
    page(&items, "agent/feedback-list@1", "feedback", |item| &item.id, call)
}

fn show_feedback(desk: &mut Desk, call: &Call<'_>) -> Result<Reply, Problem> {
    let id: String = call.path("feedback")?;
    let item = operations::item(&desk.repository, &id)?;
    Ok(Reply::json(
        &item.ok_or_else(|| Problem::not_found(format!("there is no feedback item `{id}`")))?,
    ))
}

/// A part of a list, from after an id on.
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
                Problem::not_found(format!("there is no `{after}` to go on after"))
            })? + 1
        }
    };
    let limit = call.query("limit")?.unwrap_or(A_PAGE);
    let shown = items.get(from..(from + limit).min(items.len())).unwrap_or_default();
    let next = (from + shown.len() < items.len()).then(|| shown.last().map(&id)).flatten();
    let mut document = Map::new();
    document.insert("schema".to_owned(), schema.into());
    document.insert(key.to_owned(), serde_json::to_value(shown).expect("our documents serialise"));
    document.insert("next".to_owned(), next.map_or(Value::Null, Value::from));
    let reply = Reply::json(&Value::Object(document));
    Ok(match next {
        Some(next) => reply.header("Link", call.link_to_next(next)),
        None => reply,
    })
}

// ---- runs

fn start(desk: &mut Desk, call: &Call<'_>) -> Result<Reply, Problem> {
    let wish: Start = call.json()?;
    let run = operations::start(&desk.repository, &wish).map_err(|error| match error {
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

fn list_runs(desk: &mut Desk, call: &Call<'_>) -> Result<Reply, Problem> {
    page(&operations::runs(&desk.repository)?, "agent/runs@1", "runs", |run| &run.run, call)
}

fn found(desk: &Desk, call: &Call<'_>) -> Result<Report, Problem> {
    let id: String = call.path("run")?;
    operations::run(&desk.repository, &id)?
        .ok_or_else(|| Problem::not_found(format!("there is no run `{id}`")))
}

fn show_run(desk: &mut Desk, call: &Call<'_>) -> Result<Reply, Problem> {
    Ok(Reply::json(&found(desk, call)?))
}

fn diff(desk: &mut Desk, call: &Call<'_>) -> Result<Reply, Problem> {
    let run = found(desk, call)?;
    Ok(Reply::of(
        "text/x-diff; charset=utf-8",
        operations::diff(&desk.repository, &run, desk.shows_held_out)?,
    ))
}

fn cancel(desk: &mut Desk, call: &Call<'_>) -> Result<Reply, Problem> {
    let id: String = call.path("run")?;
    let cancelled = operations::cancel(&desk.repository, &id).map_err(|why| match why {
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

/// Between two looks at what a run has written.
const LOOK: Duration = Duration::from_millis(100);
/// Looks between two questions whether the run's process is still there.
const LOOKS: usize = 20;

fn stream(desk: &mut Desk, call: &Call<'_>) -> Result<Reply, Problem> {
    let run = found(desk, call)?;
    let last = call.header("last-event-id");
    let after = last.unwrap_or("0");
    let after = after.parse().map_err(|_| {
        Problem::bad_request(format!("`Last-Event-ID` is `{after}`, which is not a number"))
    })?;
    if last.is_some() && is_over(&desk.repository, &run, after)? {
        return Ok(Reply::nothing());
    }
    let (events, reply) = call.events()?;
    let location = desk.location.clone();
    std::thread::spawn(move || {
        // whoever listens sees the stream end, and comes back with the last id
        if let Err(error) = follow(run, after, &events, &location) {
            location.notices.warn(error.messages.join(": "));
        }
    });
    Ok(reply)
}

/// Whether nothing comes after an event. A client that has seen the last one reconnects, unless the
/// answer is 204.
fn is_over(repository: &Repository, run: &Report, after: u64) -> Result<bool, Failure> {
    // `ended` is written before the run is known to be finished
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
    let repository = location.look()?;
    for look in 1_usize.. {
        for event in operations::happened(&repository, &run, after)? {
            after = event.number;
            if !events.send(shown(&event)) || event.kind == What::Ended {
                return Ok(());
            }
        }
        if events.is_closed() || run.finished.is_some() {
            return Ok(());
        }
        if look % LOOKS == 0
            && let Some(now) = operations::run(&repository, &run.run)?
        {
            run = now;
            continue;
        }
        std::thread::sleep(LOOK);
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
        "# HELP agent_feedback_items Feedback in the inbox.\n# TYPE agent_feedback_items gauge\n"
            .to_owned();
    for status in STATUSES {
        let count = items.iter().filter(|item| item.status.as_str() == status).count();
        let _ = writeln!(text, "agent_feedback_items{{status=\"{status}\"}} {count}");
    }
    Ok(text)
}
