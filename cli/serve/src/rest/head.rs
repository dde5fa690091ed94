//! Parses the head of a request from untrusted bytes.

use super::problem::Problem;
use crate::access::{Sender, ambiguity};

/// Request line and headers together.
pub(super) const HEAD_LIMIT: usize = 16 * 1024;
const TARGET_LIMIT: usize = 4 * 1024;
const HEADERS_LIMIT: usize = 64;

/// Headers that may occur once. Two parsers could read a repeated one differently, even where its
/// values are equal.
const ONCE: [&str; 9] = [
    "authorization",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "last-event-id",
    "origin",
    "traceparent",
    "transfer-encoding",
];

/// The headers that handlers read; the front forwards no others.
const PASSED_ON: [&str; 6] =
    ["accept", "content-type", "idempotency-key", "if-none-match", "last-event-id", "traceparent"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    /// The authority of an absolute-form target; it equals Host.
    pub(super) authority: Option<String>,
    /// Names in lower case, in order of arrival.
    headers: Vec<(String, String)>,
    /// Content-Length, 0 without one.
    pub(super) body: usize,
    /// The connection stays open after the response.
    pub(super) keeps_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
}

/// Parses a head at the start of the received bytes; returns it with its length in bytes, or `None`
/// where it is incomplete.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Problem> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_LIMIT];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= HEAD_LIMIT => length,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_LIMIT => return Ok(None),
        Ok(_) => return Err(too_large(request.path)),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Problem::new(431, format!("there are more than {HEADERS_LIMIT} headers")));
        }
        Err(httparse::Error::Version) => {
            return Err(Problem::new(505, "HTTP/1.1 and HTTP/1.0 are supported"));
        }
        Err(error) => {
            return Err(Problem::bad_request(format!("not an HTTP request head: {error}")));
        }
    };
    Ok(Some((understood(&request)?, length)))
}

fn too_large(path: Option<&str>) -> Problem {
    match path {
        Some(path) if path.len() > TARGET_LIMIT => path_too_long(),
        None => path_too_long(),
        Some(_) => Problem::new(431, format!("the head is longer than {HEAD_LIMIT} bytes")),
    }
}

fn path_too_long() -> Problem {
    Problem::new(414, format!("path and query are longer than {TARGET_LIMIT} bytes"))
}

fn understood(request: &httparse::Request<'_, '_>) -> Result<Head, Problem> {
    let is_http_1_1 = request.version == Some(1);
    let (authority, target) = origin_form(request.path.unwrap_or_default())?;
    let headers = request.headers.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let all = |name: &'static str| {
        headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    };
    let has_token = |name, token: &str| {
        all(name)
            .flat_map(|value| value.split(','))
            .any(|part| part.trim().eq_ignore_ascii_case(token))
    };
    if let Some(name) = ONCE.into_iter().find(|name| all(name).count() > 1) {
        return Err(Problem::bad_request(format!("the header `{name}` is given more than once")));
    }
    let sender = Sender {
        host: all("host").next(),
        origin: None,
        authorization: all("authorization").next(),
    };
    if let Some(problem) = ambiguity(sender, authority.as_deref(), is_http_1_1) {
        return Err(Problem::bad_request(problem));
    }
    if all("transfer-encoding").next().is_some() {
        return Err(match all("content-length").next() {
            Some(_) => {
                Problem::bad_request("a body has Transfer-Encoding or Content-Length, not both")
            }
            None => Problem::new(411, "send the body with its Content-Length, not in chunks"),
        });
    }
    Ok(Head {
        method: request.method.unwrap_or_default().to_owned(),
        target,
        authority,
        body: body_length(all("content-length").next())?,
        keeps_alive: !has_token("connection", "close")
            && (is_http_1_1 || has_token("connection", "keep-alive")),
        expects_continue: is_http_1_1 && has_token("expect", "100-continue"),
        headers,
    })
}

/// The target in origin form, with the authority of an absolute form. `*` is kept as it is.
fn origin_form(target: &str) -> Result<(Option<String>, String), Problem> {
    if target.len() > TARGET_LIMIT {
        return Err(path_too_long());
    }
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Problem::bad_request("the path contains bytes that must be percent-encoded"));
    }
    if target.starts_with('/') || target == "*" {
        return Ok((None, target.to_owned()));
    }
    let (scheme, rest) = target
        .split_once("://")
        .ok_or_else(|| Problem::bad_request("the path does not begin with `/`"))?;
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(Problem::bad_request("the scheme of the target is not supported"));
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok((Some(authority.to_owned()), path))
}

fn text(header: &httparse::Header<'_>) -> Result<(String, String), Problem> {
    let name = header.name.to_ascii_lowercase();
    let value = std::str::from_utf8(header.value)
        .ok()
        .filter(|value| value.bytes().all(|byte| byte == b'\t' || !byte.is_ascii_control()));
    // a header that no code reads may have any value
    let is_ours = PASSED_ON.contains(&name.as_str())
        || matches!(name.as_str(), "authorization" | "host" | "origin");
    match value.filter(|value| !is_ours || value.is_ascii()) {
        Some(value) => Ok((name, value.trim().to_owned())),
        None if is_ours => {
            Err(Problem::bad_request(format!("the value of the header `{name}` is not ASCII text")))
        }
        None => Ok((name, String::new())),
    }
}

fn body_length(content_length: Option<&str>) -> Result<usize, Problem> {
    let Some(length) = content_length else { return Ok(0) };
    if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::bad_request("Content-Length is not one number"));
    }
    // a length that overflows exceeds every limit
    Ok(length.parse().unwrap_or(usize::MAX))
}

impl Head {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn sender(&self) -> Sender<'_> {
        Sender {
            host: self.header("host"),
            origin: self.header("origin"),
            authorization: self.header("authorization"),
        }
    }

    pub(super) fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The request as it is forwarded: a normalised head that parses in one way only.
    pub(super) fn passed_on(&self, body: &[u8]) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in
            self.headers.iter().filter(|(name, _)| PASSED_ON.contains(&name.as_str()))
        {
            text.push_str(name);
            text.push_str(": ");
            text.push_str(value);
            text.push_str("\r\n");
        }
        text.push_str("content-length: ");
        text.push_str(&body.len().to_string());
        text.push_str("\r\n\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Head {
        parse(text.as_bytes()).unwrap().expect("it is whole").0
    }

    fn refused(bytes: &[u8]) -> u16 {
        parse(bytes).expect_err("it is refused").status()
    }

    #[test]
    fn a_complete_head_is_parsed() {
        let text = "POST /v1/x?y=1 HTTP/1.1\r\n\
            Host: a\r\n\
            Content-Length: 3\r\n\
            X-Odd: \u{e9}\r\n\
            Accept: */*\r\n\r\n\
            abc";
        for end in 0..text.find("abc").unwrap() {
            assert_eq!(parse(&text.as_bytes()[..end]).unwrap(), None, "{end}");
        }
        let head = whole(text);
        assert_eq!(
            (head.method.as_str(), head.target.as_str(), head.path(), head.body),
            ("POST", "/v1/x?y=1", "/v1/x", 3)
        );
        assert!(head.keeps_alive && !head.expects_continue);
        assert_eq!(
            head.passed_on(b"abc"),
            b"POST /v1/x?y=1 HTTP/1.1\r\naccept: */*\r\ncontent-length: 3\r\n\r\nabc"
        );
    }

    #[test]
    fn connections_end_as_was_asked() {
        for (text, keeps) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
        ] {
            assert_eq!(whole(text).keeps_alive, keeps, "{text}");
        }
        assert!(
            whole("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n").expects_continue
        );
        for (target, path) in
            [("http://a:1/b?c", "/b?c"), ("HTTP://A:1", "/"), ("https://a:1?c", "/?c")]
        {
            let head = whole(&format!("GET {target} HTTP/1.1\r\nHost: a:1\r\n\r\n"));
            assert_eq!(
                (head.target.as_str(), head.authority.unwrap().to_lowercase().as_str()),
                (path, "a:1")
            );
        }
    }

    #[test]
    fn what_could_be_read_two_ways_is_refused() {
        for (text, status) in [
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHOST: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost:\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
            ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            (
                "GET / HTTP/1.1\r\n\
                Host: a\r\n\
                Authorization: Bearer x\r\n\
                authorization: Bearer y\r\n\r\n",
                400,
            ),
            ("GET / HTTP/1.1\r\nHost: a\r\nAuthorization:\r\nAuthorization: Bearer y\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x, Bearer y\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer\r\n y\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nOrigin: http://b\r\n\r\n", 400),
            ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET http://a:1/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET http://a@b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET http://b#/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET http://a/ HTTP/1.0\r\n\r\n", 400),
            ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\u{0}b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n", 400),
            (
                "GET / HTTP/1.1\r\n\
                Host: a\r\n\
                Content-Length: 1\r\n\
                Transfer-Encoding: chunked\r\n\r\n",
                400,
            ),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
            ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: \u{e9}\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("\u{0}\u{1}\u{2}", 400),
            ("\u{16}\u{3}\u{1}", 400),
        ] {
            assert_eq!(refused(text.as_bytes()), status, "{text:?}");
        }
    }

    #[test]
    fn a_head_over_a_limit_is_refused_before_it_is_complete() {
        assert_eq!(
            refused(
                format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(TARGET_LIMIT)).as_bytes()
            ),
            414
        );
        assert_eq!(refused(format!("GET /{}", "a".repeat(HEAD_LIMIT)).as_bytes()), 414);
        assert_eq!(
            refused(
                format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(HEAD_LIMIT)).as_bytes()
            ),
            431
        );
        assert_eq!(
            refused(
                format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(HEADERS_LIMIT))
                    .as_bytes()
            ),
            431
        );
        let huge = whole(&format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            "9".repeat(40)
        ));
        assert_eq!(huge.body, usize::MAX);
    }
}
