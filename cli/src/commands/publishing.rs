//! Options of the verbs that make a version.

use agent_engine::repository::{Repository, Writes};
use agent_engine::versions;

#[derive(Debug, Clone, Copy, clap::Args)]
pub struct PublishOptions {
    /// Fetch first, and push the version with its records; retried where another clone publishes
    /// first
    #[arg(long)]
    push: bool,
    /// Print the steps; do nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl PublishOptions {
    pub fn writes(self) -> Writes {
        Writes::Refs.unless(self.dry_run)
    }

    /// Whether the version is pushed: on request, or by the served manifest.
    pub fn pushes(self, repository: &Repository) -> bool {
        !self.dry_run && (self.push || versions::pushes_by_manifest(repository))
    }
}
