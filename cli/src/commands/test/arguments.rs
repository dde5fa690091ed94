//! The arguments of `agent test`.

use super::tiers::sorted;
use super::{add, merge, reporting};
use agent_core::formats::manifest::Tier;
use agent_core::testing::cached_result::Reuse;
use agent_core::testing::part::Part;
use agent_core::testing::repetition;
use agent_core::version::what::What;
use agent_engine::testing::{Executor, Request};
use agent_engine::world::output::Output;

/// Run the cases of a tier and compare them with its budget
///
/// Tests the working tree by default: its files under the state that a release would serve. `--at`
/// tests another target. Results are stored case by case in the object store: a case is run again
/// when its definition, the code or the parts of the state that it read have changed. With
/// `--against`, the gate of [promote] in agent.toml compares the results case by case.
///
/// `--bless` writes the Runner's present answers into the golden files of the cases, after printing
/// the difference; with `--dry-run` it only prints it. Then the tier is run once more.
///
/// `--shard I/N` runs one part, on one of many machines. `agent test merge` joins the files of
/// `--events` and judges them; a part itself exits with 0 once it was run.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\
    \n  agent test\
    \n  agent test --tier full --at v0.2.0 --against v0.1.0\
    \n  agent test --tier fast --shard 2/4 --events part-2.jsonl\
    \n  agent test merge part-*.jsonl --report junit=junit.xml\
    \n  agent test --against active --report html=report.html\
    \n  agent test add --conversation c1\
    \n  agent test add --from-log --differing\
    \n  agent test --bless --dry-run\n\n\
    Exit codes: 0 pass, 1 fail, 3 an invalid case or budget, 5 a child failed, 7 not enough \
    evidence.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Arguments {
    #[command(subcommand)]
    pub(super) action: Option<Action>,
    /// micro, fast or full; can be repeated [default: micro]
    #[arg(long = "tier", value_name = "TIER")]
    pub(super) tiers: Vec<Tier>,
    /// The target to test: worktree, active, staging, a version, a range such as ^1.2, a pin, or
    /// any commit
    #[arg(long, value_name = "WHAT", default_value = "worktree")]
    pub(super) at: What,
    /// The target to compare with, case by case
    #[arg(long, value_name = "WHAT")]
    pub(super) against: Option<What>,
    /// Run the tier on this machine, or in parts on the Ray cluster at `RAY_ADDRESS`
    #[arg(long, value_name = "WHERE", default_value = "local", conflicts_with_all = ["shard",
        "cases", "watch", "explain", "calibrate", "bless"])]
    pub(super) executor: Place,
    /// The number of concurrent Runners [default: cores of the machine, or CPUs of the cluster]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) shards: Option<u16>,
    /// Run only part I of N, for a matrix of machines
    #[arg(long, value_name = "I/N")]
    pub(super) shard: Option<Part>,
    /// Write events as JSON lines, for `agent test merge`; `-` is stdout
    #[arg(long, value_name = "FILE", conflicts_with_all = ["explain", "bless", "watch"])]
    pub(super) events: Option<Output>,
    /// Run each case at least N times; it passes when every run does
    #[arg(long, value_name = "N",
        value_parser = clap::value_parser!(u32).range(2..=i64::from(repetition::MOST)))]
    pub(super) repeats: Option<u32>,
    /// Run only this case; can be repeated
    #[arg(long = "case", value_name = "ID")]
    pub(super) cases: Vec<String>,
    /// After each save, run the cases whose outcome it can change, until Ctrl-C
    #[arg(long, conflicts_with_all = ["bless", "shard", "explain"])]
    pub(super) watch: bool,
    /// Print why a case would be run or not; run nothing
    #[arg(long, value_name = "ID", conflicts_with_all = ["cases", "shard", "against", "bless",
        "no_cache", "reports"])]
    pub(super) explain: Option<String>,
    /// Compare the served version (or `--at`) with itself and print how often each test of the gate
    /// reports it as better [default: 20 rounds]
    #[arg(long, value_name = "ROUNDS", num_args = 0..=1, default_missing_value = "20",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    #[arg(conflicts_with_all = ["against", "bless", "watch", "explain", "reports"])]
    pub(super) calibrate: Option<u32>,
    /// Rewrite the golden files, after printing the difference
    #[arg(long, conflicts_with_all = ["against", "shard"])]
    pub(super) bless: bool,
    /// With `--bless`: print the difference; write nothing
    #[arg(long, requires = "bless")]
    pub(super) dry_run: bool,
    /// Run every case, without stored results
    #[arg(long)]
    pub(super) no_cache: bool,
    /// Also write a report: html=FILE, junit=FILE or markdown=FILE
    #[arg(long = "report", value_name = "KIND=FILE")]
    pub(super) reports: Vec<reporting::File>,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    Add(add::Arguments),
    Merge(merge::Arguments),
}

/// Where a tier is run.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum Place {
    Local,
    /// In parts, on a cluster.
    Ray,
}

impl From<Place> for Executor {
    fn from(place: Place) -> Self {
        match place {
            Place::Local => Self::Local,
            Place::Ray => Self::Ray,
        }
    }
}

impl Arguments {
    pub(super) fn tiers(&self) -> Vec<Tier> {
        sorted(&self.tiers)
    }

    pub(super) fn request(&self, tier: Tier) -> Request {
        Request {
            shards: self.shards.map(usize::from),
            part: self.shard,
            executor: self.executor.into(),
            only: (!self.cases.is_empty()).then(|| self.cases.iter().cloned().collect()),
            report_details: self.events.is_some() || self.shard.is_some(),
            repeats: self.repeats.unwrap_or(1),
            reuse: if self.no_cache { Reuse::Nothing } else { Reuse::SameReads },
            ..Request::new(tier)
        }
    }
}
