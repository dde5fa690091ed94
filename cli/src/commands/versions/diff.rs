use super::parse_what;
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::report;
use agent_core::formats::manifest::Tier;
use agent_core::version::what::What;
use agent_engine::repository::Repository;
use agent_engine::versions::difference::difference;

/// At most so many changes are printed.
const SHOWN: usize = 20;

/// Show the differences of two versions: Contract, code, learned state, and outcomes of cases
///
/// Reads git and stored results, and runs nothing. Where results of a tier are missing, the command
/// that creates them is printed. A p-value is the probability of a difference at least as large by
/// chance. Cases are paired only where the same cases and scorers judged both. `worktree` is the
/// working tree as a release would serve it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A version, a range, a pin, worktree, or any revision
    #[arg(value_name = "FROM", value_parser = parse_what)]
    from: What,
    /// The other side, in the same forms
    #[arg(value_name = "TO", default_value = "active", value_parser = parse_what)]
    to: What,
    /// Only this tier; can be repeated [default: the stored ones]
    #[arg(long = "tier", value_name = "TIER")]
    tiers: Vec<Tier>,
    /// How many changes of each kind to show [default: 20; with --json all cases]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

pub(super) fn run(
    arguments: &Arguments,
    repository: &Repository,
    context: &Context,
) -> CommandResult {
    let commit = |what: &What| {
        if *what == What::Worktree {
            repository.worktree_commit()
        } else {
            Ok(repository.commit_named(what)?)
        }
    };
    let (from, to) = (commit(&arguments.from)?, commit(&arguments.to)?);
    let mut found = difference(repository, &from, &to, &arguments.tiers.iter().copied().collect())?;
    let printer = &context.printer;
    if found.is_empty() {
        printer.say("no differences");
    }
    let text = report::difference::render(&found, arguments.limit.unwrap_or(SHOWN));
    if !text.is_empty() {
        printer.data(text);
    }
    if let Some(limit) = arguments.limit {
        found.cut(limit);
    }
    printer.json(&found);
    Ok(Exit::Done)
}
