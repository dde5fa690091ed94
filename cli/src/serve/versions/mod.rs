//! `agent serve versions`: what the repository and the object store know of every version, for reading.

use crate::context::Context;
use crate::repository::Repository;
use crate::serve::rest::{Call, Kind, Problem, Reply, Route, Service};

struct Reader {
    repository: Repository,
}

pub(crate) fn service(context: &Context) -> Service<impl Sized + use<>> {
    let context = context.clone();
    Service {
        title: "Versions",
        description: "The versions of an agent, what made them, how they were judged, and what differs between them. Read-only.",
        schemas: "{}",
        routes: vec![
            Route::get("/v1/versions", "listVersions", "The versions, newest first.", list)
                .query("limit", Kind::Integer { least: 1, most: 500 }, "How many at most.")
                .answers(200, "Versions", "A page."),
        ],
        open: Box::new(move || Ok(Reader { repository: Repository::look(&context)? })),
        metrics: |_| Ok(String::new()),
    }
}

fn list(reader: &mut Reader, call: &Call<'_>) -> Result<Reply, Problem> {
    let listing = reader.repository.listing(call.query("limit")?.unwrap_or(50), None, None)?;
    Ok(Reply::json(&listing))
}
