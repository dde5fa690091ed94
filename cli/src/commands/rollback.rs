use super::{outcome, publishing};
use crate::commands::traced::traced;
use crate::context::Context;
use crate::exit::CommandResult;
use agent_core::version::what::What;
use agent_engine::error::Failure;
use agent_engine::versions::rollback::{self, Options};
use semver::Version;

/// Serve an earlier version again, as a new PATCH
///
/// Nothing is rewritten: `active` gets a commit whose tree is that of the earlier version, and the
/// versions after it count as yanked.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The version to go back to [default: the newest good one before the served one]
    version: Option<What>,
    /// The reason, for the commit message
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Allow a version that an earlier rollback took out of service; the reason goes into the
    /// commit message
    #[arg(long, value_name = "REASON",
        value_parser = clap::builder::NonEmptyStringValueParser::new())]
    again: Option<String>,
    #[command(flatten)]
    publishing: publishing::PublishOptions,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let version = arguments.version.as_ref().map(version).transpose()?;
    let repository = context.repository_to(arguments.publishing.writes())?;
    let options = Options {
        version,
        reason: arguments.reason.clone(),
        again: arguments.again.clone(),
        dry_run: arguments.publishing.dry_run,
    };
    traced(&repository, "rollback", || {
        let push = arguments.publishing.pushes(&repository);
        outcome::published("rolled back", &repository, context, push, || {
            rollback::rollback(&repository, &options)
        })
    })
}

fn version(what: &What) -> Result<Version, Failure> {
    match what {
        What::Version(version) => Ok(version.clone()),
        other => Err(Failure::usage(format!("`{other}` is not a version"))
            .with_hint("name one such as v0.1.2; `agent versions` lists them")),
    }
}
