//! Several clones of one repository: what each of them wrote comes together, and nothing is judged
//! at a level that another has spent.

use crate::gate;
use crate::served::{FOLDER, Served};
use crate::world::{AGENT, World};
use serde_json::{Value, json};
use std::path::Path;

/// The trailer of a version.
fn trailer(served: &Served, key: &str, what: &str) -> String {
    served.git(["log", "-1", &format!("--format=%(trailers:key={key},valueonly)"), what])
}

/// With a gate that wants evidence, and a first attempt that was accepted: v0.1.1, which names a
/// ledger.
fn promoted() -> Served {
    let served = gate::noisy("gate = \"better\"\nmargin = 0.05");
    served.agent(["state", "set", "usual_minutes=95"]).ok();
    served.agent(["promote"]).ok();
    served
}

#[test]
fn a_version_names_the_ledger_and_the_inbox_it_was_made_with() {
    let served = promoted();
    assert_eq!(
        trailer(&served, "Agent-Ledger", "v0.1.1"),
        served.git(["rev-parse", "refs/agent/ledger"])
    );
    assert_eq!(trailer(&served, "Agent-Inbox", "v0.1.1"), "none");
    served.agent(["architect", "it is slow", "--queue-only"]).ok();
    served.agent(["state", "set", "usual_minutes=99"]).ok();
    served.agent(["promote", "--gate", "not-worse"]).ok();
    served.agent(["rollback"]).ok();
    for version in ["v0.1.2", "v0.1.3"] {
        assert_eq!(
            trailer(&served, "Agent-Ledger", version),
            served.git(["rev-parse", "refs/agent/ledger"]),
            "{version}"
        );
        assert_eq!(
            trailer(&served, "Agent-Inbox", version),
            served.git(["rev-parse", "refs/agent/inbox"]),
            "{version}"
        );
    }
}

#[test]
fn a_clone_without_the_ledger_that_its_versions_name_does_not_judge() {
    let served = promoted();
    served.agent(["state", "set", "usual_minutes=99"]).ok();
    served.agent(["promote", "--gate", "not-worse"]).ok();
    // by URL, so that the clone does not get unreachable objects
    served
        .world
        .git(".", ["clone", "--quiet", &format!("file://{}", served.path("").display()), "clone"]);
    served.world.git("clone", ["fetch", "--quiet", "origin", "active:active", "--tags"]);
    served.world.agent("clone", ["state", "set", "usual_minutes=97"]).ok();
    let refused = |arguments: &[&str]| {
        served
            .world
            .agent("clone", arguments)
            .code(7)
            .stderr_has("this clone does not have the gate's ledger that v0.1.2 was made with")
            .stderr_has(
                "agent sync (by git alone: git fetch origin \
                '+refs/agent/*:refs/agent-remotes/origin/*')",
            );
    };
    refused(&["promote"]);
    refused(&["test", "--at", "staging", "--against", "active"]);
    // a release is judged, a rollback is not: it names what the version before it named
    served.world.write("clone/runner/more.py", "");
    served.world.git("clone", ["add", "."]);
    served.world.git("clone", ["commit", "--quiet", "--no-verify", "--message", "feat: more"]);
    refused(&["release"]);
    World::finish(served.world.command("cp", FOLDER).args([
        "-r",
        ".agent/store",
        "../clone/.agent/",
    ]))
    .ok();
    served.world.agent("clone", ["rollback", "v0.1.1"]).ok();
    let named = |what: &str| {
        served
            .world
            .git("clone", ["log", "-1", "--format=%(trailers:key=Agent-Ledger,valueonly)", what])
    };
    assert_eq!(named("v0.1.3"), named("v0.1.2"));
    // git alone brings it
    served
        .world
        .git("clone", ["fetch", "--quiet", "origin", "+refs/agent/*:refs/agent-remotes/origin/*"]);
    served.world.agent("clone", ["state", "set", "usual_minutes=30"]).ok();
    let ended = served.world.agent("clone", ["promote", "--json"]);
    assert_eq!(ended.json()["verdict"]["gate"]["ledger"], 2, "{}", ended.stdout);
}

/// What was done to the ledger's ref, and that it is found; then it is as before.
fn check_tampered(served: &Served, said: &str, tamper: impl Fn(&Served)) {
    let before = served.git(["rev-parse", "refs/agent/ledger"]);
    let memory = Path::new(FOLDER).join(".git/agent/record-heads");
    let remembered = served.world.read(&memory);
    tamper(served);
    served.agent(["promote"]).code(7).stderr_has(said).stderr_has("hint: agent sync");
    served.git(["update-ref", "refs/agent/ledger", &before]);
    served.world.write(&memory, remembered);
}

/// Puts another ledger in place, on top of the one there is.
fn rewrite(served: &Served, change: impl Fn(&str) -> String) {
    let text = served.git(["cat-file", "blob", "refs/agent/ledger:ledger.jsonl"]) + "\n";
    served.world.write(Path::new(FOLDER).join("edited"), change(&text));
    let blob = served.git(["hash-object", "-w", "edited"]);
    let listing = served.world.write("listing", format!("100644 blob {blob}\tledger.jsonl\n"));
    let listing = std::fs::File::open(listing).unwrap();
    let tree =
        World::finish(served.world.command("git", FOLDER).arg("mktree").stdin(listing)).ok().stdout;
    let commit =
        served.git(["commit-tree", tree.trim(), "-p", "refs/agent/ledger", "-m", "edited"]);
    served.git(["update-ref", "refs/agent/ledger", &commit]);
}

#[test]
fn a_fresh_clone_fetches_attempts_that_no_version_names() {
    let served = gate::noisy("gate = \"better\"\nmargin = 0.05");
    served.agent(["state", "set", "usual_minutes=39"]).ok();
    served.agent(["promote"]).code(7).stdout_has("(attempt 1)");
    served
        .world
        .git(".", ["clone", "--quiet", &format!("file://{}", served.path("").display()), "clone"]);
    served.world.git("clone", ["fetch", "--quiet", "origin", "active:active", "--tags"]);
    served.world.agent("clone", ["state", "set", "usual_minutes=38"]).ok();
    served
        .world
        .agent("clone", ["promote"])
        .code(7)
        .stderr_has("this clone does not have the gate's ledger that origin has");
    // with an unreachable remote the local ledger counts
    served.world.git("clone", ["remote", "set-url", "origin", "/no/such/folder"]);
    served.world.agent("clone", ["promote"]).code(7).stdout_has("(attempt 1)");
}

#[test]
fn a_deleted_reset_truncated_or_edited_ledger_is_detected() {
    let served = promoted();
    served.agent(["state", "set", "usual_minutes=30"]).ok();
    served.agent(["promote"]).code(1).stdout_has("worse");
    assert_eq!(
        served.git(["cat-file", "blob", "refs/agent/ledger:ledger.jsonl"]).lines().count(),
        2
    );
    check_tampered(&served, "lacks 1 of the attempts that v0.1.1 was made with", |served| {
        served.git(["update-ref", "-d", "refs/agent/ledger"]);
    });
    check_tampered(&served, "lacks 1 of the attempts that this clone wrote", |served| {
        served.git(["update-ref", "refs/agent/ledger", "refs/agent/ledger~1"]);
    });
    check_tampered(&served, "lacks 1 of the attempts that v0.1.1 was made with", |served| {
        std::fs::remove_file(served.path(".git/agent/record-heads")).unwrap();
        served.git(["update-ref", "-d", "refs/agent/ledger"]);
    });
    check_tampered(&served, "lacks 1 of the attempts that this clone wrote", |served| {
        rewrite(served, |text| text.split_inclusive('\n').next().unwrap().to_owned());
    });
    check_tampered(&served, "was damaged since: ", |served| {
        rewrite(served, |text| text.split_inclusive('\n').nth(1).unwrap().to_owned());
    });
    check_tampered(&served, "lacks 1 of the attempts that ", |served| {
        rewrite(served, |text| text.replace("\"accepted\":false", "\"accepted\":true"));
    });
    check_tampered(&served, "was damaged since: ", |served| {
        rewrite(served, |text| text.replace("\"level\":0.025,", "\"level\":0.035,"));
    });
    served.agent(["promote"]).code(1).stdout_has("worse");
}

#[test]
fn feedback_whose_ref_was_deleted_is_still_read() {
    let served = Served::new();
    for text in ["it is slow", "it is wrong"] {
        served.agent(["architect", text, "--queue-only"]).ok();
    }
    let listed = || served.agent(["architect", "list", "--json"]).ok().json()["feedback"].clone();
    let before = listed();
    served.git(["update-ref", "-d", "refs/agent/inbox"]);
    assert_eq!(listed(), before);
    served.agent(["architect", "it is large", "--queue-only"]).ok();
    assert_eq!(listed().as_array().unwrap().len(), 3);
    assert_eq!(
        served.git(["ls-tree", "--name-only", "refs/agent/inbox:items"]).lines().count(),
        3,
        "what was there is back at its ref"
    );
}

/// A bare hub that serves v0.1.0, and clones of it that are set up as `agent doctor --fix` does.
struct Hub {
    world: World,
}

impl Hub {
    fn new(clones: &[&str]) -> Self {
        Self::of(Served::new(), clones)
    }

    fn of(served: Served, clones: &[&str]) -> Self {
        let hub = Self { world: served.world };
        hub.world.git(".", ["clone", "--quiet", "--bare", FOLDER, "hub"]);
        for clone in clones {
            hub.cloned("hub", clone);
        }
        hub
    }

    fn cloned(&self, from: &str, to: &str) {
        self.world.git(
            ".",
            ["clone", "--quiet", &format!("file://{}", self.world.path(from).display()), to],
        );
        self.world.agent(to, ["doctor", "--fix"]);
        self.world.git(to, ["fetch", "--quiet", "origin", "active:active", "--tags"]);
    }

    fn git<const N: usize>(&self, clone: &str, arguments: [&str; N]) -> String {
        self.world.git(clone, arguments)
    }

    /// git, whatever comes of it.
    fn try_git<const N: usize>(&self, clone: &str, arguments: [&str; N]) -> i32 {
        World::finish(self.world.command("git", clone).args(arguments)).code
    }

    fn say(&self, clone: &str, text: &str) {
        self.world.agent(clone, ["architect", text, "--queue-only"]).ok();
    }

    /// The feedback that a clone knows of, sorted.
    fn heard(&self, clone: &str) -> Vec<String> {
        let list = self.world.agent(clone, ["architect", "list", "--json"]).ok().json();
        let mut texts: Vec<_> = list["feedback"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["text"].as_str().unwrap().to_owned())
            .collect();
        texts.sort();
        texts
    }
}

#[test]
fn clones_share_feedback_by_plain_git_in_any_order() {
    let hub = Hub::new(&["a", "b", "c"]);
    let all = ["from a", "from b", "from c"];
    for clone in ["a", "b", "c"] {
        hub.say(clone, &format!("from {clone}"));
    }
    for clone in ["a", "b", "c"] {
        hub.git(clone, ["push", "--quiet", "origin"]);
    }
    for clone in ["b", "a", "c"] {
        hub.git(clone, ["fetch", "--quiet", "--prune", "origin"]);
        assert_eq!(hub.heard(clone), all, "{clone}");
    }
    // and on from there, again at the same time
    for clone in ["a", "b"] {
        hub.say(clone, &format!("more from {clone}"));
        hub.git(clone, ["push", "--quiet", "origin"]);
    }
    hub.git("c", ["fetch", "--quiet", "origin"]);
    assert_eq!(hub.heard("c").len(), 5);
    // a clone of a clone has what that one wrote, though it was never pushed
    hub.say("c", "only in c");
    hub.cloned("c", "d");
    hub.git("d", ["fetch", "--quiet", "origin"]);
    assert_eq!(hub.heard("d").len(), 6);
    // what was written and not pushed outlives a prune, by the configured refspecs and by those of
    // an earlier version
    hub.git("c", ["fetch", "--quiet", "--prune", "origin"]);
    hub.git("c", ["fetch", "--quiet", "--prune", "origin", "+refs/agent/*:refs/agent/*"]);
    assert_eq!(hub.heard("c").len(), 6);
}

#[test]
fn canaries_of_every_clone_are_on_record_from_start_to_end() {
    let hub = Hub::new(&["a", "b"]);
    let agent = |clone: &str, arguments: &[&str]| {
        World::finish(hub.world.command(AGENT, clone).args(arguments)).ok()
    };
    let states = |clone: &str| {
        let list = agent(clone, &["canary", "list", "--json"]).json();
        let canaries = list["canaries"].as_array().unwrap().iter();
        canaries.map(|canary| canary["end"]["outcome"].clone()).collect::<Vec<_>>()
    };
    for clone in ["a", "b"] {
        agent(clone, &["tune", "took", "task=tea", "minutes=3"]);
        agent(clone, &["canary", "start", "staging"]);
        hub.git(clone, ["push", "--quiet", "origin"]);
    }
    hub.git("a", ["fetch", "--quiet", "origin"]);
    assert_eq!(states("a"), [Value::Null, Value::Null]);
    // the other clone's canary is none of this one
    agent("a", &["canary", "stop"]);
    agent("a", &["canary", "status"]).stdout_has("stopped");
    hub.git("a", ["push", "--quiet", "origin"]);
    hub.git("b", ["fetch", "--quiet", "origin"]);
    assert_eq!(states("b"), [Value::Null, json!("stopped")], "newest first");
    agent("b", &["canary", "status"]).stdout_has("running");
}

#[test]
fn the_shared_record_has_everything_whatever_refspec_it_is_pushed_by() {
    let hub = Hub::new(&["a", "b", "c"]);
    let items =
        || hub.git("hub", ["ls-tree", "--name-only", "refs/agent/inbox:items"]).lines().count();
    for (number, clone) in ["a", "b", "c"].into_iter().enumerate() {
        hub.say(clone, &format!("from {clone}"));
        // by the refspec of an earlier version, which pushes what each clone has at the same ref
        assert_eq!(
            hub.try_git(clone, ["push", "--quiet", "origin", "refs/agent/*:refs/agent/*"]),
            0,
            "{clone}"
        );
        assert_eq!(items(), number + 1);
    }
    // a knows an older one, so that push is refused; what a wrote is there all the same, and the
    // next time nothing is refused
    hub.say("a", "more from a");
    hub.try_git("a", ["push", "--quiet", "origin", "refs/agent/*:refs/agent/*"]);
    assert_eq!(items(), 4);
    hub.git("a", ["push", "--quiet", "origin", "refs/agent/*:refs/agent/*"]);
    for clone in ["a", "b", "c"] {
        hub.git(clone, ["fetch", "--quiet", "origin", "refs/agent/*:refs/agent/*"]);
        assert_eq!(hub.heard(clone).len(), 4, "{clone}");
    }
    // with `--dry-run` git's push pushes nothing
    hub.say("a", "not yet");
    hub.git("a", ["push", "--quiet", "--dry-run", "origin"]);
    assert_eq!(items(), 4);
    // a mirror of what another clone has written since would take it away
    hub.say("b", "from b again");
    hub.git("b", ["push", "--quiet", "origin"]);
    let names = || hub.git("hub", ["for-each-ref", "--format=%(refname)"]);
    let before = names();
    let ended =
        World::finish(hub.world.command("git", "a").args(["push", "--mirror", "origin"])).code(1);
    ended
        .stderr_has("active would be deleted (served-branches-stay)")
        .stderr_has("would be deleted (records-only-grow)");
    assert_eq!(names(), before);
    // a mirror is a clone like any other
    hub.world.git(".", ["clone", "--quiet", "--mirror", "hub", "mirror"]);
    let before = hub.heard("mirror").len();
    hub.say("mirror", "from a mirror");
    assert_eq!((before, hub.heard("mirror").len()), (6, 7));
}

#[test]
fn a_copy_of_a_clone_is_another_clone() {
    let hub = Hub::new(&["a"]);
    hub.say("a", "before");
    World::finish(hub.world.command("cp", ".").args(["-r", "a", "copy"])).ok();
    for clone in ["a", "copy"] {
        hub.say(clone, &format!("from {clone}"));
    }
    for clone in ["a", "copy", "a"] {
        hub.git(clone, ["push", "--quiet", "origin"]);
        hub.git(clone, ["fetch", "--quiet", "origin"]);
    }
    assert_eq!(hub.heard("a"), ["before", "from a", "from copy"]);
    assert_eq!(hub.heard("copy"), hub.heard("a"));
}

/// What staging knows of a task, by a clone: how many times it was seen.
fn seen(hub: &Hub, clone: &str, task: &str) -> Value {
    hub.world.agent(clone, ["state", "show", "--json"]).ok().json()["state"]["tasks"][task]["seen"]
        .clone()
}

impl Hub {
    fn tune(&self, clone: &str, task: &str, ids: &[&str]) {
        let signal = |id: &&str| {
            json!({"id": id, "tool": "took", "arguments": {"task": task, "minutes": 20}})
                .to_string()
                + "\n"
        };
        self.world.write(
            Path::new(clone).join("signals.jsonl"),
            ids.iter().map(signal).collect::<String>(),
        );
        self.world.agent(clone, ["tune", "--signals", "signals.jsonl"]).ok();
    }

    fn promote(&self, clone: &str) {
        self.world.agent(clone, ["promote"]).ok().stdout_has("promoted");
    }

    fn sync(&self, clone: &str) -> Value {
        self.world.agent(clone, ["sync", "--json"]).ok().json()
    }

    /// How many of these signals count: those that were not counted before, whatever else their
    /// content is now.
    fn applied(&self, clone: &str, ids: &[&str]) -> Value {
        let signal = |id: &&str| {
            json!({"id": id, "tool": "took", "arguments": {"task": "other", "minutes": 20}})
                .to_string()
                + "\n"
        };
        self.world.write(
            Path::new(clone).join("signals.jsonl"),
            ids.iter().map(signal).collect::<String>(),
        );
        self.world.agent(clone, ["tune", "--signals", "signals.jsonl", "--json"]).json()["applied"]
            .clone()
    }

    /// Both have promoted; a was first, and one signal was sent to both.
    fn raced() -> Self {
        let hub = Self::new(&["a", "b"]);
        hub.tune("a", "tea", &["a-1", "both"]);
        hub.tune("b", "mail", &["b-1", "b-2"]);
        hub.tune("b", "tea", &["both"]);
        hub.promote("a");
        hub.sync("a");
        hub.promote("b");
        hub.tune("b", "mail", &["b-3"]);
        hub.promote("b");
        hub.tune("b", "mail", &["b-4"]);
        hub
    }

    /// Every signal counts once in b, on top of what a made, and goes on to the other clone.
    fn check_whole(&self) {
        assert_eq!((seen(self, "b", "tea"), seen(self, "b", "mail")), (json!(2), json!(4)));
        assert_eq!(self.applied("b", &["both", "a-1", "b-1", "b-2", "b-3", "b-4"]), 0);
        let same =
            |clone: &str| ["v0.1.0", "v0.1.1"].map(|tag| self.git(clone, ["rev-parse", tag]));
        assert_eq!(same("b"), same("hub"));
        assert!(
            self.git("b", ["tag", "--list", "v0.1.2"]).is_empty(),
            "nothing that is served is this version"
        );
        self.promote("b");
        assert_eq!(self.sync("b")["version"], "0.1.2");
        let followed = self.sync("a");
        assert_eq!(
            (&followed["version"], &followed["commit"]),
            (&json!("0.1.2"), &json!(self.git("b", ["rev-parse", "active"])))
        );
        assert_eq!((seen(self, "a", "tea"), seen(self, "a", "mail")), (json!(2), json!(4)));
        assert_eq!(self.applied("a", &["b-1", "b-2", "b-3", "b-4", "new"]), 1);
    }
}

#[test]
fn the_loser_of_a_race_syncs_and_every_signal_counts_once() {
    let hub = Hub::raced();
    let refs = || {
        hub.git("b", ["for-each-ref", "refs/heads", "refs/tags", "refs/agent-own", "refs/agent"])
    };
    let before = refs();
    let planned = hub.world.agent("b", ["sync", "--dry-run"]).ok();
    planned
        .stdout_has("move active from v0.1.2")
        .stdout_has("delete the tag v0.1.2")
        .stdout_has("replay staging's signals");
    assert_eq!(refs(), before, "a dry run changes nothing");
    let synced = hub.sync("b");
    let lost: Vec<_> = synced["lost"]
        .as_array()
        .unwrap()
        .iter()
        .map(|lost| lost["version"].as_str().unwrap())
        .collect();
    assert_eq!(
        (lost, &synced["version"], &synced["done"]),
        (vec!["0.1.2", "0.1.1"], &json!("0.1.1"), &json!(true))
    );
    let staging = &synced["staging"];
    assert_eq!(
        [&staging["returned"], &staging["replayed"], &staging["duplicates"]],
        [4, 5, 1],
        "{staging}"
    );
    assert_eq!(synced["left"], json!([]));
    // what was superseded is kept, here and at the remote
    for version in ["0.1.1", "0.1.2"] {
        assert!(
            hub.git("hub", ["for-each-ref", "refs/agent/peers"])
                .contains(&format!("/lost/v{version}-")),
            "{version}"
        );
    }
    let again = hub.sync("b");
    assert_eq!(
        (&again["done"], &again["lost"], &again["pushed"]),
        (&json!(false), &json!([]), &json!([]))
    );
    hub.world
        .agent("b", ["sync"])
        .ok()
        .stdout_has("nothing to do: active serves v0.1.1, as origin does");
    hub.check_whole();
}

#[test]
fn a_branch_that_was_moved_with_git_is_followed() {
    let hub = Hub::raced();
    hub.git("b", ["fetch", "--quiet", "origin"]);
    hub.git("b", ["branch", "--force", "active", "origin/active"]);
    hub.git("b", ["tag", "--delete", "v0.1.1"]);
    hub.git("b", ["fetch", "--quiet", "origin", "--tags"]);
    let synced = hub.sync("b");
    assert_eq!(synced["lost"].as_array().unwrap().len(), 2, "{synced}");
    hub.check_whole();
}

#[test]
fn a_fresh_clone_counts_nothing_again() {
    let hub = Hub::raced();
    hub.sync("b");
    hub.promote("b");
    hub.sync("b");
    hub.world.git(
        ".",
        ["clone", "--quiet", &format!("file://{}", hub.world.path("hub").display()), "c"],
    );
    assert_eq!(hub.sync("c")["version"], "0.1.2");
    assert_eq!(hub.git("c", ["rev-parse", "v0.1.2"]), hub.git("hub", ["rev-parse", "v0.1.2"]));
    assert_eq!(hub.applied("c", &["a-1", "both", "b-1", "b-4", "c-1"]), 1);
    // a flipped bit, an empty file, none: it is gathered again
    let counted = hub.world.path("c/.agent/journal/counted");
    let whole = std::fs::read(&counted).unwrap();
    let flipped = |at: usize| {
        whole
            .iter()
            .enumerate()
            .map(|(place, byte)| if place == at { byte ^ 4 } else { *byte })
            .collect()
    };
    for damage in [flipped(3), flipped(whole.len() - 1), Vec::new()] {
        std::fs::write(&counted, damage).unwrap();
        assert_eq!(hub.applied("c", &["b-2"]), 0);
    }
    std::fs::remove_file(&counted).unwrap();
    assert_eq!(hub.applied("c", &["b-2"]), 0);
    // without the record there is no telling
    hub.world.git(
        ".",
        ["clone", "--quiet", &format!("file://{}", hub.world.path("hub").display()), "d"],
    );
    hub.git("d", ["fetch", "--quiet", "origin", "active:active"]);
    let unknown =
        hub.world.agent("d", ["tune", "took", "task=mail", "minutes=20", "--id", "b-2"]).code(7);
    unknown.stderr_has("agent sync");
    hub.world.agent("d", ["tune", "took", "task=mail", "minutes=20"]).ok();
    hub.sync("d");
    assert_eq!(hub.applied("d", &["b-2"]), 0);
}

/// A commit on `main` that adds a file.
fn commit(hub: &Hub, clone: &str, file: &str) {
    hub.world.write(Path::new(clone).join(file), "");
    hub.git(clone, ["add", file]);
    hub.git(clone, ["commit", "--quiet", "--no-verify", "--message", "feat: a file"]);
}

/// A commit on `main` that adds a file, released as the next MINOR.
fn release(hub: &Hub, clone: &str, file: &str) {
    commit(hub, clone, file);
    hub.world.agent(clone, ["release"]).ok();
}

#[test]
fn main_is_moved_forward_where_it_is_behind_and_clean() {
    let hub = Hub::new(&["a", "b"]);
    release(&hub, "a", "runner/more.py");
    hub.sync("a");
    let released = hub.git("hub", ["rev-parse", "active"]);
    // changed files stay as they are
    hub.world.write("b/agent.toml", hub.world.read("b/agent.toml") + "\n");
    let synced = hub.sync("b");
    assert_eq!(
        (&synced["main"], synced["left"][0]["mend"].as_str()),
        (&json!(null), Some("commit or stash what is changed in its checkout, then agent sync"))
    );
    hub.git("b", ["checkout", "--quiet", "agent.toml"]);
    assert_eq!(hub.sync("b")["main"], json!(released));
    assert_eq!(
        (hub.git("b", ["rev-parse", "main"]), hub.git("b", ["status", "--porcelain"])),
        (released.clone(), String::new())
    );
    assert!(hub.world.path("b/runner/more.py").exists());
    // a branch that is not checked out
    hub.git("b", ["switch", "--quiet", "--detach"]);
    hub.git("b", ["branch", "--force", "main", "origin/main"]);
    assert_eq!(hub.sync("b")["main"], json!(released));
    // one that went on by itself
    hub.git("b", ["branch", "--force", "main", "origin/main"]);
    hub.git("b", ["switch", "--quiet", "main"]);
    commit(&hub, "b", "other.txt");
    let synced = hub.sync("b");
    assert_eq!(
        (&synced["main"], &synced["left"][0]["mend"]),
        (&json!(null), &json!("git switch main && git merge active"))
    );
}

#[test]
fn a_release_that_lost_the_race_is_not_retried() {
    let hub = Hub::new(&["a", "b"]);
    release(&hub, "b", "runner/more.py");
    hub.tune("a", "tea", &["a-1"]);
    hub.promote("a");
    hub.sync("a");
    let synced = hub.sync("b");
    assert_eq!(
        (&synced["version"], &synced["lost"][0]["kind"]),
        (&json!("0.1.1"), &json!("release"))
    );
    let left = synced["left"][0]["mend"].as_str().unwrap();
    assert!(left.ends_with("agent release"), "{left}");
    World::finish(hub.world.command("git", "b").args(["merge", "--quiet", "--no-edit", "active"]))
        .ok();
    hub.world.agent("b", ["release"]).ok().stdout_has("v0.2.0");
    assert_eq!(hub.sync("b")["version"], "0.2.0");
}

#[test]
fn conflicts_that_require_a_person_change_nothing() {
    let hub = Hub::new(&["a", "b"]);
    hub.tune("a", "tea", &["a-1"]);
    hub.promote("a");
    let made = hub.git("a", ["rev-parse", "active"]);
    let conflict = |clone: &str, said: &str| {
        let before = hub.git(clone, ["for-each-ref", "refs/heads", "refs/tags"]);
        hub.world.agent(clone, ["sync"]).code(4).stderr_has(said);
        assert_eq!(hub.git(clone, ["for-each-ref", "refs/heads", "refs/tags"]), before);
    };
    // its tag was pushed by itself, as something else
    hub.git("hub", ["tag", "v0.1.1", "v0.1.0"]);
    conflict("a", "origin has the tag v0.1.1 on ");
    hub.git("hub", ["tag", "--delete", "v0.1.1"]);
    hub.sync("a");
    hub.sync("b");
    // the remote's branch was moved back
    hub.git("hub", ["update-ref", "refs/heads/active", "v0.1.0"]);
    conflict("b", &format!("git push origin {made}:refs/heads/active"));
    hub.git("hub", ["update-ref", "refs/heads/active", &made]);
    hub.sync("b");
    // what it serves is no version, or is another agent
    hub.git("hub", ["update-ref", "refs/heads/active", "main~0"]);
    let blank = hub.git("hub", ["commit-tree", "main^{tree}", "-p", &made, "-m", "no version"]);
    hub.git("hub", ["update-ref", "refs/heads/active", &blank]);
    hub.world.agent("b", ["sync"]).code(3).stderr_has("which is not a version");
    let trailers = hub.git("hub", ["log", "-1", "--format=%B", "v0.1.0"]);
    let other = hub.git("hub", ["commit-tree", "v0.1.0^{tree}", "-m", &trailers]);
    hub.git("hub", ["update-ref", "refs/heads/active", &other]);
    hub.git("b", ["update-ref", "-d", "refs/remotes/origin/active"]);
    conflict("b", "have no version in common");
    // and there has to be a remote
    hub.world
        .agent("b", ["sync", "upstream"])
        .code(2)
        .stderr_has("there is no remote `upstream`; there are origin");
    hub.git("b", ["remote", "set-url", "origin", "/no/such/folder"]);
    hub.world.agent("b", ["sync"]).code(6);
    hub.git("b", ["remote", "remove", "origin"]);
    hub.world.agent("b", ["sync"]).ok().stdout_has("nothing to do: active serves v0.1.1");
}

#[test]
fn a_version_is_pushed_as_it_is_made_on_top_of_what_another_clone_published() {
    let hub = Hub::new(&["a", "b"]);
    hub.tune("a", "tea", &["a-1"]);
    hub.world
        .agent("a", ["promote"])
        .ok()
        .stderr_has("v0.1.1 is not pushed; run `agent sync` to push it");
    hub.sync("a");
    hub.tune("b", "mail", &["b-1", "b-2"]);
    let pushed = hub.world.agent("b", ["promote", "--push", "--json"]).ok().json();
    assert_eq!((&pushed["version"], &pushed["pushed"]), (&json!("0.1.2"), &json!("origin")));
    let at = |clone: &str| ["active", "v0.1.2"].map(|name| hub.git(clone, ["rev-parse", name]));
    assert_eq!(at("b"), at("hub"));
    assert_eq!((seen(&hub, "b", "tea"), seen(&hub, "b", "mail")), (json!(1), json!(2)));
    commit(&hub, "a", "runner/more.py");
    hub.world.agent("a", ["release", "--push"]).ok().stderr_has("pushed to origin");
    assert_eq!(hub.git("hub", ["rev-parse", "v0.2.0"]), hub.git("hub", ["rev-parse", "active"]));
    // without a remote there is nowhere to push to, and nothing is made
    hub.git("b", ["remote", "remove", "origin"]);
    hub.tune("b", "mail", &["b-3"]);
    hub.world.agent("b", ["promote", "--push"]).code(2).stderr_has("there is no remote to push to");
    assert_eq!(hub.git("b", ["rev-parse", "active"]), at("b")[1]);
}

#[test]
fn with_push_every_verb_pushes_its_version() {
    let manifest =
        std::fs::read_to_string(crate::world::source_root().join("templates/minimal/agent.toml"))
            .unwrap();
    let hub = Hub::of(
        Served::with(&[(
            "agent.toml",
            &(manifest + "\n[remote]\nname = \"origin\"\npush = true\n"),
        )]),
        &["a", "b"],
    );
    let tuned = hub
        .world
        .agent("a", ["tune", "took", "task=tea", "minutes=20", "--promote", "--json"])
        .ok();
    assert_eq!(tuned.json()["promotion"]["pushed"], "origin");
    tuned.stderr_has("pushed to origin");
    // a run begins on what the remote serves
    let asked = "I want to ask it what is running, as a health check";
    let run =
        hub.world.agent("b", ["architect", asked, "--json"]).ok().stderr_has("pushed to origin");
    assert_eq!(run.json()["version"], "v0.2.0");
    assert_eq!(
        hub.git("b", ["rev-parse", "main"]),
        hub.git("b", ["rev-parse", "active"]),
        "main came along"
    );
    assert_eq!(
        hub.git("hub", ["rev-parse", "active", "v0.2.0", "v0.1.1"]),
        hub.git("b", ["rev-parse", "active", "v0.2.0", "v0.1.1"])
    );
    assert_eq!(hub.git("hub", ["rev-parse", "v0.2.0~1"]), hub.git("hub", ["rev-parse", "v0.1.1"]));
    // the signal counts where the remote is not there, and no version is made
    hub.git("b", ["remote", "set-url", "origin", "/no/such/folder"]);
    hub.world
        .agent("b", ["tune", "took", "task=tea", "minutes=20", "--promote"])
        .code(6)
        .stderr_has("1 signal applied");
    assert_eq!(hub.git("b", ["rev-parse", "active"]), hub.git("hub", ["rev-parse", "active"]));
}

#[test]
fn with_a_named_remote_history_is_not_forked() {
    let manifest =
        std::fs::read_to_string(crate::world::source_root().join("templates/minimal/agent.toml"))
            .unwrap();
    let hub = Hub::of(
        Served::with(&[("agent.toml", &(manifest + "\n[remote]\nname = \"origin\"\n"))]),
        &["a", "b"],
    );
    for clone in ["a", "b"] {
        hub.tune(clone, "tea", &[clone]);
    }
    hub.promote("a");
    hub.sync("a");
    for verb in ["promote", "rollback", "release"] {
        hub.world
            .agent("b", [verb])
            .code(4)
            .stderr_has("which this clone lacks")
            .stderr_has("agent sync, then run it again");
    }
    assert_eq!(hub.git("b", ["tag"]), "v0.1.0");
    hub.sync("b");
    hub.promote("b");
    assert_eq!(seen(&hub, "b", "tea"), 2);
    // offline the command works, with a warning
    hub.git("b", ["remote", "set-url", "origin", "/no/such/folder"]);
    hub.tune("b", "tea", &["offline"]);
    hub.world
        .agent("b", ["promote"])
        .ok()
        .stderr_has("it is not known whether origin serves something newer");
}

#[test]
fn a_fresh_clone_serves_after_doctor_has_set_it_up() {
    let hub = Hub::new(&["a"]);
    hub.say("a", "it is slow");
    hub.sync("a");
    hub.world.git(
        ".",
        ["clone", "--quiet", &format!("file://{}", hub.world.path("hub").display()), "c"],
    );
    hub.world.agent("c", ["doctor", "--fix"]).stdout_has("origin serves v0.1.0");
    assert_eq!(
        hub.git("c", ["rev-parse", "active", "v0.1.0"]),
        hub.git("hub", ["rev-parse", "active", "v0.1.0"])
    );
    assert_eq!(hub.heard("c"), ["it is slow"]);
    hub.world.agent("c", ["run", "estimate", "task=tea"]).ok();
}
