//! The Architect for other programs: `agent serve architect`, and `agent mcp architect`.

use crate::architect::{is_alive, wait_until, world};
use crate::clients::{call, with_client};
use crate::http::listening;
use crate::kill::Moments;
use crate::rest::{Answered, Api, examined};
use crate::web::{Connection, Head};
use crate::world::{AGENT, World};
use rmcp::model::ProtocolVersion;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::Duration;

fn api(world: &World) -> Api {
    Api::start(
        world.command(AGENT, "a").args(["serve", "architect", "--json"]).stdout(Stdio::piped()),
    )
}

const JSON: &str = "Content-Type: application/json\r\n";

fn post(api: &Api, path: &str, body: &Value) -> Answered {
    api.send("POST", path, JSON, &body.to_string())
}

#[track_caller]
fn posted(api: &Api, path: &str, body: &Value, status: u16) -> Value {
    let answered = post(api, path, body);
    assert_eq!(answered.status, status, "{path}: {}", answered.body);
    answered.json()
}

#[track_caller]
fn cancelled(api: &Api, run: &str, status: u16) {
    let answered = api.send("POST", &format!("/v1/runs/{run}/cancel"), "", "");
    assert_eq!(answered.status, status, "{}", answered.body);
}

/// The events of a run until the stream ends or one is of that kind.
fn events(api: &Api, run: &str, after: Option<u64>, until: &str) -> Vec<Value> {
    let after = after.map(|after| format!("Last-Event-ID: {after}\r\n")).unwrap_or_default();
    let reader = BufReader::new(api.open("GET", &format!("/v1/runs/{run}/events"), &after, ""));
    let mut events: Vec<Value> = Vec::new();
    for line in reader.lines() {
        let line = line.expect("a line");
        assert!(!line.starts_with("HTTP/1.1") || line.contains(" 200 "), "{line}");
        let Some(data) = line.strip_prefix("data: ") else { continue };
        events.push(serde_json::from_str(data).expect("an event"));
        if events.last().is_some_and(|event| event["kind"] == until) {
            break;
        }
    }
    events
}

/// A repository with an inbox; none of its feedback is run.
fn quiet() -> World {
    let world = World::new();
    world.git(".", ["init", "--quiet", "a"]);
    world
}

#[test]
fn feedback_is_on_disk_before_it_is_answered_and_counts_once() {
    let world = quiet();
    let mut server = api(&world);
    let body = json!({"text": "plurals, please"});
    let give = |server: &Api, body: &Value, status: u16| {
        let answered = server.send(
            "POST",
            "/v1/feedback",
            &format!("{JSON}Idempotency-Key: k-1\r\n"),
            &body.to_string(),
        );
        assert_eq!(answered.status, status, "{}", answered.body);
        answered.json()
    };
    let first = give(&server, &body, 202);
    assert_eq!(
        (&first["schema"], &first["source"], &first["status"]["is"]),
        (&json!("agent/feedback@1"), &json!("api"), &json!("open"))
    );
    assert_eq!(give(&server, &body, 202), first);
    assert!(
        give(&server, &json!({"text": "other"}), 422)["detail"]
            .as_str()
            .unwrap()
            .contains("Idempotency-Key")
    );
    // nothing that was acknowledged is lost with the server
    server.kill();
    let server = api(&world);
    assert_eq!(give(&server, &body, 202), first);
    let listed = server.get("/v1/feedback");
    assert_eq!(listed["feedback"], json!([first]));
    let path = format!("/v1/feedback/{}", first["id"].as_str().unwrap());
    assert_eq!(server.get(&path), first);
    assert_eq!(
        world.agent("a", ["architect", "list", "--json"]).ok().json()["feedback"],
        json!([first])
    );
}

#[test]
fn feedback_that_was_acknowledged_survives_kills_at_random_moments() {
    const ROUNDS: usize = 6;
    let world = quiet();
    let mut moments = Moments::new();
    let seed = moments.seed();
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        let mut server = api(&world);
        let address = server.address.clone();
        let (first, acknowledged_one) = std::sync::mpsc::channel();
        let giving = std::thread::spawn(move || {
            let mut given = Vec::new();
            for number in 0.. {
                let body = json!({"text": format!("{round}-{number}")}).to_string();
                let Ok(mut socket) = TcpStream::connect(&address) else { break };
                let head = format!(
                    "POST /v1/feedback HTTP/1.1\r\n\
                    Host: {address}\r\n\
                    Connection: close\r\n\
                    {JSON}Idempotency-Key: {round}-{number}\r\n"
                );
                let mut answer = String::new();
                let sent = write!(socket, "{head}Content-Length: {}\r\n\r\n{body}", body.len())
                    .and_then(|()| socket.read_to_string(&mut answer));
                match sent {
                    Ok(_) if answer.starts_with("HTTP/1.1 202") => {
                        given.push(format!("{round}-{number}"));
                    }
                    _ => break,
                }
                let _ = first.send(());
            }
            given
        });
        // however slow the machine is, at least one is acknowledged before the kill
        acknowledged_one.recv_timeout(Duration::from_secs(30)).expect("the server answers");
        std::thread::sleep(Duration::from_millis(moments.below(300)));
        server.kill();
        acknowledged.extend(giving.join().unwrap());
    }
    assert!(acknowledged.len() >= ROUNDS, "the kills came too early: {acknowledged:?}");
    let kept = world.agent("a", ["architect", "list", "--json"]).ok().json();
    let texts: Vec<_> = kept["feedback"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["text"].as_str().unwrap().to_owned())
        .collect();
    let unique: BTreeSet<_> = texts.iter().cloned().collect();
    assert_eq!(unique.len(), texts.len(), "an item is there twice, with AGENT_TEST_SEED={seed}");
    assert!(acknowledged.is_subset(&unique), "acknowledged and lost, with AGENT_TEST_SEED={seed}");
    world.git("a", ["fsck", "--strict"]);
}

#[test]
fn concurrent_requests_with_one_key_create_one_item() {
    let world = quiet();
    let server = api(&world);
    let headers = format!("{JSON}Idempotency-Key: k\r\n");
    let send = || {
        server.send("POST", "/v1/feedback", &headers, r#"{"text": "same"}"#).json()["id"].clone()
    };
    let ids: Vec<_> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(server.get("/v1/feedback")["feedback"].as_array().unwrap().len(), 1);
}

#[test]
fn feedback_is_paged_and_malformed_requests_are_problems() {
    let world = quiet();
    let server = api(&world);
    for number in 0..5 {
        posted(&server, "/v1/feedback", &json!({"text": format!("item {number}")}), 202);
    }
    let mut path = "/v1/feedback?limit=2".to_owned();
    let mut texts = Vec::new();
    loop {
        let page = server.ask("GET", &path, "");
        let document = page.json();
        texts.extend(
            document["feedback"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["text"].as_str().unwrap().to_owned()),
        );
        let Some(link) = page.header("link") else { break };
        path = link.trim_start_matches('<').split_once('>').unwrap().0.to_owned();
    }
    assert_eq!(texts, ["item 4", "item 3", "item 2", "item 1", "item 0"]);
    assert_eq!(server.get("/v1/feedback?status=answered")["feedback"], json!([]));
    for (body, status) in [
        (r#"{"text": " "}"#, 422),
        (r#"{"words": "x"}"#, 422),
        ("{", 400),
        (r#"{"text": "x", "conversation": "none"}"#, 404),
    ] {
        let problem = server.send("POST", "/v1/feedback", JSON, body);
        assert_eq!(
            (problem.status, problem.header("content-type")),
            (status, Some("application/problem+json")),
            "{}",
            problem.body
        );
        assert_eq!(problem.json()["status"], status, "{body}");
    }
    for path in [
        "/v1/feedback/f-0123456789",
        "/v1/feedback?after=f-0123456789",
        "/v1/runs/r-0123456789",
        "/v1/runs/r-0123456789/diff",
    ] {
        assert_eq!(server.ask("GET", path, "").status, 404, "{path}");
    }
    posted(&server, "/v1/runs", &json!({"feedback": ["f-0123456789"]}), 404);
    cancelled(&server, "r-0123456789", 404);
    let text = server.ask("GET", "/metrics", "").body;
    assert!(text.contains("agent_feedback_items{status=\"open\"} 5"), "{text}");
}

fn sleeper(world: &World, run: &str) -> String {
    let file = world.path(format!("a/.agent/architect/{run}/coder/sleeper.pid"));
    let read = || std::fs::read_to_string(&file).unwrap_or_default();
    wait_until("the coder starts", || !read().is_empty());
    read()
}

#[test]
fn a_run_outlives_its_server_and_is_watched_and_stopped_through_another() {
    let world = world(1);
    let mut server = api(&world);
    let item = posted(&server, "/v1/feedback", &json!({"text": "hang: please"}), 202);
    let started = post(&server, "/v1/runs", &json!({}));
    let run = started.json()["run"].as_str().unwrap().to_owned();
    assert_eq!(started.header("location"), Some(format!("/v1/runs/{run}").as_str()));
    assert_eq!(
        posted(&server, "/v1/runs", &json!({"feedback": [item["id"]]}), 409)["title"],
        "Conflict"
    );
    let began = events(&server, &run, None, "began");
    assert_eq!((began.len(), &began[0]["number"]), (1, &json!(1)));
    let sleeper = sleeper(&world, &run);

    server.kill();
    let server = api(&world);
    assert!(is_alive(&sleeper), "the run goes on");
    assert_eq!(server.get("/v1/runs")["runs"][0]["status"], "working");
    let ended = std::thread::scope(|scope| {
        let watching = scope.spawn(|| events(&server, &run, Some(1), "never"));
        cancelled(&server, &run, 202);
        watching.join().unwrap()
    });
    let numbers: Vec<_> = ended.iter().map(|event| event["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (2..=numbers.len() as u64 + 1).collect::<Vec<_>>());
    let last = ended.last().unwrap();
    assert_eq!((&last["kind"], &last["status"]), (&json!("ended"), &json!("cancelled")));
    assert_eq!(server.get(&format!("/v1/runs/{run}"))["status"], "cancelled");
    assert_eq!(
        server.get(&format!("/v1/feedback/{}", item["id"].as_str().unwrap()))["status"]["is"],
        "open"
    );
    wait_until("the coder's child ends", || !is_alive(&sleeper));
    cancelled(&server, &run, 409);
    let diff = server.ask("GET", &format!("/v1/runs/{run}/diff"), "");
    assert_eq!((diff.status, diff.body.as_str()), (200, ""));
    // the events of an ended run can be read again from any id
    assert_eq!(events(&server, &run, Some(1), "never"), ended);
    // a client that has received all events reconnects, and gets a 204
    for seen in [numbers.len() + 1, numbers.len() + 9] {
        let more = server.send(
            "GET",
            &format!("/v1/runs/{run}/events"),
            &format!("Last-Event-ID: {seen}\r\n"),
            "",
        );
        assert_eq!((more.status, more.body.as_str()), (204, ""), "after {seen}");
    }
}

/// The process that carries a run of this world.
#[cfg(target_os = "linux")]
fn carrier(world: &World) -> rustix::process::Pid {
    let folder = world.path("a");
    let processes = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let words = std::fs::read(entry.path().join("cmdline")).ok()?;
        let is_run = String::from_utf8_lossy(&words).contains("--announce")
            && std::fs::read_link(entry.path().join("cwd")).ok()? == folder;
        is_run.then(|| entry.file_name().to_str()?.parse().ok()).flatten()
    });
    rustix::process::Pid::from_raw(processes.last().expect("the run's process")).expect("a process")
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_whose_process_is_killed_is_reported_as_ended_everywhere() {
    let world = world(1);
    let server = api(&world);
    posted(&server, "/v1/feedback", &json!({"text": "hang: please"}), 202);
    let run = posted(&server, "/v1/runs", &json!({}), 202)["run"].as_str().unwrap().to_owned();
    let sleeper = sleeper(&world, &run);
    let seen = std::thread::scope(|scope| {
        let watching = scope.spawn(|| events(&server, &run, None, "never"));
        rustix::process::kill_process(carrier(&world), rustix::process::Signal::KILL).unwrap();
        watching.join().unwrap()
    });
    assert_eq!(seen.last().unwrap()["text"], "the process of the run has exited");
    assert_eq!(server.get(&format!("/v1/runs/{run}"))["status"], "cancelled");
    assert_eq!(server.get("/v1/feedback")["feedback"][0]["status"]["is"], "open");
    wait_until("the coder and its child end", || !is_alive(&sleeper));
}

/// Starts a run that hangs and kills its process.
#[cfg(target_os = "linux")]
fn killed_run(world: &World, server: &Api) -> String {
    let item = posted(server, "/v1/feedback", &json!({"text": "hang: please"}), 202);
    let run = posted(server, "/v1/runs", &json!({"feedback": [item["id"]]}), 202);
    let run = run["run"].as_str().unwrap().to_owned();
    sleeper(world, &run);
    rustix::process::kill_process(carrier(world), rustix::process::Signal::KILL).unwrap();
    // the guard of the coder has the lock for a moment longer
    let lock = std::fs::File::open(world.path("a/.agent/architect/lock")).unwrap();
    wait_until("the run lets its lock go", || lock.try_lock().is_ok());
    run
}

#[test]
#[cfg(target_os = "linux")]
fn a_dead_run_is_dead_over_rest_and_in_the_terminal_alike() {
    let world = world(1);
    let server = api(&world);
    let terminal = || world.agent("a", ["architect", "list", "--json"]).ok().json();
    let run = killed_run(&world, &server);
    // each front finds it out by itself, whatever it is asked for first
    assert_eq!(server.get("/v1/feedback")["feedback"][0]["status"]["is"], "open");
    let listed = terminal();
    assert_eq!(listed["runs"][0]["status"], "cancelled");
    assert_eq!(listed["runs"], server.get("/v1/runs")["runs"]);
    assert_eq!(listed["feedback"], server.get("/v1/feedback")["feedback"]);

    let other = killed_run(&world, &server);
    let listed = terminal();
    assert_eq!(
        (&listed["runs"][1]["run"], &listed["runs"][1]["status"]),
        (&json!(other), &json!("cancelled"))
    );
    assert_eq!(listed["feedback"][1]["status"]["is"], "open");
    assert_eq!(server.get(&format!("/v1/runs/{other}")), listed["runs"][1]);
    for run in [run, other] {
        let ended = format!("run `{run}` has ended: it is cancelled");
        world.agent("a", ["architect", "cancel", &run]).code(3).stderr_has(&ended);
        let answered = server.send("POST", &format!("/v1/runs/{run}/cancel"), "", "");
        assert_eq!((answered.status, &answered.json()["detail"]), (409, &json!(ended)));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_cancellation_of_a_dead_run_says_the_same_over_rest_and_in_the_terminal() {
    let world = world(1);
    let server = api(&world);
    let told = |run: &str| {
        format!("the process of run {run} had already ended; the run is marked as interrupted now")
    };
    let run = killed_run(&world, &server);
    let answered = server.send("POST", &format!("/v1/runs/{run}/cancel"), "", "");
    assert_eq!((answered.status, &answered.json()["message"]), (202, &json!(told(&run))));
    let run = killed_run(&world, &server);
    let cancelled = world.agent("a", ["architect", "cancel", &run, "--json"]).ok().json();
    assert_eq!(cancelled["message"], told(&run));
    assert_eq!(server.get(&format!("/v1/runs/{run}"))["status"], "cancelled");
}

/// What the terminal says of wrong feedback, REST says as well.
#[test]
fn a_run_that_cannot_begin_is_refused_alike_by_every_front() {
    let world = quiet();
    let server = api(&world);
    world.agent("a", ["architect", "run", "f-0123456789"]).code(3).stderr_has("no feedback item");
    posted(&server, "/v1/runs", &json!({"feedback": ["f-0123456789"]}), 404);
    let item = posted(&server, "/v1/feedback", &json!({"text": "later"}), 202);
    let id = item["id"].as_str().unwrap();
    // nothing is served, which the process of the run finds out
    let unready = "there is no branch `active`";
    world.agent("a", ["architect", "run", id]).code(3).stderr_has(unready);
    let problem = posted(&server, "/v1/runs", &json!({"feedback": [id]}), 409);
    assert!(problem["detail"].as_str().unwrap().contains(unready), "{problem}");
    world.agent("a", ["architect", "cancel", id]).ok();
    let withdrawn = format!("`{id}` is withdrawn");
    world.agent("a", ["architect", "run", id]).code(3).stderr_has(&withdrawn);
    let problem = posted(&server, "/v1/runs", &json!({"feedback": [id]}), 409);
    assert_eq!(problem["detail"], withdrawn);
}

#[test]
fn hosts_of_both_eras_give_feedback_and_see_what_a_run_changed() {
    let world = world(1);
    for (revision, text) in [
        (ProtocolVersion::LATEST_WITH_INITIALIZE, "fix: unknown tasks take too long"),
        (ProtocolVersion::LATEST, "nothing: please"),
    ] {
        let mut command = world.command(AGENT, "a");
        command.args(["mcp", "architect"]);
        with_client(command, &revision, async |client| {
            let tools = client.list_all_tools().await.unwrap();
            assert_eq!(tools.len(), 7);
            let tool = |name: &str| tools.iter().find(|tool| tool.name == name).unwrap();
            let hints = tool("run_diff").annotations.as_ref().unwrap();
            assert_eq!((hints.read_only_hint, hints.destructive_hint), (Some(true), Some(false)));
            assert_eq!(
                tool("cancel_run").annotations.as_ref().unwrap().destructive_hint,
                Some(true)
            );
            assert!(
                tool("run_status").output_schema.as_ref().unwrap()["properties"]["status"]
                    .is_object()
            );
            let structured = async |tool, arguments| {
                let result = call(client, tool, arguments).await.unwrap();
                assert_eq!(result.is_error, Some(false), "{result:?}");
                result.structured_content.unwrap()
            };
            let item = structured("give_feedback", json!({"text": text, "key": text})).await;
            assert_eq!(structured("give_feedback", json!({"text": text, "key": text})).await, item);
            let run =
                structured("start_run", json!({"feedback": [item["id"]]})).await["run"].clone();
            let ended = structured("run_status", json!({"run": run, "wait": true})).await;
            assert_eq!(
                (&ended["status"], &ended["feedback"]),
                (&json!("refused"), &json!([item["id"]]))
            );
            let diff = structured("run_diff", json!({"run": run})).await["diff"].clone();
            assert_eq!(
                diff.as_str().unwrap().contains("+++ b/runner/__main__.py"),
                text.starts_with("fix"),
                "{diff}"
            );
            assert_eq!(structured("list_runs", json!({"limit": 1})).await["runs"][0]["run"], run);
            assert_eq!(
                structured("list_feedback", json!({})).await["feedback"][0]["status"]["is"],
                "refused"
            );
            let wrong = call(client, "cancel_run", json!({"run": run})).await.unwrap();
            assert_eq!(wrong.is_error, Some(true), "it has ended: {wrong:?}");
            assert_eq!(
                call(client, "run_status", json!({"id": run})).await.unwrap().is_error,
                Some(true)
            );
            assert!(call(client, "no_such_tool", json!({})).await.is_err());
        });
    }
    let spans = spans(&world);
    let named = |name: &str| spans.iter().filter(|span| span["name"] == name).collect::<Vec<_>>();
    assert_eq!(named("tools/call give_feedback").len(), 4);
    // one trace from the host's call to what came of it in another process
    let (calls, runs) = (named("tools/call start_run"), named("architect run"));
    assert_eq!((calls.len(), runs.len()), (2, 2));
    for run in runs {
        let call = calls
            .iter()
            .find(|call| call["spanId"] == run["parentSpanId"])
            .expect("who asked for it");
        assert_eq!(call["traceId"], run["traceId"]);
    }
}

#[test]
fn schemathesis_finds_nothing() {
    let world = World::new();
    world.agent(".", ["init", "a"]).ok();
    let mut command = world.command(AGENT, "a");
    let server = Api::start(
        command
            .args(["serve", "architect", "--json"])
            .env("AGENT_TOKEN", "s3cret")
            .stdout(Stdio::piped()),
    );
    examined(&server, &world, 5);
}

/// The spans on record.
fn spans(world: &World) -> Vec<Value> {
    let mut spans = Vec::new();
    let mut folders = vec![world.path("a/.agent/store/telemetry/traces")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            for line in std::fs::read_to_string(entry.path()).expect("lines of JSON").lines() {
                let line: Value = serde_json::from_str(line).expect("JSON");
                let resources = line["resourceSpans"].as_array().into_iter().flatten();
                let scopes = resources
                    .flat_map(|resource| resource["scopeSpans"].as_array().into_iter().flatten());
                spans.extend(
                    scopes
                        .flat_map(|scope| scope["spans"].as_array().into_iter().flatten())
                        .cloned(),
                );
            }
        }
    }
    spans
}

/// What a host's connection is answered: its head, and the message.
fn told(server: SocketAddr, headers: &[(&str, &str)], body: &Value) -> (Head, Value) {
    let mut connection = Connection::open(server);
    let usual =
        [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
    connection.ask("POST", &[&usual[..], headers].concat(), &body.to_string());
    let head = connection.head();
    let message = if head
        .header("content-type")
        .is_some_and(|media| media.starts_with("text/event-stream"))
    {
        let events = std::iter::from_fn(|| connection.event());
        events
            .filter(|event| !event.data.is_empty())
            .map(|event| event.value())
            .find(|message| message["id"].is_number())
            .unwrap_or_default()
    } else {
        serde_json::from_str(&connection.body(&head)).unwrap_or_default()
    };
    (head, message)
}

#[test]
fn hosts_of_both_eras_come_over_http_with_the_token() {
    let world = quiet();
    let mut command = world.command(AGENT, "a");
    command
        .args(["mcp", "architect", "--http", "0"])
        .env("AGENT_TOKEN", "s3cret")
        .stderr(Stdio::piped());
    let mut process = command.spawn().expect("the server starts");
    let server = listening(&mut process);
    let token = ("authorization", "Bearer s3cret");

    let client = json!({"name": "test", "version": "1"});
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    assert_eq!(told(server, &[], &initialize).0.status, 401);
    assert_eq!(told(server, &[token, ("host", "evil.example")], &initialize).0.status, 403);
    let (head, greeting) = told(server, &[token], &initialize);
    assert_eq!(greeting["result"]["serverInfo"]["name"], "agent-architect", "{greeting}");
    let session = [
        token,
        ("mcp-session-id", head.header("mcp-session-id").unwrap()),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    assert_eq!(
        told(server, &session, &json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .0
            .status,
        202
    );
    let call = |name: &str, arguments: Value, meta: Value| {
        json!({"jsonrpc": "2.0", "id": 2,
        "method": "tools/call", "params": {"name": name, "arguments": arguments, "_meta": meta}})
    };
    let (_, given) =
        told(server, &session, &call("give_feedback", json!({"text": "plurals"}), json!({})));
    let item = &given["result"]["structuredContent"];
    assert_eq!((&item["source"], &item["text"]), (&json!("mcp"), &json!("plurals")), "{given}");
    let mut ending = Connection::open(server);
    ending.ask("DELETE", &session, "");
    assert_eq!(
        ending.head().status,
        204,
        "a client takes anything but 200 and 204 for a session that goes on"
    );
    assert_eq!(told(server, &session, &call("list_feedback", json!({}), json!({}))).0.status, 404);

    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": client,
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let stateless = [
        token,
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "list_feedback"),
    ];
    let (_, listed) = told(server, &stateless, &call("list_feedback", json!({}), meta));
    assert_eq!(listed["result"]["structuredContent"]["feedback"], json!([item]), "{listed}");
    assert_eq!(listed["result"]["resultType"], "complete");

    let id = rustix::process::Pid::from_child(&process);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(130));
}
