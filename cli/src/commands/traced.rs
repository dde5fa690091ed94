//! A verb in telemetry.

use crate::exit::CommandResult;
use agent_core::protocol::conventions::EXIT;
use agent_engine::repository::Repository;
use agent_engine::telemetry::Span;

/// Runs a verb within a span that has its exit code.
pub fn traced(
    repository: &Repository,
    verb: &str,
    work: impl FnOnce() -> CommandResult,
) -> CommandResult {
    let _telemetry = repository.telemetry();
    let span = Span::internal(&format!("agent {verb}"), "verb");
    let ended = span.within(work);
    let exit = match &ended {
        Ok(exit) => *exit,
        Err(error) => {
            span.fail(error.kind.as_str(), error.messages.join(": "));
            error.kind.into()
        }
    };
    span.set(EXIT, i64::from(exit.code()));
    ended
}
