//! Submodules are part of what is served, tested and released, and of what a result depends on.

use crate::world::World;

const SERVER: &str = "a/runner/__main__.py";

/// `a`, whose Runner reads from a submodule with a nested submodule; `lib` and `deep` are their
/// sources.
fn with_submodules() -> World {
    let world = World::new();
    std::fs::write(
        world.home().join(".gitconfig"),
        world.read("home/.gitconfig") + "[protocol \"file\"]\n\tallow = always\n",
    )
    .unwrap();
    for (name, file, text) in [
        ("deep", "deep.py", "FACTOR = 1\n"),
        ("lib", "helper.py", "from .deep.deep import FACTOR\n"),
    ] {
        world.git(".", ["init", "-q", name]);
        world.write(format!("{name}/{file}"), text);
        world.write(format!("{name}/__init__.py"), "");
        if name == "lib" {
            world.git(
                "lib",
                ["submodule", "--quiet", "add", &world.path("deep").display().to_string(), "deep"],
            );
        }
        commit(&world, name);
    }
    world.agent(".", ["init", "a", "--template", "minimal"]).ok();
    world.git(
        "a",
        [
            "submodule",
            "--quiet",
            "add",
            "--name",
            "the/lib",
            &world.path("lib").display().to_string(),
            "runner/lib",
        ],
    );
    world.git("a", ["submodule", "--quiet", "update", "--init", "--recursive"]);
    let server = world.read(SERVER).replace(
        "from agent_runtime",
        "from runner.lib.helper import FACTOR\n\nfrom agent_runtime",
    );
    world.write(SERVER, server);
    commit(&world, "a");
    world
}

fn commit(world: &World, folder: &str) {
    world.git(folder, ["add", "-A"]);
    world.git(folder, ["commit", "-q", "--no-verify", "-m", "feat: more"]);
}

#[test]
fn a_submodule_is_served_tested_and_released() {
    let world = with_submodules();
    world.agent("a", ["run", "estimate", "task=review", "--at", "main"]).ok();
    world.agent("a", ["test"]).ok();
    world.agent("a", ["release"]).ok();
    world.agent("a", ["run", "estimate", "task=review"]).ok();
    world.agent("a", ["verify", "--all"]).ok();
    let again = world.agent("a", ["test", "--json"]).ok().json();
    assert_eq!(again["tiers"]["micro"]["cached"], again["tiers"]["micro"]["cases"], "{again}");

    // another commit of the innermost one is other code
    world.write("deep/deep.py", "FACTOR = 1 * 1\n");
    commit(&world, "deep");
    world.git("a/runner/lib/deep", ["pull", "-q", "origin", "main"]);
    commit(&world, "a/runner/lib");
    commit(&world, "a");
    let changed = world.agent("a", ["test", "--json"]).ok().json();
    assert_eq!(changed["tiers"]["micro"]["cached"], 0, "{changed}");
}

#[test]
fn an_uninitialised_submodule_is_reported_with_the_command_that_fetches_it() {
    let world = with_submodules();
    world.agent("a", ["release"]).ok();
    world.git(".", ["clone", "-q", "a", "b"]);
    world.git("b", ["branch", "-q", "active", "origin/active"]);
    for arguments in [&["run", "estimate", "task=review"][..], &["test", "--at", "active"]] {
        let refused = world.agent("b", arguments).code(3);
        assert!(
            refused.stderr.contains("the submodule runner/lib is not initialised here"),
            "{}",
            refused.stderr
        );
        assert!(
            refused.stderr.contains("git submodule update --init --recursive"),
            "{}",
            refused.stderr
        );
    }
    world.agent("b", ["versions"]).ok();
    world.git("b", ["submodule", "--quiet", "update", "--init"]);
    world
        .agent("b", ["run", "estimate", "task=review"])
        .code(3)
        .stderr_has("the submodule runner/lib/deep is not initialised here");
    world.git("b", ["submodule", "--quiet", "update", "--init", "--recursive"]);
    world.agent("b", ["run", "estimate", "task=review"]).ok();
}
