//! The options of every verb that listens on a port.

use agent_engine::world::env;
use agent_serve::access::Access;

/// Who may connect.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Ask for this token (`Authorization: Bearer TOKEN`); better given as `AGENT_TOKEN`, which no list of processes shows
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// A name besides localhost that the server may be called by; can be given more than once
    #[arg(long = "allow-host", value_name = "NAME")]
    hosts: Vec<String>,
}

impl Arguments {
    pub fn access(&self) -> Access {
        Access::new(&self.hosts, self.token.clone().or_else(env::token).as_deref())
    }

    /// Whether none was given.
    pub fn is_default(&self) -> bool {
        self.token.is_none() && self.hosts.is_empty()
    }
}
