//! The publish protocol: races, refusals, kills at the worst moments.

use super::tests::Repository;
use super::*;
use agent_core::formats::committed::Committed;
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::object_id::ObjectId;
use agent_core::version::trailers::Trailers;
use agent_core::version::{self, Bump, Kind};
use semver::Version;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A version commit on top of `parent` whose state is `state`: a promotion where that is the next
/// PATCH, else a release of `main`.
pub(super) fn candidate(git: &Git, parent: &ObjectId, version: &Version, state: &str) -> ObjectId {
    let blob = git.write_blob(state.as_bytes()).unwrap();
    let tree = git.edit_tree(Some(parent), &[TreeEdit::file(STATE_FILE, blob.clone())]).unwrap();
    let before = git.commit(parent).unwrap().trailers.version;
    let is_promotion = before.as_ref().is_some_and(|before| Bump::Patch.apply(before) == *version);
    let mut parents = vec![parent.clone()];
    if before.is_some() && !is_promotion {
        parents.push(git.expect("main").unwrap());
    }
    let trailers = Trailers {
        kind: Some(if is_promotion { Kind::Promotion } else { Kind::Release }),
        version: Some(version.clone()),
        state: Some(blob),
        base: before.map(|_| parent.clone()),
        journal: is_promotion.then(|| "sha256:00".to_owned()),
        eval: Some("sha256:00".to_owned()),
        ..Trailers::default()
    };
    let message = trailers.message(&format!("v{version}"), "");
    git.write_commit(&CommitSpec { tree, parents, message }).unwrap()
}

pub(super) fn publication(
    expect: Option<&ObjectId>,
    commit: &ObjectId,
    version: &Version,
) -> Publication {
    Publication {
        branch: "active".to_owned(),
        expect: expect.cloned(),
        commit: commit.clone(),
        version: version.clone(),
    }
}

pub(super) fn patch(number: u64) -> Version {
    Version::new(0, 1, number)
}

pub(super) const DONE: Committed<Published> = Committed::whole(Published::Done);

/// A repository whose `active` is at v0.1.0.
pub(super) fn served() -> (Repository, Git, ObjectId) {
    let repository = Repository::with_code();
    let git = repository.open();
    let first = candidate(&git, &repository.id("main"), &patch(0), "{}\n");
    assert_eq!(git.publish(&publication(None, &first, &patch(0))).unwrap(), DONE);
    (repository, git, first)
}

fn hook(repository: &Repository, name: &str, script: &str) {
    let path = repository.path().join(".git/hooks").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn lock_files(repository: &Repository) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![repository.path().join(".git")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                found.extend(
                    entry
                        .path()
                        .extension()
                        .filter(|extension| *extension == "lock")
                        .map(|_| entry.path()),
                );
            }
        }
    }
    found
}

#[test]
fn a_version_is_a_branch_and_a_tag_that_plain_git_shows() {
    let (repository, git, first) = served();
    assert_eq!([repository.id("active"), repository.id("v0.1.0")], [first.clone(), first.clone()]);
    let second = candidate(&git, &first, &patch(1), "{\"a\":1}\n");
    let publication = publication(Some(&first), &second, &patch(1));
    assert_eq!(git.publish(&publication).unwrap(), DONE);
    assert_eq!(git.publish(&publication).unwrap(), DONE, "publishing is idempotent");
    assert_eq!(
        repository.git(&["log", "--format=%s %D", "-1", "active"]),
        "v0.1.1 tag: v0.1.1, active"
    );
    assert!(repository.git(&["reflog", "active"]).contains("agent: v0.1.1"));
    assert_eq!(std::fs::read(repository.path().join(".git/agent/refs-under-way")).unwrap(), b"");
    repository.git(&["fsck", "--strict"]);
}

#[test]
fn second_publisher_gets_a_conflict_and_changes_nothing() {
    let (repository, git, first) = served();
    let (mine, theirs) = (
        candidate(&git, &first, &patch(1), "{\"m\":1}\n"),
        candidate(&git, &first, &patch(1), "{\"t\":1}\n"),
    );
    assert_eq!(git.publish(&publication(Some(&first), &theirs, &patch(1))).unwrap(), DONE);
    let lost = git.publish(&publication(Some(&first), &mine, &patch(2))).unwrap();
    assert_eq!(lost.value, Published::Conflict { found: Some(theirs.clone()) });
    let taken = git.publish(&publication(Some(&theirs), &mine, &patch(1))).unwrap();
    assert_eq!(taken.value, Published::TagTaken { by: theirs.clone() });
    let absent = git.publish(&publication(None, &mine, &patch(2))).unwrap();
    assert_eq!(absent.value, Published::Conflict { found: Some(theirs.clone()) });
    assert_eq!([repository.id("active"), repository.id("v0.1.1")], [theirs.clone(), theirs]);
    assert_eq!(git.reference("refs/tags/v0.1.2").unwrap(), None);
}

/// Promotes on top of whatever is served until it has won `wins` times.
fn promote_until(repository: &Repository, worker: usize, wins: usize) {
    let git = repository.open();
    let mut won = 0;
    while won < wins {
        let tip = git.target(ACTIVE).unwrap().unwrap();
        let next = patch(git.commit(&tip).unwrap().trailers.version.unwrap().patch + 1);
        let commit = candidate(&git, &tip, &next, &format!("{{\"{worker}\": {won}}}\n"));
        won += usize::from(git.publish(&publication(Some(&tip), &commit, &next)).unwrap() == DONE);
    }
}

#[test]
fn racing_promotions_give_consecutive_versions() {
    let (repository, git, _) = served();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let repository = &repository;
            scope.spawn(move || promote_until(repository, worker, 3));
        }
    });
    let history: Vec<_> =
        git.first_parents(&repository.id("active")).map(Result::unwrap).take(25).collect();
    for (back, commit) in history.iter().enumerate() {
        let version = commit.trailers.version.as_ref().unwrap();
        assert_eq!(version, &patch(24 - back as u64));
        assert_eq!(repository.id(&version::tag(version)), commit.id);
    }
    repository.git(&["fsck", "--strict"]);
    assert_eq!(lock_files(&repository), Vec::<PathBuf>::new());
}

#[test]
fn hook_refusal_is_reported() {
    let (repository, git, first) = served();
    hook(
        &repository,
        "reference-transaction",
        "test \"$1\" != prepared || { echo 'active is frozen today' >&2; exit 1; }",
    );
    let second = candidate(&git, &first, &patch(1), "{\"a\":1}\n");
    let error = git.publish(&publication(Some(&first), &second, &patch(1))).unwrap_err();
    assert!(error.to_string().contains("active is frozen today"), "{error}");
    assert_eq!(error.kind(), FailureKind::Refused);
    assert_eq!(repository.id("active"), first);
}

#[test]
fn a_branch_without_its_tag_is_healed() {
    let (repository, git, first) = served();
    hook(&repository, "reference-transaction", "test \"$1\" != prepared || ! grep -q refs/tags/");
    let second = candidate(&git, &first, &patch(1), "{\"a\":1}\n");
    let published = git.publish(&publication(Some(&first), &second, &patch(1))).unwrap();
    assert_eq!(published.value, Published::Done);
    assert!(
        published.warnings.as_slice()[0]
            .starts_with("the tag v0.1.1 is not made yet, the next command makes it: "),
        "{published:?}"
    );
    assert_eq!(repository.id("active"), second);
    hook(&repository, "reference-transaction", "exit 0");
    let repairs = git.repair().unwrap();
    assert_eq!(repairs.tags, ["v0.1.1"]);
    assert_eq!(
        repairs.lines(),
        ["an earlier command was killed before it could tag v0.1.1; it is tagged now"]
    );
    assert_eq!(repository.id("v0.1.1"), second);
    assert_eq!(git.repair().unwrap(), Repairs::default());
}

#[test]
fn several_missing_tags_on_every_line_are_healed() {
    let (repository, git, first) = served();
    let second = candidate(&git, &first, &Version::new(0, 2, 0), "{\"a\":1}\n");
    let third = candidate(&git, &second, &Version::new(0, 2, 1), "{\"a\":2}\n");
    let other = candidate(&git, &first, &patch(1), "{\"b\":2}\n");
    repository.git(&["update-ref", "refs/heads/active", third.as_str()]);
    repository.git(&["update-ref", "refs/heads/line/0.1", other.as_str()]);
    assert_eq!(git.repair().unwrap().tags, ["v0.2.0", "v0.2.1", "v0.1.1"]);
    assert_eq!(
        [repository.id("v0.2.0"), repository.id("v0.2.1"), repository.id("v0.1.1")],
        [second, third, other]
    );
}

#[test]
fn tag_does_not_make_an_unsound_commit_a_version() {
    let (repository, git, first) = served();
    let sound = candidate(&git, &first, &patch(1), "{\"a\":1}\n");
    // another state under the same message
    let blob = git.write_blob(b"{\"a\":666}\n").unwrap();
    let tree = git.edit_tree(Some(&sound), &[TreeEdit::file(STATE_FILE, blob)]).unwrap();
    let message = git.commit(&sound).unwrap().message;
    let forged =
        git.write_commit(&CommitSpec { tree, parents: vec![first.clone()], message }).unwrap();
    repository.git(&["update-ref", "refs/heads/active", forged.as_str()]);
    assert_eq!(git.repair().unwrap().tags, Vec::<String>::new());
    assert!(
        git.violation(&git.commit(&forged).unwrap())
            .unwrap()
            .unwrap()
            .why()
            .starts_with("it declares the state ")
    );
    assert_eq!(git.violation(&git.commit(&sound).unwrap()).unwrap(), None);
}

#[test]
fn conflicting_tag_is_reported_and_kept() {
    let (repository, git, first) = served();
    let second = candidate(&git, &first, &patch(1), "{\"a\":1}\n");
    repository.git(&["tag", "v0.1.1", first.as_str()]);
    repository.git(&["update-ref", "refs/heads/active", second.as_str()]);
    let repairs = git.repair().unwrap();
    assert_eq!(repairs.tags, Vec::<String>::new());
    assert!(repairs.notes[0].starts_with("tag v0.1.1 is on "), "{:?}", repairs.notes);
    assert_eq!(repository.id("v0.1.1"), first);
}

#[test]
fn shallow_clone_is_reported_and_gets_no_tags() {
    let (repository, ..) = served();
    let clone = repository.beside("shallow");
    let url = format!("file://{}", repository.path().display());
    repository.git(&[
        "clone",
        "-q",
        "--depth",
        "1",
        "--no-tags",
        "-b",
        "active",
        &url,
        clone.to_str().unwrap(),
    ]);
    let repairs = Git::discover(&clone).unwrap().repair().unwrap();
    assert_eq!(repairs.tags, Vec::<String>::new());
    assert!(repairs.notes[0].contains("--unshallow --tags"), "{:?}", repairs.notes);
}

/// git itself is killed while it holds the locks: in the hook that it runs when everything is
/// prepared.
fn killed_while_preparing(reference: &str, on_active: bool) {
    let (repository, git, first) = served();
    if on_active {
        repository.git(&["checkout", "-q", "active"]);
    }
    hook(
        &repository,
        "reference-transaction",
        &format!("if test \"$1\" = prepared && grep -q {reference}; then kill -9 $PPID; fi"),
    );
    let second = candidate(&git, &first, &patch(1), "{\"a\":1}\n");
    let outcome = git.publish(&publication(Some(&first), &second, &patch(1)));
    assert!(!outcome.as_ref().is_ok_and(|outcome| *outcome == DONE), "{outcome:?}");
    assert_eq!(lock_files(&repository), Vec::<PathBuf>::new(), "{reference}");
    hook(&repository, "reference-transaction", "exit 0");
    git.repair().unwrap();
    let tip = repository.id("active");
    assert_eq!(
        git.publish(&publication(Some(&first), &second, &patch(1))).unwrap(),
        DONE,
        "was {tip}"
    );
    assert_eq!([repository.id("active"), repository.id("v0.1.1")], [second.clone(), second]);
}

#[test]
fn locks_of_a_killed_git_do_not_block() {
    killed_while_preparing("refs/heads/active", false);
    killed_while_preparing("refs/heads/active", true);
    killed_while_preparing("refs/tags/", true);
}

/// The leftovers of killing both processes: the record of pending moves, and lock files.
fn leave_record(repository: &Repository, commit: &ObjectId, from: &ObjectId) {
    std::fs::write(
        repository.path().join(".git/agent/refs-under-way"),
        format!("start\nupdate refs/heads/active {commit} {from}\nprepare\ncommit\n"),
    )
    .unwrap();
}

#[test]
fn locks_of_exited_agent_processes_are_reaped() {
    let (repository, git, first) = served();
    let second = candidate(&git, &first, &patch(1), "{\"a\":1}\n");
    let lock = repository.path().join(".git/refs/heads/active.lock");
    let publication = publication(Some(&first), &second, &patch(1));

    // from the killed process: it holds the pending value
    leave_record(&repository, &second, &first);
    std::fs::write(&lock, format!("{second}\n")).unwrap();
    git.repair().unwrap();
    assert!(!lock.exists());

    // from the killed process: created but not written
    leave_record(&repository, &second, &first);
    std::fs::write(&lock, b"").unwrap();
    git.repair().unwrap();
    assert!(!lock.exists());

    // from another process: older than the record
    std::fs::write(&lock, format!("{second}\n")).unwrap();
    let long_ago =
        std::fs::metadata(&lock).unwrap().modified().unwrap() - std::time::Duration::from_secs(5);
    std::fs::File::options().write(true).open(&lock).unwrap().set_modified(long_ago).unwrap();
    leave_record(&repository, &second, &first);
    git.repair().unwrap();
    assert!(lock.exists());

    // from another process: it holds another commit
    leave_record(&repository, &second, &first);
    std::fs::write(&lock, format!("{first}\n")).unwrap();
    git.repair().unwrap();
    assert!(lock.exists());
    let error = git.publish(&publication).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Conflict, "{error}");
    assert!(error.to_string().contains("active.lock"), "{error}");
    std::fs::remove_file(&lock).unwrap();
    assert_eq!(git.publish(&publication).unwrap(), DONE);
}

#[test]
fn record_torn_by_a_power_cut_is_ignored() {
    let (repository, git, first) = served();
    let record = repository.path().join(".git/agent/refs-under-way");
    for torn in [
        "start\nupdate refs/heads/act",
        "update refs/../../x 0\n",
        "\0\0\0\0",
        "update refs/heads/active deadbeef\n",
    ] {
        std::fs::write(&record, torn).unwrap();
        git.repair().unwrap();
        assert_eq!(std::fs::read(&record).unwrap(), b"", "{torn:?}");
    }
    assert_eq!(repository.id("active"), first);
}

#[test]
fn no_appended_item_is_lost_in_a_race() {
    let repository = Repository::with_code();
    std::thread::scope(|scope| {
        for worker in 0..6 {
            let repository = &repository;
            scope.spawn(move || {
                let git = repository.open();
                for item in 0..4 {
                    let file = TreeEdit::file(
                        format!("items/{worker}-{item}.json"),
                        git.write_blob(b"{}\n").unwrap(),
                    );
                    let edit = || {
                        let heads = git.record_heads("inbox")?.into_keys().collect();
                        Ok::<_, GitError>(Some(RecordEdit {
                            subject: "feedback".to_owned(),
                            heads,
                            edits: vec![file.clone()],
                        }))
                    };
                    let _ = git.edit_record("inbox", edit).unwrap();
                }
            });
        }
    });
    let git = repository.open();
    let tip = git.target("refs/agent/inbox").unwrap().unwrap();
    assert_eq!(git.files(&tip, "items").unwrap().len(), 24);
    assert_eq!(git.first_parents(&tip).count(), 24);
}

#[test]
fn newly_ignored_untracked_files_leave_the_worktree_tree() {
    let repository = Repository::with_code();
    repository.write("kept.log", "1\n");
    repository.commit_all("a log");
    let git = repository.open();
    let tree = || git.snapshot_worktree(repository.path(), &git.layout()).unwrap();
    repository.write("report.html", "1\n");
    assert!(git.entry(&tree(), "report.html").unwrap().is_some());
    repository.write(".gitignore", ".agent/\n/report.*\n*.log\n");
    let before = tree();
    assert!(git.entry(&before, "report.html").unwrap().is_none());
    repository.write("report.html", "2\n");
    assert_eq!(tree(), before);
    repository.write("kept.log", "2\n");
    assert_ne!(tree(), before, "the log is tracked, whatever is ignored");
    let before = tree();
    repository.write("forced.log", "1\n");
    assert_eq!(tree(), before);
    repository.git(&["add", "--force", "forced.log"]);
    assert!(git.entry(&tree(), "forced.log").unwrap().is_some());
    repository.commit_all("logs");
    assert_eq!(tree(), git.tree_of(&git.expect("HEAD").unwrap()).unwrap());
}

#[test]
fn tree_of_an_unchanged_worktree_is_the_noted_one() {
    let repository = Repository::with_code();
    repository.write(".gitignore", ".agent/\n");
    repository.commit_all("ignored");
    // git looks again at files that are as new as the index, and writes the index anew
    for file in repository.git(&["ls-files", "-z"]).split_terminator('\0') {
        let file = std::fs::File::open(repository.path().join(file)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    }
    let git = repository.open();
    let layout = git.layout();
    let tree = || git.snapshot_worktree(repository.path(), &layout).unwrap();
    let whole = tree();
    let note = layout.worktree_index(repository.path()).with_extension("tree");
    let noted = std::fs::read_to_string(&note).unwrap();
    let checksum = noted.strip_suffix(&format!(" {whole}")).unwrap();
    let blob = git.write_blob(b"1\n").unwrap();
    let other = git.edit_tree(Some(&whole), &[TreeEdit::file("other.txt", blob)]).unwrap();
    std::fs::write(&note, format!("{checksum} {other}")).unwrap();
    assert_eq!(tree(), other);
    // one whose objects were collected since, and one of another index
    for stale in [format!("{checksum} {}", ObjectId::of_blob(b"?")), format!("0{checksum} {other}")]
    {
        std::fs::write(&note, stale).unwrap();
        assert_eq!(tree(), whole);
        assert_eq!(std::fs::read_to_string(&note).unwrap(), noted);
    }
    repository.write("more.txt", "1\n");
    assert!(git.entry(&tree(), "more.txt").unwrap().is_some());
}

fn rules(update: &agent_core::version::legality::RefUpdate) -> Vec<&'static str> {
    agent_core::version::legality::judge(update)
        .into_iter()
        .map(|violation| violation.rule)
        .collect()
}

#[test]
fn illegal_update_is_not_published() {
    let (repository, git, first) = served();
    let honest = git.commit(&candidate(&git, &first, &patch(1), "{\"a\":1}\n")).unwrap();
    let code = git.write_blob(b"import os\n").unwrap();
    let tree =
        git.edit_tree(Some(&honest.tree), &[TreeEdit::file("runner/__main__.py", code)]).unwrap();
    let sly = git
        .write_commit(&CommitSpec { tree, parents: vec![first.clone()], message: honest.message })
        .unwrap();
    let error = git.publish(&publication(Some(&first), &sly, &patch(1))).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Refused);
    let reason = "a promotion changes runner/__main__.py (a-promotion-touches-only-state)";
    assert_eq!(error.to_string(), format!("not allowed in this repository: {reason}"));
    assert_eq!(error.hint().unwrap(), "commit the code to `main`, then `agent release`");
    assert_eq!(repository.id("active"), first);
}

#[test]
fn the_facts_of_an_update_are_read_from_the_repository() {
    let (repository, git, first) = served();
    let active = |old: Option<&ObjectId>, new: Option<&ObjectId>| {
        rules(&git.ref_update(ACTIVE, old, new).unwrap())
    };
    let second = candidate(&git, &first, &patch(1), "{\"a\":1}\n");
    let third = candidate(&git, &second, &patch(2), "{\"a\":2}\n");
    assert_eq!(active(Some(&first), Some(&third)), Vec::<&str>::new());
    assert_eq!(active(None, Some(&third)), Vec::<&str>::new());
    assert_eq!(active(Some(&third), Some(&first)), ["served-branches-move-forward"]);
    assert_eq!(
        active(Some(&first), Some(&repository.id("main"))),
        ["served-branches-move-forward"]
    );
    assert_eq!(active(None, Some(&repository.id("main"))), ["every-tip-is-a-version"]);
    let tag = |new: &ObjectId| rules(&git.ref_update("refs/tags/v0.1.1", None, Some(new)).unwrap());
    assert_eq!((tag(&second), tag(&first)), (vec![], vec!["a-tag-names-its-commit"]));

    repository.write("state/staging.state.json", "{}\n");
    let main = repository.id("main");
    let tracked = repository.commit_all("oops");
    let on_main = |old: &ObjectId, new: &ObjectId| {
        rules(&git.ref_update("refs/heads/main", Some(old), Some(new)).unwrap())
    };
    assert_eq!(on_main(&main, &tracked), ["staging-is-not-tracked"]);
    repository.git(&["rm", "-q", "--cached", "state/staging.state.json"]);
    repository.git(&["commit", "-q", "-m", "corrected"]);
    assert_eq!(on_main(&tracked, &repository.id("main")), Vec::<&str>::new());
}

#[test]
fn a_remote_takes_branch_and_tag_together_or_neither() {
    let (repository, git, first) = served();
    let bare = repository.beside("remote.git");
    // as git does, from the top of the working tree
    let remote = "../remote.git";
    repository.git(&["init", "-q", "--bare", remote]);
    let there = || Git::discover(&bare).unwrap();
    let begin = publication(None, &first, &patch(0));
    assert_eq!(git.push(remote, &begin.moves(), PrePush::Runs).unwrap(), Pushed::Done);
    assert_eq!(
        git.push(remote, &begin.moves(), PrePush::Runs).unwrap(),
        Pushed::Done,
        "publishing is idempotent"
    );
    let (mine, theirs) = (
        candidate(&git, &first, &patch(1), "{\"m\":1}\n"),
        candidate(&git, &first, &patch(1), "{\"t\":1}\n"),
    );
    assert_eq!(
        git.push(remote, &publication(Some(&first), &theirs, &patch(1)).moves(), PrePush::Runs)
            .unwrap(),
        Pushed::Done
    );
    for lost in
        [publication(Some(&first), &mine, &patch(2)), publication(Some(&theirs), &mine, &patch(1))]
    {
        let pushed = git.push(remote, &lost.moves(), PrePush::Runs).unwrap();
        assert!(matches!(pushed, Pushed::Conflict { .. }), "{pushed:?}");
    }
    assert_eq!(there().target(ACTIVE).unwrap(), Some(theirs.clone()));
    assert_eq!(there().versions().unwrap(), [patch(0), patch(1)]);

    let hook = bare.join("hooks/update");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let next = candidate(&git, &theirs, &patch(2), "{\"n\":2}\n");
    let next = publication(Some(&theirs), &next, &patch(2));
    assert_eq!(
        git.push(remote, &next.moves(), PrePush::Runs).unwrap_err().kind(),
        FailureKind::Refused
    );
    assert_eq!(
        git.push("/no/such/remote", &next.moves(), PrePush::Runs).unwrap_err().kind(),
        FailureKind::Surroundings
    );
}
