//! `agent test`: which of its actions a command line asks for.

mod add;
mod arguments;
mod bless;
mod calibration;
mod comparison;
mod events;
mod from_log;
mod merge;
mod once;
mod reporting;
mod storing;
mod tiers;
mod watch;

pub use arguments::Arguments;

use crate::context::Context;
use crate::exit::CommandResult;
use arguments::Action;

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    match &arguments.action {
        Some(Action::Add(arguments)) => return add::run(arguments, context),
        Some(Action::Merge(arguments)) => return merge::run(arguments, context),
        None => {}
    }
    let repository = context.repository()?;
    let _telemetry = repository.telemetry();
    if let Some(rounds) = arguments.calibrate {
        return calibration::calibrate(arguments, &repository, rounds, context);
    }
    if arguments.watch {
        watch::watch(arguments, &repository, context)
    } else {
        once::once(arguments, &repository, context)
    }
}
