//! `agent init`: a new agent repository is planned as files, then written and committed to a new
//! git repository. After a kill at any time the next `agent init` continues.

use agent_core::formats::canonical;
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_engine::repository::githooks::{HOOKS_ATTRIBUTES, HOOKS_ATTRIBUTES_FILE, HOOKS_FOLDER};
use agent_engine::templates::{self, NewFile, Template};
use agent_engine::world::env;
use agent_engine::world::fs::{self, FsError};
use agent_engine::world::git_command::GitCommand;
use agent_engine::world::layout::Layout;
use agent_engine::world::process::ProcessError;
use agent_hooks::event::HookName;
use agent_hooks::shim::{self, Binary};
use serde_json::json;
use std::path::{Path, PathBuf};

pub const WORKFLOW: &str = include_str!("scaffold/workflow.yml");
pub const WORKFLOW_FILE: &str = ".github/workflows/agent.yml";
/// Ignored paths: what must never be committed, and the files of the examples in `agent test
/// --help`, which would count as a change of the code. `.agent` has no trailing slash, so that a
/// link to a folder on another disk is ignored too.
const IGNORED: [&str; 5] =
    ["state/staging.state.json", ".agent", "/part-*.jsonl", "/report.*", "/junit.xml"];

#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    #[error("{} is not empty: it holds {}", folder.display(), some(names))]
    NotEmpty { folder: PathBuf, names: Vec<String> },
    #[error("{} is a file", .0.display())]
    IsFile(PathBuf),
    #[error(transparent)]
    Git(#[from] ProcessError),
    #[error(transparent)]
    Fs(#[from] FsError),
}

fn some(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let text =
        names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{text} and {} more", names.len() - SHOWN) } else { text }
}

impl Diagnose for ScaffoldError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::NotEmpty { .. } | Self::IsFile(_) => FailureKind::Input,
            Self::Git(error) => error.kind(),
            Self::Fs(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotEmpty { .. } => Some(
                "choose a folder that is empty or missing; use `agent adopt` for an existing \
                    repository"
                    .to_owned(),
            ),
            Self::IsFile(_) => Some("choose a folder, not a file".to_owned()),
            Self::Git(error) => error.hint(),
            Self::Fs(error) => error.hint(),
        }
    }
}

/// The plan of a new repository.
#[derive(Debug)]
pub struct Scaffold {
    pub folder: PathBuf,
    pub name: String,
    pub template: &'static Template,
    pub files: Vec<NewFile>,
    /// The enclosing repository, which will show the new one as untracked.
    pub inside: Option<PathBuf>,
}

/// The progress of an interrupted `agent init`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    Nothing,
    Files,
    Committed,
}

impl Scaffold {
    /// Plans the files for a folder. The folder must be empty, or a repository without commits.
    pub fn plan(folder: &Path, template: &'static Template) -> Result<Self, ScaffoldError> {
        if folder.is_file() {
            return Err(ScaffoldError::IsFile(folder.to_owned()));
        }
        let folder =
            std::path::absolute(folder).map_err(FsError::while_doing("resolve", folder))?;
        let folder: PathBuf = folder.components().collect();
        if !Layout::new(&folder).unfinished().exists() {
            refuse_occupied(&folder)?;
        }
        let name = folder
            .file_name()
            .map_or_else(|| template.name.to_owned(), |name| name.to_string_lossy().into_owned());
        let files = files(template, &name);
        let inside = surrounding(&folder)?;
        Ok(Self { folder, name, template, files, inside })
    }

    /// The steps that `--dry-run` prints.
    pub fn steps(&self) -> Vec<String> {
        vec![
            format!(
                "write {} files from the template {} into {}",
                self.files.len(),
                self.template.name,
                self.folder.display()
            ),
            "git init, branch main".to_owned(),
            format!("set core.hooksPath to {HOOKS_FOLDER}"),
            "commit it on main".to_owned(),
            "run the tests of the first version, then make active and v0.1.0".to_owned(),
        ]
    }

    /// Writes the files and the first commit, or continues an interrupted run; the folder is marked
    /// as unfinished until `finish`.
    pub fn apply(&self) -> Result<(), ScaffoldError> {
        self.mark()?;
        let git = GitCommand::isolated(&self.folder);
        if self.begun(&git)? == Begun::Committed {
            return Ok(());
        }
        for file in &self.files {
            write(&self.folder, file)?;
        }
        put_under_git(&git)?;
        let paths: Vec<_> = self.files.iter().map(|file| file.path.clone()).collect();
        git.add(&paths)?;
        git.commit(&format!("init: {} from the template {}\n", self.name, self.template.name))?;
        Ok(())
    }

    /// Removes the mark: the repository and its first version are complete.
    pub fn finish(&self) -> Result<(), ScaffoldError> {
        Ok(fs::remove_if_there(&Layout::new(&self.folder).unfinished())?)
    }

    fn mark(&self) -> Result<(), FsError> {
        let marker = json!({"schema": "agent/unfinished-init@1", "template": self.template.name});
        fs::write(&Layout::new(&self.folder).unfinished(), marker.to_string().as_bytes())
    }

    fn begun(&self, git: &GitCommand) -> Result<Begun, ScaffoldError> {
        if !self.folder.join(".git").exists() {
            return Ok(if self.folder.join("agent.toml").exists() {
                Begun::Files
            } else {
                Begun::Nothing
            });
        }
        // a killed git leaves its locks; before the first commit no other git uses the repository
        if !git.has_commit()? {
            for lock in ["index.lock", "config.lock", "HEAD.lock"] {
                fs::remove_if_there(&self.folder.join(".git").join(lock))?;
            }
            return Ok(Begun::Files);
        }
        Ok(Begun::Committed)
    }
}

fn put_under_git(git: &GitCommand) -> Result<(), ScaffoldError> {
    git.init()?;
    git.name_unborn_branch("main")?;
    git.set_config("core.hooksPath", HOOKS_FOLDER)?;
    link_binary(git)
}

/// Points the tracked shims of this clone at the running binary.
pub fn link_binary(git: &GitCommand) -> Result<(), ScaffoldError> {
    match env::binary() {
        Some(binary) => Ok(fs::link(&binary, &git.common_dir()?.join(shim::LINK))?),
        None => Ok(()),
    }
}

/// Writes one file of a plan.
pub fn write(root: &Path, file: &NewFile) -> Result<(), FsError> {
    let path = root.join(&file.path);
    fs::write(&path, &file.bytes)?;
    if file.executable { fs::set_mode(&path, 0o755) } else { Ok(()) }
}

/// Refuses a folder that is neither empty nor a repository without commits, as hosting services
/// create them.
fn refuse_occupied(folder: &Path) -> Result<(), ScaffoldError> {
    let names = fs::names(folder)?;
    let fresh_clone = names == [".git"] && !GitCommand::isolated(folder).has_commit()?;
    if names.is_empty() || fresh_clone {
        return Ok(());
    }
    Err(ScaffoldError::NotEmpty { folder: folder.to_owned(), names })
}

fn surrounding(folder: &Path) -> Result<Option<PathBuf>, ScaffoldError> {
    let Some(existing) = folder.ancestors().skip(1).find(|parent| parent.is_dir()) else {
        return Ok(None);
    };
    Ok(GitCommand::isolated(existing).top_level()?)
}

/// All files of a new repository, sorted by path.
fn files(template: &Template, name: &str) -> Vec<NewFile> {
    let mut files = template.files();
    for file in &mut files {
        match file.path.to_str() {
            Some("agent.toml") => file.bytes = named(&file.bytes, name),
            Some("state/active.state.json") => file.bytes = canonical(&file.bytes),
            Some(".gitignore") => file.bytes = ignoring(&file.bytes),
            _ => {}
        }
    }
    files.extend(house_files());
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

/// The files that every agent repository has: the runtime, the hooks, the workflow.
pub fn house_files() -> Vec<NewFile> {
    let shims = HookName::CLIENT.map(|hook| {
        NewFile::new(Path::new(HOOKS_FOLDER).join(hook.as_str()), shim::text(hook, Binary::Linked))
    });
    let mut files = templates::runtime();
    files.extend(shims);
    files.push(NewFile::new(HOOKS_ATTRIBUTES_FILE, HOOKS_ATTRIBUTES));
    files.push(NewFile::new(WORKFLOW_FILE, WORKFLOW));
    files
}

/// The canonical bytes of a state: their blob id is its Revision.
fn canonical(state: &[u8]) -> Vec<u8> {
    serde_json::from_slice(state)
        .map_or_else(|_| state.to_vec(), |value| canonical::to_bytes(&value))
}

/// The manifest with the repository's own name.
fn named(manifest: &[u8], name: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(manifest);
    let quoted = toml::Value::from(name).to_string();
    let lines = text.lines().map(|line| {
        if line.starts_with("name = ") { format!("name = {quoted}\n") } else { format!("{line}\n") }
    });
    lines.collect::<String>().into_bytes()
}

/// A `.gitignore` with the ignored paths added to its own.
pub fn ignoring(bytes: &[u8]) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    for entry in IGNORED {
        let bare = entry.trim_matches('/');
        if !text.lines().any(|line| line.trim().trim_matches('/') == bare) {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(entry);
            text.push('\n');
        }
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::formats::manifest::Manifest;

    #[test]
    fn the_manifest_has_the_folders_name_with_any_characters() {
        for name in ["docs", "ein \"schöner\" Ordner", "back\\slash"] {
            let bytes = named(
                b"schema = \"agent/manifest@1\"\nname = \"x\"\n[runner]\ncommand = [\"python\"]\n",
                name,
            );
            let manifest =
                Manifest::parse(std::str::from_utf8(&bytes).unwrap(), "agent.toml").unwrap();
            assert_eq!(manifest.name, name);
        }
    }

    #[test]
    fn ignored_paths_are_added_once() {
        let whole = "state/staging.state.json\n.agent\n/part-*.jsonl\n/report.*\n/junit.xml\n";
        for (before, after) in [("", whole), (whole, whole), ("*.pyc", &format!("*.pyc\n{whole}"))]
        {
            assert_eq!(String::from_utf8(ignoring(before.as_bytes())).unwrap(), after);
        }
        let written_otherwise =
            b"/.agent\nstate/staging.state.json\nreport.*\npart-*.jsonl\njunit.xml\n";
        assert_eq!(ignoring(written_otherwise), written_otherwise);
    }
}
