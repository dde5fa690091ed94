use crate::applying::{self, Change, Plan};
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_engine::error::Failure;
use agent_engine::templates::{self, Template};
use serde_json::json;
use std::path::PathBuf;

/// List the templates of `agent init`, or apply one
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the templates with a description
    List,
    /// List a template's files, or print one of them
    Show {
        /// The template
        name: String,
        /// The file to print
        #[arg(long, value_name = "PATH")]
        file: Option<PathBuf>,
    },
    /// Add a template's Tuner and its state to this agent repository
    ///
    /// For a repository that has a Runner, such as an adopted server. Missing files are written.
    /// Missing entries are added to agent.toml, the schema and the state, cases, budgets and locks,
    /// in their own formatting, and the state's schema gets a migration. The Runner is not changed.
    /// A file with the content of another template is replaced. Any other difference is a conflict
    /// (exit code 4), and nothing is written. Nothing is committed.
    #[command(after_help = "Examples:\
        \n  agent templates apply bandit --dry-run\
        \n  agent templates apply bandit\
        \n  agent templates apply --undo")]
    Apply {
        /// The template
        #[arg(required_unless_present = "undo")]
        name: Option<String>,
        /// Replace committed files that have other content
        #[arg(long)]
        force: bool,
        /// Restore the files as they were before the last template was applied
        #[arg(long, conflicts_with_all = ["name", "force"])]
        undo: bool,
        /// Print what would be written
        #[arg(long, conflicts_with = "undo")]
        dry_run: bool,
    },
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    match &arguments.command {
        Command::List => Ok(list(context)),
        Command::Show { name, file: None } => Ok(show(templates::named(name)?, context)),
        Command::Show { name, file: Some(file) } => {
            show_file(templates::named(name)?, file, context)
        }
        Command::Apply { name: Some(name), force, dry_run, .. } => {
            apply(templates::named(name)?, *force, *dry_run, context)
        }
        Command::Apply { name: None, .. } => undo(context),
    }
}

fn list(context: &Context) -> Exit {
    let width =
        templates::all().iter().map(|template| template.name.len()).max().unwrap_or_default();
    for template in templates::all() {
        context.printer.data(format!("{:width$}  {}", template.name, template.about));
    }
    let templates: Vec<_> = templates::all()
        .iter()
        .map(|template| {
            json!({"name": template.name, "about": template.about, "base": template.base})
        })
        .collect();
    context.printer.json(&json!({"schema": "agent/templates@1", "templates": templates}));
    Exit::Done
}

fn show(template: &Template, context: &Context) -> Exit {
    let files: Vec<_> =
        template.files().iter().map(|file| file.path.display().to_string()).collect();
    context.printer.data(files.join("\n"));
    context.printer.json(&json!({"schema": "agent/template@1", "name": template.name,
        "about": template.about, "base": template.base, "files": files}));
    Exit::Done
}

fn show_file(template: &Template, path: &PathBuf, context: &Context) -> CommandResult {
    let file = template.files().into_iter().find(|file| file.path == *path).ok_or_else(|| {
        Failure::usage(format!("the template {} has no file {}", template.name, path.display()))
            .with_hint(format!("`agent templates show {}` names its files", template.name))
    })?;
    let text = String::from_utf8_lossy(&file.bytes);
    context.printer.data(text.strip_suffix('\n').unwrap_or(&text));
    context.printer.json(&json!({"schema": "agent/template-file@1", "name": template.name,
        "path": file.path, "text": text}));
    Ok(Exit::Done)
}

const APPLIED: &str = "agent/template-applied@1";
const UNDO: &str = "agent templates apply --undo";

fn apply(
    template: &'static Template,
    force: bool,
    dry_run: bool,
    context: &Context,
) -> CommandResult {
    let folder = applying::folder(&context.directory)?;
    let plan = Plan::of(&folder, template, force)?;
    if dry_run {
        report(&plan, false, context);
        return Ok(if plan.conflicts.is_empty() { Exit::Done } else { Exit::Conflict });
    }
    if let Some(refusal) = plan.refusal() {
        return Err(refusal);
    }
    if !plan.changes.is_empty() {
        plan.carry_out(&folder)?;
    }
    report(&plan, true, context);
    Ok(Exit::Done)
}

fn report(plan: &Plan, is_done: bool, context: &Context) {
    let files: Vec<_> = plan
        .changes
        .iter()
        .map(|planned| {
            let mut file = json!(planned.change);
            file["path"] = json!(planned.file.path);
            file
        })
        .collect();
    let lines = plan.changes.iter().map(|one| shown(&one.file.path.to_string_lossy(), &one.change));
    let conflicts =
        plan.conflicts.iter().map(|one| format!("conflict  {}: {}", one.path, one.problem));
    let lines: Vec<_> = lines.chain(conflicts).collect();
    if lines.is_empty() {
        context.printer.done(format!("all of {} is here already", plan.template.name), None);
    } else {
        context.printer.done(lines.join("\n"), None);
    }
    plan.left_out.iter().for_each(|part| context.printer.say(format!("left out: {part}")));
    if is_done && !lines.is_empty() {
        if let Some(pending) = &plan.pending {
            context.printer.say(format!(
                "the template {pending} was applied before and is not committed: undo twice to \
                    undo both"
            ));
        }
        context.printer.say(format!("nothing was committed; `{UNDO}` undoes it"));
        context.printer.say(next(plan));
    }
    context.printer.json(&json!({"schema": APPLIED, "done": is_done,
        "template": plan.template.name, "files": files, "left_out": plan.left_out,
        "conflicts": plan.conflicts, "undo": UNDO}));
}

fn shown(path: &str, change: &Change) -> String {
    match change {
        Change::New => format!("new       {path}"),
        Change::Joined { added } if added.is_empty() => format!("joined    {path}"),
        Change::Joined { added } => format!("joined    {path}: {}", added.join(", ")),
        Change::Replaced { kept } => format!("replaced  {path}: {kept}"),
    }
}

fn next(plan: &Plan) -> String {
    let files = plan.template.files();
    let signals = files.iter().find(|file| file.path.starts_with("signals"));
    let tune = signals.map(|file| format!("agent tune --signals {}, ", file.path.display()));
    let tune = tune.unwrap_or_default();
    format!("next: agent test, git add --all, git commit, agent release, {tune}agent promote")
}

fn undo(context: &Context) -> CommandResult {
    let undone = applying::undo(&applying::folder(&context.directory)?)?;
    let count = undone.files.len();
    context.printer.done(
        format!("the template {} was undone: {count} files are as before", undone.template),
        None,
    );
    context.printer.json(&json!({"schema": "agent/template-undone@1", "done": true,
        "template": undone.template, "files": undone.files}));
    Ok(Exit::Done)
}
