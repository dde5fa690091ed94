use crate::error::{CommandError, CommandResult};
use crate::world::{env, guard, process, sandbox};
use agent_core::diagnose::Exit;
use std::ffi::OsString;
use std::path::PathBuf;

/// Start a program that ends when `agent` does, with all it started
///
/// Every child of `agent` is started through this verb, which stays as its guard.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The one folder the program may write, where the kernel can hold it to that
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    #[arg(required = true, last = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

pub fn run(arguments: &Arguments) -> CommandResult {
    let gone = |error: std::io::Error| CommandError::new(Exit::Surroundings, error.to_string());
    process::hear_of_the_end_of(env::parent_pid(), guard::END).map_err(gone)?;
    if let Some(scratch) = &arguments.scratch {
        sandbox::confine(scratch)?;
    }
    guard::end_as(guard::guard(&arguments.command)?)
}
