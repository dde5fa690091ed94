//! Binding a server to an address: to the network only with a token.

use crate::access::Access;
use agent_core::formats::diagnose::FailureKind;
use agent_engine::error::Failure;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};

/// Why a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The client closed the connection, or the process received SIGTERM.
    Stopped,
    /// SIGINT, as Ctrl-C sends it.
    Interrupted,
}

/// Binds `HOST:PORT`; returns the listener and its address. An address that is not loopback
/// requires a token.
pub fn listen(address: &str, access: &Access) -> Result<(TcpListener, SocketAddr), Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("`{address}` is not a HOST:PORT: {error}"))
    };
    let addresses: Vec<SocketAddr> =
        address.to_socket_addrs().map_err(|error| wrong(&error))?.collect();
    if let Some(open) =
        addresses.iter().find(|address| !address.ip().is_loopback() && !access.needs_token())
    {
        return Err(Failure::usage(format!("{open} is open to the network"))
            .with_hint("give a token: AGENT_TOKEN=..., or --token"));
    }
    let listening = TcpListener::bind(addresses.as_slice())
        .and_then(|listener| Ok((listener.local_addr()?, listener)));
    listening.map(|(at, listener)| (listener, at)).map_err(|error| not_listening(address, &error))
}

fn not_listening(address: &str, error: &std::io::Error) -> Failure {
    let problem =
        Failure::new(FailureKind::Surroundings, format!("cannot listen on {address}: {error}"));
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            problem.with_hint("the port is in use: choose another port; 0 picks a free one")
        }
        _ => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_or_open_to_the_network_is_refused() {
        let (open, closed) = (Access::new(&[], None), Access::new(&[], Some("s3cret")));
        let (_taken, at) = listen("127.0.0.1:0", &open).unwrap();
        let error = listen(&at.to_string(), &open).unwrap_err();
        assert_eq!(
            (error.kind, error.hint.unwrap().contains("choose another port")),
            (FailureKind::Surroundings, true)
        );
        assert_eq!(listen("0.0.0.0:0", &open).unwrap_err().kind, FailureKind::Usage);
        assert!(listen("0.0.0.0:0", &closed).is_ok());
        assert_eq!(listen("nowhere", &open).unwrap_err().kind, FailureKind::Usage);
    }
}
