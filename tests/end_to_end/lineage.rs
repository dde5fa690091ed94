//! No release takes code out of service that main merely lacks, and none serves again what a
//! rollback took out.

use crate::served::{FOLDER, Served};
use crate::world::World;
use serde_json::json;

/// Appends to a file and commits it on the current branch.
fn changed(served: &Served, file: &str, line: &str) {
    let path = format!("{FOLDER}/{file}");
    let text = served.world.read(&path);
    served.world.write(&path, format!("{text}{line}\n"));
    served.git(["add", file]);
    served.git(["commit", "--quiet", "--message", &format!("fix: {line}")]);
}

/// v0.2.0, which was released from a branch that main does not have.
fn released_aside() -> Served {
    let served = Served::new();
    served.git(["switch", "--quiet", "--create", "aside"]);
    changed(&served, "runner/__main__.py", "# aside");
    served.release("0.2.0");
    served.git(["switch", "--quiet", "main"]);
    served
}

#[track_caller]
fn lacks(served: &Served, arguments: &[&str], version: &str, mend: &str) {
    served
        .world
        .agent(FOLDER, arguments)
        .code(4)
        .stderr_has(&format!("lacks the code of {version}"))
        .stderr_has(mend);
}

#[test]
fn a_release_that_lacks_served_code_is_refused() {
    let served = released_aside();
    let before = served.git(["rev-parse", "active"]);
    // an unmoved main, an advanced main, and a commit on no branch
    lacks(&served, &["release"], "v0.2.0", "git merge active");
    changed(&served, "tuner/__main__.py", "# unrelated");
    lacks(&served, &["release"], "v0.2.0", "git merge active");
    lacks(&served, &["release", "--dry-run"], "v0.2.0", "git merge active");
    lacks(
        &served,
        &["release", "--again", "no rollback took it out"],
        "v0.2.0",
        "git merge active",
    );
    lacks(&served, &["release", "v0.1.0"], "v0.2.0", "git merge active");
    served.git(["switch", "--quiet", "--create", "elsewhere", "v0.1.0"]);
    lacks(&served, &["release"], "v0.2.0", "git switch main && git merge active");
    served.git(["switch", "--quiet", "main"]);
    assert_eq!(served.git(["rev-parse", "active"]), before);
    served.git(["merge", "--quiet", "--no-edit", "active"]);
    served.agent(["release", "--dry-run"]).ok().stdout_has("move active to v0.3.0");
}

#[test]
fn code_merged_into_main_in_another_way_is_not_reported_as_missing() {
    // as one commit, or by descent from what was released
    for ways in [
        &["merge", "--quiet", "--squash", "active"][..],
        &["merge", "--quiet", "--ff-only", "aside"],
    ] {
        let served = released_aside();
        served.world.git(FOLDER, ways);
        if ways.contains(&"--squash") {
            served.git(["commit", "--quiet", "--message", "squashed"]);
        }
        changed(&served, "tuner/__main__.py", "# later");
        served.agent(["release", "--dry-run"]).ok().stdout_has("move active to v0.3.0");
    }
}

#[test]
fn main_is_brought_along_by_one_command() {
    let served = released_aside();
    // a fresh evaluation, so that there is something to go back to
    served.git(["merge", "--quiet", "--ff-only", "active"]);
    changed(&served, "runner/__main__.py", "# good");
    served.agent(["release"]).ok();
    changed(&served, "runner/__main__.py", "# bad");
    served.agent(["release", "--json"]).ok();
    // main is exactly behind, and its checkout clean
    let rolled_back = served.agent(["rollback", "--reason", "it breaks hosts", "--json"]).ok();
    assert_eq!(rolled_back.json()["main"], json!({"lacks": "0.4.1", "mend": "agent sync"}));
    rolled_back.stderr_has("main lacks the code of v0.4.1; to add it: agent sync");
    served.agent(["sync"]).ok().stdout_has("main is at");
    assert_eq!(served.git(["rev-parse", "main"]), served.git(["rev-parse", "active"]));
    assert!(
        !served.world.read(format!("{FOLDER}/runner/__main__.py")).contains("# bad"),
        "the checkout came along"
    );
    served.agent(["release"]).ok().stdout_has("nothing done:");
}

#[test]
fn yanked_code_is_served_again_only_with_a_reason() {
    let served = released_aside();
    served.git(["merge", "--quiet", "--ff-only", "active"]);
    changed(&served, "runner/__main__.py", "# good");
    served.agent(["release"]).ok();
    changed(&served, "runner/__main__.py", "# bad");
    served.agent(["release"]).ok();
    served.agent(["rollback", "--reason", "it breaks hosts"]).ok();
    let refused = |arguments: &[&str], said: &str| {
        served
            .world
            .agent(FOLDER, arguments)
            .code(4)
            .stderr_has("v0.4.0")
            .stderr_has(said)
            .stderr_has("--again REASON");
    };
    // the commit itself, one on top of it, and a squash merge
    refused(&["release"], "v0.4.1 took the code of v0.4.0 out of service: it breaks hosts");
    refused(&["release", "main"], "git merge active");
    let bad = served.git(["rev-parse", "main"]);
    changed(&served, "tests/README.md", "a case of it");
    refused(&["release"], "git merge active");
    served.git(["merge", "--quiet", "--no-edit", "--strategy", "ours", "active"]);
    refused(
        &["release"],
        "main has the code of v0.4.0, which v0.4.1 took out of service: it breaks hosts",
    );
    refused(&["rollback", "v0.4.0"], "a rollback took v0.4.0 out of service");
    World::finish(served.command().args(["release", "--again", ""])).code(2);
    // a reason is kept, and what was mended is other code
    let again = served.agent(["release", "--again", "hosts were mended", "--json"]).ok().json();
    assert_eq!(again["version"], "0.5.0");
    assert!(
        served
            .git(["log", "-1", "--format=%B", "active"])
            .contains("the code of v0.4.0 is served again: hosts were mended")
    );
    served.agent(["verify", "v0.5.0"]).ok();
    served.agent(["rollback", "v0.4.1"]).ok();
    changed(&served, "runner/__main__.py", "# mended");
    served.agent(["release"]).code(4).stderr_has("git merge active");
    served
        .agent(["release", "--again", "it is mended"])
        .ok()
        .stdout_has("the code of v0.5.0 is served again: it is mended");
    assert!(served.git(["merge-base", "--is-ancestor", &bad, "active"]).is_empty());
}
