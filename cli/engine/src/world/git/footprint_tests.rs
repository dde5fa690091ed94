//! Changes of a program to a repository are detected, reported and reverted.

use super::tests::Repository;
use super::*;
use agent_core::version::Kind;
use agent_core::version::trailers::Trailers;
use semver::Version;
use std::os::unix::fs::PermissionsExt;

/// The reported changes of `work`; the settings first, with everything reverted where possible.
fn reported(repository: &Repository, work: impl FnOnce(&Repository)) -> Vec<String> {
    let git = repository.open();
    let (settings, refs) = (git.settings().unwrap(), git.refs().unwrap());
    work(repository);
    let evidence = repository.beside("evidence");
    let mut reports = git.put_back(&settings, &evidence).unwrap();
    reports.extend(git.refs_put_back(&refs).unwrap());
    assert_eq!(
        git.put_back(&settings, &evidence).unwrap(),
        Vec::<String>::new(),
        "the settings are back"
    );
    reports
}

#[track_caller]
fn check(repository: &Repository, work: impl FnOnce(&Repository), expected: &[&str]) {
    let reports = reported(repository, work);
    assert_eq!(reports.len(), expected.len(), "{reports:#?}");
    for (reports, expected) in reports.iter().zip(expected) {
        assert!(reports.contains(expected), "{reports} does not say {expected:?}");
    }
}

/// With a version on `active`.
fn served() -> Repository {
    let repository = Repository::with_code();
    let git = repository.open();
    let base = git.expect("HEAD").unwrap();
    let trailers = Trailers {
        kind: Some(Kind::Release),
        version: Some(Version::new(0, 1, 0)),
        state: git.entry(&base, STATE_FILE).unwrap().map(|entry| entry.id),
        eval: Some("sha256:aa".to_owned()),
        ..Trailers::default()
    };
    let spec = CommitSpec {
        tree: git.tree_of(&base).unwrap(),
        parents: vec![base],
        message: trailers.message("release", ""),
    };
    let version = git.write_commit(&spec).unwrap();
    repository.git(&["update-ref", "refs/heads/active", version.as_str()]);
    repository.git(&["tag", "v0.1.0", version.as_str()]);
    repository.git(&["update-ref", "refs/agent/inbox", "HEAD"]);
    repository
}

fn planted(repository: &Repository, path: &str, text: &str) {
    let path = repository.path().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn no_change_leaves_no_footprint() {
    let repository = served();
    check(&repository, |_| {}, &[]);
    // work that may go on beside it
    check(
        &repository,
        |repository| drop(repository.git(&["update-ref", "refs/remotes/origin/main", "HEAD"])),
        &[],
    );
    check(&repository, |repository| planted(repository, "notes.txt", "x"), &[]);
}

#[test]
fn configuration_and_hooks_are_put_back() {
    let repository = served();
    let config = || std::fs::read_to_string(repository.path().join(".git/config")).unwrap();
    let before = config();
    let evil = |repository: &Repository| {
        repository.git(&["config", "core.fsmonitor", "touch evil; false"]);
        planted(repository, ".git/hooks/reference-transaction", "#!/bin/sh\nexit 1\n");
        planted(repository, ".git/info/attributes", "* filter=evil\n");
    };
    check(
        &repository,
        evil,
        &[
            "config was changed",
            "hooks/reference-transaction was changed",
            "info/attributes was changed",
        ],
    );
    assert_eq!(config(), before);
    assert!(!repository.path().join(".git/hooks/reference-transaction").exists());
    let kept = std::fs::read_dir(repository.beside("evidence")).unwrap().count();
    assert_eq!(kept, 3);
    // only a mode
    planted(&repository, ".git/hooks/pre-commit", "#!/bin/sh\n");
    let plain = |repository: &Repository| {
        let path = repository.path().join(".git/hooks/pre-commit");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    };
    check(&repository, plain, &["hooks/pre-commit was changed and was restored"]);
    let mode =
        repository.path().join(".git/hooks/pre-commit").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    check(
        &repository,
        |repository| std::fs::remove_file(repository.path().join(".git/config")).unwrap(),
        &["config was changed"],
    );
    assert_eq!(config(), before);
}

#[test]
fn hooks_that_the_configuration_names_and_files_it_includes_count_as_well() {
    let repository = served();
    let included = repository.beside("more.config");
    std::fs::write(&included, "[user]\n\tname = A\n").unwrap();
    repository.git(&["config", "core.hooksPath", ".githooks"]);
    repository.git(&["config", "include.path", included.to_str().unwrap()]);
    let evil = |repository: &Repository| {
        planted(repository, ".githooks/post-index-change", "#!/bin/sh\n");
        std::fs::write(&included, "[core]\n\thooksPath = /tmp\n").unwrap();
    };
    check(
        &repository,
        evil,
        &[".githooks/post-index-change was changed", "more.config was changed"],
    );
    assert!(std::fs::read_to_string(&included).unwrap().contains("name = A"));
}

#[test]
fn managed_refs_are_restored_without_running_hooks() {
    let repository = served();
    // as our own hooks would
    planted(
        &repository,
        ".git/hooks/reference-transaction",
        "#!/bin/sh\n[ \"$1\" != prepared ] || ! grep -q heads/active\n",
    );
    let ids = || repository.git(&["for-each-ref", "--format=%(refname) %(objectname)"]);
    let before = ids();
    let past = |arguments: &[&str]| {
        drop(repository.git(&[&["-c", "core.hooksPath=/dev/null"], arguments].concat()));
    };
    check(
        &repository,
        |_| past(&["update-ref", "refs/heads/active", "main"]),
        &["refs/heads/active was moved"],
    );
    assert_eq!(ids(), before);
    check(&repository, |_| past(&["tag", "-d", "v0.1.0"]), &["refs/tags/v0.1.0 was moved from"]);
    check(
        &repository,
        |_| past(&["tag", "v0.1.1", "main"]),
        &["refs/tags/v0.1.1 was moved from nothing"],
    );
    check(
        &repository,
        |_| past(&["update-ref", "-d", "refs/agent/inbox"]),
        &["refs/agent/inbox was moved"],
    );
    check(
        &repository,
        |_| past(&["symbolic-ref", "refs/heads/active", "refs/heads/main"]),
        &["refs/heads/active was moved"],
    );
    let torn = |repository: &Repository| {
        std::fs::write(repository.path().join(".git/refs/heads/active"), "torn").unwrap();
    };
    check(&repository, torn, &["refs/heads/active was moved"]);
    assert_eq!(ids(), before);
}

#[test]
fn other_refs_and_locks_are_reported_and_kept() {
    let repository = served();
    check(
        &repository,
        |repository| drop(repository.git(&["branch", "mine"])),
        &["refs/heads/mine was moved from nothing"],
    );
    check(
        &repository,
        |repository| drop(repository.commit_all("mine")),
        &["refs/heads/main was moved"],
    );
    let locked = |repository: &Repository| planted(repository, ".git/refs/heads/active.lock", "");
    check(&repository, locked, &["refs/heads/active.lock was left behind"]);
}
