use super::outcome;
use crate::commands::traced::traced;
use crate::context::Context;
use crate::exit::CommandResult;
use agent_core::version::Bump;
use agent_engine::repository::Writes;
use agent_engine::versions::release::{self, Options};

/// Make a commit of `main` the next version and serve it
///
/// Its code is joined with the state that is served now. The full tier judges it, paired with the version it replaces; the Contract, the code and the commit
/// messages say how far the version moves.
///
/// The commit has to contain the code of the newest release or rollback on `active`: otherwise this is refused with exit code 4, and `git merge active` mends it.
/// Code that a rollback took out of service is not released again without `--again`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The commit to release; `main` when left out
    revision: Option<String>,
    /// Move the version further than computed: patch, minor or major; less is refused
    #[arg(long, value_name = "LEVEL")]
    bump: Option<Bump>,
    /// Serve code again that a rollback took out of service; why, for the commit message
    #[arg(long, value_name = "REASON", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    again: Option<String>,
    /// Look at the remote first, and push the version with all that belongs to it; made again where another clone is first
    #[arg(long)]
    push: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository_to(Writes::Refs.unless(arguments.dry_run))?;
    let options = Options {
        revision: arguments.revision.clone(),
        bump: arguments.bump,
        again: arguments.again.clone(),
        dry_run: arguments.dry_run,
        ..Options::default()
    };
    traced(&repository, "release", || {
        let push = outcome::pushes(&repository, arguments.push, arguments.dry_run);
        outcome::published("released", &repository, context, push, || release::release(&repository, &options))
    })
}
