mod diff;

use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::printer::{Printer, Style};
use crate::report::table;
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::ObjectId;
use agent_core::version::registry::{Entry, Resolved, most_measured};
use agent_core::version::what::What;
use agent_core::version::{tag, tags};
use agent_engine::repository::Repository;
use semver::{Version, VersionReq};

/// List versions, what made them and which are yanked
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\
        \n  agent versions --limit 5\
        \n  agent versions resolve '^0.1'\
        \n  agent versions diff v0.1.0 v0.2.0")]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: ListArguments,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List versions, newest first (what `agent versions` alone does)
    List(ListArguments),
    /// Show one version with the digests of its evidence
    Show {
        /// A version, a range, a pin, or `active`
        #[arg(default_value = "active", value_parser = parse_what)]
        what: What,
    },
    Diff(diff::Arguments),
    /// Print the newest version of a range that is not yanked
    Resolve {
        /// A range such as `^0.1`, a version, a pin, or `active`
        #[arg(value_name = "RANGE", value_parser = parse_what)]
        what: What,
    },
}

#[derive(Debug, Clone, clap::Args)]
struct ListArguments {
    /// The maximum number of versions
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Only versions below this one: the `next` of the previous page
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    after: Option<Version>,
    /// Only versions that match
    #[arg(long, value_name = "RANGE")]
    range: Option<VersionReq>,
    /// The tier whose scores are shown [default: the one that most of the versions listed were
    /// measured on]
    #[arg(long, value_name = "TIER")]
    tier: Option<Tier>,
}

fn parse_what(text: &str) -> Result<What, String> {
    text.parse()
}

fn parse_version(text: &str) -> Result<Version, String> {
    text.strip_prefix('v').unwrap_or(text).parse().map_err(|error| format!("{error}"))
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository()?;
    match &arguments.action {
        None => list(&repository, &arguments.list, context),
        Some(Action::List(list_arguments)) => list(&repository, list_arguments, context),
        Some(Action::Show { what }) => show(&repository, what, context),
        Some(Action::Diff(arguments)) => diff::run(arguments, &repository, context),
        Some(Action::Resolve { what }) => resolve(&repository, what, context),
    }
}

fn list(repository: &Repository, arguments: &ListArguments, context: &Context) -> CommandResult {
    let listing =
        repository.listing(arguments.limit, arguments.after.as_ref(), arguments.range.as_ref())?;
    let printer = &context.printer;
    printer.json(&listing);
    if listing.versions.is_empty() {
        printer.say("there are no versions yet");
    } else {
        printer.data(table::lines(&rows(&listing.versions, arguments.tier)).join("\n"));
    }
    if let Some(next) = &listing.next {
        printer.say(format!("more versions: --after {next}"));
    }
    Ok(Exit::Done)
}

/// A header and one row for each version. All scores are of one tier, which the header names.
fn rows(entries: &[Entry], tier: Option<Tier>) -> Vec<Vec<String>> {
    let tier = tier.or_else(|| most_measured(entries));
    let score = tier.map_or_else(|| "SCORE".to_owned(), |tier| format!("SCORE ({tier})"));
    let head =
        ["VERSION", "KIND", "FROM", "STATE", &score, "CREATED", "NOTE"].map(str::to_owned).to_vec();
    std::iter::once(head).chain(entries.iter().map(|entry| row(entry, tier))).collect()
}

fn row(entry: &Entry, tier: Option<Tier>) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        entry.tag.clone(),
        or_dash(entry.kind.map(|kind| kind.as_str().to_owned())),
        or_dash(entry.base.as_ref().map(tag)),
        or_dash(entry.state.as_ref().map(|state| state.short().to_owned())),
        or_dash(tier.and_then(|tier| entry.score(tier)).map(|score| format!("{score:.3}"))),
        entry.created.get(..16).unwrap_or(&entry.created).replace('T', " "),
        note(entry),
    ]
}

fn note(entry: &Entry) -> String {
    let mut notes = Vec::new();
    if let Some(by) = &entry.evidence.undone_by {
        notes.push(format!("yanked by v{by}"));
    }
    if !entry.evidence.undoes.is_empty() {
        notes.push(format!("undoes {}", tags(&entry.evidence.undoes)));
    }
    if !entry.evidence.feedback.is_empty() {
        notes.push(format!("answers {}", entry.evidence.feedback.join(", ")));
    }
    if entry.kind.is_none() {
        notes.push("a tag on a commit that is not a version".to_owned());
    }
    notes.join("; ")
}

fn show(repository: &Repository, what: &What, context: &Context) -> CommandResult {
    let entry = repository.entry(&repository.version_named(what)?)?;
    context.printer.json(&entry.document());
    context.printer.data(format!(
        "{}  {}",
        Printer::styled(Style::Strong, &entry.tag),
        note(&entry)
    ));
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: Option<String>| {
        facts.extend(value.map(|value| vec![name.to_owned(), value]));
    };
    fact("commit", Some(entry.commit.to_string()));
    fact("kind", entry.kind.map(|kind| kind.as_str().to_owned()));
    fact("created", Some(entry.created.clone()));
    fact("made from", entry.base.as_ref().map(tag));
    fact("state", entry.state.as_ref().map(ObjectId::to_string));
    fact("contract", entry.contract.clone());
    fact("journal", entry.evidence.journal.clone());
    fact("coder", entry.evidence.coder.clone());
    if let Some(eval) = &entry.eval {
        fact("evaluation", Some(format!("{} ({})", eval.digest, eval.uri)));
        for (tier, summary) in eval.tiers.iter().flatten() {
            let part = |key: &str| summary.get(key).map(ToString::to_string).unwrap_or_default();
            fact(
                tier,
                Some(format!(
                    "score {} over {} cases, {} passed",
                    part("score"),
                    part("cases"),
                    part("passed")
                )),
            );
        }
    }
    context.printer.data(table::lines(&facts).join("\n"));
    Ok(Exit::Done)
}

fn resolve(repository: &Repository, what: &What, context: &Context) -> CommandResult {
    let version = repository.version_named(what)?;
    let commit = repository.commit_of(&version)?;
    context.printer.data(tag(&version));
    context.printer.json(&Resolved::new(what, version, commit));
    Ok(Exit::Done)
}
