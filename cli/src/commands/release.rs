use super::{outcome, publishing};
use crate::commands::traced::traced;
use crate::context::Context;
use crate::exit::CommandResult;
use agent_core::version::Bump;
use agent_engine::versions::release::{self, Options};

/// Make a commit of `main` the next version and serve it
///
/// Its code is combined with the served state. The full tier judges it, paired with the version it
/// replaces. The Contract, the code and the commit messages determine the bump.
///
/// The commit has to contain the code of the newest release or rollback on `active`: otherwise it
/// is refused with exit code 4; run `git merge active` first. Code that a rollback took out of
/// service is not released again without `--again`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The commit to release [default: main]
    revision: Option<String>,
    /// Raise the computed bump to patch, minor or major; a lower one is refused
    #[arg(long, value_name = "LEVEL")]
    bump: Option<Bump>,
    /// Allow code that a rollback took out of service; the reason goes into the commit message
    #[arg(long, value_name = "REASON",
        value_parser = clap::builder::NonEmptyStringValueParser::new())]
    again: Option<String>,
    #[command(flatten)]
    publishing: publishing::PublishOptions,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository_to(arguments.publishing.writes())?;
    let options = Options {
        revision: arguments.revision.clone(),
        bump: arguments.bump,
        again: arguments.again.clone(),
        dry_run: arguments.publishing.dry_run,
        ..Options::default()
    };
    traced(&repository, "release", || {
        let push = arguments.publishing.pushes(&repository);
        outcome::published("released", &repository, context, push, || {
            Ok(release::release(&repository, &options)?)
        })
    })
}
