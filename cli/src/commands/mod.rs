//! A file per verb: its arguments, its help, and the four lines observe, plan, apply, report.

mod adopt;
mod architect;
mod completions;
mod demo;
mod doctor;
mod gc;
mod hook;
mod hooks;
mod init;
mod launch;
mod man;
mod mcp;
mod outcome;
mod pin;
mod promote;
mod release;
mod rollback;
mod run;
mod semver;
mod state;
mod templates;
mod test;
mod tune;
mod unpin;
mod verify;
mod versions;

use crate::context::Context;
use crate::error::CommandResult;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Architect(architect::Arguments),
    Adopt(adopt::Arguments),
    Completions(completions::Arguments),
    Doctor(doctor::Arguments),
    Demo(demo::Arguments),
    Gc(gc::Arguments),
    Hook(hook::Arguments),
    Hooks(hooks::Arguments),
    Init(init::Arguments),
    #[command(hide = true)]
    Launch(launch::Arguments),
    Man(man::Arguments),
    Mcp(mcp::Arguments),
    Pin(pin::Arguments),
    Promote(promote::Arguments),
    Release(release::Arguments),
    Rollback(rollback::Arguments),
    Run(run::Arguments),
    State(state::Arguments),
    Templates(templates::Arguments),
    Tune(tune::Arguments),
    Unpin(unpin::Arguments),
    Verify(verify::Arguments),
    Versions(versions::Arguments),
    Semver(semver::Arguments),
    Test(test::Arguments),
}

pub fn run(command: &Command, context: &Context) -> CommandResult {
    match command {
        Command::Architect(arguments) => architect::run(arguments, context),
        Command::Adopt(arguments) => adopt::run(arguments, context),
        Command::Completions(arguments) => Ok(completions::run(arguments)),
        Command::Doctor(arguments) => Ok(doctor::run(arguments, context)),
        Command::Gc(arguments) => gc::run(arguments, context),
        Command::Hook(arguments) => hook::run(arguments, context),
        Command::Hooks(arguments) => hooks::run(arguments, context),
        Command::Init(arguments) => init::run(arguments, context),
        Command::Launch(arguments) => launch::run(arguments),
        Command::Man(arguments) => man::run(arguments),
        Command::Mcp(arguments) => mcp::run(arguments, context),
        Command::Pin(arguments) => pin::run(arguments, context),
        Command::Demo(arguments) => demo::run(arguments, context),
        Command::Promote(arguments) => promote::run(arguments, context),
        Command::Release(arguments) => release::run(arguments, context),
        Command::Rollback(arguments) => rollback::run(arguments, context),
        Command::Run(arguments) => run::run(arguments, context),
        Command::State(arguments) => state::run(arguments, context),
        Command::Templates(arguments) => templates::run(arguments, context),
        Command::Tune(arguments) => tune::run(arguments, context),
        Command::Unpin(arguments) => unpin::run(arguments, context),
        Command::Verify(arguments) => verify::run(arguments, context),
        Command::Versions(arguments) => versions::run(arguments, context),
        Command::Semver(arguments) => semver::run(arguments, context),
        Command::Test(arguments) => test::run(arguments, context),
    }
}
