use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_engine::error::Failure;
use agent_engine::templates::{self, Template};
use serde_json::json;
use std::path::PathBuf;

/// List the templates of `agent init`
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
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    match &arguments.command {
        Command::List => Ok(list(context)),
        Command::Show { name, file: None } => Ok(show(templates::named(name)?, context)),
        Command::Show { name, file: Some(file) } => {
            show_file(templates::named(name)?, file, context)
        }
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
        .map(|template| json!({"name": template.name, "about": template.about}))
        .collect();
    context.printer.json(&json!({"schema": "agent/templates@1", "templates": templates}));
    Exit::Done
}

fn show(template: &Template, context: &Context) -> Exit {
    let files: Vec<_> =
        template.files().iter().map(|file| file.path.display().to_string()).collect();
    context.printer.data(files.join("\n"));
    context.printer.json(&json!({"schema": "agent/template@1", "name": template.name,
        "about": template.about, "files": files}));
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
