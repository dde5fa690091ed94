use crate::context::Context;
use crate::exit::Exit;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The shell to complete in
    shell: clap_complete::Shell,
}

/// `command` is the whole command line.
pub fn run(arguments: &Arguments, mut command: clap::Command, context: &Context) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "agent", &mut script);
    context.printer.verbatim(&script);
    Exit::Done
}
