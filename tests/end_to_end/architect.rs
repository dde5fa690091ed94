//! `agent architect`: feedback in words, coders of all kinds, and what becomes of their changes.

use crate::rest::Api;
use crate::world::{AGENT, Ended, World, source_root};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Lenient where time is concerned: other tests run beside this one.
const BUDGETS: &str = r#"{"schema":"agent/budgets@1","tiers":{
    "micro":{"pass_rate":0.6},"fast":{"pass_rate":0.3},"full":{"pass_rate":0.3}},"slos":[]}"#;

/// A second tool, which no case calls.
const USUAL: &str = "@server.tool\n\
    def usual() -> float:\
    \n    \"\"\"How long an unknown task takes.\"\"\"\
    \n    return state()[\"usual_minutes\"]\n\n\n\
    if __name__";

/// A released agent repository in `a` whose coder is `coders/coder.py`.
pub fn world(attempts: u32) -> World {
    let world = World::new();
    world.agent(".", ["init", "a"]).ok();
    world.write("a/ci/budgets.json", BUDGETS);
    let coder = source_root().join("tests/end_to_end/coders/coder.py");
    let architect = format!(
        "coder = \"command\"\n\
        command = [\"python\", {:?}]\n\
        attempts = {attempts}\n\
        time_limit_s = 60",
        coder.display()
    );
    let manifest = world.read("a/agent.toml");
    let manifest =
        manifest.replace("coder = \"builtin\"\nattempts = 3\ntime_limit_s = 600", &architect);
    assert!(manifest.contains("coder.py"), "{manifest}");
    world.write("a/agent.toml", manifest);
    let runner = world.read("a/runner/__main__.py");
    world.write("a/runner/__main__.py", runner.replace("if __name__", USUAL));
    release(&world);
    world
}

fn release(world: &World) {
    commit(world, "set up");
    world.agent("a", ["release", "-q"]).ok();
}

fn commit(world: &World, message: &str) {
    world.git(
        "a",
        ["-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--all", "--message", message],
    );
}

fn architect(world: &World, arguments: &[&str]) -> Ended {
    world.agent("a", [&["architect", "--json"], arguments].concat())
}

fn report(world: &World, text: &str, code: i32) -> Value {
    architect(world, &[text]).code(code).json()
}

fn whys(report: &Value) -> Vec<String> {
    let attempts = report["attempts"].as_array().unwrap();
    attempts.iter().map(|attempt| attempt["why"].as_str().unwrap_or("taken").to_owned()).collect()
}

#[track_caller]
fn says(report: &Value, attempt: usize, part: &str) {
    let whys = whys(report);
    assert!(whys[attempt].contains(part), "attempt {attempt} should say {part:?}: {whys:?}");
}

#[test]
fn failures_are_returned_to_the_coder_and_a_passing_change_is_released() {
    let world = world(2);
    // nothing changes the user's index or working tree
    world.write("a/runner/__main__.py", "half done");
    world.write("a/notes.txt", "staged");
    world.git("a", ["add", "notes.txt"]);
    let (status, head) =
        (world.git("a", ["status", "--porcelain"]), world.git("a", ["rev-parse", "HEAD"]));

    let report = report(&world, "fix: unknown tasks take too long", 0);
    assert_eq!(
        (&report["schema"], &report["status"], &report["version"]),
        (&"agent/architect@1".into(), &"released".into(), &"v0.3.0".into())
    );
    says(&report, 0, "never-seen");
    assert_eq!(whys(&report)[1], "taken");
    assert_eq!(report["attempts"][1]["changed"], serde_json::json!(["runner/__main__.py"]));

    assert_eq!(world.git("a", ["rev-parse", "v0.3.0"]), world.git("a", ["rev-parse", "active"]));
    assert!(world.git("a", ["show", "active:runner/__main__.py"]).contains("float(state()"));
    let source = world.git("a", ["log", "-1", "--format=%B", "active^2"]);
    assert!(
        source.starts_with("fix: unknown tasks take a whole time\n\nAs people said."),
        "{source}"
    );
    let trailers =
        world.git("a", ["log", "-1",
            "--format=%(trailers:key=Agent-Feedback,valueonly)%(trailers:key=Agent-Coder,valueonly)", "active"]);
    let feedback = report["feedback"][0].as_str().unwrap();
    assert_eq!(trailers.split_whitespace().collect::<Vec<_>>(), [feedback, "command"]);

    assert_eq!(world.git("a", ["status", "--porcelain"]), status);
    assert_eq!(world.git("a", ["rev-parse", "HEAD"]), head);
    assert_eq!(world.git("a", ["worktree", "list", "--porcelain"]).matches("worktree ").count(), 1);
    let list = architect(&world, &["list"]).ok().json();
    assert_eq!(
        list["feedback"][0]["status"],
        serde_json::json!({"is": "answered", "run": report["run"], "version": "v0.3.0"})
    );
    assert_eq!(list["runs"][0]["version"], "v0.3.0");
    // the inbox is a ref like any other: a clone that asks for it has it
    world.git(".", ["clone", "--quiet", "--no-checkout", "a", "b"]);
    world.git("b", ["fetch", "--quiet", "origin", "refs/agent/inbox:refs/agent/inbox"]);
    assert_eq!(architect_in(&world, "b", &["list"])["feedback"], list["feedback"]);
}

const UNPROVEN: &str = "no case improved: there is no evidence that it helps";

#[test]
fn a_change_without_an_improved_case_requires_accept() {
    let world = world(2);
    for (feedback, changed) in
        [("harmless: please", "runner/extra.py"), ("offer: please", "runner/__main__.py")]
    {
        let proposed = report(&world, feedback, 1);
        assert_eq!(proposed["status"], "needs-person", "{proposed:#}");
        assert_eq!(whys(&proposed).len(), 1, "there is nothing to hand back: {proposed:#}");
        says(&proposed, 0, UNPROVEN);
        let trials = proposed["attempts"][0]["trials"].as_array().unwrap();
        assert!(
            trials.iter().all(|trial| trial["passed"] == true && trial["helps"] == false),
            "{proposed:#}"
        );
        let branch = proposed["branch"].as_str().unwrap();
        assert_eq!(world.git("a", ["diff", "--name-only", "active", branch]), changed);
        assert_eq!(world.git("a", ["tag", "--list", "v*"]), "v0.1.0\nv0.2.0");
    }
    let list = architect(&world, &["list"]).ok().json();
    let run = list["feedback"][0]["status"]["run"].as_str().unwrap();
    assert_eq!(list["feedback"][0]["status"]["is"], "needs-person");
    assert_eq!(architect(&world, &["accept", run]).ok().json()["version"], "v0.3.0");
}

#[test]
fn a_reason_is_printed_once_per_run() {
    let world = world(3);
    let ended = world.agent("a", ["architect", "wreck: all attempts alike"]).code(1);
    let said = ended.stdout.clone() + &ended.stderr;
    assert_eq!(said.matches("the coder broke it").count(), 1, "{said}");
    assert_eq!(said.matches("not taken, for the reason of attempt 1").count(), 2, "{said}");
    assert!(
        ended.stdout.starts_with(
            "refused: every attempt was rejected\nto show the change: git log -p -1 architect/r-"
        ),
        "{said}"
    );
    let report = architect(&world, &["list"]).ok().json();
    let run = report["runs"][0]["run"].as_str().unwrap();
    let shown = world.agent("a", ["architect", "show", run]).ok().stdout;
    assert_eq!(shown.matches("the coder broke it").count(), 1, "{shown}");
    // without the progress of the attempts the reason is in the result
    let quiet = world.agent("a", ["-q", "architect", "wreck: once more"]).code(1);
    assert_eq!(
        (quiet.stdout.as_str(), quiet.stderr.matches("the coder broke it").count()),
        ("", 1),
        "{}",
        quiet.stderr
    );
}

#[test]
fn held_out_cases_are_hidden_from_a_coder_and_judge_its_change() {
    let world = world(1);
    let peeked = report(&world, "peek: at the cases", 0);
    assert_eq!(
        (&peeked["status"], &peeked["attempts"][0]["changed"]),
        (&"released".into(), &serde_json::json!(["runner/__main__.py"]))
    );
    let held_out = "tests/full/heldout/estimates.jsonl";
    let at = |what: &str| world.git("a", ["rev-parse", &format!("{what}:{held_out}")]);
    assert_eq!(at("active"), at("active^"));
    let released = world.git("a", ["log", "-1", "--format=%B", "active"]);
    assert!(released.contains("held-out score"), "{released}");

    let planted = report(&world, "plant: cases", 1);
    assert_eq!(
        (&planted["status"], &planted["attempts"][0]["changed"]),
        (&"needs-person".into(), &serde_json::json!([held_out]))
    );
    assert_eq!(at("active"), at("active^"));
    // the file it replaced is quoted only to clients with a token
    let path = format!("/v1/runs/{}/diff", planted["run"].as_str().unwrap());
    let diff = |token: Option<&str>| {
        let mut command = world.command(AGENT, "a");
        command
            .args(["serve", "architect", "--json"])
            .envs(token.map(|token| ("AGENT_TOKEN", token)))
            .stdout(Stdio::piped());
        let headers =
            token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        Api::start(&mut command).ask("GET", &path, &headers).body
    };
    assert_eq!(diff(None), format!("withheld (held-out cases): {held_out}\n"));
    let shown = diff(Some("s3cret"));
    assert!(
        shown.starts_with("diff --git") && shown.contains(&format!("--- a/{held_out}")),
        "{shown}"
    );
}

#[test]
fn changed_packages_and_stores_require_a_person() {
    let world = world(1);
    let packed = report(&world, "pack: other packages", 1);
    assert_eq!(
        (&packed["status"], &packed["attempts"][0]["trials"]),
        (&"refused".into(), &serde_json::json!([]))
    );
    assert!(packed["branch"].is_string(), "it is kept for a person");
    says(&packed, 0, "requirements.lock names other packages");
    assert!(!world.path("a/.agent/environments").exists(), "nothing was installed");

    // its trials ask the store of the version that is served: the change's could hold results that
    // no coder ran
    let stored = report(&world, "store: elsewhere", 1);
    assert_eq!(
        (&stored["status"], &stored["attempts"][0]["trials"][0]["passed"]),
        (&"needs-person".into(), &true.into())
    );
    assert!(!world.path("a/.agent/elsewhere").exists(), "nothing was kept there");
}

#[test]
fn a_coders_changes_of_its_git_directory_have_no_effect() {
    let world = world(1);
    let refs = |world: &World| {
        world.git(
            "a",
            ["for-each-ref", "--format=%(refname) %(objectname)", "refs/heads/main", "refs/tags"],
        )
    };
    let before = refs(&world);
    let tampered = report(&world, "tamper: please", 0);
    assert_eq!(
        (&tampered["status"], &tampered["attempts"][0]["changed"]),
        (&"released".into(), &serde_json::json!(["runner/__main__.py"]))
    );
    assert!(refs(&world).starts_with(&before));
    says(&report(&world, "vanish: please", 1), 0, "the coder removed the folder it was to work in");
    says(&report(&world, "lead_out: please", 1), 0, "the change makes \"runner/x.py\" a link");
    let runs = std::fs::read_dir(world.path("a/.agent/architect"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    assert!(runs.filter(|run| run.is_dir()).all(|run| !run.join("coder").exists()));
}

fn architect_in(world: &World, folder: &str, arguments: &[&str]) -> Value {
    world.agent(folder, [&["architect", "--json"], arguments].concat()).ok().json()
}

#[test]
fn a_coder_that_changes_nothing_is_distinguished_from_one_that_crashes() {
    let world = world(1);
    let idle = report(&world, "nothing: please", 1);
    assert_eq!((&idle["status"], &idle["branch"]), (&"refused".into(), &Value::Null));
    says(&idle, 0, "the coder changed nothing");
    let crashed = report(&world, "crash: please", 5);
    says(&crashed, 0, "exit status: 1; last output: I have read the brief; on stderr: no idea how");
    assert_eq!(world.git("a", ["branch", "--list", "architect/*"]), "");
    // the same item can be run again, and the brief then lists the earlier attempts
    let again =
        architect(&world, &["run", crashed["feedback"][0].as_str().unwrap()]).code(5).json();
    assert_ne!(again["run"], crashed["run"]);
    let brief =
        world.read(format!("a/.agent/architect/{}/brief.md", again["run"].as_str().unwrap()));
    assert!(brief.contains("## Rejected earlier") && brief.contains("no idea how"), "{brief}");
}

pub fn is_alive(process: &str) -> bool {
    // a zombie has no open files any more
    Path::new("/proc")
        .join(process)
        .join("fd")
        .read_dir()
        .is_ok_and(|mut files| files.next().is_some())
}

pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: waited too long");
        std::thread::yield_now();
    }
}

#[test]
fn a_coder_that_hangs_is_ended_with_all_it_started() {
    let world = world(1);
    let manifest = world.read("a/agent.toml").replace("time_limit_s = 60", "time_limit_s = 1");
    world.write("a/agent.toml", manifest);
    release(&world);
    let hung = report(&world, "hang: please", 5);
    says(&hung, 0, "was not done after 1 s and was ended");
    let sleeper =
        world.read(format!("a/.agent/architect/{}/coder-1.log", hung["run"].as_str().unwrap()));
    wait_until("the coder's child ends", || !is_alive(sleeper.trim()));
}

/// Starts a run whose coder hangs; gives the process, the run and the coder's own child.
fn start_hanging(world: &World) -> (std::process::Child, String, String) {
    let mut command = world.command(AGENT, "a");
    let process = command
        .args(["architect", "hang: please", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let runs = || {
        std::fs::read_dir(world.path("a/.agent/architect"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
    };
    let sleeper = || {
        runs().find_map(|run| {
            std::fs::read_to_string(run.join("coder/sleeper.pid")).ok().filter(|id| !id.is_empty())
        })
    };
    wait_until("the coder starts", || sleeper().is_some());
    let run = runs().find(|run| run.join("coder/sleeper.pid").exists()).unwrap();
    (process, run.file_name().unwrap().to_string_lossy().into_owned(), sleeper().unwrap())
}

#[test]
fn a_run_can_be_cancelled_and_its_feedback_stays_open() {
    let world = world(1);
    let (process, run, sleeper) = start_hanging(&world);
    architect(&world, &["cancel", &run]).ok();
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["status"], "cancelled");
    wait_until("the coder's child ends", || !is_alive(&sleeper));
    let list = architect(&world, &["list"]).ok().json();
    assert_eq!(list["feedback"][0]["status"]["is"], "open");
    let id = list["feedback"][0]["id"].as_str().unwrap();
    architect(&world, &["cancel", id]).ok();
    assert_eq!(architect(&world, &["show", id]).ok().json()["status"]["is"], "withdrawn");
    architect(&world, &["run", id]).code(3).stderr_has("is withdrawn");
    architect(&world, &["cancel", &run]).code(3).stderr_has("has ended: it is cancelled");
}

/// A kill between a run's decision and its record in the inbox.
#[test]
fn a_run_killed_at_its_very_end_is_concluded_by_the_next_command() {
    let world = world(1);
    let ended = report(&world, "nothing: please", 1);
    let run = ended["run"].as_str().unwrap();
    world.git("a", ["update-ref", "refs/agent/inbox", "refs/agent/inbox~1"]);
    // by this the clone would know that the ref was moved back
    std::fs::remove_file(world.path("a/.git/agent/record-heads")).unwrap();
    let file = format!("a/.agent/architect/{run}/report.json");
    let mut kept: Value = serde_json::from_str(&world.read(&file)).unwrap();
    kept["finished"] = Value::Null;
    world.write(&file, kept.to_string());
    let status =
        |world: &World| architect(world, &["list"]).ok().json()["feedback"][0]["status"].clone();
    assert_eq!(status(&world), serde_json::json!({"is": "refused", "run": run}));
    architect(&world, &["cancel", run]).code(3).stderr_has("has ended: it is refused");
    let shown = architect(&world, &["show", run]).ok().json();
    assert_eq!((&shown["status"], &shown["why"]), (&"refused".into(), &ended["why"]));
}

#[test]
fn a_killed_run_leaves_its_feedback_open_and_no_worktree() {
    let world = world(1);
    let (mut process, run, _) = start_hanging(&world);
    process.kill().unwrap();
    process.wait().unwrap();
    // the next reader ends it, in the CLI as over REST and MCP
    assert_eq!(architect(&world, &["show", &run]).ok().json()["status"], "cancelled");
    let looked = architect(&world, &["list"]).ok().json();
    assert_eq!(
        (&looked["runs"][0]["status"], &looked["feedback"][0]["status"]["is"]),
        (&"cancelled".into(), &"open".into())
    );
    assert!(!world.path(format!("a/.agent/architect/{run}/coder")).exists());
    let idle = report(&world, "nothing: another one", 1);
    let list = architect(&world, &["list"]).ok().json();
    let hung = list["feedback"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["text"] == "hang: please")
        .unwrap();
    assert_eq!(hung["status"]["is"], "open");
    let runs: Vec<_> = list["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| (run["run"].clone(), run["status"].clone()))
        .collect();
    assert_eq!(
        runs,
        [(Value::from(run), "cancelled".into()), (idle["run"].clone(), "refused".into())]
    );
    assert_eq!(world.git("a", ["worktree", "list", "--porcelain"]).matches("worktree ").count(), 1);
}

/// What a run leaves alone of a repository: refs but the inbox, configuration, hooks.
fn standing(world: &World) -> [String; 3] {
    let refs = world.git("a", ["for-each-ref", "--format=%(refname) %(objectname)"]);
    let refs: Vec<_> = refs.lines().filter(|line| !line.starts_with("refs/agent/inbox")).collect();
    let hooks = std::fs::read_dir(world.path("a/.git/hooks")).into_iter().flatten().flatten();
    let hooks: std::collections::BTreeSet<_> =
        hooks.map(|entry| entry.file_name().into_string().unwrap()).collect();
    [refs.join("\n"), world.read("a/.git/config"), format!("{hooks:?}")]
}

#[test]
fn changes_by_an_unconfined_coder_are_detected() {
    let world = world(3);
    let manifest = world.read("a/agent.toml").replace("confine = true", "confine = false");
    world.write("a/agent.toml", manifest);
    release(&world);
    std::fs::create_dir_all(world.path("a/.git/hooks")).unwrap();
    let before = standing(&world);
    for (reach, trace) in [
        ("active", "refs/heads/active was moved"),
        ("inbox", "refs/agent/inbox was moved from"),
        ("settings", "reference-transaction was changed and was restored"),
        ("store", "was changed"),
        ("lock", "refs/heads/active.lock was left behind"),
    ] {
        let found = report(&world, &format!("reach: {reach}"), 1);
        let why = found["why"].as_str().unwrap();
        assert!(found["status"] == "refused" && why.contains(trace), "{reach}: {found:#}");
        let attempts = found["attempts"].as_array().unwrap();
        assert!(
            attempts.len() == 1
                && attempts[0]["held"] == "switched-off"
                && attempts[0]["traces"].as_array().is_some(),
            "{found:#}"
        );
        assert_eq!(standing(&world), before, "{reach}");
        let lock = world.path("a/.git/refs/heads/active.lock");
        assert_eq!(lock.exists(), reach == "lock");
        let _ = std::fs::remove_file(lock);
    }
    for witness in ["a/ran-by-hook", "a/ran-by-fsmonitor"] {
        assert!(!world.path(witness).exists(), "{witness}");
    }
    let list = architect(&world, &["list"]).ok().json();
    assert_eq!(list["feedback"].as_array().unwrap().len(), 5, "the inbox that was deleted is back");
    assert_eq!(
        report(&world, "tamper: please", 0)["status"],
        "released",
        "a coder that changes only its workplace passes"
    );
    world.agent("a", ["verify", "--all"]).ok();
}

#[test]
fn a_confined_coder_cannot_access_the_repository() {
    let world = world(1);
    std::fs::create_dir_all(world.path("a/.git/hooks")).unwrap();
    let (before, readme) = (standing(&world), world.read("a/README.md"));
    let grabbed = architect(&world, &["grab: all of it"]);
    let report = grabbed.json();
    if report["attempts"][0]["held"] != "confined" {
        assert_eq!(report["attempts"][0]["held"], "not-by-this-kernel");
        return;
    }
    assert_eq!(
        (&report["status"], &report["attempts"][0]["changed"]),
        (&"released".into(), &serde_json::json!(["runner/__main__.py"]))
    );
    let [refs, config, hooks] = standing(&world);
    let moved: Vec<_> = before[0]
        .lines()
        .filter(|line| {
            !refs.contains(line) && !line.contains("heads/active") && !line.contains("ledger")
        })
        .collect();
    assert_eq!((moved, &config, &hooks), (Vec::new(), &before[1], &before[2]));
    assert_eq!(world.read("a/README.md"), readme);
    world.agent("a", ["verify", "--all"]).ok();
}

#[test]
fn a_confined_coder_leaves_nothing_in_its_users_home() {
    let world = world(1);
    world.write("home/.local/bin/theirs", "theirs\n");
    world.write("home/.claude/settings.json", "{}");
    let socket = std::os::unix::net::UnixListener::bind(world.home().join("socket")).unwrap();
    socket.set_nonblocking(true).unwrap();
    let left = |arguments: &[&str]| {
        let report = architect(&world, arguments).json();
        let left = [".local/bin/tool", ".config/tool/settings"]
            .map(|path| world.home().join(path).exists());
        (
            report["attempts"][0]["held"].clone(),
            left,
            world.read("home/.claude/settings.json"),
            socket.accept().is_ok(),
        )
    };
    let confined = left(&["settle: in here"]);
    if confined.0 == "not-by-this-kernel" {
        return;
    }
    assert_eq!(confined, ("confined".into(), [false; 2], "{}".to_owned(), false));
    let manifest = world.read("a/agent.toml").replace("confine = true", "confine = false");
    world.write("a/agent.toml", manifest);
    release(&world);
    assert_eq!(
        left(&["settle: in here again"]),
        ("switched-off".into(), [true; 2], "mine\n".to_owned(), true)
    );
}

/// Which evaluators judged, tier by tier, in the first attempt.
fn judged(report: &Value) -> Vec<(&str, &str)> {
    let trials = report["attempts"][0]["trials"].as_array().unwrap();
    trials
        .iter()
        .map(|trial| (trial["evaluators"].as_str().unwrap(), trial["tier"].as_str().unwrap()))
        .collect()
}

const BY_THE_OLD: [(&str, &str); 3] = [("old", "micro"), ("old", "fast"), ("old", "full")];

#[test]
fn a_change_of_evaluators_fails_by_the_old_ones_or_waits_for_a_person() {
    let world = world(1);
    let cheated = report(&world, "cheat: please", 1);
    assert!(
        cheated["attempts"][0]["protected"] == true && judged(&cheated) == BY_THE_OLD[..2],
        "{cheated:#}"
    );
    says(&cheated, 0, "never-seen");
    let branch = cheated["branch"].as_str().unwrap();
    assert!(
        world
            .git("a", ["diff", "--name-only", "active", branch])
            .contains("tests/fast/estimates.jsonl")
    );
    says(&report(&world, "state: please", 1), 0, "the state is changed by signals to the Tuner");

    for (feedback, path) in [
        ("gate: please", "agent.toml (`[release]`"),
        ("widen: please", "agent.toml (`[runner]`"),
        ("scorer: please", "tests/scorers.py"),
        ("empty: a tier", "tests/full/estimates.jsonl"),
        ("hide: a tier", "tests/fast/heldout/estimates.jsonl"),
        ("budgets: please", "ci/budgets.json"),
        ("workflow: please", ".github/workflows/agent.yml"),
        ("sharpen: please", "tests/fast/estimates.jsonl"),
    ] {
        let proposed = report(&world, feedback, 1);
        assert_eq!(
            (&proposed["status"], judged(&proposed)),
            (&"needs-person".into(), BY_THE_OLD.to_vec()),
            "{feedback}: {proposed:#}"
        );
        let why = proposed["why"].as_str().unwrap();
        assert!(
            why.starts_with("it changes evaluators, which needs a maintainer's approval: ")
                && why.contains(path),
            "{feedback}: {why}"
        );
        // what the branch holds is what the coder left, so that a second run finds nothing that a
        // first one laid ready
        let branch = proposed["branch"].as_str().unwrap();
        assert!(
            world
                .git("a", ["diff", "--name-only", "active", branch])
                .lines()
                .any(|changed| path.starts_with(changed)),
            "{feedback}"
        );
    }
    assert_eq!(world.git("a", ["tag", "--list", "v*"]), "v0.1.0\nv0.2.0");
}

/// The cases of the full tier that let a version pass.
fn counted(world: &World, version: &str) -> String {
    let message = world.git("a", ["log", "-1", "--format=%b", version]);
    message
        .split_whitespace()
        .nth(1)
        .and_then(|passed| passed.split_once('/'))
        .unwrap_or_else(|| panic!("{message}"))
        .1
        .to_owned()
}

#[test]
fn cases_that_a_coder_adds_judge_once_a_person_has_released_them() {
    let world = world(1);
    let manifest = world
        .read("a/agent.toml")
        .replace("evaluators = \"propose\"", "evaluators = \"allow-additions\"");
    world.write(
        "a/agent.toml",
        manifest.replace(
            "tier = \"full\"\ngate = \"not-worse\"",
            "tier = \"full\"\ngate = \"not-worse\"\nmargin = 0.05",
        ),
    );
    // without held-out cases all are compared
    world.git("a", ["rm", "-rq", "tests/full/heldout"]);
    release(&world);
    let before = counted(&world, "active");

    // a case that fails is no reason to release anything; one that the change lets pass is
    let sharpened = report(&world, "sharpen: please", 1);
    assert_eq!(
        (&sharpened["status"], judged(&sharpened)),
        (&"needs-person".into(), BY_THE_OLD.to_vec())
    );
    says(&sharpened, 0, UNPROVEN);
    let taught = report(&world, "teach: please", 0);
    assert_eq!((judged(&taught), counted(&world, "active")), (BY_THE_OLD.to_vec(), before.clone()));
    assert_eq!(
        taught["attempts"][0]["evaluators"],
        serde_json::json!({"is": "additions", "cases": 1})
    );
    // many that ask for nonsense
    let poisoned = report(&world, "poison: please", 0);
    assert_eq!(
        (&poisoned["status"], counted(&world, "active")),
        (&"released".into(), before.clone())
    );
    assert!(world.git("a", ["show", "active:tests/full/estimates.jsonl"]).contains("poison-49"));

    // the ones a person released judge what these were laid ready for
    let nonsense = report(&world, "nonsense: please", 1);
    assert_eq!(nonsense["status"], "refused", "{nonsense:#}");
    world.agent("a", ["tune", "took", "task=sailing", "minutes=3"]).ok();
    world.agent("a", ["promote"]).ok();
    assert_eq!(counted(&world, "active"), before);
    for (feedback, why) in [
        ("weigh: a case", "is changed, moved or removed"),
        ("scorer: please", "only cases may be added"),
    ] {
        let proposed = report(&world, feedback, 1);
        assert!(
            proposed["status"] == "needs-person" && proposed["why"].as_str().unwrap().contains(why),
            "{proposed:#}"
        );
    }
    world.agent("a", ["verify", "--all"]).ok();

    world.git("a", ["checkout", "-q", "main"]);
    world.git("a", ["-c", "core.hooksPath=/dev/null", "merge", "-q", "--no-edit", "active"]);
    world.write("a/README.md", "# Estimates\n");
    commit(&world, "docs: one line");
    let full = world.agent("a", ["release", "--json"]).json();
    assert!(
        full["verdict"]["tiers"]["full"]["cases"].as_u64().unwrap()
            > before.parse::<u64>().unwrap() + 40,
        "{full:#}"
    );
}

#[test]
fn a_person_accepts_a_change_of_evaluators() {
    let world = world(1);
    let proposed = report(&world, "sharpen: please", 1);
    let run = proposed["run"].as_str().unwrap();
    architect(&world, &["accept", run]).ok().stderr_has(
        "it changes evaluators, which needs a maintainer's approval: tests/fast/estimates.jsonl",
    );
    assert!(world.git("a", ["show", "active:tests/fast/estimates.jsonl"]).contains("\"another\""));
    world.agent("a", ["verify", "--all"]).ok();
}

#[test]
fn a_breaking_change_of_the_contract_requires_accept() {
    let world = world(1);
    let broken = report(&world, "contract: please", 1);
    assert_eq!(broken["attempts"][0]["trials"][0]["evaluators"], "old");
    let removed = report(&world, "remove: please", 1);
    says(&removed, 0, "tool `usual` is gone [tool-removed]");
    let branch = removed["branch"].as_str().unwrap();
    let assessed = world.agent("a", ["semver", &format!("active..{branch}"), "--json"]).ok().json();
    assert_eq!(
        (&assessed["schema"], &assessed["bump"], &assessed["next"]),
        (&"agent/semver@1".into(), &"major".into(), &"v1.0.0".into())
    );
    let accepted = architect(&world, &["accept", removed["run"].as_str().unwrap()]).ok().json();
    assert_eq!((&accepted["status"], &accepted["version"]), (&"released".into(), &"v1.0.0".into()));
    let item = architect(&world, &["show", removed["feedback"][0].as_str().unwrap()]).ok().json();
    assert_eq!(item["status"]["version"], "v1.0.0");
}

#[test]
fn a_change_of_the_state_schema_migrates_the_state() {
    let world = world(1);
    let report = report(&world, "migrate: please", 0);
    assert_eq!(report["attempts"][0]["trials"][0]["passed"], true);
    let state: Value =
        serde_json::from_str(&world.git("a", ["show", "active:state/active.state.json"])).unwrap();
    assert_eq!((&state["schema_version"], &state["default_minutes"]), (&2.into(), &30.0.into()));
}

#[test]
fn the_builtin_coder_applies_a_matching_inspiration_or_requires_a_person() {
    let world = world(1);
    let helped =
        architect(&world, &["--coder", "builtin", "our monitor needs a health check"]).ok().json();
    assert_eq!(helped["version"], "v0.3.0");
    assert!(world.agent("a", ["run", "about"]).ok().stdout.contains("python"));

    world.agent("a", ["run", "estimate", "task=sailing", "--conversation", "c1"]).ok();
    let asked = architect(
        &world,
        &["--coder", "builtin", "--conversation", "c1", "estimates ignore the weather"],
    )
    .code(1)
    .json();
    assert_eq!(
        (&asked["status"], &asked["why"]),
        (&"needs-person".into(), &"no inspiration matches this feedback".into())
    );
    let (branch, id) = (asked["branch"].as_str().unwrap(), asked["feedback"][0].as_str().unwrap());
    let case: Value = serde_json::from_str(
        &world.git("a", ["show", &format!("{branch}:tests/fast/feedback.jsonl")]),
    )
    .unwrap();
    assert_eq!(
        (&case["tool"], &case["arguments"]),
        (&"estimate".into(), &serde_json::json!({"task": "sailing"}))
    );
    let tested =
        world.agent("a", ["test", "--tier", "fast", "--at", branch, "--report", "junit=fast.xml"]);
    assert!(tested.code <= 1, "{tested:?}");
    let failed = world.read("a/fast.xml");
    assert!(failed.contains(&format!("feedback-{id}")) && failed.contains("<failure"), "{failed}");

    // an unfinished case has no expectation to satisfy
    let run = asked["run"].as_str().unwrap();
    architect(&world, &["accept", run])
        .code(3)
        .stderr_has(&format!("`feedback-{id}` in tests/fast/feedback.jsonl of {branch}"));
    assert_eq!(architect(&world, &["show", id]).ok().json()["status"]["is"], "needs-person");
    world.git("a", ["checkout", "-q", branch]);
    let finished = serde_json::json!({"id": case["id"], "tool": "estimate",
        "arguments": {"task": "sailing"}, "expect": {"subset": {"seen": 0}}});
    world.write("a/tests/fast/feedback.jsonl", format!("{finished}\n"));
    commit(&world, "test: sailing");
    architect(&world, &["accept", run]).ok();
    assert_eq!(architect(&world, &["show", id]).ok().json()["status"]["is"], "answered");
}

#[test]
fn invalid_input_is_reported_before_a_run() {
    let world = World::new();
    world.agent(".", ["init", "a"]).ok();
    world.git("a", ["update-ref", "-d", "refs/heads/active"]);
    architect(&world, &[]).code(2).stderr_has("the feedback is missing");
    architect(&world, &[" "]).code(2).stderr_has("is empty");
    architect(&world, &["x", "--conversation", "nope"])
        .code(3)
        .stderr_has("unknown conversation `nope`");
    architect(&world, &["improve", "list"]).code(2).stderr_has("quote the feedback");
    let queued = architect(&world, &["later", "--queue-only"]).ok().json();
    assert_eq!(
        (&queued["schema"], &queued["status"]["is"]),
        (&"agent/feedback@1".into(), &"open".into())
    );
    architect(&world, &["run"]).code(3).stderr_has("there is no branch `active`");
    assert_eq!(architect(&world, &["list"]).ok().json()["feedback"][0]["status"]["is"], "open");
    architect(&world, &["show", "r-1"]).code(3).stderr_has("agent architect list");
    architect(&world, &["accept", "r-1"]).code(3).stderr_has("no run that ended `r-1`");
}
