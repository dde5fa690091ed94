use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_core::formats::count::counted;
use agent_core::formats::object_id::ObjectId;
use agent_core::state::journal::Record;
use agent_core::version::tags;
use agent_engine::repository::Writes;
use agent_engine::target::withdrawal::{self, Outcome, Selection};
use semver::Version;
use serde_json::{Value, json};

/// Withdraw signals: staging is as if they had never been sent
///
/// Later signals are replayed through the Tuner without them. In their place the Journal keeps
/// digests of their ids and contents, so that a signal that is sent again is not counted. Their
/// rewards are removed from their conversations.
///
/// A signal that a version counted is withdrawn from staging, and the next promotion makes a
/// version without it. Earlier versions and their evidence are not changed. This is possible as
/// long as all versions since are promotions; after a release or a rollback it is refused (exit
/// code 1).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
    \n  agent feedback withdraw s-17\
    \n  agent feedback withdraw --tag person:42 --verify")]
pub struct Arguments {
    /// The signal's id
    #[arg(required_unless_present = "tag")]
    id: Option<String>,
    /// All signals with this tag (`"tags": [...]` in a line of a signals file)
    #[arg(long, value_name = "TAG", conflicts_with = "id")]
    tag: Option<String>,
    /// Replay all remaining signals afterwards, and compare every state
    #[arg(long)]
    verify: bool,
    /// Print how many signals would be withdrawn; change nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let Arguments { id, tag, verify, dry_run } = arguments;
    let selection = match (id, tag) {
        (Some(id), _) => Selection::Id(id.clone()),
        (None, tag) => Selection::Tag(tag.clone().unwrap_or_default()),
    };
    let repository = context.repository_to(Writes::Home.unless(*dry_run))?;
    let outcome = withdrawal::withdraw(&repository, &selection, *dry_run, *verify)?;
    let printer = &context.printer;
    let report = Report::of(&outcome);
    printer.json(&report.json(*dry_run));
    printer.done(report.summary(&outcome), None);
    for (record, why) in report.dropped {
        printer.warn(format!(
            "signal `{}` came after them and has no effect without them: {why}",
            record.id
        ));
    }
    if !report.versions.is_empty() {
        printer.say(format!(
            "{} and their evidence are not changed: `agent promote` makes a version without what \
            they counted of it",
            tags(&report.versions)
        ));
    }
    match report.verified {
        Some(Err(problem)) => {
            printer.refused(format!("the replay of what is left differs: {problem}"));
            Ok(Exit::No)
        }
        _ => Ok(Exit::Done),
    }
}

#[derive(Default)]
struct Report<'a> {
    signals: u64,
    replayed: u64,
    dropped: &'a [(Record, String)],
    versions: Vec<Version>,
    states: Option<(&'a ObjectId, &'a ObjectId)>,
    verified: Option<&'a Result<(), String>>,
}

impl<'a> Report<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        match outcome {
            Outcome::Nothing => Self::default(),
            Outcome::Planned(signals, versions) => {
                Self { signals: *signals, versions: versions.clone(), ..Self::default() }
            }
            Outcome::Done { withdrawn, verified } => Self {
                signals: withdrawn.signals,
                replayed: withdrawn.replayed,
                dropped: &withdrawn.dropped,
                versions: withdrawn.versions.clone(),
                states: Some((&withdrawn.before, &withdrawn.after)),
                verified: verified.as_ref(),
            },
        }
    }

    fn json(&self, dry_run: bool) -> Value {
        json!({
            "schema": "agent/withdrawal@1", "withdrawn": self.signals, "replayed": self.replayed,
            "dropped": self.dropped.iter().map(|(record, why)| json!({"id": record.id, "why": why}))
                .collect::<Vec<_>>(),
            "versions": self.versions, "before": self.states.map(|states| states.0),
            "after": self.states.map(|states| states.1),
            "verified": self.verified.map(Result::is_ok), "dry_run": dry_run,
        })
    }

    fn summary(&self, outcome: &Outcome) -> String {
        let (signals, replayed) = (counted(self.signals, "signal"), self.replayed);
        match outcome {
            Outcome::Nothing => "nothing to withdraw".to_owned(),
            Outcome::Planned(..) => format!("{signals} would be withdrawn"),
            Outcome::Done { .. } => {
                format!("{signals} withdrawn, {replayed} later ones replayed")
            }
        }
    }
}
