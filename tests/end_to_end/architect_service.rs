//! The Architect for other programs: `agent serve architect`, and `agent mcp architect`.

use crate::architect::{is_alive, wait_until, world};
use crate::clients::{call, with_client};
use crate::world::{AGENT, World};
use rmcp::model::ProtocolVersion;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

/// A server of the Architect's API, killed without mercy when it is dropped.
struct Server {
    process: Child,
    address: String,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    #[track_caller]
    fn json(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

impl Server {
    fn start(world: &World) -> Self {
        let mut command = world.command(AGENT, "a");
        command.args(["serve", "architect", "--addr", "127.0.0.1:0", "--json"]).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the server starts");
        let mut told = String::new();
        let mut stdout = BufReader::new(process.stdout.take().expect("stdout is piped"));
        while serde_json::from_str::<Value>(&told).is_err() {
            assert!(stdout.read_line(&mut told).expect("a line") > 0, "{told}");
        }
        let told: Value = serde_json::from_str(&told).expect("a document");
        let address = told["url"].as_str().expect("a URL").trim_start_matches("http://").to_owned();
        Self { process, address }
    }

    fn open(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if let Some(body) = body {
            head.extend(["Content-Type: application/json\r\nContent-Length: ", &body.len().to_string(), "\r\n"]);
        } else if method == "POST" {
            head.push_str("Content-Length: 0\r\n");
        }
        stream.write_all(format!("{head}\r\n{}", body.unwrap_or_default()).as_bytes()).expect("it is sent");
        stream
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let mut whole = String::new();
        self.open(method, path, headers, body).read_to_string(&mut whole).expect("an answer");
        let (head, body) = whole.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{whole}"));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{head}"));
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], None)
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[], Some(&body.to_string()))
    }

    /// The events of a run until the stream ends or one is of that kind.
    fn events(&self, run: &str, after: Option<u64>, until: &str) -> Vec<Value> {
        let after = after.map(|after| after.to_string());
        let headers: Vec<_> = after.iter().map(|after| ("Last-Event-ID", after.as_str())).collect();
        let reader = BufReader::new(self.open("GET", &format!("/v1/runs/{run}/events"), &headers, None));
        let mut events = Vec::new();
        for line in reader.lines() {
            let line = line.expect("a line");
            assert!(!line.starts_with("HTTP/1.1") || line.contains(" 200 "), "{line}");
            if let Some(data) = line.strip_prefix("data: ") {
                let event: Value = serde_json::from_str(data).expect("an event");
                events.push(event);
                if events.last().is_some_and(|event| event["kind"] == until) {
                    break;
                }
            }
        }
        events
    }

    fn kill(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it can be waited for");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
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
    let mut server = Server::start(&world);
    let body = json!({"text": "plurals, please"});
    let key = [("Idempotency-Key", "k-1")];
    let give = |server: &Server, body: &Value| server.ask("POST", "/v1/feedback", &key, Some(&body.to_string()));
    let first = give(&server, &body).json(202);
    assert_eq!((&first["schema"], &first["source"], &first["status"]["is"]), (&json!("agent/feedback@1"), &json!("api"), &json!("open")));
    assert_eq!(give(&server, &body).json(202), first);
    assert!(give(&server, &json!({"text": "other"})).json(422)["detail"].as_str().unwrap().contains("Idempotency-Key"));
    // nothing that was acknowledged is lost with the server
    server.kill();
    let server = Server::start(&world);
    assert_eq!(give(&server, &body).json(202), first);
    let listed = server.get("/v1/feedback").json(200);
    assert_eq!(listed["feedback"], json!([first]));
    let path = format!("/v1/feedback/{}", first["id"].as_str().unwrap());
    assert_eq!(server.get(&path).json(200), first);
    assert_eq!(world.agent("a", ["architect", "list", "--json"]).ok().json()["feedback"], json!([first]));
}

#[test]
fn a_key_sent_many_times_at_once_is_one_item() {
    let world = quiet();
    let server = Server::start(&world);
    let send = || server.ask("POST", "/v1/feedback", &[("Idempotency-Key", "k")], Some(r#"{"text": "same"}"#)).json(202)["id"].clone();
    let ids: Vec<_> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(server.get("/v1/feedback").json(200)["feedback"].as_array().unwrap().len(), 1);
}

#[test]
fn feedback_is_paged_and_what_is_wrong_is_a_problem() {
    let world = quiet();
    let server = Server::start(&world);
    for number in 0..5 {
        server.post("/v1/feedback", &json!({"text": format!("item {number}")})).json(202);
    }
    let mut path = "/v1/feedback?limit=2".to_owned();
    let mut texts = Vec::new();
    loop {
        let page = server.get(&path);
        let document = page.json(200);
        texts.extend(document["feedback"].as_array().unwrap().iter().map(|item| item["text"].as_str().unwrap().to_owned()));
        let Some(link) = page.header("Link") else { break };
        path = link.trim_start_matches('<').split_once('>').unwrap().0.to_owned();
    }
    assert_eq!(texts, ["item 4", "item 3", "item 2", "item 1", "item 0"]);
    assert_eq!(server.get("/v1/feedback?status=answered").json(200)["feedback"], json!([]));
    for (body, status) in
        [(r#"{"text": " "}"#, 422), (r#"{"words": "x"}"#, 422), ("{", 400), (r#"{"text": "x", "conversation": "none"}"#, 404)]
    {
        let problem = server.ask("POST", "/v1/feedback", &[], Some(body));
        assert_eq!(problem.header("Content-Type"), Some("application/problem+json"), "{problem:?}");
        assert_eq!(problem.json(status)["status"], status, "{body}");
    }
    for path in ["/v1/feedback/f-0123456789", "/v1/feedback?after=f-0123456789", "/v1/runs/r-0123456789", "/v1/runs/r-0123456789/diff"] {
        server.get(path).json(404);
    }
    server.post("/v1/runs", &json!({"feedback": ["f-0123456789"]})).json(404);
    server.ask("POST", "/v1/runs/r-0123456789/cancel", &[], None).json(404);
    let text = server.get("/metrics").body;
    assert!(text.contains("agent_feedback_items{status=\"open\"} 5"), "{text}");
}

fn sleeper(world: &World, run: &str) -> String {
    let file = world.path(format!("a/.agent/architect/{run}/sleeper.pid"));
    let read = || std::fs::read_to_string(&file).unwrap_or_default();
    wait_until("the coder starts", || !read().is_empty());
    read()
}

#[test]
fn a_run_outlives_its_server_and_is_watched_and_stopped_through_another() {
    let world = world(1);
    let mut server = Server::start(&world);
    let item = server.post("/v1/feedback", &json!({"text": "hang: please"})).json(202);
    let started = server.post("/v1/runs", &json!({}));
    let run = started.json(202)["run"].as_str().unwrap().to_owned();
    assert_eq!(started.header("Location"), Some(format!("/v1/runs/{run}").as_str()));
    assert_eq!(server.post("/v1/runs", &json!({"feedback": [item["id"]]})).json(409)["title"], "Somebody else was first");
    let began = server.events(&run, None, "began");
    assert_eq!((began.len(), &began[0]["number"]), (1, &json!(1)));
    let sleeper = sleeper(&world, &run);

    server.kill();
    let server = Server::start(&world);
    assert!(is_alive(&sleeper), "the run goes on");
    assert_eq!(server.get("/v1/runs").json(200)["runs"][0]["status"], "working");
    let ended = std::thread::scope(|scope| {
        let watching = scope.spawn(|| server.events(&run, Some(1), "never"));
        server.ask("POST", &format!("/v1/runs/{run}/cancel"), &[], None).json(202);
        watching.join().unwrap()
    });
    let numbers: Vec<_> = ended.iter().map(|event| event["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (2..=numbers.len() as u64 + 1).collect::<Vec<_>>());
    let last = ended.last().unwrap();
    assert_eq!((&last["kind"], &last["status"]), (&json!("ended"), &json!("cancelled")));
    assert_eq!(server.get(&format!("/v1/runs/{run}")).json(200)["status"], "cancelled");
    assert_eq!(server.get(&format!("/v1/feedback/{}", item["id"].as_str().unwrap())).json(200)["status"]["is"], "open");
    wait_until("the coder's child ends", || !is_alive(&sleeper));
    server.ask("POST", &format!("/v1/runs/{run}/cancel"), &[], None).json(409);
    server.get(&format!("/v1/runs/{run}/diff")).json(404);
    // what is over is told again from any point on
    assert_eq!(server.events(&run, Some(1), "never"), ended);
    assert_eq!(server.events(&run, Some(numbers.len() as u64 + 1), "never"), Vec::<Value>::new());
}

/// The process that carries a run of this world.
#[cfg(target_os = "linux")]
fn carrier(world: &World) -> rustix::process::Pid {
    let folder = world.path("a");
    let processes = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let words = std::fs::read(entry.path().join("cmdline")).ok()?;
        let is_run = String::from_utf8_lossy(&words).contains("--announce") && std::fs::read_link(entry.path().join("cwd")).ok()? == folder;
        is_run.then(|| entry.file_name().to_str()?.parse().ok()).flatten()
    });
    rustix::process::Pid::from_raw(processes.last().expect("the run's process")).expect("a process")
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_whose_process_is_killed_has_ended_for_whoever_asks() {
    let world = world(1);
    let server = Server::start(&world);
    server.post("/v1/feedback", &json!({"text": "hang: please"})).json(202);
    let run = server.post("/v1/runs", &json!({})).json(202)["run"].as_str().unwrap().to_owned();
    let sleeper = sleeper(&world, &run);
    let events = std::thread::scope(|scope| {
        let watching = scope.spawn(|| server.events(&run, None, "never"));
        rustix::process::kill_process(carrier(&world), rustix::process::Signal::KILL).unwrap();
        watching.join().unwrap()
    });
    assert_eq!(events.last().unwrap()["text"], "the process that carried the run is gone");
    assert_eq!(server.get(&format!("/v1/runs/{run}")).json(200)["status"], "cancelled");
    assert_eq!(server.get("/v1/feedback").json(200)["feedback"][0]["status"]["is"], "open");
    wait_until("the coder and its child end", || !is_alive(&sleeper));
}

#[test]
fn hosts_of_both_eras_give_feedback_and_see_what_a_run_changed() {
    let world = world(1);
    for (revision, text) in
        [(ProtocolVersion::LATEST_WITH_INITIALIZE, "fix: unknown tasks take too long"), (ProtocolVersion::LATEST, "nothing: please")]
    {
        let mut command = world.command(AGENT, "a");
        command.args(["mcp", "architect"]);
        with_client(command, &revision, async |client| {
            let tools = client.list_all_tools().await.unwrap();
            assert_eq!(tools.len(), 7);
            let tool = |name: &str| tools.iter().find(|tool| tool.name == name).unwrap();
            let hints = tool("run_diff").annotations.as_ref().unwrap();
            assert_eq!((hints.read_only_hint, hints.destructive_hint), (Some(true), Some(false)));
            assert_eq!(tool("cancel_run").annotations.as_ref().unwrap().destructive_hint, Some(true));
            assert!(tool("run_status").output_schema.as_ref().unwrap()["properties"]["status"].is_object());
            let structured = async |tool, arguments| {
                let result = call(client, tool, arguments).await.unwrap();
                assert_eq!(result.is_error, Some(false), "{result:?}");
                result.structured_content.unwrap()
            };
            let item = structured("give_feedback", json!({"text": text, "key": text})).await;
            assert_eq!(structured("give_feedback", json!({"text": text, "key": text})).await, item);
            let run = structured("start_run", json!({"feedback": [item["id"]]})).await["run"].clone();
            let ended = structured("run_status", json!({"run": run, "wait": true})).await;
            assert_eq!((&ended["status"], &ended["feedback"]), (&json!("refused"), &json!([item["id"]])));
            let diff = structured("run_diff", json!({"run": run})).await["diff"].clone();
            assert_eq!(diff.as_str().is_some_and(|diff| diff.contains("+++ b/runner/__main__.py")), text.starts_with("fix"), "{diff}");
            assert_eq!(structured("list_runs", json!({"limit": 1})).await["runs"][0]["run"], run);
            assert_eq!(structured("list_feedback", json!({})).await["feedback"][0]["status"]["is"], "refused");
            let wrong = call(client, "cancel_run", json!({"run": run})).await.unwrap();
            assert_eq!(wrong.is_error, Some(true), "it has ended: {wrong:?}");
            assert_eq!(call(client, "run_status", json!({"id": run})).await.unwrap().is_error, Some(true));
            assert!(call(client, "no_such_tool", json!({})).await.is_err());
        });
    }
}
