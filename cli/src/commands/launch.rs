use crate::error::{CommandError, CommandResult};
use crate::world::{env, process, sandbox};
use agent_core::diagnose::Exit;
use std::ffi::OsString;
use std::path::PathBuf;

/// Start a program that ends when `agent` does
///
/// Every child of `agent` is started through this verb: it asks the kernel for the death signal and then becomes the program.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The one folder the program may write, where the kernel can hold it to that
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    #[arg(required = true, last = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

pub fn run(arguments: &Arguments) -> CommandResult {
    process::end_with_parent(env::parent_pid()).map_err(|error| CommandError::new(Exit::Surroundings, error.to_string()))?;
    if let Some(scratch) = &arguments.scratch {
        sandbox::confine(scratch)?;
    }
    Err(process::become_program(&arguments.command).into())
}
