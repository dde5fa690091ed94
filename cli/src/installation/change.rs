//! A change of a host's configuration: by the host's own commands, or by an edit of the file.

use crate::installation::error::InstallationError;
use agent_engine::world::fs;
use agent_engine::world::process::Run;
use agent_engine::world::process::on_path;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The suffix of a backup of the configuration.
const KEPT_AS: &str = ".before-agent";

#[derive(Debug)]
pub struct Change {
    pub file: PathBuf,
    /// The host's own commands; empty where the file is edited.
    pub commands: Vec<Vec<String>>,
    before: Option<Vec<u8>>,
    /// The configuration after an edit.
    pub after: String,
    repository: PathBuf,
}

impl Change {
    /// None so far, and the text of the configuration.
    pub fn of(file: PathBuf, repository: &Path) -> Result<(Self, String), InstallationError> {
        let before = fs::read_if_there(&file)?;
        let text = String::from_utf8(before.clone().unwrap_or_default()).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = good.split(|byte| *byte == b'\n').count();
            broken(&file, line, 1, "it is not UTF-8".to_owned())
        })?;
        let (commands, repository) = (Vec::new(), repository.to_owned());
        Ok((Self { file, commands, before, after: text.clone(), repository }, text))
    }

    /// Leaves the change to these commands, where the host has each of them and it is on PATH.
    pub fn use_commands(&mut self, commands: impl Iterator<Item = Option<Vec<String>>>) {
        let is_on_path = |command: &Vec<String>| on_path(OsStr::new(&command[0])).is_some();
        let commands = commands.map(|command| command.filter(is_on_path));
        self.commands = commands.collect::<Option<_>>().unwrap_or_default();
    }

    /// The configuration as it was.
    pub fn before(&self) -> String {
        String::from_utf8_lossy(self.before.as_deref().unwrap_or_default()).into_owned()
    }

    /// Returns the backup of an edited configuration.
    pub fn carry_out(&self) -> Result<Option<PathBuf>, InstallationError> {
        for command in &self.commands {
            Run::new(&command[0]).args(&command[1..]).directory(&self.repository).succeed()?;
        }
        if !self.commands.is_empty() {
            return Ok(None);
        }
        let kept = fs::rewrite(&self.file, self.before.as_deref(), self.after.as_bytes(), KEPT_AS)?;
        let kept = kept.ok_or_else(|| InstallationError::Overtaken(self.file.clone()))?;
        Ok(self.before.is_some().then_some(kept))
    }
}

pub fn broken(file: &Path, line: usize, column: usize, message: String) -> InstallationError {
    InstallationError::Broken { file: file.to_owned(), line, column, message }
}
