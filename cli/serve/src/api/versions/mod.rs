//! `agent serve versions`: a read-only REST API of every version in the repository and the object
//! store, and a web page on it.

mod canaries;
mod conversations;
mod counted;
mod evaluations;
mod firings;
mod kpi;
mod live;
pub mod page;
mod parameters;
mod reader;
mod registry;
mod results;
mod slo;
mod version;

use crate::rest::Service;
use agent_engine::error::Failure;
use agent_engine::repository::Location;
use agent_engine::repository::registry::Known;
use counted::Counted;
use reader::Reader;
use results::Results;
use std::sync::Arc;

pub fn service(location: &Location, shows_held_out: bool) -> Service<Reader> {
    let (location, known, results) =
        (location.clone(), Arc::new(Known::default()), Arc::new(Results::new(shows_held_out)));
    let counted = Arc::new(Counted::default());
    let routes = registry::routes()
        .into_iter()
        .chain(version::routes())
        .chain(evaluations::routes())
        .chain(conversations::routes())
        .chain(kpi::routes())
        .chain(slo::routes())
        .chain(firings::routes())
        .chain(canaries::routes())
        .chain(live::routes());
    Service {
        title: "Versions",
        description: "The versions of an agent: their provenance, evaluations and differences. \
        Read-only.",
        schemas: include_str!("schemas.json"),
        routes: page::routes().into_iter().chain(routes).collect(),
        open: Box::new(move || {
            let reader = Reader {
                repository: location.open_without_recovery()?,
                known: Arc::clone(&known),
                results: Arc::clone(&results),
                counted: Arc::clone(&counted),
            };
            reader.repository.git.note_untagged()?;
            // a long history is read once at the start, not during the first request
            reader.repository.known_newest(&reader.known, None)?;
            Ok(reader)
        }),
        metrics,
    }
}

/// In the text format of Prometheus. A part that cannot be read is a comment with the reason.
fn metrics(reader: &mut Reader) -> Result<String, Failure> {
    let own = kpi::metrics(reader)?;
    let objectives = slo::metrics(reader)
        .unwrap_or_else(|error| format!("# {}\n", error.messages.join(": ").replace('\n', " ")));
    Ok(own + &objectives)
}
