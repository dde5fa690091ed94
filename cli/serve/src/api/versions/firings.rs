//! The firings of triggers, and their outcome.

use super::reader::Reader;
use crate::rest::{Call, Problem, Reply, Route};
use agent_engine::repository::firings;
use serde_json::json;

/// So many of the newest firings are listed.
const LISTED: usize = 100;

pub(super) fn routes() -> [Route<Reader>; 1] {
    [Route::get(
        "/v1/firings",
        "listFirings",
        "The firings of the triggers in ci/budgets.json, newest first: evidence, actions and \
            outcome.",
        list,
    )
    .answers(200, "Firings", "The newest firings, at most 100.")]
}

fn list(reader: &mut Reader, _: &Call<'_>) -> Result<Reply, Problem> {
    let mut found = firings::all(&reader.repository)?;
    found.reverse();
    found.truncate(LISTED);
    Ok(Reply::json(&json!({"schema": "agent/firings@1", "firings": found})))
}
