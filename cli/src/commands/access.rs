//! Options of the verbs that listen on a port.

use agent_engine::world::env;
use agent_serve::access::Access;

/// Access control: the token and the accepted host names.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Require this token (`Authorization: Bearer TOKEN`); prefer the variable `AGENT_TOKEN`, which
    /// process lists do not show
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// A Host name to accept besides localhost; can be repeated
    #[arg(long = "allow-host", value_name = "NAME")]
    hosts: Vec<String>,
}

impl Arguments {
    pub fn access(&self) -> Access {
        Access::new(&self.hosts, self.token.clone().or_else(env::token).as_deref())
    }

    /// Whether no option was given.
    pub fn is_default(&self) -> bool {
        self.token.is_none() && self.hosts.is_empty()
    }
}
