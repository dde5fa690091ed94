//! `agent adopt` on repositories whose server knows nothing of `agent`.

use crate::world::World;

/// An MCP server on the standard library, as somebody could have written it: one tool, which checks its arguments.
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

fn repository(world: &World) {
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
    assert_eq!((&outcome["tools"], &outcome["cases"]), (&serde_json::json!(["double"]), &1.into()));
    assert_eq!(world.read("a/server.py"), SERVER);
    assert!(world.read("a/.gitignore").starts_with("*.log\nstate/staging.state.json\n.agent\n"));
    assert_eq!(world.git("a", ["diff", "--cached", "--name-only"]), "", "nothing is staged");
    assert!(world.agent("a", ["run", "double", "number=21", "--at", "worktree"]).ok().stdout.contains("42"));

    world.git("a", ["add", "--all"]);
    let commit = World::finish(world.command("git", "a").args(["commit", "--quiet", "-m", "an agent"]).env("AGENT_HOOK_LIMIT", "60"));
    commit.ok();
    world.agent("a", ["release"]).ok();
    assert_eq!(world.git("a", ["tag"]), "v0.1.0");
    world.agent("a", ["adopt"]).code(3).stderr_has("an agent repository already");
}

#[test]
fn what_cannot_be_adopted_is_said_and_nothing_is_written() {
    let world = World::new();
    world.agent(".", ["adopt"]).code(3).stderr_has("is in no git repository");
    repository(&world);
    world.agent("a", ["adopt", "--command", "python -m no_such_module"]).code(3).stderr_has("--package NAME");
    world.agent("a", ["adopt", "--command", "python 'x"]).code(2).stderr_has("a quote that is not closed");
    world.write("a/broken.py", "raise SystemExit('no key in the environment')\n");
    world.agent("a", ["adopt", "--command", "python broken.py"]).code(5).stderr_has("no key in the environment");
    world.write("a/state/schema.json", "mine");
    world.agent("a", ["adopt"]).code(3).stderr_has("state/schema.json");
    assert!(!world.path("a/agent.toml").exists() && !world.path("a/tests").exists());
    assert_eq!(world.read("a/state/schema.json"), "mine");
    let told = world.agent("a", ["adopt", "--dry-run", "--json"]).ok().json();
    assert_eq!(told["command"], serde_json::json!(["python", "server.py"]));
}
