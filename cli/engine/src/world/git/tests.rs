//! Against real repositories, made by `git` itself.

use super::*;
use crate::world::process::{Finished, Run};
use agent_core::bisection::difference::PathStatus;
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::object_id::ObjectId;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A repository in a temporary folder, free of the user's git configuration.
pub(in crate::world) struct Repository {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Repository {
    pub(in crate::world) fn new(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // a space and a letter outside ASCII, so that every test has them
        let path = folder.path().join("dépôt d'essai");
        let repository = Self { folder, path };
        std::fs::create_dir(&repository.path).unwrap();
        repository.git(&[&["init", "-q", "-b", "main"], options].concat());
        repository
    }

    /// With a first commit of code and state on `main`.
    pub(in crate::world) fn with_code() -> Self {
        let repository = Self::new(&[]);
        repository.write("agent.toml", "name = \"a\"\n");
        repository.write("runner/__main__.py", "print(1)\n");
        repository.write("state/active.state.json", "{}\n");
        repository.write("tests/naïve case.jsonl", "{}\n");
        repository.commit_all("first");
        repository
    }

    pub(in crate::world) fn path(&self) -> &Path {
        &self.path
    }

    pub(in crate::world) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(in crate::world) fn open(&self) -> Git {
        Git::discover(&self.path).unwrap()
    }

    pub(in crate::world) fn run(&self, arguments: &[&str]) -> Finished {
        Run::new("git")
            .args(["-c", "user.name=T", "-c", "user.email=t@example.org"])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .directory(&self.path)
            .finish()
            .unwrap()
    }

    pub(in crate::world) fn git(&self, arguments: &[&str]) -> String {
        let finished = self.run(arguments);
        assert!(
            finished.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&finished.stderr)
        );
        finished.text()
    }

    pub(in crate::world) fn write(&self, path: &str, text: &str) {
        let path = self.path.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(in crate::world) fn commit_all(&self, message: &str) -> ObjectId {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.id("HEAD")
    }

    pub(in crate::world) fn id(&self, revision: &str) -> ObjectId {
        ObjectId::parse(&self.git(&["rev-parse", revision])).unwrap()
    }
}

fn paths(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.path.as_str()).collect()
}

#[test]
fn reads_what_git_wrote() {
    let repository = Repository::with_code();
    repository.write("runner/tools.py", "x = 1\n");
    repository.git(&["rm", "-q", "agent.toml"]);
    let second = repository.commit_all("second\n\nbody\n\nAgent-Version: 0.1.0");
    let git = repository.open();
    let first = git.expect("HEAD~1").unwrap();
    let info = git.commit(&second).unwrap();
    assert_eq!(
        (info.subject(), info.trailers.version.as_ref()),
        ("second", Some(&semver::Version::new(0, 1, 0)))
    );
    assert_eq!(info.parents, std::slice::from_ref(&first));
    assert_eq!(info.tree, repository.id("HEAD^{tree}"));
    assert_eq!(
        git.read(&second, "runner/tools.py").unwrap().as_deref(),
        Some(b"x = 1\n".as_slice())
    );
    assert_eq!(git.read(&second, "runner").unwrap(), None);
    assert_eq!(git.read(&second, "runner/absent/deep").unwrap(), None);
    assert_eq!(
        paths(&git.files(&second, "runner/").unwrap()),
        ["runner/__main__.py", "runner/tools.py"]
    );
    assert_eq!(paths(&git.files(&second, "tests").unwrap()), ["tests/naïve case.jsonl"]);
    assert_eq!(git.files(&second, "nowhere").unwrap(), []);
    let changed: Vec<_> = git
        .diff(Some(&first), &second)
        .unwrap()
        .into_iter()
        .map(|change| (change.path, change.status))
        .collect();
    assert_eq!(
        changed,
        [
            ("agent.toml".to_owned(), PathStatus::Removed),
            ("runner/tools.py".to_owned(), PathStatus::Added)
        ]
    );
    assert_eq!(git.resolve("no-such-branch").unwrap(), None);
    assert_eq!(git.expect("no-such-branch").unwrap_err().kind(), FailureKind::Input);
    assert!(
        git.is_ancestor(&first, &second).unwrap() && !git.is_ancestor(&second, &first).unwrap()
    );
}

#[test]
fn writes_what_git_reads() {
    let repository = Repository::with_code();
    let git = repository.open();
    let head = git.expect("HEAD").unwrap();
    let blob = git.write_blob(b"{\"a\": 1}\n").unwrap();
    let edits = [
        TreeEdit::file("state/active.state.json", blob.clone()),
        TreeEdit::Put { path: "bin/ä b".to_owned(), id: blob, mode: Mode::Executable },
        TreeEdit::Remove { path: "tests".to_owned() },
    ];
    let tree = git.edit_tree(Some(&head), &edits).unwrap();
    let commit = git
        .write_commit(&CommitSpec {
            tree: tree.clone(),
            parents: vec![head],
            message: "made by us\n".to_owned(),
        })
        .unwrap();
    assert_eq!(
        repository.git(&["show", &format!("{commit}:state/active.state.json")]),
        "{\"a\": 1}"
    );
    assert_eq!(
        repository.git(&[
            "-c",
            "core.quotePath=false",
            "ls-tree",
            "-r",
            "--format=%(objectmode) %(path)",
            tree.as_str()
        ]),
        "100644 agent.toml\n\
        100755 bin/ä b\n\
        100644 runner/__main__.py\n\
        100644 state/active.state.json"
    );
    repository.git(&["fsck", "--strict", commit.as_str()]);
    let error = git.edit_tree(None, &[TreeEdit::file("a/../b", tree)]).unwrap_err();
    assert_eq!(error.to_string(), "`a/../b` is not a path git can hold");
}

#[test]
fn an_object_torn_by_a_power_cut_is_written_again() {
    let repository = Repository::with_code();
    let git = repository.open();
    let id = git.write_blob(b"precious").unwrap();
    let path = git.objects_dir().join(&id.as_str()[..2]).join(&id.as_str()[2..]);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&path, b"").unwrap();
    assert!(repository.open().blob(&id).is_err());
    assert_eq!(repository.open().write_blob(b"precious").unwrap(), id);
    assert_eq!(repository.git(&["cat-file", "-p", id.as_str()]), "precious");
}

#[test]
fn temporary_objects_of_exited_processes_are_removed() {
    let repository = Repository::with_code();
    let git = repository.open();
    let dead = git.objects_dir().join("tmp_obj_agent_dead");
    let living = git.objects_dir().join("tmp_obj_agent_living");
    let foreign = git.objects_dir().join("tmp_obj_x1");
    for path in [&dead, &living, &foreign] {
        std::fs::write(path, b"half").unwrap();
    }
    let held = std::fs::File::open(&living).unwrap();
    held.lock().unwrap();
    assert_eq!(git.sweep_temporary(), 1);
    assert_eq!([dead.exists(), living.exists(), foreign.exists()], [false, true, true]);
}

#[test]
fn code_tree_excludes_state_and_evaluators() {
    let repository = Repository::with_code();
    repository.write("runner/tests/of its own.py", "");
    let first = repository.commit_all("code");
    for path in ["state/active.state.json", "tests/another.jsonl", "ci/budgets.json"] {
        repository.write(path, "{\"learned\": true}\n");
    }
    let second = repository.commit_all("state and evaluators");
    let git = repository.open();
    let code = git.code_tree(&first).unwrap();
    assert_eq!(
        git.code_tree(&second).unwrap(),
        code,
        "a new state, or new cases, need no new checkout"
    );
    assert_eq!(git.write_code_tree(&second).unwrap(), code);
    assert_eq!(
        paths(&git.files(&code, "").unwrap()),
        ["agent.toml", "runner/__main__.py", "runner/tests/of its own.py"]
    );
}

#[test]
fn a_linked_worktree_shares_the_main_ones_root() {
    let repository = Repository::with_code();
    let linked = repository.beside("linked tree");
    repository.git(&["worktree", "add", "-q", "--detach", linked.to_str().unwrap()]);
    let git = Git::discover(&linked.join("runner")).unwrap();
    assert_eq!(git.root(), repository.path().canonicalize().unwrap());
    assert_eq!(git.worktree(), Some(linked.canonicalize().unwrap()));
    assert_eq!(git.common_dir(), repository.path().join(".git").canonicalize().unwrap());
    assert_eq!(git.head_branch().unwrap(), None, "HEAD is detached there");
    assert_eq!(repository.open().head_branch().unwrap().as_deref(), Some("refs/heads/main"));
}

#[test]
fn a_bare_repository_keeps_its_checkouts_in_the_git_directory() {
    let origin = Repository::with_code();
    let bare = origin.beside("bare.git");
    origin.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    let git = Git::discover(&bare).unwrap();
    assert!(git.is_bare() && git.worktree().is_none());
    let place = git.layout().checkouts();
    assert!(place.starts_with(bare.canonicalize().unwrap()));
}

#[test]
fn shallow_clone_reports_missing_history() {
    let origin = Repository::with_code();
    origin.commit_all("second");
    let clone = origin.beside("shallow");
    let url = format!("file://{}", origin.path().display());
    origin.git(&["clone", "-q", "--depth", "1", &url, clone.to_str().unwrap()]);
    let git = Git::discover(&clone).unwrap();
    assert!(git.is_shallow());
    let error = git.expect("v0.1.0").unwrap_err();
    assert_eq!(error.to_string(), "`v0.1.0` names no commit that this shallow clone has");
    assert_eq!(error.hint().unwrap(), "fetch the rest: git fetch --unshallow --tags");
}

#[test]
fn unopenable_repository_is_named() {
    let nowhere = tempfile::tempdir().unwrap();
    let error = Git::discover(nowhere.path()).unwrap_err();
    assert!(matches!(error, GitError::NotARepository { .. }), "{error:?}");
    assert_eq!(error.kind(), FailureKind::Input);

    let reftable = Repository::new(&["--ref-format=reftable"]);
    let error = Git::discover(reftable.path()).unwrap_err();
    assert!(
        matches!(&error, GitError::RefFormat { format, .. } if format == "reftable"),
        "{error:?}"
    );

    let sha256 = Repository::new(&["--object-format=sha256"]);
    let error = Git::discover(sha256.path()).unwrap_err();
    assert!(matches!(error, GitError::ObjectFormat { .. }), "{error:?}");
}

#[test]
fn packed_refs_and_objects_are_read() {
    let repository = Repository::with_code();
    repository.git(&["tag", "-a", "-m", "annotated", "v0.1.0"]);
    repository.git(&["gc", "-q"]);
    let git = repository.open();
    assert_eq!(git.expect("v0.1.0").unwrap(), repository.id("main"));
    assert_eq!(git.reference("refs/tags/v0.1.0").unwrap(), Some(repository.id("main")));
    assert_eq!(git.reference("refs/tags/v0.2.0").unwrap(), None);
}
