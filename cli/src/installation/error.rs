//! Why a host's configuration cannot be changed.

use super::host::{Host, Scope};
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_engine::world::fs::FsError;
use agent_engine::world::process::ProcessError;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    #[error("{}{}: {message}", file.display(), place(*line, *column))]
    Broken { file: PathBuf, line: usize, column: usize, message: String },
    #[error("{} has a server `{name}` already, and it is not `agent`", file.display())]
    Taken { file: PathBuf, name: String },
    #[error("the server `{name}` in {} does not lead to this repository", file.display())]
    NotOwn { file: PathBuf, name: String },
    #[error("{} has no {} configuration", host.as_str(), scope.as_str())]
    NoScope { host: Host, scope: Scope },
    #[error("the configuration of {} supports no server at a URL", host.as_str())]
    NoUrl { host: Host },
    #[error("{} cannot read a token from a variable, so its configuration needs the token itself, \
        and `{variable}` is not set", host.as_str())]
    NoToken { host: Host, variable: String },
    #[error("the configuration of {} cannot refer to environment variables, and `{variable}` has \
        no value", host.as_str())]
    NoReference { host: Host, variable: String },
    #[error("cannot determine your home folder, or the path of `agent` itself")]
    NoHome,
    #[error("{} was changed by another program at the same time", .0.display())]
    Overtaken(PathBuf),
    #[error(transparent)]
    Command(#[from] ProcessError),
    #[error(transparent)]
    Fs(#[from] FsError),
}

fn place(line: usize, column: usize) -> String {
    if line == 0 { String::new() } else { format!(":{line}:{column}") }
}

impl Diagnose for InstallationError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Broken { .. } | Self::Taken { .. } | Self::NotOwn { .. } => FailureKind::Input,
            Self::NoScope { .. }
            | Self::NoUrl { .. }
            | Self::NoToken { .. }
            | Self::NoReference { .. } => FailureKind::Usage,
            Self::NoHome => FailureKind::Surroundings,
            Self::Overtaken(_) => FailureKind::Conflict,
            Self::Command(error) => error.kind(),
            Self::Fs(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Broken { .. } => Some(
                "fix it and run this command again; the file was not \
                changed"
                    .to_owned(),
            ),
            Self::Taken { .. } => Some(
                "choose another name with `--name`, or remove that server first; the file was \
                    not changed"
                    .to_owned(),
            ),
            Self::NotOwn { .. } => Some(
                "name the one you mean with `--name`, or `--http URL` for a server at a URL; the \
                    file was not changed"
                    .to_owned(),
            ),
            Self::NoScope { .. } => Some("run it without `--scope`".to_owned()),
            Self::NoUrl { .. } => Some(
                "run it without `--http`; the host then starts `agent` \
                itself"
                    .to_owned(),
            ),
            Self::NoToken { variable, .. } => Some(format!(
                "set {variable} to the server's token \
                and run this command again"
            )),
            Self::NoReference { variable, .. } => Some(format!(
                "write the value with `--env {variable}=VALUE`, or set the variable \
                    for the host itself"
            )),
            Self::NoHome => None,
            Self::Overtaken(_) => Some("nothing was changed; run this command again".to_owned()),
            Self::Command(_) => {
                Some("run it with `--edit` to edit the configuration directly".to_owned())
            }
            Self::Fs(error) => error.hint(),
        }
    }
}
