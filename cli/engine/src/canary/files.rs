//! The files of the canary that runs in this clone.

use super::error::CanaryError;
use crate::error::Failure;
use crate::world::fs::{self, Durability};
use crate::world::layout::Layout;
use agent_core::canary::Canary;
use agent_core::canary::conversations::Taken;
use serde::{Deserialize, Serialize};
use std::path::Path;

const TAKEN_SCHEMA: &str = "agent/canary-taken@1";

/// The conversations that were compared, in their order: each is taken once, with the value that it
/// had by then.
#[derive(Debug, Serialize, Deserialize)]
struct TakenFile {
    schema: String,
    canary: String,
    taken: Vec<Taken>,
}

/// The canary of this clone that has not ended.
pub fn current(layout: &Layout) -> Result<Option<Canary>, Failure> {
    read(&layout.canary_current())
}

/// The last canary of this clone that has ended.
pub fn last(layout: &Layout) -> Result<Option<Canary>, Failure> {
    read(&layout.canary_last())
}

fn read(path: &Path) -> Result<Option<Canary>, Failure> {
    let Some(bytes) = fs::read_if_there(path)? else { return Ok(None) };
    let canary = Canary::parse(&bytes)
        .map_err(|problem| CanaryError::File { path: path.to_owned(), problem })?;
    Ok(Some(canary))
}

pub fn write(layout: &Layout, canary: &Canary) -> Result<(), Failure> {
    Ok(fs::replace(&layout.canary_current(), &canary.to_bytes(), Durability::Durable)?)
}

pub fn taken(layout: &Layout, canary: &Canary) -> Result<Vec<Taken>, Failure> {
    let path = layout.canary_taken();
    let Some(bytes) = fs::read_if_there(&path)? else { return Ok(Vec::new()) };
    let wrong = |problem| CanaryError::File { path: path.clone(), problem };
    let file: TakenFile =
        serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    if file.schema != TAKEN_SCHEMA {
        return Err(wrong(format!("its schema is `{}`", file.schema)).into());
    }
    // the conversations of an earlier canary do not count
    Ok(if file.canary == canary.id { file.taken } else { Vec::new() })
}

pub fn write_taken(layout: &Layout, canary: &Canary, taken: &[Taken]) -> Result<(), Failure> {
    let file = TakenFile {
        schema: TAKEN_SCHEMA.to_owned(),
        canary: canary.id.clone(),
        taken: taken.to_vec(),
    };
    let bytes = serde_json::to_vec(&file).expect("conversations are JSON");
    Ok(fs::replace(&layout.canary_taken(), &bytes, Durability::Durable)?)
}

/// The canary has ended: it is the last one, and servers no longer look at it.
pub fn finish(layout: &Layout, canary: &Canary) -> Result<(), Failure> {
    fs::replace(&layout.canary_last(), &canary.to_bytes(), Durability::Durable)?;
    Ok(fs::remove_if_there(&layout.canary_current())?)
}
