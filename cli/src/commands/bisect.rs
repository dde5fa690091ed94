use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::report;
use agent_core::formats::manifest::Tier;
use agent_core::version::what::What;
use agent_engine::versions::bisection::{Options, bisect};

/// Find the version, and the signal, that broke a case
///
/// A binary search over the versions before the bad one, by stored results where they exist and
/// otherwise by running the case. Where the version that broke it is a promotion, its signals are
/// searched in the same way: the case is run under the state after each probed signal.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
        \n  agent bisect greets-politely\
        \n  agent bisect greets-politely --good v0.1.3 --bad v0.2.0 --tier full\n\n\
        Exit codes: 0 found, 1 it never passed or never failed, 3 the case does not exist.")]
pub struct Arguments {
    /// Id of the case
    #[arg(value_name = "CASE")]
    case: String,
    /// A version where it passes [default: the nearest known one before the bad one, else the
    /// oldest]
    #[arg(long, value_name = "WHAT")]
    good: Option<What>,
    /// A version where it fails
    #[arg(long, value_name = "WHAT", default_value = "active")]
    bad: What,
    /// The tier of the case [default: the first that has it]
    #[arg(long, value_name = "TIER")]
    tier: Option<Tier>,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository()?;
    let options = Options {
        case: arguments.case.clone(),
        tier: arguments.tier,
        good: arguments.good.clone(),
        bad: arguments.bad.clone(),
    };
    let printer = &context.printer;
    let found =
        bisect(&repository, &options, &mut |probe| printer.say(report::bisection::probe(probe)))?;
    printer.json(&found);
    printer.data(report::bisection::render(&found));
    Ok(if found.found { Exit::Done } else { Exit::No })
}
