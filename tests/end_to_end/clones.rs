//! Several clones of one repository: what each of them wrote comes together, and nothing is judged at a level that another has spent.

use crate::gate;
use crate::served::{FOLDER, Served};
use crate::world::World;
use std::path::Path;

/// The trailer of a version.
fn trailer(served: &Served, key: &str, what: &str) -> String {
    served.git(["log", "-1", &format!("--format=%(trailers:key={key},valueonly)"), what])
}

/// With a gate that wants evidence, and a first attempt that was accepted: v0.1.1, which names a ledger.
fn promoted() -> Served {
    let served = gate::noisy("gate = \"better\"\nmargin = 0.05");
    served.agent(["state", "set", "usual_minutes=95"]).ok();
    served.agent(["promote"]).ok();
    served
}

#[test]
fn a_version_names_the_ledger_and_the_inbox_it_was_made_with() {
    let served = promoted();
    assert_eq!(trailer(&served, "Agent-Ledger", "v0.1.1"), served.git(["rev-parse", "refs/agent/ledger"]));
    assert_eq!(trailer(&served, "Agent-Inbox", "v0.1.1"), "none");
    served.agent(["architect", "it is slow", "--queue-only"]).ok();
    served.agent(["state", "set", "usual_minutes=99"]).ok();
    served.agent(["promote", "--gate", "not-worse"]).ok();
    served.agent(["rollback"]).ok();
    for version in ["v0.1.2", "v0.1.3"] {
        assert_eq!(trailer(&served, "Agent-Ledger", version), served.git(["rev-parse", "refs/agent/ledger"]), "{version}");
        assert_eq!(trailer(&served, "Agent-Inbox", version), served.git(["rev-parse", "refs/agent/inbox"]), "{version}");
    }
}

#[test]
fn a_clone_without_the_ledger_that_its_versions_name_does_not_judge() {
    let served = promoted();
    served.agent(["state", "set", "usual_minutes=99"]).ok();
    served.agent(["promote", "--gate", "not-worse"]).ok();
    // by its address, so that the clone does not get every object that lies there
    served.world.git(".", ["clone", "--quiet", &format!("file://{}", served.path("").display()), "clone"]);
    served.world.git("clone", ["fetch", "--quiet", "origin", "active:active", "--tags"]);
    served.world.agent("clone", ["state", "set", "usual_minutes=97"]).ok();
    let refused = |arguments: &[&str]| {
        served
            .world
            .agent("clone", arguments)
            .code(7)
            .stderr_has("this clone does not have the gate's ledger that v0.1.2 was made with")
            .stderr_has("agent sync (by git alone: git fetch origin '+refs/agent/*:refs/agent-remotes/origin/*')");
    };
    refused(&["promote"]);
    refused(&["test", "--at", "staging", "--against", "active"]);
    // a release is judged, a rollback is not: it names what the version before it named
    served.world.write("clone/runner/more.py", "");
    served.world.git("clone", ["add", "."]);
    served.world.git("clone", ["commit", "--quiet", "--no-verify", "--message", "feat: more"]);
    refused(&["release"]);
    World::finish(served.world.command("cp", FOLDER).args(["-r", ".agent/store", "../clone/.agent/"])).ok();
    served.world.agent("clone", ["rollback", "v0.1.1"]).ok();
    let named = |what: &str| served.world.git("clone", ["log", "-1", "--format=%(trailers:key=Agent-Ledger,valueonly)", what]);
    assert_eq!(named("v0.1.3"), named("v0.1.2"));
    // git alone brings it
    served.world.git("clone", ["fetch", "--quiet", "origin", "+refs/agent/*:refs/agent-remotes/origin/*"]);
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
    let tree = World::finish(served.world.command("git", FOLDER).arg("mktree").stdin(listing)).ok().stdout;
    let commit = served.git(["commit-tree", tree.trim(), "-p", "refs/agent/ledger", "-m", "edited"]);
    served.git(["update-ref", "refs/agent/ledger", &commit]);
}

#[test]
fn a_ledger_that_was_deleted_moved_back_cut_or_edited_is_found() {
    let served = promoted();
    served.agent(["state", "set", "usual_minutes=30"]).ok();
    served.agent(["promote"]).code(1).stdout_has("worse");
    assert_eq!(served.git(["cat-file", "blob", "refs/agent/ledger:ledger.jsonl"]).lines().count(), 2);
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
    check_tampered(&served, "was damaged since: ", |served| rewrite(served, |text| text.split_inclusive('\n').nth(1).unwrap().to_owned()));
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
    assert_eq!(served.git(["ls-tree", "--name-only", "refs/agent/inbox:items"]).lines().count(), 3, "what was there is back at its ref");
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
        self.world.git(".", ["clone", "--quiet", &format!("file://{}", self.world.path(from).display()), to]);
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
        let mut texts: Vec<_> = list["feedback"].as_array().unwrap().iter().map(|item| item["text"].as_str().unwrap().to_owned()).collect();
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
    // what was written and not pushed outlives a prune, by the configured refspecs and by those of an earlier version
    hub.git("c", ["fetch", "--quiet", "--prune", "origin"]);
    hub.git("c", ["fetch", "--quiet", "--prune", "origin", "+refs/agent/*:refs/agent/*"]);
    assert_eq!(hub.heard("c").len(), 6);
}

#[test]
fn the_shared_record_has_everything_whatever_refspec_it_is_pushed_by() {
    let hub = Hub::new(&["a", "b", "c"]);
    let items = || hub.git("hub", ["ls-tree", "--name-only", "refs/agent/inbox:items"]).lines().count();
    for (number, clone) in ["a", "b", "c"].into_iter().enumerate() {
        hub.say(clone, &format!("from {clone}"));
        // by the refspec of an earlier version, which pushes what each clone has at the same ref
        assert_eq!(hub.try_git(clone, ["push", "--quiet", "origin", "refs/agent/*:refs/agent/*"]), 0, "{clone}");
        assert_eq!(items(), number + 1);
    }
    // a knows an older one, so that push is refused; what a wrote is there all the same, and the next time nothing is refused
    hub.say("a", "more from a");
    hub.try_git("a", ["push", "--quiet", "origin", "refs/agent/*:refs/agent/*"]);
    assert_eq!(items(), 4);
    hub.git("a", ["push", "--quiet", "origin", "refs/agent/*:refs/agent/*"]);
    for clone in ["a", "b", "c"] {
        hub.git(clone, ["fetch", "--quiet", "origin", "refs/agent/*:refs/agent/*"]);
        assert_eq!(hub.heard(clone).len(), 4, "{clone}");
    }
    // a push that git was told not to make makes none
    hub.say("a", "not yet");
    hub.git("a", ["push", "--quiet", "--dry-run", "origin"]);
    assert_eq!(items(), 4);
    // a mirror of what another clone has written since would take it away
    hub.say("b", "from b again");
    hub.git("b", ["push", "--quiet", "origin"]);
    let names = || hub.git("hub", ["for-each-ref", "--format=%(refname)"]);
    let before = names();
    let ended = World::finish(hub.world.command("git", "a").args(["push", "--mirror", "origin"])).code(1);
    ended.stderr_has("active would be deleted (served-branches-stay)").stderr_has("would be deleted (records-only-grow)");
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
