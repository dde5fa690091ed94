//! The list of versions, and the version that a range resolves to.

use super::parameters::{ANY, Named, PAGE, VERSION};
use super::reader::{Reader, no_version, of_version};
use crate::rest::{Call, Kind, Problem, Reply, Route};
use agent_core::formats::committed::WithWarnings;
use agent_core::version::registry::{Filter, Resolved};
use agent_core::version::what::What;
use semver::{Version, VersionReq};

const LINE: Kind =
    Kind::Text { pattern: r"^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})$", longest: 20 };
/// The ranges of `agent versions --range`: comparators of up to three numbers, joined by commas.
const RANGE: Kind = Kind::Text {
    pattern: r"^(\*|((\^|~|=|<=?|>=?)?(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){0,2}|(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8}))?\.\*)(, ?(\^|~|=|<=?|>=?)?(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){0,2}){0,3})$",
    longest: 100,
};
const KINDS: Kind = Kind::OneOf(&["promotion", "release", "rollback"]);
/// The default limit of a page.
const USUAL: usize = 50;

pub(super) fn routes() -> Vec<Route<Reader>> {
    vec![
        Route::get(
            "/v1/versions",
            "listVersions",
            "The versions, newest first, a page at a time.",
            list,
        )
        .query("limit", PAGE, "The maximum number of versions [default: 50].")
        .query("after", VERSION, "Only versions below this one: the `next` of the previous page.")
        .query("range", RANGE, "Only versions that match, for example `^0.1`.")
        .query("kind", KINDS, "Only versions of this kind.")
        .query("line", LINE, "Only versions of this minor line, for example `0.1`.")
        .answers(
            200,
            "Versions",
            "A page; the `Link` with `rel=\"next\"` has the next one.",
        ),
        of_version(Route::get(
            "/v1/versions/{version}",
            "showVersion",
            "One version, with the digests of its evidence.",
            show,
        ))
        .answers(200, "Version", "The version."),
        Route::get(
            "/v1/resolve",
            "resolve",
            "The newest version in service that matches a range.",
            resolve,
        )
        .required_query("range", ANY, "A range such as `^0.1`, a version, a pin, or `active`.")
        .answers(200, "Resolved", "The version.")
        .problems(&[404]),
    ]
}

fn list(reader: &mut Reader, call: &Call<'_>) -> Result<Reply, Problem> {
    let limit = call.query("limit")?.unwrap_or(USUAL);
    let after = call.query::<Named>("after")?.map(|Named(version)| version);
    let kind =
        call.query::<String>("kind")?.and_then(|kind| agent_core::version::Kind::parse(&kind));
    let filter =
        Filter { range: call.query::<VersionReq>("range")?, kind, line: call.query("line")? };
    let (listing, warnings) =
        reader.repository.known_listing(&reader.known, limit, after.as_ref(), &filter)?;
    let reply = Reply::json(&WithWarnings { document: &listing, warnings: warnings.as_slice() });
    Ok(call.with_next(reply, listing.next.as_ref()))
}

fn show(reader: &mut Reader, call: &Call<'_>) -> Result<Reply, Problem> {
    let Named(version) = call.path("version")?;
    let (entry, warnings) = reader
        .repository
        .known_entry(&reader.known, &version)?
        .ok_or_else(|| no_version(&version))?;
    Ok(Reply::json(&WithWarnings { document: &entry.document(), warnings: warnings.as_slice() }))
}

fn resolve(reader: &mut Reader, call: &Call<'_>) -> Result<Reply, Problem> {
    let what: What = call
        .query("range")?
        .ok_or_else(|| Problem::bad_request("the query parameter `range` is missing"))?;
    let version = named(reader, &what, true)?;
    let commit =
        reader.repository.git.version_commit(&version)?.ok_or_else(|| no_version(&version))?;
    Ok(Reply::json(&Resolved::new(&what, version, commit)))
}

/// A name is a pin and never another ref: a client must not choose what git resolves.
fn named(reader: &Reader, what: &What, may_be_pin: bool) -> Result<Version, Problem> {
    let nothing = || {
        Problem::not_found(format!("no version in service matches `{what}`"))
            .with_hint("GET /v1/versions lists them all")
    };
    let repository = &reader.repository;
    match what {
        What::Version(version) => Ok(version.clone()),
        What::Range(range) => {
            repository.known_newest(&reader.known, Some(range))?.ok_or_else(nothing)
        }
        What::Active => Ok(repository.tip()?.ok_or_else(nothing)?.version),
        What::Name(name) if may_be_pin => match repository.git.pin_meant(name)? {
            Some(pinned) => named(reader, &pinned, false),
            None => Err(nothing()),
        },
        What::Name(_) | What::Staging | What::Worktree => Err(nothing()),
    }
}
