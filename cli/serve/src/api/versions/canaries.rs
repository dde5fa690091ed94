//! The canaries of staging: the one that runs, and how others ended.

use super::reader::Reader;
use crate::rest::{Call, Problem, Reply, Route};
use agent_engine::canary;
use serde_json::json;

/// So many of the newest are listed.
const LISTED: usize = 100;

pub(super) fn routes() -> [Route<Reader>; 1] {
    [Route::get(
        "/v1/canaries",
        "listCanaries",
        "Canaries, newest first: what was served to which share, the decision and the end.",
        list,
    )
    .answers(200, "Canaries", "The newest canaries, at most 100.")]
}

fn list(reader: &mut Reader, _: &Call<'_>) -> Result<Reply, Problem> {
    let mut canaries = canary::all(&reader.repository)?;
    canaries.reverse();
    canaries.truncate(LISTED);
    Ok(Reply::json(&json!({"schema": "agent/canaries@1", "canaries": canaries})))
}
