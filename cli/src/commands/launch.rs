use crate::error::{CommandError, CommandResult};
use crate::world::{env, process};
use agent_core::diagnose::Exit;
use std::ffi::OsString;

/// Start a program that ends when `agent` does
///
/// Every child of `agent` is started through this verb: it asks the kernel for the death signal and then becomes the program.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(required = true, last = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

pub fn run(arguments: &Arguments) -> CommandResult {
    process::end_with_parent(env::parent_pid()).map_err(|error| CommandError::new(Exit::Surroundings, error.to_string()))?;
    Err(process::become_program(&arguments.command).into())
}
