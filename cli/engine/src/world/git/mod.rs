//! git: the only module that uses gix; `git` is run for what gix cannot do.
//!
//! gix reads and writes objects, 15 to 25 times faster than plumbing. `git` moves refs (it fires
//! the hooks, and takes no global lock), pushes, and makes checkouts. A `Git` belongs to one
//! thread; another thread opens its own, which takes about a millisecond.

mod chain;
mod checkout;
mod collection;
mod error;
mod facts;
mod footprint;
mod history;
mod ids;
mod integrity;
mod objects;
mod partial;
mod places;
mod publish;
mod records;
mod refs;
mod registry;
mod remote;
mod repository;
mod submodules;
mod workplace;
mod worktree;
mod written;

pub use chain::link;
pub use error::GitError;
pub use footprint::{Refs, Settings};
pub use integrity::Integrity;
pub use objects::{CommitInfo, CommitSpec, Entry, Listed, Mode, TreeEdit};
pub use publish::{Publication, Published, Repairs, tag_ref};
pub use records::RecordEdit;
pub use refs::{Move, Moved, RefStamp};
pub use registry::{Catalog, Unpinned};
pub use remote::{PrePush, Pushed, remote_active};
pub use repository::{ACTIVE, Git, STATE_FILE};
pub use workplace::{Edited, HandedOut, Unreadable};

#[cfg(test)]
mod footprint_tests;
#[cfg(test)]
mod publish_tests;
#[cfg(test)]
mod registry_tests;
#[cfg(test)]
pub(in crate::world) mod tests;
#[cfg(test)]
mod workplace_tests;
