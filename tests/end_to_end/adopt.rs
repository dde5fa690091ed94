//! `agent adopt` on repositories whose server does not use `agent`.

use crate::world::{World, source_root};

/// An MCP server on the standard library, written without `agent` in mind: one tool, which checks
/// its arguments.
const SERVER: &str = r#"
import json, sys
# stands where `from mcp.server import ...` would
TOOL = {"name": "double", "inputSchema": {"type": "object", "properties": {"number": {"type": "number"}}, "required": ["number"]}}

def answer(method, params):
    if method == "initialize":
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {"name": "double", "version": "1"}}
    if method == "tools/list":
        return {"tools": [TOOL]}
    if "number" not in params.get("arguments", {}):
        return {"content": [{"type": "text", "text": "missing argument: number"}], "isError": True}
    return {"content": [{"type": "text", "text": str(2 * params["arguments"]["number"])}]}

for line in sys.stdin:
    frame = json.loads(line)
    if "id" in frame:
        print(json.dumps({"jsonrpc": "2.0", "id": frame["id"], "result": answer(frame["method"], frame.get("params", {}))}), flush=True)
"#;

pub fn repository(world: &World) {
    world.git(".", ["init", "--quiet", "a"]);
    world.write("a/server.py", SERVER);
    world.write("a/.gitignore", "*.log\n");
    world.git("a", ["add", "."]);
    world.git("a", ["commit", "--quiet", "-m", "a server"]);
}

#[test]
fn a_server_is_adopted_as_it_is_and_becomes_a_version() {
    let world = World::new();
    repository(&world);
    let outcome = world.agent("a", ["adopt", "--json"]).ok().json();
    assert_eq!((&outcome["tools"], &outcome["cases"]), (&serde_json::json!(["double"]), &2.into()));
    assert_eq!(world.read("a/server.py"), SERVER);
    assert!(world.read("a/.gitignore").starts_with("*.log\nstate/staging.state.json\n.agent\n"));
    let cases = world.read("a/tests/micro/adopted.jsonl");
    assert!(cases.contains("{\"number\":1}") && cases.contains("{\"equals\":2}"), "{cases}");
    assert_eq!(world.git("a", ["diff", "--cached", "--name-only"]), "", "nothing is staged");
    assert!(
        world
            .agent("a", ["run", "double", "number=21", "--at", "worktree"])
            .ok()
            .stdout
            .contains("42")
    );

    world.git("a", ["add", "--all"]);
    let commit = World::finish(
        world
            .command("git", "a")
            .args(["commit", "--quiet", "-m", "an agent"])
            .env("AGENT_HOOK_LIMIT", "60"),
    );
    commit.ok();
    world.agent("a", ["release"]).ok();
    assert_eq!(world.git("a", ["tag"]), "v0.1.0");
    world.agent("a", ["adopt"]).code(3).stderr_has("an agent repository already");
}

/// All files of a working tree, without `.git`.
pub fn files(world: &World, folder: &str) -> String {
    World::finish(
        world
            .command("find", folder)
            .args([".", "-not", "-path", "./.git/*", "-not", "-name", ".git"]),
    )
    .ok()
    .stdout
}

#[test]
fn an_unsupported_repository_is_refused_and_unchanged() {
    let world = World::new();
    world.agent(".", ["adopt"]).code(3).stderr_has("is in no git repository");
    repository(&world);
    world.write("a/broken.py", "raise SystemExit('no key in the environment')\n");
    let before = files(&world, "a");
    world
        .agent("a", ["adopt", "--command", "python -m no_such_module"])
        .code(3)
        .stderr_has("--package NAME");
    world
        .agent("a", ["adopt", "--command", "python 'x"])
        .code(2)
        .stderr_has("a quote that is not closed");
    world
        .agent("a", ["adopt", "--command", "python broken.py"])
        .code(5)
        .stderr_has("no key in the environment");
    world.write("a/broken.py", "raise SystemExit('set WEATHER_API_KEY first')\n");
    world
        .agent("a", ["adopt", "--command", "python broken.py"])
        .code(5)
        .stderr_has("`--env WEATHER_API_KEY`");
    world.write("a/broken.py", "raise SystemExit('no key in the environment')\n");
    world
        .agent("a", ["adopt", "--command", "no-such-program"])
        .code(3)
        .stderr_has("no program `no-such-program`");
    assert_eq!(files(&world, "a"), before);
    assert_eq!(world.read("a/.gitignore"), "*.log\n");
    world.write("a/state/schema.json", "mine");
    world.agent("a", ["adopt"]).code(3).stderr_has("state/schema.json");
    assert!(!world.path("a/agent.toml").exists() && !world.path("a/tests").exists());
    assert_eq!(world.read("a/state/schema.json"), "mine");
    let told = world.agent("a", ["adopt", "--dry-run", "--json"]).ok().json();
    assert_eq!(told["command"], serde_json::json!(["python", "server.py"]));
}

#[test]
fn a_server_runs_in_the_environment_that_its_command_names() {
    let world = World::new();
    repository(&world);
    World::finish(world.command("python3", ".").args(["-m", "venv", "--without-pip", "env"])).ok();
    let folder = World::finish(
        world
            .command(world.path("env/bin/python"), ".")
            .args(["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]),
    )
    .ok();
    std::fs::write(world.path(folder.stdout.trim()).join("doubling.py"), "FACTOR = 2\n")
        .expect("a module of the environment");
    world.write(
        "a/server.py",
        SERVER
            .replace("import json", "import doubling, json")
            .replace("str(2 *", "str(doubling.FACTOR *"),
    );
    let command = format!("{} server.py", world.path("env/bin/python").display());
    world.agent("a", ["adopt", "--command", &command]).ok();
    release(&world);
    assert!(world.agent("a", ["run", "double", "number=4"]).ok().stdout.contains('8'));
}

/// Committed and released.
pub fn release(world: &World) {
    world.git("a", ["add", "--all"]);
    World::finish(
        world
            .command("git", "a")
            .args(["commit", "--quiet", "-m", "an agent"])
            .env("AGENT_HOOK_LIMIT", "60"),
    )
    .ok();
    world.agent("a", ["release"]).ok();
}

#[test]
fn a_project_counts_as_installed_and_is_started_by_its_script() {
    let world = World::new();
    world.git(".", ["init", "--quiet", "a"]);
    let own_version = "from importlib.metadata import entry_points, version\n\
        assert version('acme-notes') == '1.4.2'\n\
        assert [point.value for point in entry_points(group='acme.plugins')] == \
        ['acme_notes:one']\n";
    world.write("a/src/acme_notes/__init__.py", own_version);
    world.write(
        "a/src/acme_notes/server.py",
        format!("def main():\n    exec(PROGRAM, globals())\nPROGRAM = r'''{SERVER}'''\n"),
    );
    let project = "[project]\n\
        name = \"acme-notes\"\n\
        version = \"1.4.2\"\n\
        [project.scripts]\n\
        acme-notes = \"acme_notes.server:main\"\n\
        [project.entry-points.\"acme.plugins\"]\n\
        one = \"acme_notes:one\"\n";
    world.write("a/pyproject.toml", project);
    world.git("a", ["add", "."]);
    world.git("a", ["commit", "--quiet", "-m", "a server"]);
    world.agent("a", ["adopt", "--command", "acme-note"]).code(3).stderr_has("acme-notes");
    let outcome = world.agent("a", ["adopt", "--json"]).ok().json();
    assert_eq!(
        (&outcome["name"], &outcome["command"]),
        (&"acme-notes".into(), &serde_json::json!(["acme-notes"]))
    );
    release(&world);
    assert_eq!(world.git("a", ["tag"]), "v1.4.2", "the project goes on with its own version");
    world.agent("a", ["verify", "v1.4.2"]).ok();
    assert!(world.agent("a", ["run", "double", "number=4"]).ok().stdout.contains('8'));
}

/// A project whose server is beside its project file.
fn project(world: &World, version: &str) {
    world.git(".", ["init", "--quiet", "a"]);
    world.write("a/server.py", SERVER);
    world.write(
        "a/pyproject.toml",
        format!("[project]\nname = \"acme\"\nversion = \"{version}\"\n"),
    );
    world.git("a", ["add", "."]);
    world.git("a", ["commit", "--quiet", "-m", "a server"]);
}

#[test]
fn a_first_version_is_the_projects_own_where_it_is_one() {
    let world = World::new();
    project(&world, "2024.1.post1");
    let adopted = world
        .agent("a", ["adopt", "--json"])
        .ok()
        .stderr_has("v0.1.0")
        .stderr_has("2024.1.post1")
        .json();
    assert_eq!((&adopted["name"], &adopted["first_version"]), (&"acme".into(), &"0.1.0".into()));
    assert!(!world.read("a/agent.toml").contains("first_version"));

    // its own release of that version has the tag
    let world = World::new();
    project(&world, "2.3.4");
    world.git("a", ["tag", "v2.3.4"]);
    world.agent("a", ["adopt"]).ok().stderr_has("is tagged already").stderr_has("v2.4.0");
    release(&world);
    assert_eq!(world.git("a", ["tag"]), "v2.3.4\nv2.4.0");
    world.agent("a", ["verify"]).ok();
    let served = world.agent("a", ["versions", "--json"]).ok().json();
    assert_eq!(
        served["versions"].as_array().map(Vec::len),
        Some(1),
        "a foreign tag is no version: {served}"
    );
}

#[test]
fn a_server_of_another_sdk_can_import_the_runtime_for_the_state() {
    let world = World::new();
    repository(&world);
    world.agent("a", ["adopt"]).ok();
    release(&world);
    let with_state = SERVER
        .replace("import json, sys", "import json, sys\nfrom agent_runtime import state")
        .replace("str(2 * params", "str(state()['schema_version'] + 2 * params");
    world.write("a/server.py", with_state);
    assert!(
        world
            .agent("a", ["run", "double", "number=4", "--at", "worktree"])
            .ok()
            .stdout
            .contains('9')
    );
}

/// `SERVER`, with a mark of its starts: each start leaves a mark in a file that its command names,
/// and an answer is how many there are.
fn keeping_server() -> String {
    let marked = "open(sys.argv[1], 'a').write('x')\n\ndef answer(";
    SERVER
        .replace("def answer(", marked)
        .replace("str(2 * params[\"arguments\"][\"number\"])", "str(len(open(sys.argv[1]).read()))")
}

#[test]
fn files_of_a_server_are_carried_from_version_to_version() {
    let world = World::new();
    world.git(".", ["init", "--quiet", "a"]);
    world.write("a/server.py", keeping_server());
    world.git("a", ["add", "."]);
    world.git("a", ["commit", "--quiet", "-m", "a server"]);
    let outcome = world
        .agent("a", ["adopt", "--command", "python server.py notes.db", "--json"])
        .ok()
        .stderr_has("notes.db")
        .json();
    assert_eq!(
        outcome["command"],
        serde_json::json!(["python", "server.py", "$AGENT_DATA/notes.db"])
    );
    release(&world);
    let count = || world.agent("a", ["run", "double", "number=1"]).ok().stdout.trim().to_owned();
    assert_eq!((count(), count()), ("1".to_owned(), "2".to_owned()));
    world.write("a/server.py", keeping_server() + "# changed\n");
    world.git("a", ["commit", "--quiet", "--all", "--no-verify", "-m", "fix: a comment"]);
    world.agent("a", ["release"]).ok();
    world.agent("a", ["gc", "--days", "0"]).ok();
    assert_eq!(count(), "3");
    assert_eq!(world.read("a/.agent/data/notes.db"), "xxx");
}

#[test]
fn files_written_into_the_code_folder_are_reported_and_kept() {
    let world = World::new();
    repository(&world);
    world.agent("a", ["adopt"]).ok();
    let seven = "    if params.get('arguments', {}).get('number') == 7: open('notes.txt', \
        'a').write('seven')\
        \n    if \"number\" not in";
    world.write("a/server.py", SERVER.replace("    if \"number\" not in", seven));
    release(&world);
    world
        .agent("a", ["run", "double", "number=7"])
        .ok()
        .stderr_has("wrote `notes.txt` into its code folder");
    world
        .agent("a", ["run", "double", "number=1"])
        .ok()
        .stderr_has("`notes.txt` was added")
        .stderr_has("left-behind");
    let kept = World::finish(world.command("find", "a/.agent/data/left-behind").args([
        ".",
        "-name",
        "notes.txt",
    ]))
    .ok()
    .stdout;
    assert_eq!(kept.lines().count(), 1);
}

#[test]
fn the_calls_of_a_host_become_cases() {
    use crate::pipes::{DEADLINE, Pipes, eventually};
    let world = World::new();
    repository(&world);
    let record = |calls: &str| {
        let mut adopt = world.command(crate::world::AGENT, "a");
        let adopt = adopt
            .args(["adopt", "--record", "--json", "--calls", calls])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        eventually(DEADLINE, "calls are recorded", || {
            world.path("a/.agent/recording/calls.jsonl").exists()
        });
        adopt
    };
    let ended = |adopt: std::process::Child| {
        let output = adopt.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let adopt = record("3");
    let mut shim = Pipes::start(
        world.command(crate::world::AGENT, "a").args(["mcp", "runner", "--at", "worktree"]),
    );
    shim.initialize("2025-11-25");
    for arguments in [
        serde_json::json!({"number": 21}),
        serde_json::json!({"number": 21}),
        serde_json::json!({}),
    ] {
        shim.request("tools/call", &serde_json::json!({"name": "double", "arguments": arguments}));
    }
    let outcome = ended(adopt);
    assert_eq!(
        outcome["recorded"],
        serde_json::json!({"calls": 3, "cases": ["double-recorded-1"]})
    );
    assert!(!world.path("a/.agent/recording").exists());
    let case: serde_json::Value =
        serde_json::from_str(&world.read("a/tests/micro/recorded.jsonl")).unwrap();
    assert_eq!(
        (&case["arguments"]["number"], &case["expect"]),
        (&21.into(), &serde_json::json!({"equals": 42}))
    );
    // calls that are made while nothing records are not kept
    shim.call("double", &serde_json::json!({"number": 1}));
    assert!(!world.path("a/.agent/recording").exists());
    release(&world);
    // later in the same repository, of the version that is served
    let adopt = record("1");
    let mut shim = Pipes::start(world.command(crate::world::AGENT, "a").args(["mcp", "runner"]));
    shim.initialize("2025-11-25");
    shim.call("double", &serde_json::json!({"number": 5}));
    assert_eq!(ended(adopt)["recorded"]["cases"], serde_json::json!(["double-recorded-2"]));
    assert_eq!(world.read("a/tests/micro/recorded.jsonl").lines().count(), 2);
    world.agent("a", ["test"]).ok();
}

/// Puts a fake program into `bin`.
fn stand_in(world: &World, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = world.write(format!("bin/{name}"), text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A fake `uv`: it records its arguments and makes environments without packages.
const UV: &str = r##"#!/usr/bin/env python3
import os, subprocess, sys
arguments = sys.argv[1:]
with open(os.environ["UV_LOG"], "a") as log:
    print(*arguments, file=log)
if arguments[0] == "venv":
    subprocess.run([arguments[arguments.index("--python") + 1], "-m", "venv", "--without-pip", arguments[-1]], check=True)
elif "compile" in arguments:
    print("# a lock\nnothing==1 ; sys_platform == 'none' \\\n    --hash=sha256:" + "0" * 64)
"##;

#[test]
fn a_lock_covers_every_platform_and_is_installed_unchanged() {
    let world = World::new();
    repository(&world);
    world.write("a/requirements.txt", "nothing\n");
    stand_in(&world, "uv", UV);
    let log = world.path("log");
    let mut adopt = world.command(crate::world::AGENT, "a");
    World::finish(adopt.arg("adopt").env("PATH", world.path_led_by("bin")).env("UV_LOG", &log))
        .ok();
    let log = std::fs::read_to_string(log).unwrap();
    let line = |word: &str| {
        log.lines()
            .find(|line| line.contains(word))
            .unwrap_or_else(|| panic!("{word}: {log}"))
            .to_owned()
    };
    assert!(
        line("compile").contains("--universal --generate-hashes")
            && line("compile").contains("--python-version 3.11 "),
        "{log}"
    );
    assert!(line("install").contains("--no-deps --require-hashes"), "{log}");
    assert!(world.read("a/requirements.lock").contains("sys_platform"));
}

/// `agent adopt` downloads `uv` into this cache; here a stand-in is there already.
#[test]
fn a_uv_in_the_cache_is_used_where_path_has_none() {
    let world = World::new();
    repository(&world);
    world.write("a/requirements.txt", "nothing\n");
    let lock = source_root().join("cli/engine/src/world/python/uv.lock.txt");
    let digest = World::finish(world.command("sha256sum", ".").arg(lock)).ok().stdout;
    let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    let uv = format!("cache/agent/tools/uv-{}-{platform}/bin/uv", &digest[..16]);
    stand_in(&world, "uv", UV);
    world.write(&uv, "");
    std::fs::rename(world.path("bin/uv"), world.path(&uv)).unwrap();
    let path = world.path_led_by("bin");
    let without = std::env::split_paths(&path).filter(|folder| !folder.join("uv").exists());
    let log = world.path("log");
    let mut adopt = world.command(crate::world::AGENT, "a");
    let adopt = adopt
        .args(["adopt", "--json"])
        .env("PATH", std::env::join_paths(without).unwrap())
        .env("XDG_CACHE_HOME", world.path("cache"))
        .env("UV_LOG", &log);
    let adopted = World::finish(adopt).ok().json();
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("compile") && log.contains("install"), "{log}");
    let steps: Vec<_> =
        adopted["steps"].as_array().unwrap().iter().map(|step| &step["step"]).collect();
    assert_eq!(steps[0], "locking its packages", "{steps:?}");
}

/// Two tools beside `double`: one never answers, one is there only for a client with `sampling`.
#[test]
fn tools_that_hang_or_are_not_for_every_client_have_no_case() {
    let world = World::new();
    repository(&world);
    let server = SERVER
        .replace(
            "def answer",
            "import threading\nTOOLS = [{**TOOL, \"name\": \"hang\"}, TOOL]\n\ndef answer",
        )
        .replace(
            "    if method == \"initialize\":",
            "    if method == \"initialize\" and \"sampling\" in params[\"capabilities\"]:\n        \
            TOOLS.append({**TOOL, \"name\": \"ask\"})\n    if method == \"initialize\":",
        )
        .replace("\"tools\": [TOOL]", "\"tools\": TOOLS")
        .replace(
            "    if \"number\" not in",
            "    if params.get(\"name\") not in [tool[\"name\"] for tool in TOOLS]:\n        \
            return {\"content\": [{\"type\": \"text\", \"text\": \"no tool\"}], \"isError\": True}\n    \
            if params.get(\"name\") == \"hang\" and \"number\" in params[\"arguments\"]:\n        \
            threading.Event().wait()\n    if \"number\" not in",
        );
    world.write("a/server.py", server);
    let adopted = world.agent("a", ["adopt", "--json"]).ok().json();
    assert_eq!(adopted["tools"], serde_json::json!(["hang", "double", "ask"]));
    assert_eq!(adopted["untested"], serde_json::json!(["ask"]));
    let cases = world.read("a/tests/micro/adopted.jsonl");
    for id in ["double-answers", "double-needs-number", "hang-needs-number"] {
        assert!(cases.contains(&format!("\"id\":\"{id}\"")), "{id}: {cases}");
    }
    assert_eq!(cases.lines().count(), 3, "{cases}");
    world.agent("a", ["test"]).ok();
}

/// What `uv` was asked to lock, for a repository with these files; the server stands in
/// `server.py`.
fn locked_by(world: &World, files: &[(&str, &str)], more: &[&str]) -> (serde_json::Value, String) {
    repository(world);
    for (path, text) in files {
        world.write(format!("a/{path}"), text);
    }
    stand_in(world, "uv", UV);
    let log = world.path("log");
    let mut adopt = world.command(crate::world::AGENT, "a");
    let adopt = adopt
        .args(["adopt", "--json"])
        .args(more)
        .env("PATH", world.path_led_by("bin"))
        .env("UV_LOG", &log);
    let outcome = World::finish(adopt).ok().json();
    let log = std::fs::read_to_string(log).unwrap_or_default();
    (outcome, log.lines().find(|line| line.contains("compile")).unwrap_or_default().to_owned())
}

#[test]
fn requirements_are_found_in_all_usual_files() {
    let world = World::new();
    let lists = [("requirements/base.txt", "x\n"), ("requirements/dev.txt", "y\n")];
    assert!(
        locked_by(&world, &lists, &[]).1.ends_with("requirements/base.txt"),
        "a folder of lists"
    );

    let world = World::new();
    let poetry = "[tool.poetry]\n\
        package-mode = false\n\
        [tool.poetry.dependencies]\n\
        python = \"^3.11\"\n\
        mcp = \"^1.2\"\n";
    let (_, line) = locked_by(&world, &[("pyproject.toml", poetry)], &[]);
    assert!(
        line.ends_with("listed.in") && !line.contains("pyproject.toml"),
        "no build backend is asked: {line}"
    );
    assert!(world.read("a/agent.toml").contains("requires = \">=3.11,<4\""));

    // a build backend leaves files, and a setup file has the project's name
    let world = World::new();
    let setup = "setup(name='acme-srv', version='1.2.3', entry_points={'console_scripts': \
        ['acme-srv=srv:main']})\n";
    world.write(
        "a/srv.py",
        format!("def main():\n    exec(PROGRAM, globals())\nPROGRAM = r'''{SERVER}'''\n"),
    );
    let building = UV.replace(
        "elif \"compile\" in arguments:",
        "elif \"compile\" in arguments:\n    os.makedirs(\"acme.egg-info\")",
    );
    assert_ne!(building, UV);
    repository(&world);
    world.write("a/setup.py", setup);
    stand_in(&world, "uv", &building);
    let mut adopt = world.command(crate::world::AGENT, "a");
    let adopt = adopt
        .args(["adopt", "--json"])
        .env("PATH", world.path_led_by("bin"))
        .env("UV_LOG", world.path("log"));
    let outcome = World::finish(adopt).ok().json();
    assert_eq!(
        (&outcome["name"], &outcome["first_version"]),
        (&"acme-srv".into(), &"1.2.3".into())
    );
    assert_eq!(
        outcome["command"][2], "import sys; from srv import main; sys.exit(main())",
        "a script comes before files that look like one"
    );
    assert!(!world.path("a/acme.egg-info").exists());
}

#[test]
fn a_pinned_and_a_missing_python_are_reported() {
    let world = World::new();
    repository(&world);
    world.write("a/.python-version", "3.99\n");
    world
        .agent("a", ["adopt", "--dry-run"])
        .ok()
        .stderr_has(".python-version names Python 3.99, which is not installed");
    world.write(
        "a/pyproject.toml",
        "[project]\nname = \"a\"\nversion = \"1.0.0\"\nrequires-python = \">=3.99\"\n",
    );
    world
        .agent("a", ["adopt"])
        .code(6)
        .stderr_has("no Python >=3.99 was found")
        .stderr_has("Python 3.");
    assert!(!world.path("a/agent.toml").exists());
}

#[test]
fn packages_of_the_same_repository_are_refused_with_a_hint() {
    let world = World::new();
    repository(&world);
    world.write("a/pyproject.toml", "[tool.uv.workspace]\nmembers = [\"packages/*\"]\n");
    world
        .agent("a", ["adopt"])
        .code(3)
        .stderr_has("members of a uv workspace (packages/*)")
        .stderr_has("repository of its own");
    std::fs::remove_file(world.path("a/pyproject.toml")).unwrap();
    world.write("a/package.json", r#"{"name": "root", "workspaces": ["packages/*"]}"#);
    world.agent("a", ["adopt", "--dry-run"]).ok();
    world.write("a/package-lock.json", r#"{"lockfileVersion": 3, "packages": {}}"#);
    world
        .agent("a", ["adopt"])
        .code(3)
        .stderr_has("npm workspace (packages/*)")
        .stderr_has("repository of its own");
}

#[test]
fn a_server_in_a_namespace_is_found() {
    let world = World::new();
    world.git(".", ["init", "--quiet", "a"]);
    world.write("a/src/acme/notes/__init__.py", "");
    world.write("a/src/acme/notes/__main__.py", SERVER);
    world.git("a", ["add", "."]);
    world.git("a", ["commit", "--quiet", "-m", "a server"]);
    let outcome = world.agent("a", ["adopt", "--json"]).ok().json();
    assert_eq!(outcome["command"], serde_json::json!(["python", "-m", "acme.notes"]));
    assert_eq!(outcome["cases"], 2);
}

/// A fake npm: it installs the program of a package, here a Python program.
const NPM: &str = r##"#!/usr/bin/env python3
import json, os, sys
assert sys.argv[1] == "ci" and os.path.exists("package-lock.json") and "scripts" not in json.load(open("package.json"))
os.makedirs("node_modules/.bin")
open("node_modules/answer.txt", "w").write("from the package")
open("node_modules/.bin/serve", "w").write("#!/usr/bin/env python3\nANSWER = open('node_modules/answer.txt').read()\n" + os.environ["SERVER"])
os.chmod("node_modules/.bin/serve", 0o755)
"##;

#[test]
fn packages_of_node_are_made_for_a_lock_and_stand_in_every_checkout() {
    let world = World::new();
    world.git(".", ["init", "--quiet", "a"]);
    world.write(
        "a/package.json",
        r#"{"name": "@acme/notes", "version": "3.1.0", "scripts": {"start": "serve", "prepare": "tsc"}, "dependencies": {"x": "1"}}"#,
    );
    world.write("a/package-lock.json", r#"{"lockfileVersion": 3, "packages": {}}"#);
    world.git("a", ["add", "."]);
    world.git("a", ["commit", "--quiet", "-m", "a server"]);
    stand_in(&world, "npm", NPM);
    stand_in(&world, "node", "#!/bin/sh\necho v20.0.0\n");
    let server = SERVER.replace("str(2 * params[\"arguments\"][\"number\"])", "ANSWER");
    let finish = |program: &str, arguments: &[&str]| {
        let mut command = world.command(program, "a");
        World::finish(
            command
                .args(arguments)
                .env("PATH", world.path_led_by("bin"))
                .env("SERVER", &server)
                .env("AGENT_HOOK_LIMIT", "60"),
        )
        .ok()
    };
    let agent = |arguments: &[&str]| finish(crate::world::AGENT, arguments);
    let outcome = agent(&["adopt", "--json"]).json();
    assert_eq!(
        (&outcome["name"], &outcome["cases"], &outcome["first_version"]),
        (&"notes".into(), &2.into(), &"3.1.0".into())
    );
    assert!(!world.path("a/node_modules").exists(), "the folder is the user's");
    assert!(world.read("a/.gitignore").contains("node_modules\n"));
    world.git("a", ["add", "--all"]);
    finish("git", &["commit", "--quiet", "-m", "an agent"]);
    agent(&["release"]);
    let ran = agent(&["run", "double", "number=1"]);
    assert!(
        ran.stdout.contains("from the package") && !ran.stderr.contains("differed from git"),
        "{ran:?}"
    );
}
