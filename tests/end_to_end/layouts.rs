//! Clones and repositories of the kinds that git makes: formats, partial clones, sparse checkouts.

use crate::served::{FOLDER, Served};
use crate::world::{AGENT, Ended, World};
use std::path::Path;

/// `agent` with git's defaults set by the environment.
fn with_defaults(world: &World, variables: &[(&str, &str)], arguments: &[&str]) -> Ended {
    World::finish(world.command(AGENT, ".").envs(variables.iter().copied()).args(arguments))
}

#[test]
fn init_uses_a_supported_format_under_any_git_default() {
    let world = World::new();
    let variables = [("GIT_DEFAULT_HASH", "sha256"), ("GIT_DEFAULT_REF_FORMAT", "reftable")];
    with_defaults(&world, &variables, &["init", "by-environment"]).ok();
    let configured = world.read("home/.gitconfig")
        + "[init]\n\tdefaultObjectFormat = sha256\n\tdefaultRefFormat = reftable\n";
    world.write("home/.gitconfig", configured);
    world.agent(".", ["init", "by-configuration"]).ok();
    world.agent("by-configuration", ["run", "estimate", "task=tea"]).ok();
}

/// git that knows a format, or nothing to test.
fn made(world: &World, folder: &str, option: &str) -> bool {
    World::finish(world.command("git", ".").args(["init", "--quiet", option, folder])).code == 0
}

#[test]
fn an_unsupported_object_format_is_refused_with_a_hint_and_nothing_is_made() {
    let world = World::new();
    for (folder, option, says, mend) in [
        (
            "sha",
            "--object-format=sha256",
            "names its objects by SHA-256, which `agent` cannot read",
            "git init --object-format=sha1",
        ),
        (
            "ref",
            "--ref-format=reftable",
            "stores its refs as reftable, which `agent` cannot read",
            "git refs migrate --ref-format=files",
        ),
    ] {
        if !made(&world, folder, option) {
            continue;
        }
        for verb in [
            "init .",
            "adopt",
            "versions",
            "test",
            "run x",
            "hooks install",
            "mcp runner",
            "gc",
            "state show",
        ] {
            let ended =
                world.agent(folder, verb.split(' ')).code(3).stderr_has(says).stderr_has(mend);
            assert!(!ended.stderr.contains("caused by"), "{}", ended.stderr);
        }
        let left: Vec<_> = world
            .path(folder)
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, [".git"]);
        assert!(!world.path(folder).join(".git/hooks/pre-commit").exists());
    }
}

/// A promoted version, in a repository that lets clones leave objects out.
fn origin() -> Served {
    let served = Served::new();
    served.agent(["tune", "took", "task=review", "minutes=20", "--promote"]).ok();
    served.git(["config", "uploadpack.allowFilter", "true"]);
    served.git(["config", "uploadpack.allowAnySHA1InWant", "true"]);
    served
}

fn partial(served: &Served, filter: &str, folder: &str) {
    let world = &served.world;
    let url = format!("file://{}", served.path("").display());
    world.git(
        ".",
        ["clone", "--quiet", "--no-checkout", &format!("--filter={filter}"), &url, folder],
    );
    world.git(folder, ["fetch", "--quiet", "origin", "active:active", "--tags"]);
}

#[test]
fn missing_objects_of_a_partial_clone_are_fetched_on_demand() {
    let served = origin();
    for (filter, folder) in
        [("blob:none", "blobless"), ("tree:0", "treeless"), ("tree:1", "shallow-trees")]
    {
        partial(&served, filter, folder);
        let agent = |words: &[&str]| served.world.agent(folder, words);
        agent(&["run", "estimate", "task=review"]).ok().stdout_has("20");
        agent(&["test", "--at", "active"]).ok();
        agent(&["versions", "diff", "v0.1.0", "v0.1.1"]).ok();
        agent(&["tune", "took", "task=tea", "minutes=4", "--promote"]).ok().stdout_has("v0.1.2");
        agent(&["versions", "show", "v0.1.1"]).ok();
    }
}

#[test]
fn a_partial_clone_without_its_remote_names_the_missing_objects_and_the_fetch() {
    let served = origin();
    partial(&served, "blob:none", "clone");
    let hidden = served.world.path("hidden");
    std::fs::rename(served.path(""), &hidden).unwrap();
    let ended = served.world.agent("clone", ["run", "estimate", "task=review"]).code(6);
    ended
        .stderr_has("was left out of this partial clone and cannot be fetched")
        .stderr_has("git fetch --refetch --no-filter");
    std::fs::rename(&hidden, served.path("")).unwrap();
    served.world.agent("clone", ["run", "estimate", "task=review"]).ok();
}

#[test]
fn a_sparse_checkout_is_tested_as_git_would_commit_it() {
    let served = Served::new();
    let whole = served.agent(["test", "--json"]).ok().json();
    for words in [
        ["sparse-checkout", "set", "--cone", "runner", "agent_runtime"].as_slice(),
        &["sparse-checkout", "set", "--cone", "--sparse-index", "runner", "tuner"],
        &["sparse-checkout", "set", "--no-cone", "/agent.toml", "/runner/"],
    ] {
        World::finish(served.world.command("git", FOLDER).args(words)).ok();
        assert!(!served.path("tests").exists());
        let tested = served.agent(["test", "--json"]).ok().json();
        assert_eq!(
            (&tested["tree"], &tested["tiers"]["micro"]["cached"]),
            (&whole["tree"], &whole["tiers"]["micro"]["cases"]),
            "{words:?}"
        );
        served.agent(["run", "estimate", "task=tea", "--at", "worktree"]).ok();
    }
    // an edit counts, and so does a file that is deleted for good
    let runner = Path::new(FOLDER).join("runner/__main__.py");
    served.world.write(&runner, served.world.read(&runner) + "# an edit\n");
    let edited = served.agent(["test", "--json"]).ok().json();
    assert_ne!(edited["tree"], whole["tree"]);
    served.git(["rm", "--quiet", "--sparse", "--cached", "tests/micro/estimates.jsonl"]);
    served.agent(["test"]).code(7).stdout_has("no cases");
}

/// Tags of other programs and people: they look like versions, and are on commits without a
/// version's trailers.
#[test]
fn tags_that_are_no_versions_are_not_listed() {
    let served = origin();
    let tree = served.git(["rev-parse", "main^{tree}"]);
    for number in 0..5 {
        served.git(["tag", &format!("v9.0.{number}"), "main"]);
    }
    served.git(["tag", "v8.0.0", &tree]);
    served.git(["tag", "--annotate", "--message", "x", "v7.0.0", "main"]);
    served.git(["tag", "v0.1.9", "active"]);
    let listed = served.agent(["versions", "list", "--limit", "2", "--json"]).ok().json();
    let names: Vec<_> = listed["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["version"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["0.1.1", "0.1.0"]);
    served.agent(["versions", "resolve", "^9"]).code(3).stderr_has("the newest version is v0.1.1");
    served.agent(["versions", "resolve", "^0.1"]).ok().stdout_has("v0.1.1");
    served.agent(["run", "estimate", "task=review", "--at", "^0"]).ok().stdout_has("20");
}

#[test]
fn a_pin_never_shadows_a_ref_or_an_object_id() {
    let served = origin();
    let main = served.git(["rev-parse", "main"]);
    served.git(["branch", "feature", "main"]);
    served.git(["tag", "nightly", "main"]);
    for name in ["main", "feature", "nightly", "HEAD", &main, &main[..7], "deadbeef"] {
        served.agent(["pin", name, "v0.1.0"]).code(2).stderr_has("cannot name a pin");
    }
    // a branch that came later, or a pin of a remote's, changes nothing of what the name means
    served.agent(["pin", "stable", "v0.1.0"]).ok();
    assert!(
        served
            .agent(["run", "estimate", "task=review", "--at", "stable", "--json"])
            .ok()
            .stdout
            .contains("0.1.0")
    );
    served.git(["branch", "stable", "active"]);
    assert!(
        served
            .agent(["run", "estimate", "task=review", "--at", "stable", "--json"])
            .ok()
            .stdout
            .contains("0.1.1")
    );
    served.agent(["unpin", "stable"]).ok();
}
