//! Removes servers from the configuration of a host.

use super::change::{Change, broken};
use super::document::{LeadsTo, Problem, without_entry};
use super::error::InstallationError;
use super::file_of;
use super::host::{Host, Scope};
use std::path::PathBuf;

/// The servers to remove, and the host.
#[derive(Debug)]
pub struct Request {
    pub host: Host,
    pub scope: Scope,
    pub names: Vec<String>,
    pub repository: PathBuf,
    /// What their entries lead to, where it is not the repository.
    pub url: Option<String>,
    /// Edit the configuration, without the host's own command.
    pub edit: bool,
}

#[derive(Debug)]
pub struct Plan {
    /// Each name, and whether the configuration has it for this repository.
    pub servers: Vec<(String, bool)>,
    /// Names whose servers lead elsewhere: they are left alone.
    pub foreign: Vec<String>,
    pub change: Change,
}

/// Reads the host's configuration and plans the change.
pub fn plan(request: &Request) -> Result<Plan, InstallationError> {
    let file = file_of(request.host, request.scope, &request.repository)?;
    let (mut change, mut text) = Change::of(file, &request.repository)?;
    let folder = request.repository.to_string_lossy();
    let leads_to = match &request.url {
        Some(url) => LeadsTo::Url(url),
        None => LeadsTo::Repository(&folder),
    };
    let (mut servers, mut foreign) = (Vec::new(), Vec::new());
    let (format, key) = (request.host.format(), request.host.key());
    for name in &request.names {
        let without = match without_entry(&text, format, key, (name, leads_to)) {
            Ok(without) => without,
            Err(Problem::Taken { name }) => {
                foreign.push(name);
                continue;
            }
            Err(Problem::Broken { line, column, message }) => {
                return Err(broken(&change.file, line, column, message));
            }
        };
        servers.push((name.clone(), without.is_some()));
        text = without.unwrap_or(text);
    }
    if let (Some(name), true) = (foreign.first(), servers.iter().all(|(_, is_there)| !is_there)) {
        return Err(InstallationError::NotOwn { file: change.file, name: name.clone() });
    }
    change.after = text;
    if !request.edit {
        let there = servers.iter().filter(|(_, is_there)| *is_there);
        change.use_commands(there.map(|(name, _)| request.host.removal(request.scope, name)));
    }
    Ok(Plan { servers, foreign, change })
}

impl Plan {
    pub fn changes(&self) -> bool {
        self.servers.iter().any(|(_, is_there)| *is_there)
    }

    /// Returns the backup of an edited configuration, and whether the servers are gone from it.
    pub fn carry_out(
        &self,
        request: &Request,
    ) -> Result<(Option<PathBuf>, bool), InstallationError> {
        if !self.changes() {
            return Ok((None, true));
        }
        let backup = self.change.carry_out()?;
        let is_gone = match plan(request) {
            Ok(plan) => !plan.changes(),
            Err(error) => matches!(error, InstallationError::NotOwn { .. }),
        };
        Ok((backup, is_gone || self.change.commands.is_empty()))
    }
}
