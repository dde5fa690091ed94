use crate::commands::{canary, time};
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::report::table;
use agent_core::trigger::firing::{Firing, Mute, Step, Why};
use agent_core::trigger::{Rule, State};
use agent_engine::architect::operations;
use agent_engine::error::Failure;
use agent_engine::repository::{Writes, firings};
use agent_engine::templates::BUDGETS_SCHEMA;
use agent_engine::trigger::{self, CheckReport, RuleReport};
use agent_engine::world::clock;
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::time::Duration;

/// Check the rules over live traffic that start the Architect
///
/// A rule is an entry of `triggers` in ci/budgets.json. When its condition holds, it fires once: a
/// record with the evidence and one item of feedback are added to the inbox, and the rule's actions
/// are carried out. It fires again only after the firing was cleared.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
    \n  agent trigger check --explain\
    \n  agent trigger watch --every 1m\
    \n  agent trigger mute reward-drifts --for 2h --reason 'load test'\n\n\
    A rule: {\"name\": \"errors-burn\", \"type\": \"burn\", \"objective\": \"calls-succeed\", \
    \"actions\": [\"wake\"]}\n\
    Types: burn, drift, feedback, traffic, evaluation.\n\
    Actions: wake (start the Architect), rollback, freeze (refuse promotions), notify.")]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Evaluate every rule once, and carry out the actions of those that fire
    Check {
        /// Print the figures that each rule was evaluated with
        #[arg(long)]
        explain: bool,
        /// Wait for the runs of the Architect that were started
        #[arg(long)]
        wait: bool,
    },
    /// List firings with their outcome, newest first, and the muted rules
    List {
        /// Open firings alone
        #[arg(long)]
        open: bool,
    },
    /// Acknowledge a firing
    Ack {
        /// The firing's id
        id: String,
        /// A note, for others who look at it
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Mute a rule for a time
    Mute {
        /// The rule's name
        rule: String,
        /// For how long: 30m, 2h, 3d; 0m ends a mute
        #[arg(long = "for", value_name = "TIME", value_parser = time::duration)]
        time: SignedDuration,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Print the JSON Schema of ci/budgets.json, for editors
    Schema,
    /// Check repeatedly, until Ctrl-C
    Watch {
        /// The time between two checks
        #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time::duration)]
        every: SignedDuration,
    },
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    match &arguments.action {
        Action::Check { explain, wait } => check(*explain, *wait, context),
        Action::List { open } => list(*open, context),
        Action::Ack { id, note } => acknowledge(id, note.as_deref(), context),
        Action::Mute { rule, time, reason } => mute(rule, *time, reason.as_deref(), context),
        Action::Schema => Ok(schema(context)),
        Action::Watch { every } => watch(*every, context),
    }
}

fn check(explains: bool, waits: bool, context: &Context) -> CommandResult {
    let repository = context.repository_to(Writes::Refs)?;
    let _telemetry = repository.telemetry();
    let mut report = trigger::check(&repository)?;
    if waits && operations::is_run_under_way(&repository)? {
        report.rules.iter().for_each(|rule| followed(rule, context));
        operations::wait_for_runs(&repository)?;
        report = trigger::check(&repository)?;
    }
    context.printer.json(&document(&report));
    if report.rules.is_empty() {
        context.printer.say("there are no triggers; add them under `triggers` in ci/budgets.json");
    }
    let titles = ["TRIGGER", "TYPE", "STATE", "FIGURES"].map(str::to_owned).to_vec();
    let rows: Vec<_> = report.rules.iter().map(row).collect();
    if !rows.is_empty() {
        for line in table::lines(&std::iter::once(titles).chain(rows).collect::<Vec<_>>()) {
            context.printer.data(line);
        }
    }
    for rule in &report.rules {
        if explains {
            context.printer.data(format!("\n{}: {}", rule.rule.name, rule.assessment.figures));
        }
        followed(rule, context);
    }
    if let Some(progress) = &report.canary {
        canary::ended(progress, context);
    }
    report.warnings.into_iter().for_each(|warning| context.printer.warn(warning));
    Ok(Exit::Done)
}

fn row(report: &RuleReport) -> Vec<String> {
    vec![
        report.rule.name.clone(),
        report.rule.condition.type_name().to_owned(),
        state(report),
        report.assessment.summary.clone(),
    ]
}

/// The rule's state, with what the check did about it.
fn state(report: &RuleReport) -> String {
    match (&report.step, report.assessment.state) {
        (Step::Fire { .. }, _) => "fired".to_owned(),
        (Step::Clear, _) => "cleared".to_owned(),
        (Step::Nothing(Why::Open), _) => "firing".to_owned(),
        (Step::Nothing(Why::Muted { until }), _) => format!("muted until {}", minute(*until)),
        (Step::Nothing(Why::CoolDown { until }), _) => {
            format!("cools down until {}", minute(*until))
        }
        (Step::Nothing(Why::Pending | Why::Quiet), state) => state.as_str().to_owned(),
    }
}

/// To the minute.
fn minute(seconds: u64) -> String {
    clock::of_second(seconds).strftime("%Y-%m-%dT%H:%MZ").to_string()
}

/// A firing's record and its actions, where the check changed it.
fn followed(report: &RuleReport, context: &Context) {
    let Some(firing) = &report.firing else { return };
    match report.step {
        Step::Fire { .. } => {
            context.printer.warn(format!(
                "{} fired: {} (firing {}, feedback {})",
                firing.rule, firing.summary, firing.id, firing.feedback
            ));
            for (action, outcome) in &firing.actions {
                context.printer.say(format!("{action}: {}", outcome.result));
            }
        }
        Step::Clear => {
            context.printer.say(format!("{} is cleared (firing {})", firing.rule, firing.id));
        }
        Step::Nothing(_) => {}
    }
}

fn document(report: &CheckReport) -> Value {
    let rules: Vec<_> = report
        .rules
        .iter()
        .map(|it| {
            json!({
                "name": it.rule.name,
                "type": it.rule.condition.type_name(),
                "state": it.assessment.state.as_str(),
                "began": began(it.assessment.state).map(minute),
                "did": state(it),
                "summary": it.assessment.summary,
                "figures": it.assessment.figures,
                "firing": it.firing,
            })
        })
        .collect();
    json!({"schema": "agent/trigger-check@1", "at": report.at.to_string(), "rules": rules,
        "canary": report.canary.as_ref().map(canary::document)})
}

const fn began(state: State) -> Option<u64> {
    match state {
        State::Pending { began } | State::Alarm { began } => Some(began),
        State::Quiet | State::NotEnough => None,
    }
}

fn list(is_open_alone: bool, context: &Context) -> CommandResult {
    let repository = context.repository()?;
    let rules = trigger::rules(&repository)?;
    let mut found = firings::all(&repository)?;
    found.reverse();
    found.retain(|firing| firing.is_open() || !is_open_alone);
    let now = clock::rfc3339(clock::now());
    let mut mutes = firings::mutes(&repository)?;
    mutes.retain(|mute| mute.until > now);
    context.printer.json(&json!({"schema": "agent/triggers@1",
        "rules": rules.iter().map(rule_document).collect::<Vec<_>>(), "firings": found,
        "mutes": mutes}));
    if found.is_empty() {
        context.printer.say(format!("nothing fired; there are {} triggers", rules.len()));
    } else {
        let titles = ["FIRING", "TRIGGER", "BEGAN", "STATE", "FEEDBACK", "CAME OF IT"];
        let rows: Vec<_> = std::iter::once(titles.map(str::to_owned).to_vec())
            .chain(found.iter().map(firing_row))
            .collect();
        for line in table::lines(&rows) {
            context.printer.data(line);
        }
    }
    for mute in &mutes {
        context.printer.data(muted(mute));
    }
    Ok(Exit::Done)
}

fn rule_document(rule: &Rule) -> Value {
    let actions: Vec<_> = rule.actions.iter().map(agent_core::trigger::Action::key).collect();
    json!({"name": rule.name, "type": rule.condition.type_name(), "actions": actions})
}

fn firing_row(firing: &Firing) -> Vec<String> {
    let to_minute =
        |text: &str| text.get(..16).map_or_else(|| text.to_owned(), |to| format!("{to}Z"));
    let state = match (&firing.cleared, &firing.acknowledged) {
        (Some(cleared), _) => format!("cleared {}", to_minute(cleared)),
        (None, Some(acknowledged)) => format!("acknowledged by {}", acknowledged.by),
        (None, None) => "open".to_owned(),
    };
    vec![
        firing.id.clone(),
        firing.rule.clone(),
        to_minute(&firing.began),
        state,
        firing.feedback.clone(),
        came_of(firing),
    ]
}

fn came_of(firing: &Firing) -> String {
    match &firing.outcome {
        Some(outcome) => match &outcome.version {
            Some(version) => format!("{version} (run {})", outcome.run),
            None if outcome.run.is_empty() => outcome.status.clone(),
            None => format!("{} (run {})", outcome.status, outcome.run),
        },
        None => "-".to_owned(),
    }
}

fn muted(mute: &Mute) -> String {
    let why = mute.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{} is muted until {} by {}{why}", mute.rule, mute.until, mute.by)
}

fn acknowledge(id: &str, note: Option<&str>, context: &Context) -> CommandResult {
    let repository = context.repository_to(Writes::Refs)?;
    let by = repository.git.user();
    let firing = repository.unpack(firings::acknowledge(&repository, id, &by, note)?);
    context.printer.json(&firing);
    context.printer.done(format!("{id} is acknowledged by {by}"), None);
    Ok(Exit::Done)
}

fn mute(
    name: &str,
    time: SignedDuration,
    reason: Option<&str>,
    context: &Context,
) -> CommandResult {
    let repository = context.repository_to(Writes::Refs)?;
    let rules = trigger::rules(&repository)?;
    let rule = trigger::rule(&rules, name)?;
    let until = clock::now()
        .checked_add(time)
        .map_err(|_| Failure::usage("the time given with `--for` is too long"))?;
    let by = repository.git.user();
    let mute = repository.unpack(firings::mute(&repository, &rule.name, until, &by, reason)?);
    context.printer.json(&mute);
    context.printer.done(muted(&mute), None);
    Ok(Exit::Done)
}

fn schema(context: &Context) -> Exit {
    context.printer.verbatim(BUDGETS_SCHEMA.as_bytes());
    Exit::Done
}

fn watch(every: SignedDuration, context: &Context) -> CommandResult {
    let every = Duration::try_from(every).unwrap_or_default();
    if every < Duration::from_secs(1) {
        return Err(Failure::usage("`--every` is at least 1s"));
    }
    if context.printer.is_json() {
        return Err(Failure::usage("`watch` does not end, and `--json` is one document")
            .with_hint("`agent trigger check --json` checks once"));
    }
    context.printer.say("the triggers are checked until Ctrl-C");
    let failure = trigger::watch(&context.location(), every, |report| {
        report.rules.iter().for_each(|rule| followed(rule, context));
        if let Some(progress) = &report.canary {
            canary::ended(progress, context);
        }
    });
    Err(failure)
}
