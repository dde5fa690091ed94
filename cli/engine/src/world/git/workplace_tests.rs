//! What is handed out, and what is taken in, whatever was done to the folder.

use super::tests::Repository;
use super::*;
use crate::world::fs;
use crate::world::process::Run;
use agent_core::bisection::difference::PathStatus;
use agent_core::formats::object_id::ObjectId;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

/// A repository whose `main` is handed out in a folder beside it.
struct World {
    repository: Repository,
    git: Git,
    base: ObjectId,
    folder: PathBuf,
    handed_out: HandedOut,
}

impl World {
    fn new(prepare: impl FnOnce(&Repository)) -> Self {
        let repository = Repository::with_code();
        prepare(&repository);
        let base = repository.commit_all("what is served");
        let git = repository.open();
        let folder = repository.beside("run 1/workplace");
        let handed_out =
            git.hand_out(&git.tree_of(&base).unwrap(), &folder, "what is served").unwrap();
        Self { repository, git, base, folder, handed_out }
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(&self.folder.join(path), text.as_bytes()).unwrap();
    }

    /// git, as a coder runs it in the workplace.
    fn there(&self, arguments: &[&str]) -> String {
        let git =
            Run::new("git").args(["-c", "user.name=c", "-c", "user.email=c@c"]).args(arguments);
        git.env("GIT_CEILING_DIRECTORIES", self.folder.parent().unwrap())
            .directory(&self.folder)
            .succeed()
            .unwrap()
            .text()
    }

    fn edited(&self) -> Edited {
        self.git.edited(&self.folder, &self.handed_out).unwrap().unwrap()
    }

    /// What would be taken in, as paths that differ from the base.
    fn changes(&self) -> Vec<(String, PathStatus)> {
        let tree = self.git.take_in(&self.folder, &self.edited(), &self.base).unwrap();
        self.git
            .diff(Some(&self.base), &tree)
            .unwrap()
            .into_iter()
            .map(|change| (change.path, change.status))
            .collect()
    }

    #[track_caller]
    fn check(&self, expected: &[(&str, PathStatus)]) {
        let expected: Vec<_> =
            expected.iter().map(|(path, status)| ((*path).to_owned(), *status)).collect();
        assert_eq!(self.changes(), expected);
    }

    fn taken(&self, path: &str) -> String {
        let tree = self.git.take_in(&self.folder, &self.edited(), &self.base).unwrap();
        String::from_utf8(self.git.read(&tree, path).unwrap().unwrap()).unwrap()
    }
}

use PathStatus::{Added, Modified, Removed};

#[test]
fn edits_are_seen_as_a_tree() {
    let world = World::new(|repository| repository.write("bin/tool", "#!/bin/sh\n"));
    world.check(&[]);
    assert_eq!(world.there(&["status", "--porcelain"]), "");
    world.write("runner/new é.py", "y = 2\n");
    world.write("runner/__main__.py", "print(2)\n");
    std::fs::remove_file(world.folder.join("agent.toml")).unwrap();
    std::fs::set_permissions(world.folder.join("bin/tool"), std::fs::Permissions::from_mode(0o755))
        .unwrap();
    let expected = [
        ("agent.toml", Removed),
        ("bin/tool", Modified),
        ("runner/__main__.py", Modified),
        ("runner/new é.py", Added),
    ];
    world.check(&expected);
    // a coder may commit, branch, change the folder and delete the repository
    world.there(&["checkout", "-qb", "mine"]);
    world.there(&["add", "-A"]);
    world.there(&["commit", "-qm", "mine"]);
    world.check(&expected);
    world.there(&["checkout", "-q", "main"]);
    world.check(&[]);
    world.there(&["checkout", "-q", "mine"]);
    std::fs::remove_dir_all(world.folder.join(".git")).unwrap();
    world.check(&expected);
    world.write(".git", "gitdir: /nowhere\n");
    world.check(&expected);
}

#[test]
fn workplace_has_no_link_to_the_repository() {
    let world = World::new(|repository| {
        repository.write("notes.txt", "an older secret\n");
        repository.commit_all("before");
        repository.write("notes.txt", "");
        repository.git(&["tag", "v0.1.0"]);
        repository.git(&["remote", "add", "origin", "/nowhere"]);
        repository.git(&["config", "filter.x.clean", "cat"]);
    });
    assert_eq!(world.there(&["rev-list", "--all", "--count"]), "1");
    assert_eq!(world.there(&["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
    assert_eq!(world.there(&["remote"]), "");
    assert!(!world.there(&["config", "--list", "--local"]).contains("filter"));
    assert!(
        !world.folder.join(".git/objects/info/alternates").exists()
            && !world.folder.join(".git/hooks").exists()
    );
    let old = world.git.expect("HEAD~1").unwrap();
    let missing = Run::new("git")
        .args(["cat-file", "-e", old.as_str()])
        .directory(&world.folder)
        .finish()
        .unwrap();
    assert!(!missing.success());
    assert_eq!(
        world.repository.git(&["worktree", "list", "--porcelain"]).matches("worktree ").count(),
        1
    );
}

#[test]
fn ignore_rules_are_those_at_creation() {
    let world = World::new(|repository| {
        repository.write(".gitignore", "*.tmp\n/cache/\nkept.log\n");
        repository.write("runner/.gitignore", "local\n");
        repository.write("kept.log", "1\n");
        repository.git(&["add", "--force", "kept.log"]);
    });
    world.write("junk.tmp", "");
    world.write("cache/a/b", "");
    world.write("runner/local", "");
    world.check(&[]);
    world.write("kept.log", "2\n");
    // neither hides a file nor brings one in
    world.write(".gitignore", "runner/new.py\n");
    world.write("runner/.gitignore", "!local\n");
    world.write("runner/new.py", "");
    world.check(&[
        (".gitignore", Modified),
        ("kept.log", Modified),
        ("runner/.gitignore", Modified),
        ("runner/new.py", Added),
    ]);
    world.there(&["config", "core.excludesFile", "/dev/null"]);
    world.write(".git/info/exclude", "runner/new.py\n");
    assert_eq!(world.changes().len(), 4);
}

#[test]
fn attributes_are_those_at_creation() {
    let world = World::new(|repository| {
        repository.write(".gitattributes", "*.txt text eol=crlf\n");
        repository.write("a.txt", "one\n");
        let witness = repository.beside("witness");
        repository.git(&[
            "config",
            "filter.evil.clean",
            &format!("touch '{}'; cat", witness.display()),
        ]);
    });
    world.check(&[]);
    world.write("a.txt", "one\r\ntwo\r\n");
    world.check(&[("a.txt", Modified)]);
    assert_eq!(world.taken("a.txt"), "one\ntwo\n");
    world.write(".gitattributes", "* -text filter=evil\n");
    world.write("runner/.gitattributes", "* filter=evil\n");
    world.write("runner/new.py", "x\n");
    world.check(&[
        (".gitattributes", Modified),
        ("a.txt", Modified),
        ("runner/.gitattributes", Added),
        ("runner/new.py", Added),
    ]);
    assert_eq!(world.taken("a.txt"), "one\ntwo\n");
    assert_eq!(world.taken(".gitattributes"), "* -text filter=evil\n");
    assert!(!world.repository.beside("witness").exists(), "a filter of the folder's choosing ran");
}

#[test]
fn special_files_are_reported_and_not_followed() {
    let world =
        World::new(|repository| symlink("agent.toml", repository.path().join("link")).unwrap());
    world.check(&[]);
    let secret = world.repository.beside("secret");
    std::fs::write(&secret, "secret").unwrap();
    std::fs::remove_file(world.folder.join("link")).unwrap();
    symlink(&secret, world.folder.join("link")).unwrap();
    symlink("/etc", world.folder.join("runner/etc")).unwrap();
    std::fs::remove_file(world.folder.join("agent.toml")).unwrap();
    symlink(&secret, world.folder.join("agent.toml")).unwrap();
    assert_eq!(world.edited().links, ["agent.toml", "link", "runner/etc"]);

    let world = World::new(|_| {});
    Run::new("mkfifo").arg("pipe").directory(&world.folder.join("runner")).succeed().unwrap();
    world.write("nested/.git/config", "[core]\n");
    let changes = world.edited().changes;
    assert_eq!(
        changes.iter().map(|change| change.path.as_str()).collect::<Vec<_>>(),
        ["nested/.git/config"]
    );
    std::fs::rename(&world.folder, world.repository.beside("elsewhere")).unwrap();
    assert_eq!(
        world.git.edited(&world.folder, &world.handed_out).unwrap().unwrap_err(),
        Unreadable::Removed
    );
    symlink(world.repository.beside("elsewhere"), &world.folder).unwrap();
    assert_eq!(
        world.git.edited(&world.folder, &world.handed_out).unwrap().unwrap_err(),
        Unreadable::Removed
    );
}

#[test]
fn files_outside_the_workplace_are_kept() {
    let repository = Repository::with_code();
    let base = repository.commit_all("all of it");
    let git = repository.open();
    let shown =
        git.edit_tree(Some(&base), &[TreeEdit::Remove { path: "tests".to_owned() }]).unwrap();
    let folder = repository.beside("workplace");
    let handed_out = git.hand_out(&shown, &folder, "some of it").unwrap();
    assert!(!folder.join("tests").exists());
    fs::write(&folder.join("tests/new.jsonl"), b"{}\n").unwrap();
    let edited = git.edited(&folder, &handed_out).unwrap().unwrap();
    let tree = git.take_in(&folder, &edited, &base).unwrap();
    let changed: Vec<_> = git
        .diff(Some(&base), &tree)
        .unwrap()
        .into_iter()
        .map(|change| (change.path, change.status))
        .collect();
    assert_eq!(changed, [("tests/new.jsonl".to_owned(), Added)]);
}

#[test]
fn a_read_only_folder_is_removed_all_the_same() {
    let world = World::new(|_| {});
    let locked = |path: &str, mode| {
        std::fs::set_permissions(world.folder.join(path), std::fs::Permissions::from_mode(mode))
            .unwrap();
    };
    locked("runner/__main__.py", 0o444);
    locked("runner", 0o555);
    locked("", 0o555);
    fs::remove_stubborn_folder(&world.folder).unwrap();
    assert!(!world.folder.exists());
}
