//! The terminal of `agent`: arguments, verbs, reports. `agent_engine` implements the verbs,
//! `agent_serve` the servers.

pub mod adoption;
pub mod applying;
pub mod arguments;
pub mod commands;
pub mod context;
pub mod doctor;
pub mod exit;
pub mod global_flags;
pub mod installation;
pub mod printer;
pub mod report;
pub mod scaffold;
pub mod terminal;

use agent_engine::world;
use std::process::ExitCode;

/// Parses argv, runs the verb, reports its error, and returns the exit code.
pub fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if let Some(exit) = internal_verb() {
        return exit;
    }
    world::inherited::reset();
    let arguments = match arguments::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    world::child_process::announce_launcher();
    let context = context::Context::new(&arguments.global);
    if !arguments.command.is_hook()
        && let Err(error) = world::inherited::leave_hook()
    {
        return context.printer.error(&error.into()).into();
    }
    let ran = world::event_loop::with_event_loops(|| {
        commands::run(&arguments.command, arguments::command, &context)
    });
    world::child_process::wait_if_ended_by_signal();
    let exit = match ran.unwrap_or_else(|error| Err(error.into())) {
        Ok(exit) => exit,
        // stdout of a server belongs to its protocol
        Err(error) if arguments.command.serves_over_stdio() => context.printer.error(&error),
        Err(error) => context.printer.failed(&error),
    };
    world::temporary::remove_all();
    context.printer.end(exit).into()
}

/// The internal verbs, with which `agent` starts itself.
#[cfg(target_os = "linux")]
fn internal_verb() -> Option<ExitCode> {
    use commands::{attempt, launch};
    let printer = printer::Printer::new(false, printer::Volume::Normal, printer::Color::Auto);
    let ended = match launch::from_argv(std::env::args_os()) {
        Some(launch) => launch::run(&launch).unwrap_or_else(|error| printer.error(&error)),
        None => attempt::run(&attempt::from_argv(std::env::args_os())?, &printer),
    };
    Some(ended.into())
}
