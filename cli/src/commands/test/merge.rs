//! `agent test merge`: joins the parts of a tier that several machines ran.

use super::comparison::{self, Comparison};
use super::reporting;
use super::storing::keep;
use super::tiers::sorted;
use crate::context::Context;
use crate::exit::CommandResult;
use agent_core::formats::diagnose::FailureKind;
use agent_core::formats::document;
use agent_core::formats::manifest::{Manifest, Tier};
use agent_core::formats::object_id::ObjectId;
use agent_core::testing::evaluation::Evaluation;
use agent_core::testing::merge::{Merge, MergedTier};
use agent_core::version::what::What;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::testing::parts::{self, PartsKey};
use agent_engine::testing::{Request, TierOutcome, evaluation_of};
use agent_engine::world::input;
use std::path::{Path, PathBuf};

/// Join the parts of a tier that were run with `--shard I/N`
///
/// Parts may be given in any order, repeatedly, and may overlap; the result is the same. Of two
/// results for one case the worse one counts. Parts of another tree or state, or with other cases,
/// scorers or budgets, are refused. If parts are missing, the verdict is "not enough evidence".
///
/// Without FILEs, the parts are read from the object store, where each part of a commit is stored
/// as well.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
        \n  agent test merge parts/*.jsonl --report junit=junit.xml\
        \n  agent test merge --tier full --at HEAD --against active\n\n\
        Exit codes: 0 pass, 1 fail, 3 parts that do not belong together, 7 not enough evidence.")]
pub struct Arguments {
    /// Files written by `agent test --shard I/N --events FILE`
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Without FILEs: micro, fast or full; can be repeated [default: micro]
    #[arg(long = "tier", value_name = "TIER", conflicts_with = "files")]
    tiers: Vec<Tier>,
    /// Without FILEs: the target of the parts: a version, a range, a pin, or any commit
    #[arg(long, value_name = "WHAT", default_value = "HEAD", conflicts_with = "files")]
    at: What,
    /// The target to compare with, case by case
    #[arg(long, value_name = "WHAT")]
    against: Option<What>,
    /// Also write a report: html=FILE, junit=FILE or markdown=FILE
    #[arg(long = "report", value_name = "KIND=FILE")]
    reports: Vec<reporting::File>,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let has_stdout = reporting::takes_stdout(&arguments.reports, None, context)?;
    let repository = context.repository()?;
    let merge = if arguments.files.is_empty() {
        from_store(arguments, &repository)?
    } else {
        from_files(arguments, context)?
    };
    let tiers: Vec<MergedTier> = merge.finish().collect();
    let (tree, state) = one_tree(&tiers)?;
    let commit = commit_of(&repository, &tiers)?;
    let manifest =
        repository.manifest(commit.as_ref().unwrap_or(&repository.git.expect("HEAD")?))?;
    let is_whole = tiers.iter().all(|tier| tier.fold.missing() == 0);
    let outcomes: Vec<TierOutcome> = tiers.into_iter().map(TierOutcome::from).collect();
    let mut evaluation = evaluation_of(tree, state, &outcomes);
    let comparison =
        compare(arguments, &repository, &manifest, (&mut evaluation, &outcomes), context)?;
    let what = commit.as_ref().map_or("parts", ObjectId::short).to_owned();
    match commit {
        Some(commit) if is_whole => keep(
            &repository,
            &repository.store(&manifest)?,
            &commit,
            &mut evaluation,
            &outcomes,
            context,
        )?,
        Some(commit) => {
            evaluation.commit = Some(commit.to_string());
            context.printer.say(
                "parts are missing: no result is stored for the commit; run those \
                parts, then merge again",
            );
        }
        None => {}
    }
    let verdict = comparison::verdict(&evaluation, comparison.as_ref());
    let report = reporting::gather(what, outcomes, verdict, comparison.as_ref());
    reporting::write(&arguments.reports, &report, context)?;
    if !has_stdout {
        reporting::print(&report, &evaluation, comparison.as_ref(), context);
    }
    Ok(evaluation.refusal(verdict).into())
}

fn from_files(arguments: &Arguments, context: &Context) -> Result<Merge, Failure> {
    let mut merge = Merge::default();
    for file in &arguments.files {
        let shown = file.display().to_string();
        let path = if file == Path::new("-") { file.clone() } else { context.directory.join(file) };
        merge.read(&shown, document::text(&input::read(&path)?, &shown)?)?;
    }
    Ok(merge)
}

/// Each tier has its own parts, but they make one evaluation.
fn one_tree(tiers: &[MergedTier]) -> Result<(Option<String>, String), Failure> {
    let mut heads = tiers.iter().map(|tier| (tier.head.tree.clone(), tier.head.state.clone()));
    let first = heads.next().expect("a file has at least one tier");
    if heads.any(|head| head != first) {
        let error = Failure::input("the parts of two tiers are of different trees or states");
        return Err(error.with_hint("merge them one tier at a time"));
    }
    Ok(first)
}

fn from_store(arguments: &Arguments, repository: &Repository) -> Result<Merge, Failure> {
    let commit = repository.commit_named(&arguments.at)?;
    let tree = repository.git.tree_of(&commit)?;
    let manifest = repository.manifest(&commit)?;
    let store = repository.store(&manifest)?;
    let mut merge = Merge::default();
    for tier in sorted(&arguments.tiers) {
        let found = parts::find(&store, &PartsKey::new(repository, &manifest, tier, &tree)?)?;
        if found.is_empty() {
            let shown = commit.short();
            return Err(Failure::new(
                FailureKind::NotEnoughEvidence,
                format!("no part of {tier} at {shown} is in the object store"),
            )
            .with_hint(format!(
                "`agent test --tier {tier} --at {shown} --shard I/N` stores part I of N, on a \
                machine with the same Python"
            )));
        }
        for (key, text) in found {
            merge.read(&key, &text)?;
        }
    }
    Ok(merge)
}

/// The commit of the parts, where they name one that exists here with the same trees.
fn commit_of(repository: &Repository, tiers: &[MergedTier]) -> Result<Option<ObjectId>, Failure> {
    let named =
        tiers.iter().flat_map(|tier| &tier.commits).filter_map(|commit| ObjectId::parse(commit));
    for commit in named.filter(|commit| repository.git.exists(commit)) {
        let tree = repository.git.tree_of(&commit)?.to_string();
        if tiers.iter().all(|tier| tier.head.tree.as_ref() == Some(&tree)) {
            return Ok(Some(commit));
        }
        repository
            .warn(&format!("the parts name the commit {}, but have another tree", commit.short()));
    }
    Ok(None)
}

/// Compares with the baseline, whose cases are run here where no results are stored.
fn compare(
    arguments: &Arguments,
    repository: &Repository,
    manifest: &Manifest,
    (evaluation, outcomes): (&mut Evaluation, &[TierOutcome]),
    context: &Context,
) -> Result<Option<Comparison>, Failure> {
    let Some(against) = &arguments.against else { return Ok(None) };
    let requests: Vec<_> = outcomes.iter().map(|outcome| Request::new(outcome.tier)).collect();
    comparison::compare(&requests, repository, (manifest, evaluation), outcomes, against, context)
        .map(Some)
}
