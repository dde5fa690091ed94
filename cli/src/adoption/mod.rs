//! `agent adopt`: an existing repository with an MCP server becomes an agent repository. The server
//! is not changed.
//!
//! `observed` reads the repository. The files are then written, and the server is started as a tier
//! starts it and called (`trying`). A failure removes everything that was written (`footprint`).

pub mod footprint;
mod observed;
mod recording;
mod trying;

pub use observed::{Adoption, Options, Requirements, is_adopted};
pub use recording::{CASES as RECORDED, Gathering, Made};

use crate::context::Context;
use crate::report::progress::Steps;
use crate::scaffold::{self, ignoring};
use agent_core::adoption::package::{self, Package};
use agent_core::adoption::{self as rules, Lack};
use agent_core::formats::canonical;
use agent_core::formats::first_version::FIRST;
use agent_core::formats::manifest;
use agent_core::overlay;
use agent_core::version::tag;
use agent_core::version::what::What;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::repository::githooks::Hooks;
use agent_engine::templates::{self, NewFile};
use agent_engine::world::fs::{self, FsError};
use agent_engine::world::git::Git;
use agent_engine::world::git_command::GitCommand;
use agent_engine::world::layout::Layout;
use agent_engine::world::node::{self, MODULES};
use agent_engine::world::process::Run;
use agent_engine::world::python::{self, Installer, Interpreter, Locked, Locking};
use agent_engine::world::toolchain::Toolchain;
use footprint::Footprint;
use observed::{NodePackages, YARN_LOCK};
use semver::Version;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use trying::Tried;

pub const LOCK: &str = "requirements.lock";
const STATE: &str = "state/active.state.json";
const SCHEMA: &str = "state/schema.json";
const BUDGETS: &str = "ci/budgets.json";
const CASES: &str = "tests/micro/adopted.jsonl";
const CASES_README: &str = "tests/micro/README.md";

/// The template's file.
const MIGRATIONS: &str = include_str!("../../../templates/minimal/state/migrations/README.md");

const ABOUT_CASES: &str = "\
# First cases

`adopted.jsonl` was recorded by `agent adopt`: one test case a line. `agent test` runs them. A new
version is made only where they pass.

- `TOOL-answers` calls a tool with arguments that its schema suggests. Where two processes gave
  the same answer, it is expected again (`equals`); where they did not, or the answer holds the
  time or a folder, any valid answer passes (`schema`).
- `TOOL-fails` exists where no call of any tool succeeded: it expects the error that occurred.
  Replace it first.
- `recorded.jsonl` has the calls of a host, where `agent adopt --record` recorded some
  (`TOOL-recorded-N`), with the same two kinds of expectation.
- `TOOL-needs-ARGUMENT` calls a tool without a required argument, and expects an error that names
  it.

The calls were made without a network and with empty folders, as in tests, so a tool that needs
more has no case yet. Write some, and replace those that check little:
`{\"id\": \"...\", \"tool\": \"...\", \"arguments\": {}, \"expect\": {\"equals\": \"...\"}}`.
";

/// An adoption's result.
#[derive(Debug)]
pub struct Adopted {
    pub files: Vec<String>,
    pub command: Vec<String>,
    pub first_version: Version,
    tried: Tried,
}

impl Adopted {
    pub fn tools(&self) -> &[String] {
        &self.tried.tools
    }

    pub fn cases(&self) -> usize {
        self.tried.cases.len()
    }

    pub fn untested(&self) -> Vec<&str> {
        self.tried.untested()
    }

    pub fn server(&self) -> &Value {
        &self.tried.server
    }
}

/// The known parts of the manifest.
struct Draft<'a> {
    adoption: &'a Adoption,
    command: Vec<String>,
    requires: String,
    lock: Option<&'static str>,
    version: Option<String>,
    first: Version,
    limits: (u32, u32),
}

impl Draft<'_> {
    fn file(&self) -> NewFile {
        let manifest = rules::Manifest {
            name: &self.adoption.name,
            first_version: Some(&self.first).filter(|first| **first != FIRST),
            command: &self.command,
            requires: &self.requires,
            lock: self.lock,
            project: self.adoption.project.as_deref(),
            version: self.version.as_deref(),
            node_lock: self.adoption.node.as_ref().map(NodePackages::lock),
            env: &self.adoption.env,
            start_s: self.limits.0,
            call_s: self.limits.1,
        };
        NewFile::new(manifest::FILE, manifest.text())
    }
}

impl Adoption {
    /// Writes all files, or none.
    pub fn carry_out(&self, context: &Context, steps: &Steps<'_>) -> Result<Adopted, Failure> {
        self.refuse_overwriting()?;
        let mut footprint =
            Footprint::begin(&self.folder, Layout::new(&self.folder).adoption(), None)?;
        match self.adopt(&mut footprint, context, steps) {
            Ok(adopted) => {
                footprint.keep()?;
                Ok(adopted)
            }
            Err(error) => {
                footprint.undo()?;
                Err(error)
            }
        }
    }

    fn adopt(
        &self,
        footprint: &mut Footprint,
        context: &Context,
        steps: &Steps<'_>,
    ) -> Result<Adopted, Failure> {
        let layout = Layout::new(&self.folder);
        let place = layout.temporary_folder("adopt")?;
        let (mut draft, installer) = self.draft(footprint, &layout, place.path(), steps)?;
        let modules = match &self.node {
            Some(node) => node.lock_in(&self.folder, place.path(), footprint, steps)?,
            None => None,
        };
        self.write_common_files(footprint)?;
        footprint.write(&draft.file())?;
        self.install(&mut draft, footprint, (&layout, installer, modules), steps)?;
        steps.begin("starting the server: listing its tools and recording calls as test cases");
        let tried = try_server(&mut draft, footprint, &context.repository()?, steps)?;
        draft.limits = tried.measured.limits();
        for file in [
            draft.file(),
            cases_file(&tried),
            NewFile::new(CASES_README, ABOUT_CASES),
            budgets_file(&tried),
        ] {
            footprint.write(&file)?;
        }
        Hooks::of(&self.folder)?.install()?;
        Ok(Adopted {
            files: footprint.paths(),
            command: draft.command,
            first_version: draft.first,
            tried,
        })
    }

    /// The manifest as far as the project tells it, with its packages locked; and their installer.
    fn draft(
        &self,
        footprint: &mut Footprint,
        layout: &Layout,
        place: &Path,
        steps: &Steps<'_>,
    ) -> Result<(Draft<'_>, Installer), Failure> {
        let bare = python::find(layout, &self.requires)?;
        let needs_packages = !matches!(self.requirements, Requirements::None);
        let installer = if needs_packages {
            Installer::fetched(&bare, place, &|step| steps.begin(step))
        } else {
            Installer::found(&bare)
        };
        let mut draft = Draft {
            adoption: self,
            command: self.command.clone(),
            requires: self.requires.clone(),
            lock: None,
            version: None,
            first: FIRST,
            limits: rules::Measured::default().limits(),
        };
        if needs_packages {
            self.lock(&mut draft, footprint, (&installer, &bare, place), steps)?;
        }
        if self.version_is_computed {
            draft.version = self.computed_version(&installer, &bare, place);
        }
        let git = Git::discover(&self.folder)?;
        let is_tagged = |version: &Version| {
            git.reference(&format!("refs/tags/{}", tag(version)))
                .is_ok_and(|tagged| tagged.is_some())
        };
        let first =
            rules::first_version(self.version.as_deref().or(draft.version.as_deref()), is_tagged);
        first.why.iter().for_each(|why| steps.say(why));
        draft.first = first.version;
        Ok((draft, installer))
    }

    /// Makes the environment here with the installer, for the children to use.
    fn install(
        &self,
        draft: &mut Draft<'_>,
        footprint: &mut Footprint,
        (layout, installer, modules): (&Layout, Installer, Option<PathBuf>),
        steps: &Steps<'_>,
    ) -> Result<(), Failure> {
        let manifest = manifest::Manifest::parse(
            &String::from_utf8_lossy(&draft.file().bytes),
            manifest::FILE,
        )?;
        if let (Some(made), Some(node)) = (modules, &manifest.node) {
            let read = |path: &Path| Ok(fs::read_if_there(&self.folder.join(path))?);
            node::Packages::of::<node::NodeError>(layout, node, read)?.take(&made)?;
        }
        let step = |step: &str| steps.begin(step);
        Toolchain::by(|_| installer, layout, &self.folder, &manifest, &step)?;
        if let Some(NodePackages::Named { .. }) = &self.node {
            draft.command[0] = program_of(layout, &self.folder, &manifest, &draft.command[0])?;
            footprint.write(&draft.file())?;
        }
        Ok(())
    }

    fn lock(
        &self,
        draft: &mut Draft<'_>,
        footprint: &mut Footprint,
        (installer, bare, place): (&Installer, &Interpreter, &Path),
        steps: &Steps<'_>,
    ) -> Result<(), Failure> {
        draft.lock = Some(LOCK);
        let Requirements::LockInputs { wanted, .. } = &self.requirements else { return Ok(()) };
        steps.begin("locking its packages");
        let locking = |requires: &str| {
            Locking { by: installer, folder: &self.folder, place, bare, requires }.lock(wanted)
        };
        let built = Built::before(&self.folder)?;
        let locked = locking(&draft.requires);
        built.remove()?;
        let locked = match locked {
            Ok(locked) => locked,
            // a package may require a newer Python than the oldest that is assumed where none is
            // named
            Err(error) if self.requires_is_assumed => {
                let own = format!(">={}", minor(&bare.version));
                let locked = locking(&own);
                built.remove()?;
                let locked = locked.map_err(|_| error)?;
                draft.requires = own;
                locked
            }
            Err(error) => return Err(error.into()),
        };
        let Locked { mut bytes, is_local } = locked;
        if is_local {
            draft.requires = format!("=={}.*", minor(&bare.version));
            steps.say(&format!(
                "{LOCK} is valid for Python {} on this platform only; install `uv` and adopt again \
                for a lock of all platforms",
                minor(&bare.version)
            ));
        }
        if bytes.is_empty() {
            bytes = b"# no packages\n".to_vec();
        }
        Ok(footprint.write(&NewFile::new(LOCK, bytes))?)
    }

    /// The version that the build backend computes, in a clone, since building leaves files; `None`
    /// where the build fails.
    fn computed_version(
        &self,
        installer: &Installer,
        bare: &Interpreter,
        place: &Path,
    ) -> Option<String> {
        let (clone, wheels) = (place.join("clone"), place.join("wheels"));
        let git = GitCommand::isolated(&self.folder)
            .run()
            .args(["clone", "--quiet", "--local", "."])
            .arg(&clone);
        git.succeed().ok()?;
        let build = match installer {
            Installer::Uv { program, .. } => Run::new(program)
                .args(["build", "--quiet", "--wheel", "--python"])
                .arg(&bare.executable),
            Installer::Pip => Run::new(&bare.executable).args([
                "-I",
                "-m",
                "pip",
                "wheel",
                "--quiet",
                "--no-deps",
                ".",
            ]),
        };
        let to = if matches!(installer, Installer::Pip) { "--wheel-dir" } else { "--out-dir" };
        build.directory(&clone).arg(to).arg(&wheels).succeed().ok()?;
        let wheel = fs::names(&wheels)
            .ok()?
            .into_iter()
            .find(|name| Path::new(name).extension().is_some_and(|end| end == "whl"))?;
        wheel.split('-').nth(1).map(str::to_owned)
    }

    /// Writes the files of every adopted repository besides its manifest, its lock and its cases.
    fn write_common_files(&self, footprint: &mut Footprint) -> Result<(), Failure> {
        let mut ignored =
            ignoring(&fs::read_if_there(&self.folder.join(".gitignore"))?.unwrap_or_default());
        if self.node.is_some() && !GitCommand::isolated(&self.folder).ignores(MODULES)? {
            ignored.extend_from_slice(format!("{MODULES}\n").as_bytes());
        }
        footprint.write(&NewFile::new(".gitignore", ignored))?;
        for file in self.common_files() {
            footprint.write(&file)?;
        }
        Ok(())
    }

    fn common_files(&self) -> Vec<NewFile> {
        let mut files = templates::runtime();
        files.push(NewFile::new(STATE, canonical::to_bytes(&first_state())));
        files.push(NewFile::new(SCHEMA, pretty(&schema(&self.name))));
        files.push(NewFile::new("state/migrations/README.md", MIGRATIONS));
        files.push(NewFile::new(BUDGETS, pretty(&rules::Measured::default().budgets())));
        files.push(NewFile::new(scaffold::WORKFLOW_FILE, scaffold::WORKFLOW));
        files
    }

    /// An existing file with other bytes is an error, so that no file of the user is overwritten.
    fn refuse_overwriting(&self) -> Result<(), Failure> {
        let mut files = self.common_files();
        files.extend([CASES, CASES_README].map(|path| NewFile::new(path, "")));
        if matches!(self.requirements, Requirements::LockInputs { .. }) {
            files.push(NewFile::new(LOCK, ""));
        }
        let mut taken = Vec::new();
        for file in files {
            if fs::read_if_there(&self.folder.join(&file.path))?
                .is_some_and(|there| there != file.bytes)
            {
                taken.push(file.path.display().to_string());
            }
        }
        if taken.is_empty() {
            return Ok(());
        }
        Err(Failure::input(format!(
            "these files exist already with other content: {}",
            taken.join(", ")
        ))
        .with_hint("move or remove them, then run `agent adopt` again; nothing was written"))
    }
}

/// Files that a build backend leaves in the code's folder.
struct Built {
    folders: [PathBuf; 2],
    /// What existed before.
    there: Vec<PathBuf>,
}

impl Built {
    fn before(folder: &Path) -> Result<Self, FsError> {
        let mut built =
            Self { folders: [folder.to_owned(), folder.join("src")], there: Vec::new() };
        built.there = built.found()?;
        Ok(built)
    }

    fn found(&self) -> Result<Vec<PathBuf>, FsError> {
        let is_built = |name: &String| {
            name == "build" || Path::new(name).extension().is_some_and(|end| end == "egg-info")
        };
        let mut found = Vec::new();
        for folder in &self.folders {
            found.extend(
                fs::names(folder)?.into_iter().filter(is_built).map(|name| folder.join(name)),
            );
        }
        Ok(found)
    }

    fn remove(&self) -> Result<(), FsError> {
        self.found()?
            .iter()
            .filter(|path| !self.there.contains(path))
            .try_for_each(|path| fs::remove_stubborn_folder(path))
    }
}

/// Starts the server and calls its tools; once more, with its data in a folder of its own, where it
/// cannot write beside its code.
fn try_server(
    draft: &mut Draft<'_>,
    footprint: &mut Footprint,
    repository: &Repository,
    steps: &Steps<'_>,
) -> Result<Tried, Failure> {
    let target = repository.target_to_test(&What::Worktree)?;
    let error = match Tried::of(&target, repository, steps) {
        Ok(tried) => return Ok(tried),
        Err(error) => error,
    };
    let own = trying::own_files(&target, repository)?;
    with_data_apart(draft, footprint, &own, explained(error), steps)?;
    Tried::of(&repository.target_to_test(&What::Worktree)?, repository, steps)
}

/// For a server that does not start where its code folder is read-only: files that its command
/// names and that it writes move to the data folder.
fn with_data_apart(
    draft: &mut Draft<'_>,
    footprint: &mut Footprint,
    own: &[PathBuf],
    error: Failure,
    steps: &Steps<'_>,
) -> Result<(), Failure> {
    let (command, moved) = rules::with_data_apart(&draft.command, own);
    if moved.is_empty() {
        let Some(first) = own.first() else { return Err(error) };
        return Err(error.with_hint(format!(
            "the server writes `{}` into its code folder, which is read-only in tests and new for \
            each version; make it write to the folder in AGENT_DATA",
            first.display()
        )));
    }
    let warning = format!(
        "the server writes {} into its code folder, which is new for each version; its command now \
        names the data folder, which all versions share",
        moved.join(", ")
    );
    steps.aside(|printer| printer.warn(&warning));
    draft.command = command;
    Ok(footprint.write(&draft.file())?)
}

/// With a hint for what a server most often lacks where it does not start.
fn explained(error: Failure) -> Failure {
    if error.hint.is_some() {
        return error;
    }
    match rules::lack(&error.messages.join("\n")) {
        Some(Lack::Variable(name)) => error.with_hint(format!(
            "the server seems to need the variable {name}: set it, then run `agent adopt` again \
            with `--env {name}`, which passes it on (`--env {name}=VALUE` writes it to agent.toml)"
        )),
        Some(Lack::Network) => error.with_hint(
            "the server seems to need a network to start; nothing was written, so run it again \
            where there is one",
        ),
        None => error,
    }
}

impl NodePackages {
    /// Writes the files of npm that are not there yet; gives back the folder that the packages were
    /// installed in meanwhile.
    fn lock_in(
        &self,
        folder: &Path,
        place: &Path,
        footprint: &mut Footprint,
        steps: &Steps<'_>,
    ) -> Result<Option<PathBuf>, Failure> {
        let made = place.join("npm");
        let mut packages = None;
        let description = match self {
            Self::Locked(_) => return Ok(None),
            Self::Unlocked { other } => {
                other.iter().try_for_each(|other| take_versions(folder, &made, other, steps))?;
                let own = fs::read_if_there(&folder.join(package::FILE))?.unwrap_or_default();
                Package::parse(&own, package::FILE).map_err(node::NodeError::from)?.to_install()
            }
            Self::Named { package } => {
                packages = Some(package);
                pretty(&json!({"private": true})).into_bytes()
            }
        };
        steps.begin("locking and installing its Node packages (npm install)");
        fs::write(&made.join(package::FILE), &description)?;
        node::install(&made, folder, packages)?;
        if packages.is_some() {
            let description = fs::read_if_there(&made.join(package::FILE))?.unwrap_or_default();
            footprint.write(&NewFile::new(package::FILE, description))?;
        }
        let lock = fs::read_if_there(&made.join(self.lock()))?.unwrap_or_default();
        footprint.write(&NewFile::new(self.lock(), lock))?;
        Ok(Some(made))
    }
}

/// Makes npm use the versions of another tool's lock where it can read that; otherwise this is
/// reported.
fn take_versions(folder: &Path, made: &Path, lock: &str, steps: &Steps<'_>) -> Result<(), Failure> {
    let bytes = fs::read_if_there(&folder.join(lock))?.unwrap_or_default();
    if lock == YARN_LOCK && package::npm_reads(&String::from_utf8_lossy(&bytes)) {
        return Ok(fs::write(&made.join(lock), &bytes)?);
    }
    steps.say(&format!(
        "npm cannot read {lock}, so versions are chosen from package.json and locked in \
        package-lock.json"
    ));
    Ok(())
}

/// The program of a package that `npx` would run.
fn program_of(
    layout: &Layout,
    folder: &Path,
    manifest: &manifest::Manifest,
    package: &str,
) -> Result<String, Failure> {
    let Some(node) = &manifest.node else { return Ok(package.to_owned()) };
    let read = |path: &Path| fs::read_if_there(&folder.join(path)).map_err(Failure::from);
    let installed = node::Packages::of(layout, node, read)?.modules();
    let description = fs::read_if_there(&installed.join(package).join(package::FILE))?;
    let found = description
        .and_then(|bytes| rules::program_of(&Package::parse(&bytes, package::FILE).ok()?));
    Ok(found.unwrap_or_else(|| package.to_owned()))
}

/// `3.12` of `3.12.1`.
fn minor(version: &str) -> &str {
    version.rsplit_once('.').map_or(version, |(minor, _)| minor)
}

fn cases_file(tried: &Tried) -> NewFile {
    let lines: String =
        tried.cases.iter().flat_map(|case| [case.to_string(), "\n".to_owned()]).collect();
    NewFile::new(CASES, lines)
}

fn budgets_file(tried: &Tried) -> NewFile {
    NewFile::new(BUDGETS, pretty(&tried.measured.budgets()))
}

fn first_state() -> Value {
    json!({"schema_version": 1})
}

fn schema(name: &str) -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "Raise x-schema-version and the const of schema_version together, and add a \
        step in state/migrations.",
        "x-schema-version": 1,
        "title": format!("What {name} has learned"),
        "type": "object",
        "required": ["schema_version"],
        "properties": {"schema_version": {"const": 1}},
    });
    overlay::add_to_schema(&mut schema);
    schema
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a JSON value serialises") + "\n"
}
