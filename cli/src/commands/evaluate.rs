use crate::commands::numbers;
use crate::commands::time;
use crate::commands::traced::traced;
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::report::table;
use agent_core::formats::off_policy_gate::{Deciding, OffPolicyGate};
use agent_core::off_policy::log::Columns;
use agent_core::off_policy::{
    Answer, Estimate, Estimator, Interval, Method, Model, PolicyValue, Range, Requirement, SCHEMA,
};
use agent_core::version::what::What;
use agent_engine::off_policy::{self, Evaluated, Options, Report, Selection};
use agent_engine::world::clock;
use jiff::SignedDuration;
use serde_json::json;
use std::path::PathBuf;

/// Estimate the gain of another policy from recorded decisions
///
/// A decision on record is a turn in which the Runner noted `arm`, `propensity` and, where it can,
/// `propensities` (of all arms) and `context`. Its reward is that of the signal that names the turn
/// (`turn` among its arguments), else of the last one after it in its conversation. The Runner of
/// WHAT is called again with the recorded arguments, confined as in a test, and notes its own
/// `propensities`; the logged rewards are weighted by the ratio of the two probabilities.
///
/// Estimators: inverse propensity score (ips), self-normalised (snips), doubly robust, and
/// switch-dr, which uses the reward model alone where weights are large. Their intervals (normal,
/// and bootstrap) are valid for one analysis; the anytime-valid ones are valid at every size of a
/// growing log. With `--log`, a file of logged decisions is evaluated, against its own policy.
///
/// Exit code 7: the effective sample size is below the floor, or the interval of the gain contains
/// `--min-gain`. 1: the gain is below it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
    \n  agent evaluate --off-policy\
    \n  agent evaluate --off-policy staging --against active --min-gain 0\
    \n  agent evaluate --off-policy --log decisions.csv\
    \n  agent evaluate --off-policy --log decisions.jsonl --policy new --reward clicked")]
pub struct Arguments {
    /// Evaluate by importance weights of logged decisions
    #[arg(long, required = true)]
    off_policy: bool,
    /// The policy that is evaluated: staging, worktree, a version, a pin, or any commit
    #[arg(value_name = "WHAT", default_value = "staging",
        value_parser = |text: &str| text.parse::<What>())]
    what: What,
    /// The baseline that it is compared with
    #[arg(long, value_name = "WHAT", default_value = "active",
        value_parser = |text: &str| text.parse::<What>())]
    against: What,
    /// The smallest effective sample size that allows an answer
    #[arg(long, value_name = "SIZE", default_value_t = OffPolicyGate::default().floor,
        value_parser = number)]
    floor: f64,
    /// Answer whether the gain is at least this, in rewards a decision
    #[arg(long, value_name = "GAIN", value_parser = number, allow_hyphen_values = true)]
    min_gain: Option<f64>,
    /// The interval that decides: anytime (valid at every size of the log) or fixed (at one)
    #[arg(long, value_name = "KIND", default_value = "anytime")]
    interval: Kind,
    /// The confidence of all intervals, two-sided
    #[arg(long, value_name = "CHANCE", default_value = "0.95", value_parser = confidence)]
    confidence: f64,
    /// The lowest and the highest reward; others count as these
    #[arg(long, value_name = "LOW,HIGH", default_value = "0,1", value_parser = numbers::range,
        allow_hyphen_values = true)]
    rewards: (f64, f64),
    /// The reward model: the mean of each arm, or for each arm linear in the context
    #[arg(long, value_name = "MODEL", default_value = "arm")]
    model: RewardModel,
    /// Only decisions of the last days or hours, such as 7d
    #[arg(long, value_name = "TIME", value_parser = time::duration, conflicts_with = "log")]
    since: Option<SignedDuration>,
    /// The reward of a decision without one; such decisions are left out otherwise
    #[arg(long, value_name = "REWARD", value_parser = number, allow_hyphen_values = true,
        conflicts_with = "log")]
    unrewarded: Option<f64>,
    /// WHAT's probabilities, in place of its Runner: JSON lines with `conversation`, `turn` and
    /// `propensities`
    #[arg(long, value_name = "FILE", conflicts_with = "log")]
    propensities: Option<PathBuf>,
    #[command(flatten)]
    log: Log,
}

/// Decisions from a file, in place of those on record.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "A file of decisions")]
struct Log {
    /// Decisions as .csv or .jsonl, with the columns of our logs or of the Open Bandit Dataset
    #[arg(long = "log", id = "log", value_name = "FILE")]
    file: Option<PathBuf>,
    /// The column with the evaluated policy's probability of the logged arm, or an object with that
    /// of each arm; without it, the policy chooses every arm with the same probability
    #[arg(long, value_name = "COLUMN", requires = "log")]
    policy: Option<String>,
    /// The column of the arm; by default `arm`, `item_id` or `action`
    #[arg(long, value_name = "COLUMN", requires = "log")]
    arm: Option<String>,
    /// The column of the propensity; by default `propensity`, `propensity_score` or `pscore`
    #[arg(long, value_name = "COLUMN", requires = "log")]
    propensity: Option<String>,
    /// The column of the reward; by default `reward` or `click`
    #[arg(long, value_name = "COLUMN", requires = "log")]
    reward: Option<String>,
    /// The columns of the context; by default those whose names begin with `context`,
    /// `user_feature` or `user-item_affinity`
    #[arg(long, value_name = "COLUMN,...", requires = "log", value_delimiter = ',')]
    context: Vec<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    Anytime,
    Fixed,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum RewardModel {
    Arm,
    Linear,
}

fn number(text: &str) -> Result<f64, String> {
    numbers::number(text).ok_or_else(|| "give a number".to_owned())
}

fn confidence(text: &str) -> Result<f64, String> {
    number(text)
        .ok()
        .filter(|chance| *chance >= 0.5 && *chance < 1.0)
        .ok_or_else(|| "give a probability from 0.5 and below 1".to_owned())
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let options = options(arguments);
    if let Some(file) = &arguments.log.file {
        let report = off_policy::evaluate_file(file, &columns(&arguments.log), &options)?;
        return Ok(shown(&report, context));
    }
    let repository = context.repository()?;
    traced(&repository, "evaluate", || {
        let selection = Selection {
            since: arguments.since.map(|time| clock::now() - time),
            unrewarded: arguments.unrewarded,
            propensities: arguments.propensities.clone(),
        };
        let policies =
            [repository.target(&arguments.what)?, repository.target(&arguments.against)?];
        let [candidate, baseline] = &policies;
        match off_policy::evaluate(&repository, [candidate, baseline], &selection, &options)? {
            Evaluated::Report(report) => Ok(shown(&report, context)),
            Evaluated::Nothing { why, hint } => {
                context.printer.json(&json!({
                    "schema": SCHEMA, "decisions": 0,
                    "verdict": Answer::NotEnoughEvidence.as_str(), "why": why,
                }));
                context.printer.refused(&why);
                context.printer.hint(hint);
                Ok(Exit::NotEnoughEvidence)
            }
        }
    })
}

fn options(arguments: &Arguments) -> Options {
    let (low, high) = arguments.rewards;
    Options {
        rewards: Range { low, high },
        method: Method {
            model: match arguments.model {
                RewardModel::Arm => Model::Arm,
                RewardModel::Linear => Model::Linear,
            },
            confidence: arguments.confidence,
        },
        required: Requirement {
            floor: arguments.floor,
            min_gain: arguments.min_gain,
            deciding: match arguments.interval {
                Kind::Anytime => Deciding::Anytime,
                Kind::Fixed => Deciding::Fixed,
            },
        },
    }
}

fn columns(log: &Log) -> Columns {
    Columns {
        arm: log.arm.clone(),
        propensity: log.propensity.clone(),
        reward: log.reward.clone(),
        context: log.context.clone(),
        policy: log.policy.clone(),
    }
}

fn shown(report: &Report, context: &Context) -> Exit {
    let printer = &context.printer;
    report.warnings.as_slice().iter().for_each(|warning| printer.warn(warning));
    printer.json(&report.document());
    let evaluation = &report.evaluation;
    printer.data(format!(
        "{} decisions among {} arms ({}); the mean reward is {:.6}",
        evaluation.decisions, evaluation.arms, report.names.log, evaluation.logged
    ));
    let mut rows =
        vec![["POLICY", "ESTIMATOR", "VALUE", "INTERVAL", "BOOTSTRAP"].map(str::to_owned).to_vec()];
    let policies = [
        (&report.names.candidate, &evaluation.candidate),
        (&report.names.baseline, &evaluation.baseline),
    ];
    for (name, value) in policies {
        rows.extend(value.estimates.iter().map(|estimate| row(name, estimate)));
        rows.push(anytime(name, value.anytime));
    }
    rows.extend(evaluation.gain.iter().map(|estimate| row("gain", estimate)));
    rows.push(anytime("gain", evaluation.gain_anytime));
    for line in table::lines(&rows) {
        printer.data(line);
    }
    for (name, value) in policies {
        printer.data(weights(name, value));
    }
    let why = &report.verdict.why;
    match report.verdict.answer {
        Answer::Estimated => {
            printer.data(why);
            Exit::Done
        }
        Answer::Yes => {
            printer.data(format!("yes: {why}"));
            Exit::Done
        }
        Answer::No => {
            printer.refused(format!("no: {why}"));
            Exit::No
        }
        Answer::NotEnoughEvidence => {
            printer.refused(format!("not enough evidence: {why}"));
            Exit::NotEnoughEvidence
        }
    }
}

fn row(policy: &str, estimate: &Estimate) -> Vec<String> {
    let name = estimate.estimator.as_str();
    let name = match estimate.estimator {
        Estimator::Switch { limit } if limit.is_finite() => format!("{name} (to {limit:.1})"),
        _ => name.to_owned(),
    };
    let value = format!("{:.6}", estimate.value);
    let [normal, bootstrap] = [estimate.normal, estimate.bootstrap].map(interval);
    vec![policy.to_owned(), name, value, normal, bootstrap]
}

fn anytime(policy: &str, of: Interval) -> Vec<String> {
    vec![policy.to_owned(), "anytime-valid".to_owned(), String::new(), interval(of)]
}

fn interval(Interval { low, high }: Interval) -> String {
    format!("{low:.6} to {high:.6}")
}

fn weights(name: &str, value: &PolicyValue) -> String {
    let weights = value.weights;
    format!(
        "{name}: effective sample size {:.1}; weights have a mean of {:.3}, the largest is {:.1}",
        weights.effective, weights.mean, weights.largest
    )
}
