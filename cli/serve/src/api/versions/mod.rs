//! `agent serve versions`: a read-only REST API of every version in the repository and the object
//! store, and a web page on it.

mod canaries;
mod conversations;
mod evaluations;
mod firings;
mod kpi;
mod live;
pub mod page;
mod registry;
mod slo;
mod version;

use crate::rest::{Kind, Problem, Route, Service};
use agent_core::version::{from_tag, tag};
use agent_engine::error::Failure;
use agent_engine::repository::Location;
use agent_engine::repository::Repository;
use agent_engine::repository::registry::Known;
use agent_engine::target::contracts;
use agent_engine::world::git::CommitInfo;
use evaluations::Cases;
use semver::Version;
use std::str::FromStr;
use std::sync::Arc;

const VERSION: Kind = Kind::Text {
    pattern: r"^v?(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})$",
    longest: 32,
};
const LINE: Kind =
    Kind::Text { pattern: r"^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})$", longest: 20 };
/// The ranges of `agent versions --range`: comparators of up to three numbers, joined by commas.
const RANGE: Kind = Kind::Text {
    pattern: r"^(\*|((\^|~|=|<=?|>=?)?(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){0,2}|(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8}))?\.\*)(, ?(\^|~|=|<=?|>=?)?(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){0,2}){0,3})$",
    longest: 100,
};
const ANY: Kind = Kind::Text { pattern: r"^[\s\S]+$", longest: 200 };
const CONVERSATION: Kind =
    Kind::Text { pattern: r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", longest: 128 };
const TIER: Kind = Kind::OneOf(&["micro", "fast", "full"]);
const PAGE: Kind = Kind::Integer { least: 1, most: 500 };

/// A worker's state.
pub struct Reader {
    repository: Repository,
    known: Arc<Known>,
    cases: Arc<Cases>,
    counted: Arc<slo::Counted>,
}

/// A version in a path.
struct Named(Version);

impl FromStr for Named {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        from_tag(&format!("v{}", text.strip_prefix('v').unwrap_or(text)))
            .map(Self)
            .ok_or("a version has three numbers, as in 0.1.2")
    }
}

impl Reader {
    /// The commit of a version of the path.
    fn commit(&self, Named(version): &Named) -> Result<CommitInfo, Problem> {
        let commit = self.repository.git.version_commit(version)?;
        let commit = commit.ok_or_else(|| no_version(version))?;
        Ok(self.repository.git.commit(&commit)?)
    }
}

fn no_version(version: &Version) -> Problem {
    Problem::not_found(format!("there is no {}", tag(version)))
        .with_hint("GET /v1/versions lists them")
}

pub fn service(location: &Location, shows_held_out: bool) -> Service<Reader> {
    let (location, known, cases) =
        (location.clone(), Arc::new(Known::default()), Arc::new(Cases::new(shows_held_out)));
    let counted = Arc::new(slo::Counted::default());
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
                repository: location.look()?,
                known: Arc::clone(&known),
                cases: Arc::clone(&cases),
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

/// A route of one version.
fn of_version(route: Route<Reader>) -> Route<Reader> {
    route.part("version", VERSION, "A version, for example `0.1.2`.").problems(&[404])
}
