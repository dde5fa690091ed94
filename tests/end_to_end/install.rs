//! `agent mcp install`: every host's configuration, edited or handed to the host's own command.

use crate::world::{AGENT, Ended, World};
use serde_json::{Value, json};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

const MANIFEST: &str = "schema = \"agent/manifest@1\"\nname = \"my agent\"\n\n[runner]\ncommand = \
    [\"python\", \"-m\", \"runner\"]\n\n[tuner]\ncommand = [\"python\", \"-m\", \"tuner\"]\n";

fn world() -> World {
    let world = World::new();
    world.git(".", ["init", "--quiet", "a"]);
    world.write("a/agent.toml", MANIFEST);
    world
}

fn install(world: &World, arguments: &[&str]) -> Ended {
    configure(world, "install", arguments)
}

fn uninstall(world: &World, arguments: &[&str]) -> Ended {
    configure(world, "uninstall", arguments)
}

fn configure(world: &World, verb: &str, arguments: &[&str]) -> Ended {
    let mut command = world.command(AGENT, "a");
    for variable in ["XDG_CONFIG_HOME", "CODEX_HOME", "CLAUDE_CONFIG_DIR"] {
        command.env_remove(variable);
    }
    World::finish(command.args(["mcp", verb]).args(arguments).env("PATH", world.path_led_by("bin")))
}

/// Words of a fixture that differ from machine to machine.
fn told(world: &World, text: &str) -> String {
    let folder = world.path("a").canonicalize().unwrap();
    let agent = Path::new(AGENT).canonicalize().unwrap();
    text.replace("@AGENT", agent.to_str().unwrap()).replace("@REPO", folder.to_str().unwrap())
}

fn application(relative: &str) -> String {
    let folder =
        if cfg!(target_os = "macos") { "home/Library/Application Support" } else { "home/.config" };
    format!("{folder}/{relative}")
}

/// Edits a configuration and compares it whole; a second time changes nothing.
#[track_caller]
fn check(host: &str, scope: &str, file: &str, before: &str, after: &str) {
    let world = world();
    world.write(file, before);
    let arguments = ["--host", host, "--scope", scope, "--edit", "--json"];
    let first = install(&world, &arguments).ok().json();
    assert_eq!(
        (&first["schema"], &first["changed"]),
        (&json!("agent/installation@1"), &json!(true))
    );
    assert_eq!(world.read(file), told(&world, after), "{host}");
    assert_eq!(world.read(format!("{file}.before-agent")), before);
    world.write(format!("{file}.before-agent"), "");
    let second = install(&world, &arguments).ok().json();
    assert_eq!((&second["changed"], &second["servers"][0]["was"]), (&json!(false), &json!("same")));
    assert_eq!(world.read(file), told(&world, after));
    assert_eq!(
        world.read(format!("{file}.before-agent")),
        "",
        "where nothing changed nothing was kept"
    );
}

#[test]
fn each_hosts_configuration_is_edited_and_the_rest_preserved() {
    let stdio = r#""type": "stdio",
      "command": "@AGENT",
      "args": ["-C", "@REPO", "mcp", "runner"]"#;
    let plain = stdio.trim_start_matches("\"type\": \"stdio\",\n      ");
    check(
        "claude-code",
        "user",
        "home/.claude.json",
        "{\n  \"numStartups\": 12345678901234567890123,\n  \"projects\": {\"/x\": {\"mcpServers\": \
        {}}}\n}\n",
        &format!(
            "{{\n  \"numStartups\": 12345678901234567890123,\n  \"projects\": {{\"/x\": \
            {{\"mcpServers\": {{}}}}}},\n  \"mcpServers\": {{\n    \"my-agent\": {{\n      \
            {stdio}\n    }}\n  }}\n}}\n"
        ),
    );
    check(
        "claude-code",
        "project",
        "a/.mcp.json",
        "{\n  \"mcpServers\": {\n    \"git\": {\"command\": \"uvx\", \"args\": \
        [\"mcp-server-git\"]}\n  }\n}\n",
        &format!(
            "{{\n  \"mcpServers\": {{\n    \"git\": {{\"command\": \"uvx\", \"args\": \
            [\"mcp-server-git\"]}},\n    \"my-agent\": {{\n      {stdio}\n    }}\n  }}\n}}\n"
        ),
    );
    check(
        "claude-desktop",
        "user",
        &application("Claude/claude_desktop_config.json"),
        "{\"globalShortcut\": \"\"}",
        &format!(
            "{{\n  \"globalShortcut\": \"\",\n  \"mcpServers\": {{\n    \"my-agent\": {{\n      \
            {plain}\n    }}\n  }}\n}}\n"
        ),
    );
    check(
        "cursor",
        "user",
        "home/.cursor/mcp.json",
        "{\n  \"mcpServers\": {}\n}\n",
        &format!(
            "{{\n  \"mcpServers\": {{\n    \"my-agent\": {{\n      {stdio}\n    }}\n  }}\n}}\n"
        ),
    );
    check(
        "vscode",
        "user",
        &application("Code/User/mcp.json"),
        "{\n  // mine\n  \"inputs\": [{\"id\": \"k\"},],\n  \"servers\": {\n  },\n}\n",
        &format!(
            "{{\n  // mine\n  \"inputs\": [{{\"id\": \"k\"}},],\n  \"servers\": \
            {{\n    \"my-agent\": {{\n      {stdio}\n    }}\n  }},\n}}\n"
        ),
    );
    check(
        "codex",
        "user",
        "home/.codex/config.toml",
        "model = \"o\" # best\n\n[mcp_servers.git]\ncommand = 'uvx'\n",
        "model = \"o\" # best\n\n[mcp_servers.git]\ncommand = \
        'uvx'\n\n[mcp_servers.my-agent]\ncommand = \"@AGENT\"\nargs = \
        [\"-C\", \"@REPO\", \"mcp\", \"runner\"]\n",
    );
    check(
        "gemini",
        "project",
        "a/.gemini/settings.json",
        "{}\n",
        &format!(
            "{{\n  \"mcpServers\": {{\n    \"my-agent\": {{\n      {plain}\n    }}\n  }}\n}}\n"
        ),
    );
    check(
        "opencode",
        "project",
        "a/opencode.jsonc",
        "{\n  // mine\n  \"mcp\": {}\n}\n",
        "{\n  // mine\n  \"mcp\": {\n    \"my-agent\": \
        {\n      \"type\": \"local\",\n      \"command\": \
        [\"@AGENT\", \"-C\", \"@REPO\", \"mcp\", \"runner\"]\n    }\n  }\n}\n",
    );
    check(
        "zed",
        "user",
        "home/.config/zed/settings.json",
        "// Zed settings\n{\n  \"vim_mode\": true, /* of course */\n}\n",
        &format!(
            "// Zed settings\n{{\n  \"vim_mode\": true, /* of course */\n  \"context_servers\": \
            {{\n    \"my-agent\": {{\n      {plain}\n    }}\n  }},\n}}\n"
        ),
    );
}

const URL: &str = "http://127.0.0.1:8080/mcp";

/// A server that runs already, with a token: the file that holds it, and the entry with all that
/// belongs to it.
#[track_caller]
fn check_url(host: &str, file: &str, expected: &Value) {
    let world = world();
    let install = |arguments: &[&str]| {
        let mut command = world.command(AGENT, "a");
        command.args(["mcp", "install", "--host", host, "--edit", "--json"]).args(arguments);
        World::finish(command.env("TOKEN_OF_MINE", "s3cret").env("PATH", world.path_led_by("bin")))
    };
    let plain = install(&["--http", URL]).ok().json();
    assert_eq!(
        (&plain["changed"], &plain["servers"][0]["server"]["url"]),
        (&json!(true), &json!(URL)),
        "{host}"
    );
    let closed = install(&["--http", URL, "--token-env", "TOKEN_OF_MINE"]).ok();
    assert_eq!(
        (&closed.json()["changed"], closed.stdout.contains("s3cret")),
        (&json!(true), false),
        "{host}"
    );
    assert_eq!(
        install(&["--http", URL, "--token-env", "TOKEN_OF_MINE"]).ok().json()["changed"],
        json!(false),
        "{host}"
    );
    let text = world.read(file);
    let there: Value =
        if expected.is_string() { json!(text) } else { serde_json::from_str(&text).unwrap() };
    assert_eq!(&there, expected, "{host}");
}

#[test]
fn a_running_server_is_configured_in_each_host_with_its_token() {
    let header = |token: &str| json!({"Authorization": format!("Bearer {token}")});
    let claude = json!({"type": "http", "url": URL, "headers": header("${TOKEN_OF_MINE}")});
    check_url("claude-code", "home/.claude.json", &json!({"mcpServers": {"my-agent": claude}}));
    let cursor = json!({"url": URL, "headers": header("${env:TOKEN_OF_MINE}")});
    check_url("cursor", "home/.cursor/mcp.json", &json!({"mcpServers": {"my-agent": cursor}}));
    let vscode = json!({"type": "http", "url": URL, "headers": header("${input:agent-token}")});
    let input = json!({"type": "promptString", "id": "agent-token",
        "description": "The token of my-agent", "password": true});
    check_url(
        "vscode",
        &application("Code/User/mcp.json"),
        &json!({"servers": {"my-agent": vscode}, "inputs": [input]}),
    );
    let codex = format!(
        "[mcp_servers.my-agent]\nurl = \"{URL}\"\nbearer_token_env_var = \"TOKEN_OF_MINE\"\n"
    );
    check_url("codex", "home/.codex/config.toml", &json!(codex));
    let gemini = json!({"url": URL, "type": "http", "headers": header("${TOKEN_OF_MINE}")});
    check_url("gemini", "home/.gemini/settings.json", &json!({"mcpServers": {"my-agent": gemini}}));
    let zed = json!({"url": URL, "headers": header("s3cret")});
    check_url(
        "zed",
        "home/.config/zed/settings.json",
        &json!({"context_servers": {"my-agent": zed}}),
    );
    let opencode = json!({"type": "remote", "url": URL, "headers": header("{env:TOKEN_OF_MINE}")});
    check_url(
        "opencode",
        "home/.config/opencode/opencode.json",
        &json!({"mcp": {"my-agent": opencode}}),
    );
    // where the server's own variable is set it is the one
    let world = world();
    let mut command = world.command(AGENT, "a");
    command
        .args(["mcp", "install", "--host", "codex", "--print", "--http", URL])
        .env("AGENT_TOKEN", "s3cret");
    World::finish(&mut command)
        .ok()
        .stdout_has("bearer_token_env_var = \"AGENT_TOKEN\"")
        .stderr_has(".codex/config.toml");
    let token = |name: &str| {
        install(&world, &["--host", "zed", "--http", URL, "--token-env", name]).code(2)
    };
    token("NOT_SET").stderr_has("needs the token itself").stderr_has("NOT_SET");
    token("not a name").stderr_has("not a name of a variable");
}

#[test]
fn a_header_of_the_users_stays_beside_the_token() {
    let world = world();
    let before = json!({"mcpServers": {"my-agent": {"url": URL, "headers": {"X-Team": "a",
        "Authorization": "Bearer old"}}}});
    world.write("home/.cursor/mcp.json", before.to_string());
    install(&world, &["--host", "cursor", "--http", URL, "--token-env", "KEY"]).ok();
    let there: Value = serde_json::from_str(&world.read("home/.cursor/mcp.json")).unwrap();
    assert_eq!(
        there["mcpServers"]["my-agent"]["headers"],
        json!({"X-Team": "a", "Authorization": "Bearer ${env:KEY}"})
    );
    install(&world, &["--host", "cursor", "--http", URL]).ok().stderr_has("already");
}

#[test]
fn an_installed_server_starts_by_its_configured_command() {
    let world = World::new();
    world.agent(".", ["init", "a"]).ok();
    let ended = install(&world, &["--host", "cursor", "--edit"]).ok().stdout_has("+    \"a\": {");
    assert!(!ended.stdout.contains("backup"), "there was nothing to keep: {}", ended.stdout);
    let configuration: Value = serde_json::from_str(&world.read("home/.cursor/mcp.json")).unwrap();
    let entry = &configuration["mcpServers"]["a"];
    let words: Vec<_> =
        entry["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let mut server = crate::pipes::Pipes::start(
        world.command(entry["command"].as_str().unwrap(), ".").args(words),
    );
    assert_eq!(
        server.initialize("2025-11-25")["serverInfo"],
        json!({"name": "a", "version": "0.1.0"})
    );
}

#[test]
fn a_link_is_followed_and_the_mode_is_kept() {
    let world = world();
    let real = world.write("dotfiles/claude.json", "{\"key\": \"secret\"}\n");
    std::fs::set_permissions(&real, PermissionsExt::from_mode(0o640)).unwrap();
    symlink("../dotfiles/claude.json", world.path("home/.claude.json")).unwrap();
    let shown = install(&world, &["--host", "claude-code", "--edit"]).ok();
    assert!(world.path("home/.claude.json").is_symlink());
    assert!(world.read("dotfiles/claude.json").contains("\"my-agent\""));
    for file in ["dotfiles/claude.json", "dotfiles/claude.json.before-agent"] {
        assert_eq!(
            world.path(file).metadata().unwrap().permissions().mode() & 0o777,
            0o640,
            "{file}"
        );
    }
    assert!(shown.stderr.contains("claude.json.before-agent"), "{}", shown.stderr);
    // a link to nothing is a file to be
    symlink("../dotfiles/none.json", world.path("home/.gone")).unwrap();
    std::fs::create_dir_all(world.path("home/.cursor")).unwrap();
    symlink("../.gone", world.path("home/.cursor/mcp.json")).unwrap();
    install(&world, &["--host", "cursor", "--edit"]).ok();
    assert!(world.read("dotfiles/none.json").contains("\"my-agent\""));
}

#[test]
fn unreadable_and_foreign_entries_are_unchanged() {
    let world = world();
    let broken = "{\n  \"mcpServers\": {\n    \"git\" {}\n  }\n}\n";
    world.write("home/.cursor/mcp.json", broken);
    install(&world, &["--host", "cursor"])
        .code(3)
        .stderr_has(".cursor/mcp.json:3:")
        .stderr_has("the file was not changed");
    assert_eq!(world.read("home/.cursor/mcp.json"), broken);
    world.write("home/.codex/config.toml", "x = 1\ny = = 2\n");
    install(&world, &["--host", "codex", "--edit"]).code(3).stderr_has("config.toml:2:5");
    world.write("home/.claude.json", b"{\n\"a\": \"\xff\"}");
    install(&world, &["--host", "claude-code", "--edit"])
        .code(3)
        .stderr_has(".claude.json:2:1: it is not UTF-8");
    let other = "{\"mcpServers\": {\"my-agent\": {\"command\": \"npx\"}}}";
    world.write("home/.cursor/mcp.json", other);
    install(&world, &["--host", "cursor"])
        .code(3)
        .stderr_has("`my-agent` already")
        .stderr_has("--name");
    assert_eq!(world.read("home/.cursor/mcp.json"), other);
    install(&world, &["--host", "claude-desktop", "--scope", "project"])
        .code(2)
        .stderr_has("no project configuration");
    install(&world, &["--host", "claude-desktop", "--http", "http://127.0.0.1:1/mcp"])
        .code(2)
        .stderr_has("supports no server at a URL");
    install(&world, &["--host", "cursor", "--name", "my agent"])
        .code(2)
        .stderr_has("letters, digits");
    install(&world, &["--host", "cursor", "--server", "tuner", "--at", "^1"])
        .code(2)
        .stderr_has("`--at` is for the Runner");
}

#[test]
fn a_dry_run_and_print_write_nothing() {
    let world = world();
    let dry = install(&world, &["--host", "zed", "--dry-run"])
        .ok()
        .stdout_has("+  \"context_servers\": {")
        .stderr_has("dry run: ");
    assert!(dry.stdout.starts_with("--- "), "{}", dry.stdout);
    let every = ["--host", "zed", "--print", "--server", "all", "--at", "^1.2", "--name", "x"];
    let printed: Value = serde_json::from_str(&install(&world, &every).ok().stdout).unwrap();
    let servers = &printed["context_servers"];
    let folder = told(&world, "@REPO");
    assert_eq!(servers["x"]["args"], json!(["-C", folder, "mcp", "runner", "--at", "^1.2"]));
    assert_eq!(servers["x-tuner"]["args"], json!(["-C", folder, "mcp", "tuner"]));
    let url = ["--host", "gemini", "--print", "--http", "http://127.0.0.1:8080/mcp"];
    let printed: Value = serde_json::from_str(&install(&world, &url).ok().stdout).unwrap();
    assert_eq!(
        printed["mcpServers"]["my-agent"],
        json!({"url": "http://127.0.0.1:8080/mcp", "type": "http"})
    );
    assert!(!world.path("home/.config").exists() && !world.path("home/.gemini").exists());
}

/// A fake host command: records its arguments and exits with the configured code.
fn fake(world: &World, name: &str, ending: &str) {
    let words = world.path(format!("{name}.words"));
    let script = world.write(
        format!("bin/{name}"),
        format!(
            "#!/bin/sh\nprintf '%s\\n' \"$PWD\" > '{0}'\nfor word; do printf '%s\\n' \"$word\" >> \
            '{0}'; done\n{ending}\n",
            words.display()
        ),
    );
    std::fs::set_permissions(script, PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn a_hosts_own_command_adds_what_is_missing() {
    let world = world();
    let after = install(&world, &["--host", "codex", "--print", "--edit"]).ok().stdout;
    let added = world.write("added.toml", &after);
    fake(
        &world,
        "codex",
        &format!(
            "mkdir -p \"$HOME/.codex\" && cp '{}' \"$HOME/.codex/config.toml\"",
            added.display()
        ),
    );
    let ended = install(&world, &["--host", "codex"]).ok().stderr_has("installed");
    assert!(ended.stdout.starts_with("$ codex mcp add my-agent -- "), "{}", ended.stdout);
    let words = told(&world, "@REPO\nmcp\nadd\nmy-agent\n--\n@AGENT\n-C\n@REPO\nmcp\nrunner\n");
    assert_eq!(world.read("codex.words"), words);
    // it is installed now: the host's command is not called
    std::fs::remove_file(world.path("codex.words")).unwrap();
    install(&world, &["--host", "codex"]).ok().stderr_has("already");
    assert!(!world.path("codex.words").exists());
    // to change it is an edit
    let older =
        world.read("home/.codex/config.toml").replace("\"runner\"", "\"runner\", \"--at\", \"^1\"")
            + "startup_timeout_sec = 9\n";
    world.write("home/.codex/config.toml", older);
    install(&world, &["--host", "codex"]).ok();
    assert!(!world.path("codex.words").exists());
    assert_eq!(
        world.read("home/.codex/config.toml"),
        format!("{}\nstartup_timeout_sec = 9\n", after.trim_end())
    );
}

#[test]
fn what_was_installed_is_removed_and_the_rest_preserved() {
    let world = world();
    let other = r#""git": {"command": "uvx", "args": ["mcp-server-git"]}"#;
    let json = |key: &str| format!("{{\n  \"{key}\": {{\n    {other}\n  }},\n  \"x\": 1.10\n}}\n");
    let toml = "model = \"o\" # best\n\n[mcp_servers.git]\ncommand = 'uvx'\n".to_owned();
    for (host, file, before) in [
        ("claude-code", "home/.claude.json", json("mcpServers")),
        ("cursor", "home/.cursor/mcp.json", json("mcpServers")),
        ("opencode", "home/.config/opencode/opencode.json", json("mcp")),
        ("codex", "home/.codex/config.toml", toml),
    ] {
        world.write(file, &before);
        install(&world, &["--host", host, "--server", "all", "--edit"]).ok();
        let installed = world.read(file);
        let dry = ["--host", host, "--edit", "--dry-run"];
        let dry = uninstall(&world, &dry).ok().stderr_has("dry run");
        assert_eq!(dry.stdout, "- my-agent\n- my-agent-tuner\n- my-agent-architect\n", "{host}");
        uninstall(&world, &["--host", host, "--edit", "--server", "tuner"]).ok();
        assert!(!world.read(file).contains("my-agent-tuner"), "{host}");
        let rest = uninstall(&world, &["--host", host, "--edit", "--json"]).ok().json();
        assert_eq!(rest["servers"], json!(["my-agent", "my-agent-architect"]), "{host}");
        assert_eq!(world.read(file), before, "{host}: {installed}");
        uninstall(&world, &["--host", host, "--edit"]).ok().stderr_has("nothing was changed");
    }

    // of a repository elsewhere, and at a URL
    let foreign = "{\"mcpServers\": {\"my-agent\": {\"command\": \"agent\", \"args\": \
        [\"-C\", \"/elsewhere\", \"mcp\", \"runner\"]}}}\n";
    world.write("home/.cursor/mcp.json", foreign);
    let refused = uninstall(&world, &["--host", "cursor"]).code(3);
    refused.stderr_has("does not lead to this repository").stderr_has("--name");
    assert_eq!(world.read("home/.cursor/mcp.json"), foreign);
    install(&world, &["--host", "cursor", "--server", "tuner", "--edit"]).ok();
    let rest = uninstall(&world, &["--host", "cursor"]).ok();
    rest.stderr_has("removed my-agent-tuner")
        .stderr_has("my-agent in ")
        .stderr_has("is not changed");
    let left: Value = serde_json::from_str(&world.read("home/.cursor/mcp.json")).unwrap();
    assert_eq!(left, serde_json::from_str::<Value>(foreign).unwrap());
    std::fs::remove_file(world.path("home/.cursor/mcp.json")).unwrap();
    let http = ["--host", "cursor", "--http", "http://127.0.0.1:1/mcp", "--edit"];
    install(&world, &http).ok();
    uninstall(&world, &["--host", "cursor"]).code(3).stderr_has("--http URL");
    uninstall(&world, &http).ok().stderr_has("removed");
}

#[test]
fn a_hosts_own_command_removes_what_is_there() {
    let world = world();
    fake(&world, "claude", "rm \"$HOME/.claude.json\"");
    uninstall(&world, &["--host", "claude-code"]).ok().stderr_has("nothing was changed");
    assert!(!world.path("claude.words").exists());
    install(&world, &["--host", "claude-code", "--edit"]).ok();
    uninstall(&world, &["--host", "claude-code"]).ok().stderr_has("removed");
    let words = told(&world, "@REPO\nmcp\nremove\n--scope\nuser\nmy-agent\n");
    assert_eq!(world.read("claude.words"), words);
    fake(&world, "claude", "");
    install(&world, &["--host", "claude-code", "--edit"]).ok();
    uninstall(&world, &["--host", "claude-code"]).ok().stderr_has("still has my-agent");
}

#[test]
fn a_failure_of_the_hosts_own_command_is_reported_completely() {
    let world = world();
    fake(&world, "claude", "echo half; echo 'not logged in' >&2; exit 3");
    install(&world, &["--host", "claude-code", "--scope", "project"])
        .code(6)
        .stderr_has("claude mcp add --scope project my-agent")
        .stderr_has("exit status 3")
        .stderr_has("not logged in")
        .stderr_has("--edit");
    assert!(!world.path("a/.mcp.json").exists());
    fake(&world, "claude", "");
    install(&world, &["--host", "claude-code"]).ok().stderr_has("does not show it");
    let dry = install(&world, &["--host", "claude-code", "--dry-run", "--json"]).ok().json();
    assert_eq!((&dry["changed"], &dry["commands"][0][0]), (&json!(false), &json!("claude")));
}

/// The entry of the one server that was installed by an edit, where a variable is declared
/// (`DECLARED`) and others are given by `--env`.
#[track_caller]
fn with_variables(host: &str, file: &str, asked: &[&str]) -> Value {
    let world = world();
    world.write(
        "a/agent.toml",
        MANIFEST.replace("\"runner\"]\n", "\"runner\"]\nenv = [\"DECLARED\", \"SET=by-agent\"]\n"),
    );
    let arguments = [&["--host", host, "--edit"][..], asked].concat();
    let first = install(&world, &arguments).ok();
    assert!(
        !first.stdout.contains("s3cret") && !first.stderr.contains("s3cret"),
        "{host}: {first:?}"
    );
    let warned = first.stderr.matches("contains the value of KEY in plain text").count();
    assert_eq!(warned, usize::from(asked.contains(&"KEY=s3cret")), "{host}: {}", first.stderr);
    install(&world, &arguments).ok().stderr_has("already");
    let text = world.read(file);
    if file.ends_with("toml") {
        return json!(text.lines().filter(|line| line.starts_with("env")).collect::<Vec<_>>());
    }
    let whole: Value = serde_json::from_str(&text).unwrap();
    let servers = whole
        .as_object()
        .unwrap()
        .values()
        .find(|member| member.get("my-agent").is_some())
        .expect("servers");
    let entry = &servers["my-agent"];
    entry.get("env").or_else(|| entry.get("environment")).cloned().unwrap_or_default()
}

#[test]
fn variables_are_passed_on_in_each_hosts_own_way() {
    let asked = ["--env", "NAMED", "--env", "KEY=s3cret"];
    let check = |host: &str, file: &str, reference: &dyn Fn(&str) -> String| {
        let expected = json!({"NAMED": reference("NAMED"), "KEY": "s3cret",
            "DECLARED": reference("DECLARED")});
        assert_eq!(with_variables(host, file, &asked), expected, "{host}");
        assert_eq!(
            with_variables(host, file, &[]),
            json!({"DECLARED": reference("DECLARED")}),
            "{host}"
        );
    };
    let braced = |name: &str| format!("${{{name}}}");
    let of_env = |name: &str| format!("${{env:{name}}}");
    check("claude-code", "home/.claude.json", &braced);
    check("gemini", "home/.gemini/settings.json", &braced);
    check("cursor", "home/.cursor/mcp.json", &of_env);
    check("vscode", &application("Code/User/mcp.json"), &of_env);
    check("opencode", "home/.config/opencode/opencode.json", &|name| format!("{{env:{name}}}"));
    let codex = json!(["env = { KEY = \"s3cret\" }", "env_vars = [\"NAMED\", \"DECLARED\"]"]);
    assert_eq!(with_variables("codex", "home/.codex/config.toml", &asked), codex);
    // these have no references: a value is written, a name given by `--env` is refused
    for (host, file) in [
        ("claude-desktop", application("Claude/claude_desktop_config.json")),
        ("zed", "home/.config/zed/settings.json".to_owned()),
    ] {
        assert_eq!(
            with_variables(host, &file, &["--env", "KEY=s3cret"]),
            json!({"KEY": "s3cret"}),
            "{host}"
        );
        let world = world();
        install(&world, &["--host", host, "--env", "KEY"]).code(2).stderr_has("--env KEY=VALUE");
        world.write(
            "a/agent.toml",
            MANIFEST.replace("\"runner\"]\n", "\"runner\"]\nenv = [\"DECLARED\"]\n"),
        );
        install(&world, &["--host", host])
            .ok()
            .stderr_has("declares DECLARED")
            .stderr_has("cannot name variables");
    }
    let world = world();
    install(&world, &["--host", "cursor", "--env", "NOT A NAME"])
        .code(2)
        .stderr_has("is not a name of an environment variable");
    install(&world, &["--host", "cursor", "--env", "KEY", "--http", URL])
        .code(2)
        .stderr_has("--http");
}

#[test]
fn variables_in_the_configuration_are_kept_unless_given_by_env() {
    let world = world();
    world.write(
        "a/agent.toml",
        MANIFEST.replace("\"runner\"]\n", "\"runner\"]\nenv = [\"DECLARED\", \"OTHER\"]\n"),
    );
    install(&world, &["--host", "cursor", "--name", "x"]).ok();
    let mine = world
        .read("home/.cursor/mcp.json")
        .replace("${env:DECLARED}", "mine")
        .replace("\"OTHER\"", "\"MINE\"");
    world.write("home/.cursor/mcp.json", &mine);
    let env = || {
        serde_json::from_str::<Value>(&world.read("home/.cursor/mcp.json")).unwrap()["mcpServers"]["x"]["env"].clone()
    };
    install(&world, &["--host", "cursor", "--name", "x"]).ok();
    assert_eq!(env(), json!({"DECLARED": "mine", "MINE": "${env:OTHER}", "OTHER": "${env:OTHER}"}));
    install(&world, &["--host", "cursor", "--name", "x", "--env", "DECLARED"]).ok();
    assert_eq!(env()["DECLARED"], "${env:DECLARED}");
    // the same where names and values have keys of their own
    let codex = "[mcp_servers.x]\ncommand = \"/old\"\nargs = [\"mcp\", \"runner\"]\nenv_vars = \
        [\"MINE\"]\n\n[mcp_servers.x.env]\nDECLARED = \"mine\" # why\n";
    world.write("home/.codex/config.toml", codex);
    install(&world, &["--host", "codex", "--name", "x", "--env", "ADDED=1"]).ok();
    let text = world.read("home/.codex/config.toml");
    assert!(text.contains("env_vars = [\"MINE\", \"OTHER\"]\n"), "{text}");
    assert!(
        text.ends_with("[mcp_servers.x.env]\nDECLARED = \"mine\" # why\nADDED = \"1\"\n"),
        "{text}"
    );
}

#[test]
fn a_hosts_own_command_gets_names_and_no_values() {
    let world = world();
    fake(&world, "claude", "");
    install(&world, &["--host", "claude-code", "--env", "KEY"]).ok();
    let words = world.read("claude.words");
    assert!(words.contains("add\n--env\nKEY=${KEY}\n--scope\nuser\nmy-agent\n--\n"), "{words}");
    std::fs::remove_file(world.path("claude.words")).unwrap();
    install(&world, &["--host", "claude-code", "--env", "KEY=s3cret"]).ok();
    assert!(
        !world.path("claude.words").exists()
            && world.read("home/.claude.json").contains("\"KEY\": \"s3cret\"")
    );
}

#[test]
fn a_bundle_contains_agent_and_serves_the_chosen_repository() {
    let world = World::new();
    world.agent(".", ["init", "a"]).ok();
    let manifest = world.read("a/agent.toml").replacen(
        "[runner]\n",
        "[runner]\nenv = [\"API_KEY\", \"SET=1\"]\n",
        1,
    );
    world.write("a/agent.toml", manifest);
    world.git("a", ["commit", "--quiet", "--all", "--no-verify", "-m", "fix: a key"]);
    world.agent("a", ["release"]).ok();
    let publish = [
        "--env",
        "MODE=fast",
        "--publish-as",
        "io.github.me/a",
        "--url",
        "https://example.org/a.mcpb",
    ];
    let bundled = world
        .agent("a", [&["mcp", "bundle"], &publish[..]].concat())
        .ok()
        .stderr_has("contains the value of MODE in plain text");
    let server = bundled.json();
    let version =
        world.git("a", ["describe", "--tags", "active"]).trim_start_matches('v').to_owned();
    let file = world.path(format!("a/a-{version}.mcpb"));
    assert_eq!(server["packages"][0]["registryType"], "mcpb");
    let unpack = crate::world::source_root().join("tests/end_to_end/programs/unpack.py");
    let unpacked = World::finish(
        world.command(crate::protocol::interpreter(), ".").arg(unpack).arg(&file).arg("unpacked"),
    )
    .ok()
    .json();
    assert_eq!(server["packages"][0]["fileSha256"], unpacked["sha256"]);
    let unpacked = &unpacked["manifest"];
    let told = (&unpacked["manifest_version"], &unpacked["version"], &unpacked["tools"][0]["name"]);
    assert_eq!(told, (&json!("0.3"), &json!(version), &json!("estimate")));
    // the bundle requests the variables that the Runner reads
    let environment = &unpacked["server"]["mcp_config"]["env"];
    assert_eq!(
        environment,
        &json!({"API_KEY": "${user_config.API_KEY}", "MODE": "${user_config.MODE}"})
    );
    let key = &unpacked["user_config"]["API_KEY"];
    assert_eq!(
        (&key["type"], &key["sensitive"], &key["required"]),
        (&json!("string"), &json!(true), &json!(true))
    );
    let mode = &unpacked["user_config"]["MODE"];
    assert_eq!(
        (&mode["default"], &mode["sensitive"], &mode["required"]),
        (&json!("fast"), &json!(false), &json!(false))
    );
    // as a host fills it in
    let configuration = &unpacked["server"]["mcp_config"];
    let filled = |text: &Value| {
        let text = text
            .as_str()
            .unwrap()
            .replace("${__dirname}", world.path("unpacked").to_str().unwrap());
        text.replace("${user_config.repository}", world.path("a").to_str().unwrap())
    };
    let words = configuration["args"].as_array().unwrap().iter().map(filled);
    let mut runner = crate::pipes::Pipes::start(
        world.command(filled(&configuration["command"]), ".").args(words),
    );
    assert_eq!(
        runner.initialize("2025-11-25")["serverInfo"],
        json!({"name": "a", "version": version})
    );
    world
        .agent("a", ["mcp", "bundle", "--publish-as", "nothing", "--url", "x"])
        .code(2)
        .stderr_has("io.github.me/estimates");
}
