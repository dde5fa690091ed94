//! Who is let in: the name the server is called by, the page that calls, the token.

use super::head::Head;
use super::problem::Problem;
use agent_core::object_id::digest;
use std::net::IpAddr;

pub(super) struct Access {
    /// Names besides `localhost` that may stand in Host.
    hosts: Vec<String>,
    /// Digest of the token: equal digests are compared in the same time, whatever was guessed.
    token: Option<String>,
}

impl Access {
    pub(super) fn new(hosts: &[String], token: Option<&str>) -> Self {
        Self { hosts: hosts.iter().map(|host| host.to_ascii_lowercase()).collect(), token: token.map(|token| digest(token.as_bytes())) }
    }

    pub(super) const fn needs_token(&self) -> bool {
        self.token.is_some()
    }

    /// A page of another origin must not get through a browser to what listens on this machine: neither by asking (Origin), nor by
    /// a name of its own that it points here (Host).
    pub(super) fn check(&self, head: &Head, is_open: bool) -> Result<(), Problem> {
        let host = head.header("host").unwrap_or_default();
        if !host.is_empty() && !self.knows(host) {
            return Err(Problem::new(403, format!("`{host}` is no name of this server"))
                .with_hint("call it by its address, or start it with `--allow-host NAME`"));
        }
        if let Some(origin) = head.header("origin").filter(|origin| !is_same(origin, host)) {
            return Err(Problem::new(403, format!("pages of `{origin}` may not ask here")));
        }
        if is_open { Ok(()) } else { self.check_token(head) }
    }

    fn knows(&self, host: &str) -> bool {
        let name = name_of(host).to_ascii_lowercase();
        // nobody can point an address elsewhere
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        is_address || name == "localhost" || self.hosts.contains(&name)
    }

    fn check_token(&self, head: &Head) -> Result<(), Problem> {
        let Some(expected) = &self.token else { return Ok(()) };
        let given = head.header("authorization").and_then(|value| value.split_once(' '));
        let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| digest(token.trim().as_bytes()));
        if given.as_ref() == Some(expected) {
            return Ok(());
        }
        let what = if given.is_some() { "the token is another one" } else { "there is no `Authorization: Bearer TOKEN`" };
        Err(Problem::new(401, what).with_header("WWW-Authenticate", "Bearer"))
    }
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => &host[..at],
        _ => host,
    }
}

fn is_same(origin: &str, host: &str) -> bool {
    origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")).is_some_and(|from| from.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::rest::head;

    fn check(access: &Access, headers: &str, expected: Result<(), u16>) {
        let text = format!("GET / HTTP/1.1\r\n{headers}\r\n");
        let (head, _) = head::parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!(access.check(&head, false).map_err(|problem| problem.status()), expected, "{headers}");
    }

    #[test]
    fn only_names_that_are_ours_and_pages_of_our_own_are_let_in() {
        let access = Access::new(&["Agents.example".to_owned()], None);
        for good in ["localhost", "LOCALHOST:80", "127.0.0.1:7070", "[::1]:7070", "[::1]", "10.0.0.1", "agents.example:1"] {
            check(&access, &format!("Host: {good}\r\n"), Ok(()));
            check(&access, &format!("Host: {good}\r\nOrigin: http://{good}\r\n"), Ok(()));
        }
        for bad in ["evil.example", "localhost.evil.example:7070", "127.0.0.1.nip.io", "x"] {
            check(&access, &format!("Host: {bad}\r\n"), Err(403));
        }
        for bad in ["http://evil.example", "null", "http://localhost:1", "file://"] {
            check(&access, &format!("Host: localhost:7070\r\nOrigin: {bad}\r\n"), Err(403));
        }
    }

    #[test]
    fn a_token_opens_where_one_is_set() {
        let access = Access::new(&[], Some("s3cret"));
        check(&access, "Host: localhost\r\nAuthorization: Bearer s3cret\r\n", Ok(()));
        check(&access, "Host: localhost\r\nAuthorization: bearer  s3cret\r\n", Ok(()));
        for bad in ["", "Authorization: Bearer other\r\n", "Authorization: Basic s3cret\r\n", "Authorization: s3cret\r\n"] {
            check(&access, &format!("Host: localhost\r\n{bad}"), Err(401));
        }
        let (head, _) = head::parse(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap().unwrap();
        assert!(access.check(&head, true).is_ok(), "what is open needs none");
    }
}
