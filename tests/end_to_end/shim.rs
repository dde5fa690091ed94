//! What the shim adds to a server: it answers before Python is up, reloads, keeps conversations,
//! and shares out traffic.

use crate::bench::{Bench, FOLDER, PLAIN, RUNNER};
use crate::pipes::{DEADLINE, Pipes, eventually};
use agent_core::formats::object_id::ObjectId;
use agent_core::version::Kind;
use agent_core::version::trailers::Trailers;
use agent_engine::world::git::{CommitSpec, Git, Publication, Published, STATE_FILE, TreeEdit};
use semver::Version;
use serde_json::{Value, json};

/// Publishes a version on `active` with these files changed.
fn publish(bench: &Bench, version: Version, kind: Kind, files: &[(&str, &str)]) {
    let git = Git::discover(&bench.world.path(FOLDER)).unwrap();
    let tip = git.expect("refs/heads/active").unwrap();
    let edits: Vec<_> = files
        .iter()
        .map(|(path, text)| TreeEdit::file(*path, git.write_blob(text.as_bytes()).unwrap()))
        .collect();
    let tree = git.edit_tree(Some(&git.tree_of(&tip).unwrap()), &edits).unwrap();
    let state = git.read(&tree, STATE_FILE).unwrap().unwrap();
    let mut parents = vec![tip.clone()];
    if kind == Kind::Release {
        parents.push(
            git.write_commit(&CommitSpec {
                tree: tree.clone(),
                parents: vec![],
                message: "a source".to_owned(),
            })
            .unwrap(),
        );
    }
    let trailers = Trailers {
        kind: Some(kind),
        version: Some(version.clone()),
        state: Some(ObjectId::of_blob(&state)),
        base: Some(tip.clone()),
        journal: (kind == Kind::Promotion).then(|| "sha256:00".to_owned()),
        eval: Some("sha256:00".to_owned()),
        gate: Some("sha256:00".to_owned()),
        ..Trailers::default()
    };
    let commit = git
        .write_commit(&CommitSpec { tree, parents, message: trailers.message("a version", "") })
        .unwrap();
    let publication =
        Publication { branch: "active".to_owned(), expect: Some(tip), commit, version };
    assert_eq!(git.publish(&publication).unwrap().value, Published::Done);
}

fn released(runner: &str) -> Bench {
    let bench = Bench::new(runner);
    bench.release();
    bench
}

fn serve(bench: &Bench, at: &str) -> Pipes {
    let mut shim = Pipes::start(&mut bench.agent(&["mcp", "runner", "--at", at]));
    shim.initialize("2025-11-25");
    shim
}

fn weighs(shim: &mut Pipes, tool: &str) -> (u64, Value) {
    let said = shim.call(tool, &json!({}))["structuredContent"].clone();
    (said["weight"].as_u64().unwrap_or_else(|| panic!("{said}")), said["process"].clone())
}

const STATE_2: (&str, &str) = ("state/active.state.json", "{\n  \"weight\": 2\n}\n");

#[test]
fn discovery_does_not_wait_for_python() {
    let bench = Bench::new(RUNNER);
    let gate = bench.world.write("gate", "open");
    let waits = format!(
        "import os, time\nwhile not os.path.exists({:?}): time.sleep(0.01)\n",
        gate.display().to_string()
    );
    bench.program("runner", &RUNNER.replacen("import os\n", &waits, 1));
    bench.release();
    // the first start records the server's discovery
    let first = serve(&bench, "active").request("tools/list", &json!({}))["result"].clone();
    std::fs::remove_file(&gate).unwrap();
    let mut shim = serve(&bench, "active");
    assert_eq!(shim.request("tools/list", &json!({}))["result"], first);
    let call = shim.post("tools/call", &json!({"name": "weight", "arguments": {}}));
    assert_eq!(
        shim.request("ping", &json!({}))["result"],
        json!({}),
        "a queued call delays no other one"
    );
    std::fs::write(&gate, "open").unwrap();
    let answer = shim.value();
    assert_eq!(
        (&answer["id"], &answer["result"]["structuredContent"]["weight"]),
        (&json!(call), &json!(1))
    );
}

#[test]
fn a_tool_that_differs_from_the_contract_is_reported_and_not_called() {
    let bench = Bench::new(PLAIN);
    let extra = bench.world.write("extra", "[]");
    let listed = format!(
        "TOOLS += json.loads(Path({:?}).read_text())\n\n\ndef send",
        extra.display().to_string()
    );
    bench.program("runner", &PLAIN.replacen("\n\ndef send", &listed, 1));
    bench.release();
    serve(&bench, "active").call("meta", &json!({}));
    std::fs::write(&extra, "[\"sudo\"]").unwrap();
    let mut shim = serve(&bench, "active");
    let tools = shim.request("tools/list", &json!({}))["result"]["tools"].clone();
    assert!(tools.as_array().unwrap().iter().all(|tool| tool["name"] != "sudo"), "{tools}");
    let told = shim.call_fails("sudo", &json!({}));
    assert!(told.contains("`sudo` of v0.1.0 is new"), "{told}");
    assert_eq!(weighs(&mut shim, "state").0, 1);
    assert!(
        shim.stderr()
            .contains("lists other tools than the Contract recorded for it: `sudo` is new"),
        "{}",
        shim.stderr()
    );
}

#[test]
fn a_promotion_is_served_by_the_next_call_and_the_same_process() {
    let bench = released(RUNNER);
    let mut shim = serve(&bench, "active");
    let before = weighs(&mut shim, "weight");
    publish(&bench, Version::new(0, 1, 1), Kind::Promotion, &[STATE_2]);
    assert_eq!(weighs(&mut shim, "weight"), (2, before.1));
}

#[test]
fn a_server_with_its_state_from_the_start_is_replaced_without_downtime() {
    let bench = released(PLAIN);
    let mut shim = serve(&bench, "active");
    let before = weighs(&mut shim, "state");
    publish(&bench, Version::new(0, 1, 1), Kind::Promotion, &[STATE_2]);
    let mut now = before.clone();
    eventually(DEADLINE, "the new state is served", || {
        now = weighs(&mut shim, "state");
        now.0 == 2
    });
    assert_ne!(now.1, before.1);
}

#[test]
fn a_release_with_changed_tools_notifies_hosts() {
    let bench = released(RUNNER);
    let mut shim = serve(&bench, "active");
    let before = weighs(&mut shim, "weight");
    let code = RUNNER.replace("def weight() -> dict:", "def weight(kilos: bool = True) -> dict:");
    publish(&bench, Version::new(0, 2, 0), Kind::Release, &[("runner.py", &code), STATE_2]);
    assert_eq!(shim.value()["method"], "notifications/tools/list_changed");
    let tools = shim.request("tools/list", &json!({}))["result"]["tools"].clone();
    assert!(tools[0]["inputSchema"]["properties"]["kilos"].is_object(), "{tools}");
    let now = weighs(&mut shim, "weight");
    assert_eq!(now.0, 2);
    assert_ne!(now.1, before.1);
}

#[test]
fn edited_code_restarts_the_child_and_an_edited_state_does_not() {
    let bench = Bench::new(RUNNER);
    let mut shim = bench.greeted();
    let before = weighs(&mut shim, "weight");
    bench.state(2);
    assert_eq!(weighs(&mut shim, "weight"), (2, before.1.clone()));
    bench.program("runner", &RUNNER.replace("state()[\"weight\"]", "state()[\"weight\"] * 10"));
    eventually(DEADLINE, "the new code is served", || weighs(&mut shim, "weight").0 == 20);
    assert_ne!(weighs(&mut shim, "weight").1, before.1);
}

#[test]
fn a_stateful_tool_begins_a_conversation_with_a_resource() {
    let bench = Bench::new(RUNNER);
    let mut shim = bench.greeted();
    let tools = shim.request("tools/list", &json!({}))["result"]["tools"].clone();
    let chat = tools.as_array().unwrap().iter().find(|tool| tool["name"] == "chat").unwrap();
    assert_eq!(chat["inputSchema"]["properties"]["conversation_id"]["type"], "string");
    assert_eq!(chat["inputSchema"]["required"], json!(["word"]));
    let first = shim.call("chat", &json!({"word": "one"}));
    let id = first["_meta"]["dev.agentvc/conversation"]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        first["content"].as_array().unwrap().last().unwrap()["text"],
        format!("conversation_id: {id}")
    );
    let second = shim.call("chat", &json!({"word": "two", "conversation_id": id}));
    assert_eq!(second["structuredContent"]["result"], json!(["one", "two"]));
    assert!(
        second["_meta"].is_null() && second["content"].as_array().unwrap().len() == 1,
        "{second}"
    );
    let uri = format!("session://{id}");
    let listed = shim.request("resources/list", &json!({}))["result"]["resources"].clone();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["uri"]), (1, &json!(uri)));
    let templates =
        shim.request("resources/templates/list", &json!({}))["result"]["resourceTemplates"].clone();
    assert_eq!(templates[0]["uriTemplate"], "session://{conversation_id}");
    let read =
        shim.request("resources/read", &json!({"uri": uri}))["result"]["contents"][0]["text"]
            .clone();
    let read: Value = serde_json::from_str(read.as_str().unwrap()).unwrap();
    assert_eq!(
        (&read["turns"][1]["tool"], &read["turns"][1]["arguments"]["word"]),
        (&json!("chat"), &json!("two"))
    );
    assert_eq!(
        shim.request("resources/read", &json!({"uri": "session://none"}))["error"]["code"],
        -32002
    );
    assert_eq!(
        shim.request("resources/read", &json!({"uri": "session://../x"}))["error"]["code"],
        -32602
    );
    shim.request("resources/subscribe", &json!({"uri": uri}));
    shim.post(
        "tools/call",
        &json!({"name": "chat", "arguments": {"word": "three", "conversation_id": id}}),
    );
    let frames = [shim.value(), shim.value()];
    let updated =
        frames.iter().find(|frame| frame["method"] == "notifications/resources/updated").unwrap();
    assert_eq!(updated["params"]["uri"], uri);
}

/// A stateful tool keeps data, and its first result has the conversation's id.
fn chats(shim: &mut Pipes, word: &str, meta: &Value) -> (Value, Option<String>) {
    let said = shim.request(
        "tools/call",
        &json!({"name": "chat", "arguments": {"word": word}, "_meta": meta}),
    )["result"]
        .clone();
    let id = said["structuredContent"]["conversation_id"].as_str().map(str::to_owned);
    assert_eq!(said["_meta"]["dev.agentvc/conversation"]["id"].as_str(), id.as_deref(), "{said}");
    (said["structuredContent"]["result"].clone(), id)
}

#[test]
fn a_hosts_own_session_is_a_conversation() {
    let bench = Bench::new(RUNNER);
    let nothing = json!({});
    let mut shim = bench.greeted();
    let (words, own) = chats(&mut shim, "one", &nothing);
    assert_eq!((words, own.is_some()), (json!(["one"]), true));
    assert_eq!(chats(&mut shim, "two", &nothing), (json!(["one", "two"]), None));
    // a thread of the host's is one of its own
    let thread = |name: &str| json!({"threadId": name});
    assert_eq!(chats(&mut shim, "x", &thread("t-1")), (json!(["x"]), Some("t-1".to_owned())));
    assert_eq!(chats(&mut shim, "y", &thread("t-2")), (json!(["y"]), Some("t-2".to_owned())));
    assert_eq!(chats(&mut bench.greeted(), "z", &thread("t-1")), (json!(["x", "z"]), None));
    // another process is another session, unless its host names the same session
    assert_eq!(chats(&mut bench.greeted(), "three", &nothing).0, json!(["three"]));
    for words in [json!(["a"]), json!(["a", "a"])] {
        let mut command = bench.agent(&["mcp", "runner", "--at", "worktree"]);
        let mut again = Pipes::start(command.env("CLAUDE_CODE_SESSION_ID", "a0b1-c2"));
        again.initialize("2025-11-25");
        assert_eq!(chats(&mut again, "a", &nothing).0, words);
    }
    assert!(bench.world.path(format!("{FOLDER}/.agent/conversations/a0b1-c2.jsonl")).exists());
}

#[test]
fn a_session_gets_one_share_of_the_traffic() {
    let bench = released(RUNNER);
    publish(&bench, Version::new(0, 1, 1), Kind::Promotion, &[STATE_2]);
    let split = "v0.1.0=50,v0.1.1=50";
    let traffic: agent_core::protocol::traffic::Traffic = split.parse().unwrap();
    let mut shim = serve(&bench, split);
    let first = weighs(&mut shim, "weight").0;
    assert!((0..20).all(|_| weighs(&mut shim, "weight").0 == first), "one process is one session");
    for thread in 0..12 {
        let thread = format!("thread-{thread}");
        let said = shim.request(
            "tools/call",
            &json!({"name": "weight", "arguments": {}, "_meta": {"threadId": thread}}),
        );
        assert_eq!(
            said["result"]["structuredContent"]["weight"],
            json!(traffic.pick(&thread) + 1),
            "{thread}"
        );
    }
}

#[test]
fn a_split_lists_the_tools_of_the_sessions_share() {
    let bench = released(RUNNER);
    let code = RUNNER
        .replace("if __name__", "@server.tool\ndef newer() -> int:\n    return 1\n\n\nif __name__");
    assert_ne!(code, RUNNER);
    publish(&bench, Version::new(0, 2, 0), Kind::Release, &[("runner.py", &code)]);
    let split = "v0.1.0=90,v0.2.0=10";
    let traffic: agent_core::protocol::traffic::Traffic = split.parse().unwrap();
    let of_arm = |arm: usize| {
        (0..1000)
            .map(|number| format!("session-{number}"))
            .find(|id| traffic.pick(id) == arm)
            .unwrap()
    };
    let lists = |shim: &mut Pipes, params: &Value| {
        let listed = shim.request("tools/list", params)["result"]["tools"].clone();
        listed.as_array().unwrap().iter().any(|tool| tool["name"] == "newer")
    };
    for arm in [0, 1, 1] {
        let session = of_arm(arm);
        let mut shim = Pipes::start(
            bench.agent(&["mcp", "runner", "--at", split]).env("CLAUDE_CODE_SESSION_ID", &session),
        );
        shim.initialize("2025-11-25");
        assert_eq!(lists(&mut shim, &json!({})), arm == 1, "{session}");
        let called = shim.request("tools/call", &json!({"name": "newer", "arguments": {}}));
        assert_eq!(called["result"]["structuredContent"].is_object(), arm == 1, "{called}");
        // a thread that the request names decides, as for a call
        for other in [0, 1] {
            let params = json!({"_meta": {"threadId": of_arm(other)}});
            assert_eq!(lists(&mut shim, &params), other == 1, "{session}, thread of {other}");
        }
    }
}

#[test]
fn a_conversation_keeps_its_version_through_a_promotion_and_a_restart() {
    let bench = released(RUNNER);
    let chat = |shim: &mut Pipes, id: &str| {
        shim.call("remember", &json!({"word": "x", "conversation_id": id}));
        shim.call("weight", &json!({})); // not of the conversation
        let meta = json!({"dev.agentvc/conversation": {"id": id}});
        let said =
            shim.request("tools/call", &json!({"name": "weight", "arguments": {}, "_meta": meta}))
                ["result"]
                .clone();
        said["structuredContent"]["weight"].as_u64().unwrap()
    };
    let mut shim = serve(&bench, "active");
    assert_eq!(chat(&mut shim, "c1"), 1);
    publish(&bench, Version::new(0, 1, 1), Kind::Promotion, &[STATE_2]);
    assert_eq!((chat(&mut shim, "c1"), chat(&mut shim, "c2")), (1, 2));
    let code = RUNNER.replace("state()[\"weight\"]", "state()[\"weight\"] * 10");
    publish(&bench, Version::new(0, 2, 0), Kind::Release, &[("runner.py", &code)]);
    let mut shim = serve(&bench, "active");
    assert_eq!((chat(&mut shim, "c1"), chat(&mut shim, "c2"), chat(&mut shim, "c3")), (1, 2, 20));
}

#[test]
fn shares_of_the_conversations_go_to_each_version() {
    let bench = released(RUNNER);
    publish(&bench, Version::new(0, 1, 1), Kind::Promotion, &[STATE_2]);
    let ask = |shim: &mut Pipes, id: &str| {
        let meta = json!({"dev.agentvc/conversation": {"id": id}});
        let said =
            shim.request("tools/call", &json!({"name": "weight", "arguments": {}, "_meta": meta}))
                ["result"]
                .clone();
        said["structuredContent"]["weight"].as_u64().unwrap()
    };
    let traffic: agent_core::protocol::traffic::Traffic = "v0.1.0=50,v0.1.1=50".parse().unwrap();
    let mut shim = serve(&bench, "v0.1.0=50,v0.1.1=50");
    for number in 0..8 {
        let id = format!("c{number}");
        let expected = traffic.pick(&id) as u64 + 1;
        assert_eq!((ask(&mut shim, &id), ask(&mut shim, &id)), (expected, expected));
    }
}

#[test]
fn the_shadow_gets_every_call_and_its_results_are_dropped() {
    let bench = Bench::new(RUNNER);
    let log = bench.world.path("log");
    let code = |name: &str| {
        let noted = format!(
            "\n    with open({:?}, 'a') as log:\
            \n        log.write('{name}\\n\
            ')\
            \n    return {{\"weight\"",
            log.display().to_string()
        );
        RUNNER.replacen("\n    return {\"weight\"", &noted, 1)
    };
    bench.program("runner", &code("old"));
    bench.release();
    publish(&bench, Version::new(0, 2, 0), Kind::Release, &[("runner.py", &code("new"))]);
    let mut shim =
        Pipes::start(&mut bench.agent(&["mcp", "runner", "--at", "v0.1.0", "--shadow", "active"]));
    shim.initialize("2025-11-25");
    weighs(&mut shim, "weight");
    eventually(DEADLINE, "both were called", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        lines == ["new", "old"]
    });
}

#[test]
fn the_shadow_writes_into_a_copy_of_the_data_that_is_served() {
    let bench = Bench::new(RUNNER);
    let log = bench.world.path("log");
    let code = |name: &str| {
        let writes = format!(
            "\n    own = os.path.join(os.environ['AGENT_DATA'], 'notes')\
            \n    with open(own, 'a') as notes:\
            \n        notes.write('{name}\\n\
            ')\
            \n    with open({:?}, 'a') as log:\
            \n        log.write('{name}: ' + ' '.join(open(own).read().split()) + '\\n\
            ')\
            \n    return {{\"weight\"",
            log.display().to_string()
        );
        RUNNER.replacen("\n    return {\"weight\"", &writes, 1)
    };
    bench.program("runner", &code("old"));
    bench.release();
    publish(&bench, Version::new(0, 2, 0), Kind::Release, &[("runner.py", &code("new"))]);
    let notes = bench.world.write(format!("{FOLDER}/.agent/data/notes"), "begun\n");
    let mut shim =
        Pipes::start(&mut bench.agent(&["mcp", "runner", "--at", "v0.1.0", "--shadow", "active"]));
    shim.initialize("2025-11-25");
    weighs(&mut shim, "weight");
    eventually(DEADLINE, "both were called", || {
        std::fs::read_to_string(&log).unwrap_or_default().lines().count() == 2
    });
    assert_eq!(std::fs::read_to_string(notes).unwrap(), "begun\nold\n");
    let seen = std::fs::read_to_string(&log).unwrap();
    assert!(
        seen.lines().any(|line| line.starts_with("new: begun ") && line.ends_with(" new")),
        "{seen}"
    );
}

#[test]
fn a_tool_may_have_a_limit_of_its_own() {
    let bench = Bench::new(PLAIN);
    bench.manifest("start_s = 30\ncall_s = 600\n[limits.tools]\nhang = 1");
    let mut shim = bench.greeted();
    let told = shim.call_fails("hang", &json!({}));
    assert!(
        told.contains("did not answer `hang` within 1 s") && told.contains("limits.tools"),
        "{told}"
    );
}
