mod withdraw;

use crate::context::Context;
use crate::exit::CommandResult;

/// Withdraw signals
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Withdraw(withdraw::Arguments),
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    match &arguments.action {
        Action::Withdraw(arguments) => withdraw::run(arguments, context),
    }
}
