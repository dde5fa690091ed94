use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_engine::error::Failure;

/// Print the manual page (roff), or one for a single verb
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The verb [default: the page of `agent` itself]
    verb: Option<String>,
}

/// `command` is the whole command line.
pub fn run(arguments: &Arguments, mut command: clap::Command, context: &Context) -> CommandResult {
    command.build();
    let page = match &arguments.verb {
        None => command,
        Some(verb) => command
            .find_subcommand(verb)
            .cloned()
            .ok_or_else(|| Failure::usage(format!("`{verb}` is not a verb of `agent`")))?,
    };
    let mut roff = Vec::new();
    clap_mangen::Man::new(page).render(&mut roff).expect("writing to memory succeeds");
    context.printer.verbatim(&roff);
    Ok(Exit::Done)
}
