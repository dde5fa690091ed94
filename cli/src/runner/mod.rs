//! Speaks JSON-RPC to the Python children, in raw frames, so that no field is lost in passing.
//!
//! `link` moves frames of one child, `child` matches answers to many callers. `tier` runs cases: `cases` reads them from the files of `evaluators`, each `shard` has a Runner of
//! its own (its children are a `line` each, `params` is what it sends them), an `attempt` is one case under way, `judge` asks programs of the repository about an answer, `scratch` is the folder cases leave files in.

pub mod attempt;
pub mod cases;
pub mod child;
pub mod evaluators;
mod judge;
mod line;
pub mod link;
mod params;
mod scratch;
mod shard;
pub mod tier;
