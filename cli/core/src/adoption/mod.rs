//! Derives from an existing MCP server, for `agent adopt`: its command, its lock, its first cases.

mod case;
mod command;
mod error;
mod example;
mod fetched;
mod first_version;
pub mod joining;
mod lack;
mod manifest;
mod measured;
pub mod package;
pub mod project;
mod requirements;
mod trial;

pub use case::{failure, holds, recorded, refusal};
pub use command::{detect, module, with_data_apart, words};
pub use error::AdoptionError;
pub use fetched::{Fetched, Fetcher, fetched, program_of};
pub use first_version::{FirstVersion, first_version};
pub use lack::{Lack, is_offline, lack};
pub use manifest::Manifest;
pub use measured::Measured;
pub use requirements::{constraints, lock, main_list};
pub use trial::{Trial, trials};
