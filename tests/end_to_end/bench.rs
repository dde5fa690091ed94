//! A small agent repository around one Runner, for tests of what serves it.

use crate::pipes::Pipes;
use crate::world::{AGENT, World, source_root};
use agent_core::version::Kind;
use agent_core::version::trailers::Trailers;
use agent_engine::world::git::{CommitSpec, Git, Publication, Published, STATE_FILE};
use semver::Version;
use std::process::Command;

/// A Runner on `agent_runtime` that behaves in many ways.
pub const RUNNER: &str = include_str!("programs/runner.py");
/// A server of another make, that misbehaves in some.
pub const PLAIN: &str = include_str!("programs/plain.py");

pub const FOLDER: &str = "an agent/ä";

pub struct Bench {
    pub world: World,
}

impl Bench {
    /// The Runner's program; the state is `{"weight": 1}`.
    pub fn new(runner: &str) -> Self {
        let bench = Self { world: World::new() };
        bench.manifest("start_s = 30\ncall_s = 30");
        bench.program("runner", runner);
        bench.state(1);
        bench.world.git(FOLDER, ["init", "--quiet"]);
        bench
    }

    pub fn manifest(&self, limits: &str) {
        let manifest = format!(
            "schema = \"agent/manifest@1\"\n\
            name = \"bench\"\n\
            [runner]\n\
            command = [\"python\", \"runner.py\"]\n\
            [tuner]\n\
            command = [\"python\", \"tuner.py\"]\n\
            [limits]\n\
            {limits}\n"
        );
        self.world.write(format!("{FOLDER}/agent.toml"), manifest);
    }

    pub fn program(&self, name: &str, text: &str) {
        self.world.write(format!("{FOLDER}/{name}.py"), text);
    }

    pub fn state(&self, weight: u64) {
        self.world.write(
            format!("{FOLDER}/state/active.state.json"),
            format!("{{\n  \"weight\": {weight}\n}}\n"),
        );
    }

    /// Releases the repository as v0.1.0 on `active`.
    pub fn release(&self) {
        self.world.git(FOLDER, ["add", "-A"]);
        self.world.git(FOLDER, ["commit", "--quiet", "-m", "all"]);
        let git = Git::discover(&self.world.path(FOLDER)).unwrap();
        let main = git.expect("HEAD").unwrap();
        let version = Version::new(0, 1, 0);
        let trailers = Trailers {
            kind: Some(Kind::Release),
            version: Some(version.clone()),
            state: Some(git.write_blob(&git.read(&main, STATE_FILE).unwrap().unwrap()).unwrap()),
            eval: Some("sha256:00".to_owned()),
            ..Trailers::default()
        };
        let tree = git.tree_of(&main).unwrap();
        let commit = git
            .write_commit(&CommitSpec {
                tree,
                parents: vec![main],
                message: trailers.message("v0.1.0", ""),
            })
            .unwrap();
        let publication =
            Publication { branch: "active".to_owned(), expect: None, commit, version };
        assert_eq!(git.publish(&publication).unwrap().value, Published::Done);
    }

    /// `agent ARGUMENTS`, with the runtime importable.
    pub fn agent(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.command(AGENT, FOLDER);
        command.args(arguments).env("PYTHONPATH", source_root().join("templates/runtime"));
        command
    }

    pub fn shim(&self) -> Pipes {
        Pipes::start(&mut self.agent(&["mcp", "runner", "--at", "worktree"]))
    }

    /// A shim with an initialized host.
    pub fn greeted(&self) -> Pipes {
        let mut shim = self.shim();
        shim.initialize("2025-11-25");
        shim
    }
}
