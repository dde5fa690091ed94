//! Checkouts: the served and tested files are git's, even where the folder they run from was
//! changed.

use crate::served::{FOLDER, Served};
use serde_json::json;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The only checkout of a repository of one version.
fn checkout(served: &Served) -> PathBuf {
    let mut found = std::fs::read_dir(served.path(".agent/checkouts"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let only = found.next().unwrap();
    assert!(found.next().is_none(), "there is one checkout");
    only
}

fn overwrite(path: &Path, bytes: impl AsRef<[u8]>) {
    let before = path.metadata().unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, before.permissions()).unwrap();
    std::fs::File::open(path).unwrap().set_modified(before.modified().unwrap()).unwrap();
}

/// Answers 666, in as many bytes as the Runner of the template.
fn lying(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let lie = text.replace(
        "return {\"minutes\": state()[\"usual_minutes\"], \"seen\": 0}",
        "return {\"minutes\": 666.0                   , \"seen\": 0}",
    );
    assert_eq!((lie.len(), lie == text), (text.len(), false));
    lie
}

#[test]
fn a_checkout_that_was_changed_is_not_served() {
    type Tamper = fn(&Path);
    let ways: [(&str, Tamper); 4] = [
        ("`runner/__main__.py` has other content", |place| {
            let path = place.join("runner/__main__.py");
            overwrite(&path, lying(&path));
        }),
        ("`json.py` was added", |place| {
            std::fs::write(place.join("json.py"), "raise SystemExit(66)\n").unwrap();
        }),
        ("`runner` is another kind of file", |place| {
            let other = place.ancestors().nth(2).unwrap().join("tmp/other");
            std::fs::rename(place.join("runner"), &other).unwrap();
            overwrite(&other.join("__main__.py"), lying(&other.join("__main__.py")));
            symlink(&other, place.join("runner")).unwrap();
        }),
        (".pyc` has other content", |place| {
            let planted = std::fs::read_dir(place.join("runner/__pycache__"))
                .unwrap()
                .map(|entry| entry.unwrap().path());
            planted.for_each(|path| overwrite(&path, b"planted"));
        }),
    ];
    let served = Served::new();
    let honest = served.agent(["run", "estimate", "task=zzz"]).ok();
    for (told, tamper) in ways {
        tamper(&checkout(&served));
        let ended = served
            .agent(["run", "estimate", "task=zzz"])
            .ok()
            .stderr_has(told)
            .stderr_has("it was recreated");
        assert_eq!(ended.stdout, honest.stdout);
        assert_eq!(
            served.agent(["run", "estimate", "task=zzz"]).ok().stderr,
            honest.stderr,
            "it is said once"
        );
    }
}

/// A process writes to the checkout while a tier runs: the results are those of no commit.
#[test]
fn a_tier_on_a_checkout_that_changed_has_no_result() {
    let slow = "import time\n\
        from agent_runtime import Server\n\
        server = Server(\"slow\")\n\n\
        @server.tool\n\
        def wait() -> int:\
        \n    time.sleep(0.5)\
        \n    return 1\n\n\
        server.run()\n";
    let case = json!({"id": "a", "tool": "wait", "arguments": {}, "expect": {"equals": 1}})
        .to_string()
        + "\n";
    let served =
        Served::with(&[("runner/__main__.py", slow), ("tests/micro/estimates.jsonl", &case)]);
    let test = || {
        served
            .command()
            .args(["test", "--at", "main", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let under_way = || {
        std::fs::read_dir(served.path(".agent/tmp"))
            .into_iter()
            .flatten()
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("tier-"))
    };
    let mut running = test();
    while !under_way() {
        assert!(running.try_wait().unwrap().is_none(), "the tier began");
        std::thread::yield_now();
    }
    std::fs::write(checkout(&served).join("planted.py"), "").unwrap();
    std::fs::remove_file(checkout(&served).join("planted.py")).unwrap();
    let ended = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(6), "{said}");
    assert!(
        said.contains("changed while micro ran on it: the folder itself was changed")
            && said.contains("run it again"),
        "{said}"
    );
    let again: serde_json::Value =
        serde_json::from_slice(&test().wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(
        (&again["tiers"]["micro"]["passed"], &again["tiers"]["micro"]["cached"]),
        (&json!(1), &json!(0)),
        "nothing of it was kept"
    );
}

#[test]
fn no_compiled_file_appears_in_the_folder_of_the_user() {
    let served = Served::new();
    served.agent(["test"]).ok();
    served.agent(["run", "estimate", "task=review", "--at", "worktree"]).ok();
    served.agent(["tune", "took", "task=review", "minutes=20"]).ok();
    let folders = ["", "runner", "tuner", "agent_runtime", "tests"];
    assert!(folders.iter().all(|folder| !served.path(folder).join("__pycache__").exists()));
    assert_eq!(
        served
            .world
            .git(FOLDER, ["status", "--porcelain", "--ignored", "--", ":!.agent", ":!state"]),
        ""
    );
}
