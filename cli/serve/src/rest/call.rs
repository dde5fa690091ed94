//! A request with a matched route: its typed parameters and its body.

use super::events::{Events, Streams};
use super::problem::Problem;
use super::reply::Reply;
use super::route::{Parameter, Place};
use agent_core::formats::document;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

/// The characters that a query percent-encodes: all but the unreserved ones of RFC 3986.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request as `tiny_http` parsed it.
pub(super) struct Incoming {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Incoming {
    pub(super) fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

pub struct Call<'a> {
    incoming: &'a Incoming,
    path: Vec<(&'a str, String)>,
    query: Vec<(String, String)>,
    streams: &'a Arc<Streams>,
}

impl<'a> Call<'a> {
    /// Validates the request against the route's parameters.
    pub(super) fn new(
        incoming: &'a Incoming,
        path: Vec<(&'a str, &str)>,
        parameters: &[Parameter],
        streams: &'a Arc<Streams>,
    ) -> Result<Self, Problem> {
        let path = path
            .into_iter()
            .map(|(name, raw)| Ok((name, decoded(raw)?)))
            .collect::<Result<Vec<_>, Problem>>()?;
        let query = queried(incoming.target.split_once('?').map_or("", |(_, query)| query))?;
        let known = |place| parameters.iter().filter(move |parameter| parameter.place == place);
        for (at, (name, _)) in query.iter().enumerate() {
            if !known(Place::Query).any(|parameter| parameter.name == name) {
                let names = known(Place::Query)
                    .map(|parameter| format!("`{}`", parameter.name))
                    .collect::<Vec<_>>()
                    .join(", ");
                let hint = if names.is_empty() {
                    "this path takes no query parameters".to_owned()
                } else {
                    format!("this path takes {names}")
                };
                return Err(Problem::bad_request(format!("unknown query parameter `{name}`"))
                    .with_hint(hint));
            }
            if query[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::bad_request(format!(
                    "the query parameter `{name}` is given twice"
                )));
            }
        }
        let call = Self { incoming, path, query, streams };
        for parameter in parameters {
            match call.raw(parameter.place, parameter.name) {
                Some(value) => parameter.check(value)?,
                None if parameter.is_required => {
                    return Err(Problem::bad_request(format!(
                        "the {} `{}` is missing",
                        parameter.place.shown(),
                        parameter.name
                    )));
                }
                None => {}
            }
        }
        Ok(call)
    }

    fn raw(&self, place: Place, name: &str) -> Option<&str> {
        match place {
            Place::Path => {
                self.path.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str())
            }
            Place::Query => {
                self.query.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
            }
            Place::Header => self.incoming.header(name),
        }
    }

    /// A parameter of the path. A route that matched has all of them.
    pub fn path<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, Problem> {
        parsed(name, self.raw(Place::Path, name).unwrap_or_default())
    }

    pub fn query<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        self.raw(Place::Query, name).map(|value| parsed(name, value)).transpose()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.incoming.header(name)
    }

    /// The body, parsed from JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let media = self.incoming.header("content-type").unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(415, "the body must be `application/json`"));
        }
        let text = document::text(&self.incoming.body, "body")
            .map_err(|error| Problem::new(400, error.to_string()))?;
        document::parse(text).map_err(|flaw| {
            let status =
                if matches!(flaw.problem, document::Problem::Content(_)) { 422 } else { 400 };
            Problem::new(status, flaw.within("body").to_string())
        })
    }

    /// Opens a stream of server-sent events: events that are sent go to the client until the sender
    /// is dropped or the client closes the stream.
    pub fn events(&self) -> Result<(Events, Reply), Problem> {
        let (events, ticket) = self.streams.open()?;
        Ok((events, Reply::stream(ticket)))
    }

    /// The reply of a page, with a `Link` to the next one where there is one.
    pub fn with_next(&self, reply: Reply, after: Option<impl Display>) -> Reply {
        match after {
            Some(after) => reply.header("Link", self.link_to_next(&after.to_string())),
            None => reply,
        }
    }

    /// The link to the next page: this request with `after` replaced.
    fn link_to_next(&self, after: &str) -> String {
        let kept = self
            .query
            .iter()
            .filter(|(name, _)| name != "after")
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let encoded = |text| utf8_percent_encode(text, QUERY);
        let query: Vec<_> = kept
            .chain([("after", after)])
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        format!("<{}?{}>; rel=\"next\"", self.incoming.path(), query.join("&"))
    }
}

fn parsed<T: FromStr<Err: Display>>(name: &str, value: &str) -> Result<T, Problem> {
    value.parse().map_err(|error| Problem::bad_request(format!("`{name}` is `{value}`: {error}")))
}

fn decoded(raw: &str) -> Result<String, Problem> {
    let text = percent_decode_str(raw).decode_utf8();
    Ok(text
        .map_err(|_| Problem::bad_request(format!("`{raw}` is not percent-encoded UTF-8")))?
        .into_owned())
}

fn queried(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decoded(&name.replace('+', " "))?, decoded(&value.replace('+', " "))?))
        })
        .collect()
}
