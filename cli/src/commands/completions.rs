use crate::arguments;
use agent_core::diagnose::Exit;
use clap::CommandFactory;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The shell to complete in
    shell: clap_complete::Shell,
}

pub fn run(arguments: &Arguments) -> Exit {
    let mut command = arguments::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "agent", &mut std::io::stdout());
    Exit::Done
}
