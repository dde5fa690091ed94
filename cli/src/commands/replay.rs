use crate::commands::time;
use crate::commands::traced::traced;
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::report::table;
use agent_core::formats::count::counted;
use agent_core::replay::verdict::{Compared, How};
use agent_core::testing::evaluation::Verdict;
use agent_core::version::what::What;
use agent_engine::replay::{self, Replayed, Selection};
use agent_engine::world::clock;
use jiff::SignedDuration;

/// How many differences are printed; `--json` has all of them.
const SHOWN: usize = 20;

/// Run recorded calls on a candidate and compare the answers
///
/// With `content = true` under [record] of agent.toml, `agent mcp runner` records arguments and
/// results. Here the calls are run again as a tier runs its cases: confined, under a temporary data
/// folder, each distinct call once, conversations turn by turn. Tools without the annotation
/// `readOnlyHint` are not run, unless `replay` under [record] names them.
///
/// An answer is judged by a case with the same call, or by tests/replay.jsonl. Without either,
/// equal answers count as equal, a failure where the other side answers counts as worse, and any
/// other difference is undecided. The gate of [promote] judges the pairs.
///
/// Exit code 1: worse. 7: not enough evidence, or nothing on record.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
    \n  agent replay\
    \n  agent replay --since 24h --at staging --tool search\
    \n  agent replay --at v1.3.0 --against v1.2.0 --sample 500 --json")]
pub struct Arguments {
    /// Only calls of the last days or hours
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = time::duration)]
    since: SignedDuration,
    /// The candidate: worktree, staging, a version, a pin, or any commit
    #[arg(long, value_name = "WHAT", default_value = "worktree")]
    at: What,
    /// The baseline that it is compared with
    #[arg(long, value_name = "WHAT", default_value = "active")]
    against: What,
    /// Only calls of this tool, outside of conversations with others
    #[arg(long, value_name = "TOOL")]
    tool: Option<String>,
    /// Only the N newest calls
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Only N of the distinct calls and conversations, chosen by their digests
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    sample: Option<u32>,
    /// The number of concurrent Runners [default: cores of the machine]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    shards: Option<u16>,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository()?;
    traced(&repository, "replay", || {
        let selection = Selection {
            since: Some(clock::now() - arguments.since),
            tool: arguments.tool.clone(),
            limit: arguments.limit.map(|count| count as usize),
            sample: arguments.sample.map(|count| count as usize),
            shards: arguments.shards.map(usize::from),
        };
        let candidate = repository.target_to_test(&arguments.at)?;
        let baseline = repository.target_to_test(&arguments.against)?;
        let replayed = replay::replay(&repository, [&candidate, &baseline], &selection)?;
        shown(&replayed, context);
        Ok(Exit::from(replayed.report.refusal()))
    })
}

fn shown(replayed: &Replayed, context: &Context) {
    let (printer, report) = (&context.printer, &replayed.report);
    for warning in replayed.warnings.as_slice() {
        printer.warn(warning);
    }
    printer.json(&replayed.document());
    printer.data(format!(
        "{}: {} run again, as {} and {}",
        counted(replayed.recorded, "recorded call"),
        replayed.calls,
        counted(replayed.distinct, "distinct call"),
        counted(replayed.conversations, "conversation")
    ));
    for line in left_out(replayed) {
        printer.data(line);
    }
    let differing: Vec<&Compared> = report.shown().collect();
    let rows: Vec<_> = differing.iter().take(SHOWN).map(|one| row(one)).collect();
    for line in table::lines(&rows) {
        printer.data(line);
    }
    if differing.len() > SHOWN {
        printer.data(format!("and {} more", differing.len() - SHOWN));
    }
    let names = &replayed.names;
    let verdict = format!(
        "{} {} against {}: {}",
        report.verdict.as_str(),
        names.candidate,
        names.baseline,
        report.reasons.join("; ")
    );
    match report.verdict {
        Verdict::Pass => printer.data(verdict),
        Verdict::Fail | Verdict::NotEnoughEvidence => printer.refused(verdict),
    }
}

fn left_out(replayed: &Replayed) -> Vec<String> {
    let mut lines = Vec::new();
    let left_out = &replayed.left_out;
    for (tool, count) in &left_out.withheld {
        lines.push(format!("{count} calls of {tool} are not run: it is not read-only"));
    }
    if left_out.redacted > 0 {
        lines.push(format!(
            "{} calls are not run: their arguments were redacted",
            left_out.redacted
        ));
    }
    if left_out.turns > 0 {
        lines.push(format!(
            "{} turns are not run: an earlier turn of their conversation is not",
            left_out.turns
        ));
    }
    if replayed.sampled_away > 0 {
        lines.push(format!("{} distinct calls are beyond the sample", replayed.sampled_away));
    }
    for (tool, [differing, repeated]) in &replayed.unsteady {
        lines.push(format!(
            "{tool} does not repeat its record: {differing} of {repeated} calls were answered \
            differently, so it is run on both sides"
        ));
    }
    lines
}

fn row(one: &Compared) -> Vec<String> {
    let how = match one.how {
        How::Worse => "worse",
        How::Better => "better",
        How::Undecided => "differs",
        How::Unrepeatable => "fails on both",
        How::Same => "differs, judged alike",
    };
    let why = one.why.as_deref().and_then(|why| why.lines().next()).unwrap_or_default();
    vec![
        how.to_owned(),
        one.tools.join(", "),
        one.id.clone(),
        format!("{} calls", one.calls),
        why.to_owned(),
    ]
}
