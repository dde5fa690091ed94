//! A file per verb: its arguments, its help, and its steps: observe, plan, apply, report.

mod access;
mod adopt;
mod architect;
#[cfg(target_os = "linux")]
pub(crate) mod attempt;
mod bisect;
mod canary;
mod completions;
mod demo;
mod doctor;
mod evaluate;
mod feedback;
mod gc;
mod hook;
mod hooks;
mod init;
#[cfg(target_os = "linux")]
pub(crate) mod launch;
mod log;
mod man;
mod mcp;
mod numbers;
mod outcome;
mod pin;
mod promote;
mod publishing;
mod release;
mod replay;
mod rollback;
mod run;
mod semver;
mod serve;
mod slo;
mod state;
mod sync;
mod templates;
mod test;
mod time;
mod top;
mod traced;
mod trigger;
mod tune;
mod unpin;
mod verify;
mod versions;

use crate::context::Context;
use crate::exit::CommandResult;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Init(init::Arguments),
    Adopt(adopt::Arguments),
    Demo(demo::Arguments),
    Run(run::Arguments),
    Tune(tune::Arguments),
    Feedback(feedback::Arguments),
    State(state::Arguments),
    Test(Box<test::Arguments>),
    Promote(promote::Arguments),
    Release(release::Arguments),
    Rollback(rollback::Arguments),
    Sync(sync::Arguments),
    Versions(versions::Arguments),
    Bisect(bisect::Arguments),
    Evaluate(Box<evaluate::Arguments>),
    Replay(replay::Arguments),
    Pin(pin::Arguments),
    Unpin(unpin::Arguments),
    Verify(verify::Arguments),
    Semver(semver::Arguments),
    Architect(architect::Arguments),
    Mcp(mcp::Arguments),
    Serve(serve::Arguments),
    Log(log::Arguments),
    Slo(slo::Arguments),
    Top(top::Arguments),
    Trigger(trigger::Arguments),
    Canary(canary::Arguments),
    Hooks(hooks::Arguments),
    #[command(hide = true)]
    Hook(hook::Arguments),
    Templates(templates::Arguments),
    Doctor(doctor::Arguments),
    Gc(gc::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

impl Command {
    /// Whether stdout is a protocol's, so that nothing else may be written to it.
    pub const fn serves_over_stdio(&self) -> bool {
        matches!(self, Self::Mcp(arguments) if arguments.serves())
    }

    /// Whether git runs the verb, for the repository of git's environment variables.
    pub const fn is_hook(&self) -> bool {
        matches!(self, Self::Hook(_))
    }
}

/// Runs a verb; `command_line` makes the whole command line, for its manual and its completions.
pub fn run(
    command: &Command,
    command_line: fn() -> clap::Command,
    context: &Context,
) -> CommandResult {
    match command {
        Command::Init(arguments) => init::run(arguments, context),
        Command::Adopt(arguments) => adopt::run(arguments, context),
        Command::Demo(arguments) => demo::run(arguments, context),
        Command::Run(arguments) => run::run(arguments, context),
        Command::Tune(arguments) => tune::run(arguments, context),
        Command::Feedback(arguments) => feedback::run(arguments, context),
        Command::State(arguments) => state::run(arguments, context),
        Command::Test(arguments) => test::run(arguments, context),
        Command::Promote(arguments) => promote::run(arguments, context),
        Command::Release(arguments) => release::run(arguments, context),
        Command::Rollback(arguments) => rollback::run(arguments, context),
        Command::Sync(arguments) => sync::run(arguments, context),
        Command::Versions(arguments) => versions::run(arguments, context),
        Command::Bisect(arguments) => bisect::run(arguments, context),
        Command::Evaluate(arguments) => evaluate::run(arguments, context),
        Command::Replay(arguments) => replay::run(arguments, context),
        Command::Pin(arguments) => pin::run(arguments, context),
        Command::Unpin(arguments) => unpin::run(arguments, context),
        Command::Verify(arguments) => verify::run(arguments, context),
        Command::Semver(arguments) => semver::run(arguments, context),
        Command::Architect(arguments) => architect::run(arguments, context),
        Command::Mcp(arguments) => mcp::run(arguments, context),
        Command::Serve(arguments) => serve::run(arguments, context),
        Command::Log(arguments) => log::run(arguments, context),
        Command::Slo(arguments) => slo::run(arguments, context),
        Command::Top(arguments) => top::run(arguments, context),
        Command::Trigger(arguments) => trigger::run(arguments, context),
        Command::Canary(arguments) => canary::run(arguments, context),
        Command::Hooks(arguments) => hooks::run(arguments, context),
        Command::Hook(arguments) => hook::run(arguments, context),
        Command::Templates(arguments) => templates::run(arguments, context),
        Command::Doctor(arguments) => Ok(doctor::run(arguments, context)),
        Command::Gc(arguments) => gc::run(arguments, context),
        Command::Completions(arguments) => Ok(completions::run(arguments, command_line(), context)),
        Command::Man(arguments) => man::run(arguments, command_line(), context),
    }
}
