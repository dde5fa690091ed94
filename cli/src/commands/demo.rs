use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::printer::{Printer, Style};
use crate::report::progress::Progress;
use crate::report::svg::{self, Point};
use agent_core::formats::diagnose::FailureKind;
use agent_engine::error::Failure;
use agent_engine::world::child_process::{self, Pipe};
use agent_engine::world::event_loop;
use agent_engine::world::output::Output;
use agent_engine::world::process::Run;
use agent_engine::world::temporary::{self, Temporary};
use agent_engine::world::{env, fs::create_dir};
use serde::Serialize;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Run the whole loop on an example; every number is measured now
///
/// Creates a repository in a temporary folder, tests it, applies 400 signals, promotes the learned
/// state, submits feedback to the Architect, rolls back, and has a trigger start the Architect.
/// Needs no network.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Keep the repository in DIR, which must be empty or missing
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Draw the held-out scores as SVG into FILE
    #[arg(long, value_name = "FILE")]
    svg: Option<Output>,
}

const STEPS: u64 = 6;
/// The name of the tuned state, which has no version yet.
const STAGING: &str = "staging";
const TEMPLATE: &str = "docs-search";
const SIGNALS: &str = "signals/feedback.jsonl";
const FEEDBACK: &str = "People write their questions with typos and plurals, and it then finds \
    nothing; it should understand word forms.";

/// What three people write: one incident.
const COMPLAINTS: [&str; 3] = [
    "A follow-up forgets the topic of the conversation.",
    "It forgets the topic in a follow-up.",
    "In a conversation, a follow-up forgets its topic.",
];

/// One step of the loop, as printed and in `--json`.
#[derive(Debug, Clone, Serialize)]
struct Step {
    #[serde(rename = "step")]
    name: &'static str,
    /// The command of the step.
    command: String,
    /// The version that is served after it, or `staging`.
    version: String,
    /// Mean score on the held-out cases, before and after.
    score_before: Option<f64>,
    score: f64,
    wall_s: f64,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    if context.printer.is_json() && arguments.svg.as_ref().is_some_and(Output::is_stdout) {
        return Err(Failure::usage("`--json` and `--svg -` both write to stdout")
            .with_hint("write the SVG to a file"));
    }
    let began = Instant::now();
    child_process::end_on_interrupt();
    let temporary = Temporary::outside(temporary::DEMO)?;
    let folder = match &arguments.keep {
        Some(keep) => kept(&context.directory.join(keep))?,
        None => temporary.path().join(TEMPLATE),
    };
    let mut demo = Demo {
        progress: Progress::start(&context.printer, "demo", Some(STEPS)),
        folder,
        printer: &context.printer,
        steps: Vec::new(),
        agent: binary()?,
        has_stdout: arguments.svg.as_ref().is_none_or(|svg| !svg.is_stdout()),
    };
    demo.play()?;
    if let Some(svg) = &arguments.svg {
        svg.within(&context.directory).write(demo.picture().as_bytes())?;
    }
    demo.close(arguments.keep.as_deref(), began.elapsed().as_secs_f64());
    Ok(Exit::Done)
}

/// A folder to keep the repository in, whose parents exist.
fn kept(folder: &Path) -> Result<PathBuf, Failure> {
    if let Some(parent) = folder.parent() {
        create_dir(parent)?;
    }
    Ok(folder.to_owned())
}

fn binary() -> Result<PathBuf, Failure> {
    env::binary().ok_or_else(|| {
        Failure::new(
            FailureKind::Surroundings,
            "cannot determine the path of `agent`, which the demo runs",
        )
    })
}

/// A step in progress.
struct Begun {
    name: &'static str,
    command: String,
    at: Instant,
}

struct Demo<'a> {
    progress: Progress,
    folder: PathBuf,
    printer: &'a Printer,
    steps: Vec<Step>,
    agent: PathBuf,
    /// Whether text goes to stdout; with `--svg -` the SVG does.
    has_stdout: bool,
}

impl Demo<'_> {
    fn play(&mut self) -> Result<(), Failure> {
        self.begin()?;
        self.tune()?;
        self.promote()?;
        self.architect()?;
        self.rollback()?;
        self.trigger()
    }

    fn begin(&mut self) -> Result<(), Failure> {
        let begun = self.start(
            "init",
            "a new agent: it answers questions from Python's help topics",
            &format!("agent init DIR --template {TEMPLATE}"),
        );
        let folder = self.folder.display().to_string();
        self.agent_at(Path::new("."), &["init", &folder, "--template", TEMPLATE])?;
        let tested = self.test("active")?;
        for tier in ["micro", "fast"] {
            let summary = self.agent(&["test", "--tier", tier, "--at", "active"])?;
            self.line(&summarized(tier, &summary["tiers"][tier]));
        }
        self.line(&summarized("full", &tested["tiers"]["full"]));
        self.done(begun, "v0.1.0", &tested)
    }

    fn tune(&mut self) -> Result<(), Failure> {
        let begun = self.start(
            "tune",
            "feedback as signals: the Tuner learns from rewards and judged answers",
            &format!("agent tune --signals {SIGNALS}"),
        );
        let tuned = self.agent(&["tune", "--signals", SIGNALS])?;
        self.line(&format!(
            "{} signals applied, each durable before it was counted",
            tuned["applied"]
        ));
        let changed = self.agent(&["state", "diff"])?;
        self.print_changes(&changed);
        let tested = self.test("staging")?;
        self.done(begun, STAGING, &tested)
    }

    fn promote(&mut self) -> Result<(), Failure> {
        let begun = self.start("promote", "the learned state becomes a version", "agent promote");
        let outcome = self.agent(&["promote"])?;
        self.line(text(&outcome["why"]));
        let tested = self.test("active")?;
        self.done(begun, tag(&outcome), &tested)
    }

    fn architect(&mut self) -> Result<(), Failure> {
        let begun = self.start(
            "architect",
            "feedback as text: the Architect changes the code",
            &format!("agent architect \"{FEEDBACK}\""),
        );
        let report = self.agent(&["architect", FEEDBACK])?;
        for attempt in report["attempts"].as_array().into_iter().flatten() {
            self.line(&format!("the {} coder: {}", text(&report["coder"]), text(&attempt["said"])));
            self.line(&format!("changed {}", list(&attempt["changed"])));
            for trial in attempt["trials"].as_array().into_iter().flatten() {
                let verdict = if trial["passed"] == true { "passed" } else { "refused" };
                self.line(&format!(
                    "{:<5} {verdict}, score {:.3} (was {:.3})",
                    text(&trial["tier"]),
                    number(&trial["score"]),
                    number(&trial["before"])
                ));
            }
        }
        let version = text(&report["version"]).to_owned();
        let tested = self.test("active")?;
        self.done(begun, &version, &tested)
    }

    fn rollback(&mut self) -> Result<(), Failure> {
        let begun = self.start(
            "rollback",
            "a rollback is a new version; no history is rewritten",
            "agent rollback",
        );
        let outcome = self.agent(&["rollback", "--reason", "to demonstrate a rollback"])?;
        self.line(text(&outcome["why"]));
        let tested = self.test("active")?;
        self.done(begun, tag(&outcome), &tested)
    }

    fn trigger(&mut self) -> Result<(), Failure> {
        let begun = self.start(
            "trigger",
            "an incident: similar complaints, and a trigger starts the Architect, once",
            "agent trigger check --wait",
        );
        for complaint in COMPLAINTS {
            self.agent(&["architect", "--queue-only", complaint])?;
        }
        let fired = self.agent(&["trigger", "check", "--wait"])?;
        let firing = the_firing(&fired);
        self.line(&format!("fired: {}", text(&firing["summary"])));
        self.line(&format!("wake: {}", text(&firing["actions"]["wake"]["result"])));
        let version = text(&firing["outcome"]["version"]).to_owned();
        self.line(&format!(
            "{version} answers {} and its {} items",
            text(&firing["feedback"]),
            COMPLAINTS.len()
        ));
        let cleared = self.agent(&["trigger", "check"])?;
        self.line(&format!("cleared {}", text(&the_firing(&cleared)["cleared"])));
        let tested = self.test("active")?;
        self.done(begun, &version, &tested)
    }

    /// The held-out score of WHAT; all held-out cases are in `full`.
    fn test(&self, what: &str) -> Result<Value, Failure> {
        self.agent(&["test", "--tier", "full", "--at", what])
    }

    fn agent(&self, arguments: &[&str]) -> Result<Value, Failure> {
        self.agent_at(&self.folder, arguments)
    }

    fn agent_at(&self, folder: &Path, arguments: &[&str]) -> Result<Value, Failure> {
        let command = [self.agent.as_os_str(), "--json".as_ref(), "-q".as_ref()]
            .into_iter()
            .chain(arguments.iter().map(AsRef::as_ref))
            .map(OsStr::to_owned)
            .collect();
        // an interrupt ends it too: otherwise it might write into the folder once that is removed
        let child = Pipe::new(command, folder.to_owned());
        let finished = event_loop::block_on(async { child.exchange(Vec::new()).await })??
            .end_with(&[0], || format!("agent {}", arguments.join(" ")))?;
        serde_json::from_slice(&finished.stdout).map_err(|error| {
            Failure::new(
                FailureKind::Child,
                format!("`agent {}` printed no JSON: {error}", arguments.join(" ")),
            )
        })
    }

    fn done(&mut self, begun: Begun, version: &str, tested: &Value) -> Result<(), Failure> {
        let held_out = &tested["tiers"]["full"]["heldout"];
        let score = held_out["score"].as_f64().ok_or_else(|| {
            Failure::new(
                FailureKind::NotEnoughEvidence,
                "the full tier has no held-out cases, so there is nothing to measure a gain on",
            )
        })?;
        // a promotion is compared with the version before it, not with staging
        let score_before =
            self.steps.iter().rfind(|step| step.version != STAGING).map(|step| step.score);
        let step = Step {
            name: begun.name,
            command: begun.command,
            version: version.to_owned(),
            score_before,
            score,
            wall_s: begun.at.elapsed().as_secs_f64(),
        };
        let gain = match step.score_before {
            Some(before) => {
                format!("{before:.3} -> {}", Printer::styled(Style::Strong, &format!("{score:.3}")))
            }
            None => Printer::styled(Style::Strong, &format!("{score:.3}")),
        };
        let cases = held_out["cases"].as_u64().unwrap_or_default();
        self.print(format!(
            "   {} held-out score {gain} over {cases} questions  {}",
            Printer::styled(Style::Good, &step.version),
            faint(step.wall_s)
        ));
        self.print("");
        self.steps.push(step);
        Ok(())
    }

    fn start(&self, name: &'static str, title: &str, command: &str) -> Begun {
        let number = self.steps.len() + 1;
        self.print(Printer::styled(Style::Strong, &format!("{number}. {title}")));
        self.print(Printer::styled(Style::Faint, &format!("   $ {command}")));
        self.progress.advance(1);
        Begun { name, command: command.to_owned(), at: Instant::now() }
    }

    /// Prints a line above the progress bar.
    fn print(&self, line: impl AsRef<str>) {
        self.progress.aside(|| {
            if self.has_stdout { self.printer.data(line) } else { self.printer.say(line) }
        });
    }

    fn line(&self, text: &str) {
        self.print(format!("   {text}"));
    }

    /// Prints the changed values; new ones are counted.
    fn print_changes(&self, diff: &Value) {
        const SHOWN: usize = 6;
        let changes = diff["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let (known, new): (Vec<_>, Vec<_>) =
            changes.iter().partition(|change| change.get("old").is_some_and(|old| !old.is_null()));
        for change in known.iter().take(SHOWN) {
            self.line(&format!(
                "  {:<28} {} -> {}",
                text(&change["path"]),
                change["old"],
                change["new"]
            ));
        }
        let more = known.len().saturating_sub(SHOWN);
        self.line(&format!("  {more} more changed, {} learned anew", new.len()));
    }

    /// The chart of the versions, without staging.
    fn picture(&self) -> String {
        let versions = self.steps.iter().filter(|step| step.version != STAGING);
        let points: Vec<_> = versions
            .map(|step| Point {
                version: step.version.clone(),
                label: label(step.name).to_owned(),
                score: step.score,
            })
            .collect();
        svg::draw(&points)
    }

    fn close(&self, kept: Option<&Path>, wall_s: f64) {
        self.printer.json(&json!({
            "schema": "agent/demo@1", "template": TEMPLATE, "feedback": FEEDBACK,
                "steps": self.steps, "wall_s": wall_s,
            "repository": kept.map(|_| &self.folder),
        }));
        self.print_versions();
        match kept {
            Some(_) => {
                self.print("To explore it:");
                self.print(format!("   cd {}", self.folder.display()));
                self.print("   git log --graph --oneline --all");
                self.print("   agent run ask question='How do I leave a loop early?'");
            }
            None => self.print(
                "The folder was removed. To keep and explore it: agent demo --keep DIR, then git \
                log \
                --graph --oneline --all in DIR.",
            ),
        }
        self.print("To create your own agent: agent init DIR");
        self.print(faint(wall_s));
    }

    fn print_versions(&self) {
        let table = Run::new(&self.agent).args(["versions"]).directory(&self.folder).finish();
        if let Ok(table) = table {
            self.print(table.text());
            self.print("");
        }
    }
}

/// The firing of the rule about complaints in the report of a check.
fn the_firing(report: &Value) -> &Value {
    let rules = report["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
    rules
        .iter()
        .find(|rule| rule["name"] == "complaints")
        .map_or(&Value::Null, |rule| &rule["firing"])
}

const fn label(step: &str) -> &str {
    match step.as_bytes() {
        b"init" => "as written",
        b"promote" => "after tuning",
        b"architect" => "after feedback",
        b"trigger" => "after an incident",
        _ => "rolled back",
    }
}

fn summarized(tier: &str, summary: &Value) -> String {
    format!(
        "{tier:<5} {:>3} of {:>3} passed, score {:.3}",
        summary["passed"],
        summary["cases"],
        summary["score"].as_f64().unwrap_or_default()
    )
}

fn tag(outcome: &Value) -> &str {
    text(&outcome["tag"])
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}

fn list(values: &Value) -> String {
    values.as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(", ")
}

fn faint(seconds: f64) -> String {
    Printer::styled(Style::Faint, &format!("{seconds:.1} s"))
}
