//! `agent serve versions`: the API as a client sees it.

use crate::served::{Served, json_lines};
use crate::versions::{FOLDER, Registry};
use crate::world::{AGENT, World, source_root};
use agent_core::formats::manifest::Python;
use agent_core::testing::case_result::{CaseResult, Outcome};
use agent_core::version::Kind;
use agent_engine::world::layout::Layout;
use agent_engine::world::python;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A server of its own port, until it is dropped.
pub struct Api {
    process: Child,
    pub address: String,
}

pub struct Answered {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Api {
    /// Starts `agent serve ...`, and waits until it listens.
    pub fn start(command: &mut Command) -> Self {
        let mut process = command
            .args(["--addr", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines =
            BufReader::new(process.stderr.take().expect("stderr")).lines().map_while(Result::ok);
        let said: Vec<_> =
            lines.by_ref().take_while(|line| !line.contains("listening on")).collect();
        // the announcement was read already; its JSON document has the address too
        std::thread::spawn(move || lines.for_each(drop));
        assert!(said.is_empty(), "{said:?}");
        let mut document = String::new();
        let mut stdout = BufReader::new(process.stdout.take().expect("stdout"));
        while !document.ends_with("}\n") {
            assert!(stdout.read_line(&mut document).expect("stdout") > 0, "it did not start");
        }
        let document: Value = serde_json::from_str(&document).expect("a document");
        assert_eq!(document["schema"], "agent/serving@1");
        let address = document["url"].as_str().unwrap().trim_start_matches("http://").to_owned();
        Self { process, address }
    }

    pub fn versions(world: &World, folder: &str) -> Self {
        Self::start(
            world
                .command(AGENT, folder)
                .args(["serve", "versions", "--json"])
                .stdout(Stdio::piped()),
        )
    }

    pub fn ask(&self, method: &str, path: &str, headers: &str) -> Answered {
        self.send(method, path, headers, "")
    }

    /// Sends a request with a body; `Content-Length` comes along.
    pub fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answered {
        let length = if method == "POST" {
            format!("Content-Length: {}\r\n", body.len())
        } else {
            String::new()
        };
        let mut text = String::new();
        self.open(method, path, &format!("{headers}{length}"), body)
            .read_to_string(&mut text)
            .expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {text}"));
        Answered {
            status: head[9..12].parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    /// A request that was sent and is not answered yet.
    pub fn open(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut socket = TcpStream::connect(&self.address).expect("it listens");
        let host = &self.address;
        write!(
            socket,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n{body}"
        )
        .unwrap();
        socket
    }

    /// As when the machine runs out of memory.
    pub fn kill(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it can be waited for");
    }

    /// A document that has to be there.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let answered = self.ask("GET", path, "");
        assert_eq!(answered.status, 200, "{path}: {}", answered.body);
        answered.json()
    }

    #[track_caller]
    fn problem(&self, path: &str, status: u16, part: &str) {
        let answered = self.ask("GET", path, "");
        assert_eq!(
            answered.header("content-type"),
            Some("application/problem+json"),
            "{path}: {}",
            answered.body
        );
        assert!(
            answered.status == status && answered.body.contains(part),
            "{path}: {} {}",
            answered.status,
            answered.body
        );
    }

    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        #[expect(clippy::disallowed_methods, reason = "the test sends its own signals")]
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.expect("kill").success());
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Answered {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

fn failed(id: &str) -> CaseResult {
    CaseResult {
        outcome: Outcome::Failed,
        score: 0.25,
        why: Some("$: expected 1, got 2".to_owned()),
        ..CaseResult::passed(id)
    }
}

/// v0.1.0 to v0.1.6: promotions, and a rollback that undoes v0.1.4; with results from v0.1.1 on.
fn registry() -> Registry {
    let registry = Registry::new();
    for patch in 1..=4 {
        let odd = if patch % 2 == 0 { failed("b/ä 1") } else { CaseResult::passed("b/ä 1") };
        registry.publish_with(
            Kind::Promotion,
            patch,
            patch,
            &[],
            &[CaseResult::passed("a"), odd, CaseResult::passed("c")],
        );
    }
    registry.publish(Kind::Rollback, 5, 3, &[4]);
    registry.publish_with(Kind::Promotion, 6, 6, &[], &[CaseResult::passed("a")]);
    registry
}

fn patches(listing: &Value) -> Vec<String> {
    listing["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["version"].as_str().unwrap()[4..].to_owned())
        .collect()
}

#[test]
fn the_registry_is_what_the_command_prints() {
    let registry = registry();
    let api = Api::versions(&registry.world, FOLDER);
    let printed = registry.world.agent(FOLDER, ["versions", "--json"]).ok().json();
    assert_eq!(api.get("/v1/versions"), printed);
    // from what is known the second time
    assert_eq!(api.get("/v1/versions"), printed);
    for version in ["v0.1.4", "0.1.6"] {
        let shown =
            registry.world.agent(FOLDER, ["versions", "show", version, "--json"]).ok().json();
        assert_eq!(api.get(&format!("/v1/versions/{version}")), shown);
    }
    for (range, encoded) in
        [("^0.1", "%5E0.1"), ("<0.1.5", "%3C0.1.5"), ("active", "active"), ("v0.1.4", "v0.1.4")]
    {
        let resolved =
            registry.world.agent(FOLDER, ["versions", "resolve", range, "--json"]).ok().json();
        assert_eq!(api.get(&format!("/v1/resolve?range={encoded}")), resolved, "{range}");
    }
    registry.world.agent(FOLDER, ["pin", "stable", "0.1.2"]).ok();
    assert_eq!(api.get("/v1/resolve?range=stable")["version"], "0.1.2");
    for (query, expected) in [
        ("limit=2", &["6", "5"][..]),
        ("limit=2&after=0.1.5", &["4", "3"]),
        ("kind=rollback", &["5"]),
        ("kind=promotion&limit=2&after=v0.1.4", &["3", "2"]),
        ("line=0.1&range=%3C0.1.2", &["1", "0"]),
        ("line=0.2", &[]),
    ] {
        assert_eq!(patches(&api.get(&format!("/v1/versions?{query}"))), expected, "{query}");
    }
}

#[test]
fn pages_lead_to_the_next_and_a_new_version_is_seen_at_once() {
    let registry = registry();
    let api = Api::versions(&registry.world, FOLDER);
    let (mut path, mut seen) = ("/v1/versions?limit=3".to_owned(), Vec::new());
    loop {
        let answered = api.ask("GET", &path, "");
        seen.extend(patches(&answered.json()));
        let Some(link) = answered.header("link") else { break };
        path = link
            .strip_prefix('<')
            .and_then(|link| link.split_once(">; rel=\"next\""))
            .expect("a link")
            .0
            .to_owned();
    }
    assert_eq!(seen, ["6", "5", "4", "3", "2", "1", "0"]);
    let first = api.ask("GET", "/v1/versions?limit=1", "");
    let tag = format!("If-None-Match: {}\r\n", first.header("etag").unwrap());
    assert_eq!(api.ask("GET", "/v1/versions?limit=1", &tag).status, 304);
    registry.publish(Kind::Rollback, 7, 1, &[6]);
    let second = api.ask("GET", "/v1/versions?limit=2", &tag);
    assert_eq!(
        (second.status, patches(&second.json())),
        (200, vec!["7".to_owned(), "6".to_owned()])
    );
    assert_eq!(second.json()["versions"][1]["evidence"]["undone_by"], "0.1.7");
    // as git packs them
    registry.world.git(FOLDER, ["pack-refs", "--all"]);
    assert_eq!(patches(&api.get("/v1/versions?limit=1")), ["7"]);
    registry.publish(Kind::Promotion, 8, 8, &[]);
    assert_eq!(patches(&api.get("/v1/versions?limit=1")), ["8"]);
    assert_eq!(api.get("/v1/resolve?range=active")["version"], "0.1.8");
}

#[test]
fn a_version_is_looked_into() {
    let registry = registry();
    let api = Api::versions(&registry.world, FOLDER);
    let state = api.ask("GET", "/v1/versions/0.1.3/state", "");
    assert_eq!(
        (state.json()["state"].clone(), state.header("cache-control")),
        (json!({"n": 3}), Some("public, max-age=31536000, immutable"))
    );
    let evaluations = api.get("/v1/versions/0.1.2/evaluations");
    assert_eq!(
        (&evaluations["tiers"]["micro"]["passed"], &evaluations["tiers"]["micro"]["failed"]),
        (&json!(2), &json!(1))
    );
    let cases = api.ask("GET", "/v1/versions/0.1.2/evaluations/micro?limit=2", "");
    assert_eq!(cases.json()["cases"], json!([CaseResult::passed("a"), failed("b/ä 1")]));
    assert_eq!(cases.json()["next"], "b/ä 1");
    assert_eq!(
        cases.header("link"),
        Some("</v1/versions/0.1.2/evaluations/micro?limit=2&after=b%2F%C3%A4%201>; rel=\"next\"")
    );
    assert_eq!(
        api.get("/v1/versions/0.1.2/evaluations/micro?limit=2&after=b%2F%C3%A4%201")["cases"],
        json!([CaseResult::passed("c")])
    );
    assert_eq!(
        api.get("/v1/versions/0.1.2/evaluations/micro?outcome=failed")["cases"],
        json!([failed("b/ä 1")])
    );
    let case = api.get("/v1/versions/0.1.2/evaluations/micro/b%2F%C3%A4%201");
    assert_eq!((&case["result"], &case["definition"]), (&json!(failed("b/ä 1")), &Value::Null));
    let printed = registry
        .world
        .agent(FOLDER, ["versions", "diff", "v0.1.1", "v0.1.2", "--json"])
        .ok()
        .json();
    assert_eq!(api.get("/v1/diff/0.1.1...v0.1.2"), printed);
    assert_eq!(api.get("/v1/diff/0.1.1...0.1.2?limit=0")["tiers"][0]["cases"]["flips"], json!([]));
    let provenance = api.get("/v1/versions/0.1.5/provenance");
    assert_eq!(
        (&provenance["kind"], &provenance["undoes"]),
        (&json!("rollback"), &json!(["0.1.4"]))
    );
    assert_eq!(api.get("/v1/versions/0.1.4/provenance")["undone_by"], "0.1.5");
}

#[test]
fn expectations_of_held_out_cases_require_a_token() {
    let world = World::new();
    world.agent(".", ["init", "-q", "a"]).ok();
    for (file, id, minutes) in [("estimates", "open", 4711), ("heldout/estimates", "hidden", 4712)]
    {
        let path = format!("a/tests/full/{file}.jsonl");
        let case = json!({"id": id, "tool": "estimate", "arguments": {"task": "review"},
            "expect": {"subset": {"minutes": minutes}}});
        world.write(&path, format!("{}{case}\n", world.read(&path)));
    }
    world.write(
        "a/ci/budgets.json",
        r#"{"schema":"agent/budgets@1","tiers":{"full":{"pass_rate":0.3}},"slos":[]}"#,
    );
    world.git(
        "a",
        ["-c", "core.hooksPath=/dev/null", "commit", "-q", "--all", "-m", "cases that fail"],
    );
    let released = world.agent("a", ["release", "--json"]).ok().json();
    let path = format!(
        "/v1/versions/{}/evaluations/full",
        released["version"].as_str().unwrap().trim_start_matches('v')
    );
    let shown = |api: &Api, headers: &str| {
        let shows = |path: &str, number: &str| api.ask("GET", path, headers).body.contains(number);
        [shows(&path, "4711"), shows(&path, "4712"), shows(&format!("{path}/hidden"), "4712")]
    };
    let open = Api::versions(&world, "a");
    assert_eq!(shown(&open, ""), [true, false, false]);
    let mut command = world.command(AGENT, "a");
    let api = Api::start(
        command
            .args(["serve", "versions", "--json"])
            .env("AGENT_TOKEN", "s3cret")
            .stdout(Stdio::piped()),
    );
    let token = "Authorization: Bearer s3cret\r\n";
    assert_eq!(shown(&api, token), [true; 3]);
    assert_eq!(shown(&api, ""), [false; 3]);
    // withheld details are marked
    let said = |api: &Api, id: &str, headers: &str| {
        let result = api.ask("GET", &format!("{path}/{id}"), headers).json()["result"].clone();
        (result["why"].is_string(), result["why_withheld"].clone())
    };
    assert_eq!(said(&open, "hidden", ""), (false, json!(true)));
    assert_eq!(said(&open, "open", ""), (true, Value::Null));
    assert_eq!(said(&api, "hidden", token), (true, Value::Null));
    // so are the lines of the files they stand in
    let code = format!(
        "/v1/diff/0.1.0...{}/code",
        released["version"].as_str().unwrap().trim_start_matches('v')
    );
    let files = |api: &Api, headers: &str| {
        let document = api.ask("GET", &code, headers).json();
        let files = document["files"].as_array().unwrap().iter();
        let shown = files.map(|file| {
            format!("{} {} {}", file["path"].as_str().unwrap(), file["added"], file["withheld"])
        });
        (shown.collect::<Vec<_>>(), document.to_string().contains("4712"))
    };
    let rest = ["ci/budgets.json 1 null", "tests/full/estimates.jsonl 1 null"].map(str::to_owned);
    let with =
        |last: &str| [&rest[..], &[format!("tests/full/heldout/estimates.jsonl {last}")]].concat();
    assert_eq!(files(&open, ""), (with("null \"held-out\""), false));
    assert_eq!(files(&api, token), (with("1 null"), true));
}

#[test]
fn code_is_compared_line_by_line_and_cases_come_in_natural_order() {
    let registry = Registry::new();
    let results: Vec<_> =
        (0..12).map(|number| CaseResult::passed(format!("case-{number}"))).collect();
    registry.publish_with(Kind::Promotion, 1, 1, &[], &results);
    let api = Api::versions(&registry.world, FOLDER);
    let same = api.get("/v1/diff/0.1.0...0.1.1/code");
    assert_eq!(
        (&same["schema"], &same["files"], &same["left_off"]),
        (&json!("agent/code-diff@1"), &json!([]), &json!(0)),
        "state is no code"
    );
    api.problem("/v1/diff/0.1.0...9.9.9/code", 404, "there is no v9.9.9");
    let ids = |path: &str| {
        let cases = api.get(path)["cases"].clone();
        cases
            .as_array()
            .unwrap()
            .iter()
            .map(|case| case["id"].as_str().unwrap()[5..].parse().unwrap())
            .collect::<Vec<u8>>()
    };
    let path = "/v1/versions/0.1.1/evaluations/micro";
    assert_eq!(ids(path), (0..12).collect::<Vec<u8>>());
    assert_eq!(ids(&format!("{path}?limit=3&after=case-2")), [3, 4, 5]);
    assert_eq!(api.get(&format!("{path}/case-10"))["result"]["id"], "case-10");
}

#[test]
fn a_missing_resource_is_a_problem_with_a_hint() {
    let registry = registry();
    let api = Api::versions(&registry.world, FOLDER);
    api.problem("/v1/versions/9.9.9", 404, "there is no v9.9.9");
    api.problem("/v1/versions/banana", 400, "`version`");
    api.problem("/v1/versions/0.1.0/contract", 404, "agent semver");
    api.problem("/v1/versions/0.1.0/signals", 404, "not made of signals");
    api.problem(
        "/v1/versions/0.1.1/signals",
        404,
        "the Journal of v0.1.1 is not in the object store",
    );
    api.problem("/v1/versions/0.1.1/evaluations/full", 404, "agent test --at v0.1.1 --tier full");
    api.problem("/v1/versions/0.1.1/evaluations/huge", 400, "micro");
    api.problem("/v1/versions/0.1.1/evaluations/micro/nobody", 404, "`nobody`");
    api.problem("/v1/diff/0.1.0...9.9.9", 404, "v9.9.9");
    api.problem("/v1/diff/0.1.0", 404, "/v1/diff/0.1.0");
    api.problem("/v1/conversations/nobody", 404, "`nobody`");
    api.problem("/v1/conversations/..%2F..%2Fagent.toml", 400, "conversation");
    // only pins are resolved, whatever a name means to git
    for name in ["HEAD", "main", ":/first", "staging", "worktree", "a..b", "%00"] {
        api.problem(&format!("/v1/resolve?range={name}"), 404, "no version in service");
    }
    assert_eq!(api.ask("POST", "/v1/versions", "").header("allow"), Some("GET, HEAD, OPTIONS"));
}

#[test]
fn a_conversation_is_shown_with_its_rewards_and_a_promotion_with_its_signals() {
    let served = Served::new();
    for (id, task) in [("talk-1", "tea"), ("talk-2", "lunch")] {
        served.agent(["run", "estimate", &format!("task={task}"), "--conversation", id]).ok();
    }
    let learn = |id: &str, conversation: &str| {
        json!({"id": id, "tool": "took",
        "arguments": {"task": "tea", "minutes": 7}, "conversation": conversation})
    };
    let signals = json_lines([learn("s-1", "talk-1"), learn("s-2", "talk-2")]);
    served.agent_given(["tune", "--signals", "-"], &signals).ok();
    let api =
        Api::start(served.command().args(["serve", "versions", "--json"]).stdout(Stdio::piped()));
    let listed = api.get("/v1/conversations?limit=1");
    // the one with the newest turn first
    assert_eq!(
        (&listed["conversations"][0]["id"], &listed["next"]),
        (&json!("talk-2"), &json!("talk-2"))
    );
    assert_eq!(api.get("/v1/conversations?after=talk-2")["conversations"][0]["turns"], 1);
    let kpis = api.get("/v1/kpi?version=0.1.0");
    assert_eq!(
        (&kpis["versions"][0]["calls"], &kpis["versions"][0]["conversations"]),
        (&json!(2), &json!(2)),
        "{kpis}"
    );
    let metrics = api.ask("GET", "/metrics", "").body;
    assert!(metrics.contains("agent_version_calls_total{version=\"0.1.0\"} 2\n"), "{metrics}");
    let talk = api.get("/v1/conversations/talk-1");
    assert_eq!(
        (&talk["turns"][0]["tool"], &talk["turns"][0]["data"]),
        (&json!("estimate"), &Value::Null),
        "{talk}"
    );
    assert_eq!(
        (talk["rewards"].as_array().unwrap().len(), &talk["rewards"][0]["signal"]),
        (1, &json!("s-1")),
        "{talk}"
    );
    served.agent(["promote"]).ok();
    let version = api.get("/v1/resolve?range=active")["version"].as_str().unwrap().to_owned();
    let provenance = api.get(&format!("/v1/versions/{version}/provenance"));
    assert_eq!(
        (&provenance["journal"]["signals"], &provenance["journal"]["tools"]),
        (&json!(2), &json!({"took": 2})),
        "{provenance}"
    );
    let signals = api.get(&format!("/v1/versions/{version}/signals?limit=1"));
    assert_eq!((&signals["count"], &signals["signals"][0]["id"]), (&json!(2), &json!("s-1")));
    let next = signals["next"].as_u64().unwrap();
    assert_eq!(
        api.get(&format!("/v1/versions/{version}/signals?after={next}"))["signals"][0]["id"],
        "s-2"
    );
    assert!(
        api.get(&format!("/v1/versions/{version}/contract"))["runner"]["tools"]["estimate"]
            .is_object()
    );
}

#[test]
fn it_ends_when_it_is_told_to() {
    let registry = registry();
    for (signal, code) in [("-TERM", 0), ("-INT", 130)] {
        let mut api = Api::versions(&registry.world, FOLDER);
        let mut idle = TcpStream::connect(&api.address).unwrap();
        api.get("/healthz");
        api.signal(signal);
        assert_eq!(api.process.wait().unwrap().code(), Some(code));
        assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0);
    }
    let api = Api::versions(&registry.world, FOLDER);
    let taken = registry.world.agent(FOLDER, ["serve", "versions", "--addr", &api.address]);
    taken.code(6).stderr_has("cannot listen on").stderr_has("choose another port");
    let open = registry.world.agent(FOLDER, ["serve", "versions", "--addr", "0.0.0.0:0"]);
    open.code(2).stderr_has("AGENT_TOKEN");
}

/// In an environment that `agent` itself makes from the lock, once.
fn python_with_schemathesis() -> PathBuf {
    let layout = Layout::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("rest"));
    std::fs::create_dir_all(layout.root()).expect("a folder under target/");
    let locked = Python { lock: Some("requirements.lock".to_owned()), ..Python::default() };
    python::interpreter(&layout, &source_root().join("tests/rest"), &locked, &|_| {})
        .expect("schemathesis from a package index")
}

/// Runs schemathesis on every operation of an API whose token is `s3cret`; it must find no
/// problem.
pub fn examined(api: &Api, world: &World, examples: usize) {
    let mut command = world.command(python_with_schemathesis(), "home");
    command.args([
        "-m",
        "schemathesis.cli",
        "run",
        &format!("http://{}/openapi.json", api.address),
    ]);
    command.args([
        "--phases",
        "coverage,fuzzing,stateful",
        "--checks",
        "all",
        "--max-examples",
        &examples.to_string(),
        "--seed",
        "1",
    ]);
    command.args([
        "--generation-database",
        "none",
        "--no-color",
        "--header",
        "Authorization: Bearer s3cret",
    ]);
    let ended = World::finish(&mut command).ok();
    assert!(
        ended.stdout.contains("No issues found") || ended.stdout.contains("passed"),
        "{}",
        ended.stdout
    );
}

#[test]
fn schemathesis_finds_nothing() {
    let registry = registry();
    let api = Api::start(
        registry
            .world
            .command(AGENT, FOLDER)
            .args(["serve", "versions", "--json"])
            .env("AGENT_TOKEN", "s3cret")
            .stdout(Stdio::piped()),
    );
    examined(&api, &registry.world, 12);
    let metrics = api.ask("GET", "/metrics", "Authorization: Bearer s3cret\r\n").body;
    assert!(
        metrics.contains("http_route=\"/v1/diff/{from}...{to}\"")
            && !metrics.contains("status_code=\"5"),
        "{metrics}"
    );
}
