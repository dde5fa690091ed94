use super::parse_what;
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::report;
use agent_core::formats::manifest::Tier;
use agent_core::version::what::What;
use agent_engine::repository::Repository;
use agent_engine::versions::difference::difference;

/// More than a screenful of changes nobody reads in a terminal.
const SHOWN: usize = 20;

/// Show what differs between two versions: Contract, code, learned state, and how each case came out
///
/// Everything comes from git and from stored results: nothing is run. Where results of a tier are not stored, it says which command makes them. The
/// probabilities are how often chance alone would give as much difference; cases are paired only where the same cases and scorers judged both. `worktree` is the
/// working tree as a release of it would be served, as a commit that no branch has.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A version, a range, a pin, worktree, or any revision
    #[arg(value_name = "FROM", value_parser = parse_what)]
    from: What,
    /// The same
    #[arg(value_name = "TO", default_value = "active", value_parser = parse_what)]
    to: What,
    /// Only this tier; can be given more than once [default: those that are stored]
    #[arg(long = "tier", value_name = "TIER")]
    tiers: Vec<Tier>,
    /// How many changes of each kind to show [default: 20; with --json all cases]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

pub(super) fn run(arguments: &Arguments, repository: &Repository, context: &Context) -> CommandResult {
    let commit = |what: &What| if *what == What::Worktree { repository.worktree_commit() } else { repository.commit_named(what) };
    let (from, to) = (commit(&arguments.from)?, commit(&arguments.to)?);
    let mut found = difference(repository, &from, &to, &arguments.tiers.iter().copied().collect())?;
    let printer = &context.printer;
    if found.is_empty() {
        printer.say("they are the same");
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
