use super::outcome;
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::scaffold::Scaffold;
use agent_core::formats::manifest;
use agent_engine::error::Failure;
use agent_engine::templates;
use agent_engine::versions::{Outcome, release};
use agent_engine::world::env;
use agent_engine::world::git::Git;
use agent_engine::world::git_command::GitCommand;
use agent_engine::world::layout::Layout;
use agent_engine::world::python;
use serde_json::json;
use std::path::PathBuf;

/// Create an agent repository: files, git, hooks, a first version
///
/// The folder must be empty or missing. `agent templates list` lists the templates. The same
/// command continues an interrupted run.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder to create
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The template
    #[arg(long, default_value = templates::DEFAULT, value_name = "NAME")]
    template: String,
    /// Print what would be done
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let template = templates::named(&arguments.template)?;
    GitCommand::version()?;
    let plan = Scaffold::plan(&context.directory.join(&arguments.folder), template)?;
    if arguments.dry_run {
        return Ok(show(&plan, context));
    }
    if plan.folder.join(".git").exists() {
        // an existing repository may have a format that cannot be read
        Git::discover(&plan.folder)?;
    }
    python::find(&Layout::new(&plan.folder), &manifest::Python::default().requires)?;
    if let Some(around) = &plan.inside {
        context.printer.warn(format!(
            "{} lies inside the repository {}; add it to the .gitignore there",
            plan.folder.display(),
            around.display()
        ));
    }
    plan.apply()?;
    let first = first_version(&plan, context)?;
    plan.finish()?;
    report(&plan, &first, context)
}

/// Makes `v0.1.0` on `active` once its tests pass; keeps one that an earlier run made.
fn first_version(plan: &Scaffold, context: &Context) -> Result<Outcome, Failure> {
    let inside = Context { directory: plan.folder.clone(), ..context.clone() };
    let repository = inside.repository()?;
    match repository.tip()? {
        Some(tip) => Ok(Outcome::nothing(format!("v{} exists already", tip.version))),
        None => Ok(release::release(&repository, &release::Options::default())?),
    }
}

fn show(plan: &Scaffold, context: &Context) -> Exit {
    let files: Vec<_> = plan.files.iter().map(|file| file.path.display().to_string()).collect();
    context.printer.data(plan.steps().join("\n"));
    context.printer.detail(files.join("\n"));
    context.printer.json(&json!({
        "schema": "agent/init@1", "done": false, "directory": plan.folder, "name": plan.name,
        "template": plan.template.name, "steps": plan.steps(), "files": files,
    }));
    Exit::Done
}

fn report(plan: &Scaffold, first: &Outcome, context: &Context) -> CommandResult {
    let commit = GitCommand::isolated(&plan.folder).head()?;
    if env::binary().is_none() {
        context.printer.warn("cannot determine the path of `agent`; the hooks look for it on PATH");
    }
    context.printer.json(&json!({
        "schema": "agent/init@1", "done": true, "directory": plan.folder, "name": plan.name,
        "template": plan.template.name, "commit": commit, "outcome": first,
    }));
    context.printer.done(
        format!(
            "{} is an agent repository, from the template {}",
            plan.folder.display(),
            plan.template.name
        ),
        None,
    );
    Ok(outcome::print("released", first, &context.printer))
}
