//! Access control: the checks of Host, Origin and the bearer token.

use agent_core::formats::object_id::digest;
use std::net::IpAddr;

#[derive(Debug)]
pub struct Access {
    /// Names besides `localhost` that Host may have.
    hosts: Vec<String>,
    /// Digest of the token: comparing digests reveals nothing of the token through timing.
    token: Option<String>,
}

/// The headers that identify the server and the sender of a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sender<'a> {
    pub host: Option<&'a str>,
    pub origin: Option<&'a str>,
    pub authorization: Option<&'a str>,
}

/// Why the headers of a request are ambiguous, if they are: Host names one server (where it is
/// `required`), an absolute target names the same one, and there is one credential. Ambiguous
/// requests are refused because two parsers could check one server or sender and serve another.
pub fn ambiguity(
    sender: Sender<'_>,
    authority: Option<&str>,
    required: bool,
) -> Option<&'static str> {
    let is_one_name = |host: &str| !host.is_empty() && !host.contains([',', ' ', '\t', '/', '@']);
    if sender.host.map_or(required || authority.is_some(), |host| !is_one_name(host)) {
        return Some("`Host` must be one name, with or without a port");
    }
    if sender.authorization.is_some_and(|value| value.contains(',')) {
        return Some("`Authorization` must have one credential");
    }
    let is_another = authority
        .zip(sender.host)
        .is_some_and(|(authority, host)| !authority.eq_ignore_ascii_case(host));
    is_another.then_some("the target and `Host` name different servers")
}

/// Why a request is refused.
#[derive(Debug)]
pub struct Denied {
    /// 401 where a token is missing or wrong, else 403.
    pub status: u16,
    pub why: String,
    pub hint: Option<&'static str>,
}

impl Denied {
    fn forbidden(why: String) -> Self {
        Self { status: 403, why, hint: None }
    }
}

impl Access {
    pub fn new(hosts: &[String], token: Option<&str>) -> Self {
        Self {
            hosts: hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            token: token.map(|token| digest(token.as_bytes())),
        }
    }

    pub const fn needs_token(&self) -> bool {
        self.token.is_some()
    }

    /// A page of another origin must not reach this server through a browser: neither by a request
    /// of its own (Origin), nor by DNS rebinding (Host).
    pub fn check(&self, sender: Sender<'_>, is_open: bool) -> Result<(), Denied> {
        let host = sender.host.unwrap_or_default();
        if !host.is_empty() && !self.allows_host(host) {
            let hint = Some("use the server's address, or start it with `--allow-host NAME`");
            return Err(Denied {
                hint,
                ..Denied::forbidden(format!("`{host}` is not a name of this server"))
            });
        }
        if let Some(origin) = sender.origin.filter(|origin| !is_same(origin, host)) {
            return Err(Denied::forbidden(format!("the origin `{origin}` is not allowed")));
        }
        if is_open { Ok(()) } else { self.check_token(sender.authorization) }
    }

    /// Whether this is a name of the server, with or without a port.
    pub fn allows_host(&self, host: &str) -> bool {
        let name = name_of(host).to_ascii_lowercase();
        // an IP address cannot be rebound by DNS
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        is_address || name == "localhost" || self.hosts.contains(&name)
    }

    fn check_token(&self, authorization: Option<&str>) -> Result<(), Denied> {
        let Some(expected) = &self.token else { return Ok(()) };
        let given = authorization.and_then(|value| value.split_once(' '));
        let given = given
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| digest(token.trim().as_bytes()));
        if given.as_ref() == Some(expected) {
            return Ok(());
        }
        let why = if given.is_some() {
            "the token is wrong"
        } else {
            "the header `Authorization: Bearer TOKEN` is missing"
        };
        Err(Denied { status: 401, why: why.to_owned(), hint: None })
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
    origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"))
        .is_some_and(|from| from.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(access: &Access, sender: Sender<'_>, expected: Result<(), u16>) {
        assert_eq!(
            access.check(sender, false).map_err(|denied| denied.status),
            expected,
            "{sender:?}"
        );
    }

    #[test]
    fn only_known_hosts_and_their_own_origins_have_access() {
        let access = Access::new(&["Agents.example".to_owned()], None);
        for good in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:7070",
            "[::1]:7070",
            "[::1]",
            "10.0.0.1",
            "agents.example:1",
        ] {
            let sender = Sender { host: Some(good), ..Sender::default() };
            check(&access, sender, Ok(()));
            check(&access, Sender { origin: Some(&format!("http://{good}")), ..sender }, Ok(()));
        }
        for bad in ["evil.example", "localhost.evil.example:7070", "127.0.0.1.nip.io", "x"] {
            check(&access, Sender { host: Some(bad), ..Sender::default() }, Err(403));
        }
        for bad in ["http://evil.example", "null", "http://localhost:1", "file://"] {
            check(
                &access,
                Sender { host: Some("localhost:7070"), origin: Some(bad), ..Sender::default() },
                Err(403),
            );
        }
    }

    #[test]
    fn a_token_is_required_where_one_is_set() {
        let access = Access::new(&[], Some("s3cret"));
        let sender = Sender { host: Some("localhost"), ..Sender::default() };
        for good in ["Bearer s3cret", "bearer  s3cret"] {
            check(&access, Sender { authorization: Some(good), ..sender }, Ok(()));
        }
        for bad in ["", "Bearer other", "Basic s3cret", "s3cret"] {
            check(&access, Sender { authorization: Some(bad), ..sender }, Err(401));
        }
        check(&access, sender, Err(401));
        assert!(access.check(sender, true).is_ok(), "an open path requires no token");
    }
}
