//! The test world: a temporary folder with its own HOME and git configuration, and one way to run a
//! command and look at how it ended.
#![allow(dead_code, reason = "each area of the tests uses its own part of the world")]
#![expect(clippy::disallowed_methods, reason = "tests start the binary and git themselves")]

use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The binary under test.
pub const AGENT: &str = env!("CARGO_BIN_EXE_agent");

/// This repository's root, where templates and examples lie.
pub fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli/ has a parent").to_owned()
}

pub struct World {
    folder: tempfile::TempDir,
    shared: tempfile::TempDir,
}

/// Where a confined Runner can write that has `shared_memory`.
const SHARED_MEMORY: &str = "/dev/shm";

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub shown: String,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Whether a package registry could not be reached, which is printed: the test is skipped.
    #[expect(clippy::print_stdout, reason = "why a test is skipped is printed beside it")]
    pub fn lacks_packages(&self) -> bool {
        let lacks = self.code == 6 || self.stderr.contains("No matching distribution found");
        if lacks {
            println!("skipped: packages cannot be installed here: {}", self.stderr);
        }
        lacks
    }

    /// Asserts the exit code; shows everything when it is another.
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        assert_eq!(
            self.code, expected,
            "`{}`\n--- stdout\n{}\n--- stderr\n{}",
            self.shown, self.stdout, self.stderr
        );
        self
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        self.code(0)
    }

    #[track_caller]
    pub fn stderr_has(self, part: &str) -> Self {
        assert!(
            self.stderr.contains(part),
            "`{}` should say {part:?}\n--- stderr\n{}",
            self.shown,
            self.stderr
        );
        self
    }

    #[track_caller]
    pub fn stdout_has(self, part: &str) -> Self {
        assert!(
            self.stdout.contains(part),
            "`{}` should print {part:?}\n--- stdout\n{}",
            self.shown,
            self.stdout
        );
        self
    }

    /// stdout as the one JSON document it must be.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!(
                "`{}`: stdout is not JSON: {error}\n--- stdout\n{}\n--- stderr\n{}",
                self.shown, self.stdout, self.stderr
            )
        })
    }
}

impl World {
    pub fn new() -> Self {
        let folder =
            tempfile::Builder::new().prefix("agent-test-").tempdir().expect("a temporary folder");
        let mut shared = tempfile::Builder::new();
        let shared = shared.prefix("agent-test-");
        let shared = if cfg!(target_os = "linux") {
            shared.tempdir_in(SHARED_MEMORY)
        } else {
            shared.tempdir()
        };
        let world = Self { folder, shared: shared.expect("a folder in shared memory") };
        std::fs::create_dir(world.home()).expect("HOME");
        std::fs::write(
            world.home().join(".gitconfig"),
            "[user]\n\tname = Test\n\temail = test@example.org\n[init]\n\tdefaultBranch = main\n",
        )
        .expect("git configuration");
        world
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// A path inside the world.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// A path that a Runner under test and the test share, where its manifest has
    /// `shared_memory = true`.
    pub fn shared(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.shared.path().join(relative)
    }

    pub fn write(&self, relative: impl AsRef<Path>, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("folder");
        std::fs::write(&path, text).expect("file");
        path
    }

    pub fn read(&self, relative: impl AsRef<Path>) -> String {
        let path = self.path(relative);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// PATH with a folder of the world in front, for programs that stand in for real ones.
    pub fn path_led_by(&self, folder: impl AsRef<Path>) -> std::ffi::OsString {
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.path(folder)).chain(std::env::split_paths(&inherited));
        std::env::join_paths(folders).expect("a PATH")
    }

    /// A command of this world: frozen HOME and git configuration, nothing inherited that could
    /// change the outcome.
    pub fn command(&self, program: impl AsRef<OsStr>, directory: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path(directory))
            .env("HOME", self.home())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("NO_COLOR", "1")
            .env_remove("AGENT_NOW")
            .env_remove("AGENT_SKIP_HOOKS")
            .stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GIT_") && name != "GIT_CONFIG_NOSYSTEM" {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs any command to its end.
    pub fn finish(command: &mut Command) -> Ended {
        let shown = format!("{command:?}");
        let output = command.output().unwrap_or_else(|error| panic!("{shown}: {error}"));
        Ended {
            shown,
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// `agent ARGS` in a folder of the world.
    pub fn agent<A: AsRef<OsStr>>(
        &self,
        directory: impl AsRef<Path>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Ended {
        Self::finish(self.command(AGENT, directory).args(arguments))
    }

    /// `git ARGS` in a folder of the world; it must succeed. Gives stdout, trimmed.
    #[track_caller]
    pub fn git<A: AsRef<OsStr>>(
        &self,
        directory: impl AsRef<Path>,
        arguments: impl IntoIterator<Item = A>,
    ) -> String {
        Self::finish(self.command("git", directory).args(arguments))
            .ok()
            .stdout
            .trim_end()
            .to_owned()
    }
}
