//! A repository whose `v0.1.0` is served, made with git only, so that tests of a verb need no other
//! verb.

use crate::world::{AGENT, Ended, World, source_root};
use agent_core::state::journal::{self, Record};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The repository's folder in the world.
pub const FOLDER: &str = "agent repo ü";

pub struct Served {
    pub world: World,
}

impl Served {
    /// From the template `minimal`, with these files in place of, or besides, its own.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let world = World::new();
        let templates = source_root().join("templates");
        copy(&templates.join("minimal"), &world.path(FOLDER));
        copy(&templates.join("runtime/agent_runtime"), &world.path(FOLDER).join("agent_runtime"));
        world.write(
            Path::new(FOLDER).join(".gitignore"),
            "state/staging.state.json\n.agent/\n__pycache__/\n",
        );
        for (path, text) in files {
            world.write(Path::new(FOLDER).join(path), text);
        }
        let served = Self { world };
        served.git(["init", "--quiet", "--initial-branch=main"]);
        served.git(["add", "--all"]);
        served.release("0.1.0");
        served
    }

    pub fn new() -> Self {
        Self::with(&[])
    }

    /// Commits what is staged and serves it as this version, under its own state.
    pub fn release(&self, version: &str) {
        self.release_under("HEAD", version);
    }

    /// Like `release`, under the state of another commit.
    pub fn release_under(&self, state_of: &str, version: &str) {
        let named = format!(
            "Agent-Kind: release\n\
            Agent-Version: {version}\n\
            Agent-Eval: sha256:00\n\
            Agent-Gate: sha256:00"
        );
        if self.git(["branch", "--list", "active"]).is_empty() {
            let trailers = format!(
                "{named}\nAgent-State: {}",
                self.git(["hash-object", "state/active.state.json"])
            );
            self.git(["commit", "--quiet", "--message", "a version", "--message", &trailers]);
            self.git(["branch", "active"]);
            self.git(["tag", &format!("v{version}")]);
            return;
        }
        if !self.git(["diff", "--cached", "--name-only"]).is_empty() {
            self.git(["commit", "--quiet", "--message", "a source"]);
        }
        let base = self.git(["rev-parse", "active"]);
        let state = self.git(["rev-parse", &format!("{state_of}:state/active.state.json")]);
        let trailers = format!("{named}\nAgent-Base: {base}\nAgent-State: {state}");
        self.git([
            "update-index",
            "--cacheinfo",
            &format!("100644,{state},state/active.state.json"),
        ]);
        let tree = self.git(["write-tree"]);
        self.git(["read-tree", "HEAD"]);
        let commit = self.git([
            "commit-tree",
            &tree,
            "-p",
            &base,
            "-p",
            "HEAD",
            "-m",
            "a version",
            "-m",
            &trailers,
        ]);
        self.git(["branch", "--force", "active", &commit]);
        self.git(["tag", &format!("v{version}"), &commit]);
    }

    pub fn git<const N: usize>(&self, arguments: [&str; N]) -> String {
        self.world.git(FOLDER, arguments)
    }

    pub fn agent<const N: usize>(&self, arguments: [&str; N]) -> Ended {
        self.world.agent(FOLDER, arguments)
    }

    pub fn command(&self) -> Command {
        self.world.command(AGENT, FOLDER)
    }

    /// `agent ARGS` with this on stdin.
    pub fn agent_given<const N: usize>(&self, arguments: [&str; N], stdin: &str) -> Ended {
        let input = self.world.write("stdin", stdin);
        let input = std::fs::File::open(input).expect("what was just written");
        World::finish(self.command().args(arguments).stdin(Stdio::from(input)))
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.world.path(FOLDER).join(relative)
    }

    pub fn staging(&self) -> Value {
        self.agent(["state", "show", "--json"]).ok().json()["state"].clone()
    }

    /// The Journal's records up to its last complete group.
    pub fn records(&self) -> Vec<Record> {
        match std::fs::read(self.path(".agent/journal/current.jsonl")) {
            Ok(bytes) => journal::records(&bytes).expect("the Journal is whole up to its end"),
            Err(_) => Vec::new(),
        }
    }
}

/// A signals file: one JSON document a line.
pub fn json_lines(documents: impl IntoIterator<Item = Value>) -> String {
    documents.into_iter().map(|document| document.to_string() + "\n").collect::<Vec<_>>().concat()
}

/// Copies a folder, without what Python leaves in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("folder");
    for entry in
        std::fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()))
    {
        let entry = entry.expect("a folder entry");
        let target = to.join(entry.file_name());
        if entry.file_name() == "__pycache__" {
        } else if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("file");
        }
    }
}
