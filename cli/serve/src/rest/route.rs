//! The table of routes. It dispatches requests and is the source of the `OpenAPI` document.

use super::call::Call;
use super::problem::Problem;
use super::reply::Reply;
use regex::Regex;
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
}

impl Method {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
}

impl Place {
    pub(super) const fn shown(self) -> &'static str {
        match self {
            Self::Path => "part of the path",
            Self::Query => "query parameter",
            Self::Header => "header",
        }
    }
}

/// The type of a parameter. A pattern goes from `^` to `$` and uses only syntax that ECMA 262 and
/// the `regex` crate share.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Integer { least: u64, most: u64 },
    OneOf(&'static [&'static str]),
    Text { pattern: &'static str, longest: usize },
}

#[derive(Debug, Clone)]
pub struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) kind: Kind,
    pub(super) is_required: bool,
    pub(super) about: &'static str,
    pattern: Option<Regex>,
}

impl Parameter {
    fn new(
        name: &'static str,
        place: Place,
        kind: Kind,
        is_required: bool,
        about: &'static str,
    ) -> Self {
        let pattern = match kind {
            Kind::Text { pattern, .. } => {
                Some(Regex::new(pattern).expect("the patterns are constants and tested"))
            }
            Kind::Integer { .. } | Kind::OneOf(_) => None,
        };
        Self { name, place, kind, is_required, about, pattern }
    }

    pub(super) fn check(&self, value: &str) -> Result<(), Problem> {
        let wrong = |what: String| {
            Err(Problem::bad_request(format!(
                "the {} `{}` must be {what}",
                self.place.shown(),
                self.name
            )))
        };
        match self.kind {
            Kind::Integer { least, most } => match value.parse::<u64>() {
                Ok(number) if (least..=most).contains(&number) => Ok(()),
                _ => wrong(format!("a whole number from {least} to {most}")),
            },
            Kind::OneOf(words) if !words.contains(&value) => {
                wrong(format!("one of `{}`", words.join("`, `")))
            }
            Kind::Text { longest, .. } if value.chars().count() > longest => {
                wrong(format!("at most {longest} characters long"))
            }
            Kind::Text { pattern, .. }
                if !self.pattern.as_ref().is_some_and(|known| known.is_match(value)) =>
            {
                wrong(format!("of the form {pattern}"))
            }
            Kind::OneOf(_) | Kind::Text { .. } => Ok(()),
        }
    }

    pub(super) fn schema(&self) -> Value {
        match self.kind {
            Kind::Integer { least, most } => {
                json!({"type": "integer", "minimum": least, "maximum": most})
            }
            Kind::OneOf(words) => json!({"type": "string", "enum": words}),
            Kind::Text { pattern, longest } => {
                json!({"type": "string", "pattern": pattern, "maxLength": longest})
            }
        }
    }
}

/// A successful response of a route.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// `None` for a response without content.
    pub(super) media: Option<&'static str>,
    /// The name of its schema in the service's schemas.
    pub(super) schema: Option<&'static str>,
    pub(super) about: &'static str,
}

type Handler<W> = Box<dyn Fn(&mut W, &Call<'_>) -> Result<Reply, Problem> + Send + Sync>;

pub struct Route<W> {
    pub(super) method: Method,
    /// With `{name}` for each parameter of the path.
    pub(super) path: &'static str,
    pub(super) operation: &'static str,
    pub(super) about: &'static str,
    pub(super) parameters: Vec<Parameter>,
    /// The name of the schema of its body.
    pub(super) body: Option<&'static str>,
    pub(super) answers: Vec<Answer>,
    pub(super) problems: Vec<u16>,
    /// The route requires no token: it serves no data of the repository.
    pub(super) is_open: bool,
    pub(super) handler: Handler<W>,
}

impl<W> Route<W> {
    fn new(
        method: Method,
        path: &'static str,
        operation: &'static str,
        about: &'static str,
        handler: Handler<W>,
    ) -> Self {
        Self {
            method,
            path,
            operation,
            about,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            problems: Vec::new(),
            is_open: false,
            handler,
        }
    }

    /// `operation` is the operation's name in generated clients; `about` describes its result in a
    /// sentence.
    pub fn get(
        path: &'static str,
        operation: &'static str,
        about: &'static str,
        handler: impl Fn(&mut W, &Call<'_>) -> Result<Reply, Problem> + Send + Sync + 'static,
    ) -> Self {
        Self::new(Method::Get, path, operation, about, Box::new(handler))
    }

    pub fn post(
        path: &'static str,
        operation: &'static str,
        about: &'static str,
        handler: impl Fn(&mut W, &Call<'_>) -> Result<Reply, Problem> + Send + Sync + 'static,
    ) -> Self {
        Self::new(Method::Post, path, operation, about, Box::new(handler))
    }

    fn with(
        mut self,
        place: Place,
        name: &'static str,
        kind: Kind,
        is_required: bool,
        about: &'static str,
    ) -> Self {
        self.parameters.push(Parameter::new(name, place, kind, is_required, about));
        self
    }

    /// A `{name}` of the path.
    #[must_use]
    pub fn part(self, name: &'static str, kind: Kind, about: &'static str) -> Self {
        self.with(Place::Path, name, kind, true, about)
    }

    #[must_use]
    pub fn query(self, name: &'static str, kind: Kind, about: &'static str) -> Self {
        self.with(Place::Query, name, kind, false, about)
    }

    #[must_use]
    pub fn required_query(self, name: &'static str, kind: Kind, about: &'static str) -> Self {
        self.with(Place::Query, name, kind, true, about)
    }

    /// A request header; the front has to forward it (see `head`).
    #[must_use]
    pub fn header(self, name: &'static str, kind: Kind, about: &'static str) -> Self {
        self.with(Place::Header, name, kind, false, about)
    }

    /// Requires a JSON body with the named schema.
    #[must_use]
    pub const fn takes(mut self, schema: &'static str) -> Self {
        self.body = Some(schema);
        self
    }

    #[must_use]
    pub fn answers(mut self, status: u16, schema: &'static str, about: &'static str) -> Self {
        self.answers.push(Answer {
            status,
            media: Some("application/json"),
            schema: Some(schema),
            about,
        });
        self
    }

    /// A response of another media type than JSON.
    #[must_use]
    pub fn answers_as(mut self, status: u16, media: &'static str, about: &'static str) -> Self {
        self.answers.push(Answer { status, media: Some(media), schema: None, about });
        self
    }

    /// A stream of server-sent events; `schema` is the schema of one event's data.
    #[must_use]
    pub fn streams(mut self, schema: &'static str, about: &'static str) -> Self {
        self.answers.push(Answer {
            status: 200,
            media: Some("text/event-stream"),
            schema: Some(schema),
            about,
        });
        self.answers.push(Answer {
            status: 204,
            media: None,
            schema: None,
            about: "The stream has ended and the client has received all of it.",
        });
        self
    }

    /// Error statuses of this route, besides those of every route.
    #[must_use]
    pub fn problems(mut self, statuses: &[u16]) -> Self {
        self.problems.extend(statuses);
        self
    }

    #[must_use]
    pub const fn open(mut self) -> Self {
        self.is_open = true;
        self
    }
}

/// The result of matching a method and a path.
pub(super) enum Found<'a, W> {
    Route(&'a Route<W>, Vec<(&'static str, &'a str)>),
    /// The path exists for other methods; the value of `Allow`.
    Other(String),
    Nothing,
}

/// Finds the route of a request. HEAD uses the route of GET; OPTIONS is answered with `Allow`.
pub(super) fn find<'a, W>(routes: &'a [Route<W>], method: &str, path: &'a str) -> Found<'a, W> {
    let mut allowed: Vec<&str> = Vec::new();
    for route in routes {
        let Some(parts) = matched(route.path, path) else { continue };
        if route.method.as_str() == method || (route.method == Method::Get && method == "HEAD") {
            return Found::Route(route, parts);
        }
        allowed.push(route.method.as_str());
        if route.method == Method::Get {
            allowed.push("HEAD");
        }
    }
    if allowed.is_empty() && path != "*" {
        return Found::Nothing;
    }
    allowed.push("OPTIONS");
    Found::Other(allowed.join(", "))
}

/// The values of the template's parameters in `path`; `None` where the path does not match.
fn matched<'a>(template: &'static str, path: &'a str) -> Option<Vec<(&'static str, &'a str)>> {
    let (mut segments, mut parts) = (path.split('/'), Vec::new());
    for wanted in template.split('/') {
        match_segment(wanted, segments.next()?, &mut parts)?;
    }
    segments.next().is_none().then_some(parts)
}

/// Matches one segment, which may have more than one parameter: `{from}...{to}`.
fn match_segment<'a>(
    mut wanted: &'static str,
    mut given: &'a str,
    parts: &mut Vec<(&'static str, &'a str)>,
) -> Option<()> {
    while let Some((before, rest)) = wanted.split_once('{') {
        given = given.strip_prefix(before)?;
        let (name, after) = rest.split_once('}').expect("the table closes its braces");
        let literal = after.split('{').next().unwrap_or_default();
        let end = if literal.is_empty() { given.len() } else { given.find(literal)? };
        if end == 0 {
            return None;
        }
        parts.push((name, &given[..end]));
        (wanted, given) = (after, &given[end..]);
    }
    (wanted == given).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Vec<Route<()>> {
        let nothing = |(): &mut (), _: &Call<'_>| Ok(Reply::json(&json!({})));
        vec![
            Route::get("/v1/things", "list", "", nothing),
            Route::post("/v1/things", "add", "", nothing),
            Route::get("/v1/things/{thing}/parts", "parts", "", nothing),
            Route::get("/v1/diff/{from}...{to}", "diff", "", nothing),
        ]
    }

    fn check(method: &str, path: &str, expected: &str) {
        let routes = routes();
        let found = match find(&routes, method, path) {
            Found::Route(route, parts) => format!("{} {parts:?}", route.operation),
            Found::Other(allow) => allow,
            Found::Nothing => "nothing".to_owned(),
        };
        assert_eq!(found, expected, "{method} {path}");
    }

    #[test]
    fn a_path_finds_its_route() {
        check("GET", "/v1/things", "list []");
        check("HEAD", "/v1/things", "list []");
        check("POST", "/v1/things", "add []");
        check("GET", "/v1/things/a%2Fb/parts", "parts [(\"thing\", \"a%2Fb\")]");
        check(
            "GET",
            "/v1/diff/0.1.0...0.1.1-a.b",
            "diff [(\"from\", \"0.1.0\"), (\"to\", \"0.1.1-a.b\")]",
        );
    }

    #[test]
    fn unknown_paths_and_disallowed_methods_are_distinguished() {
        check("PUT", "/v1/things", "GET, HEAD, POST, OPTIONS");
        check("OPTIONS", "*", "OPTIONS");
        for path in [
            "/",
            "",
            "/v1/things/",
            "/v1//things",
            "/v1/things//parts",
            "/v1/diff/a..b",
            "/v1/diff/...b",
            "/v1/diff/a...",
            "/v1/things/x",
        ] {
            check("GET", path, "nothing");
        }
    }

    #[test]
    fn parameters_are_checked_against_their_kind() {
        let check = |kind, value: &str, expected: bool| {
            let parameter = Parameter::new("x", Place::Query, kind, false, "");
            assert_eq!(parameter.check(value).is_ok(), expected, "{kind:?} {value}");
        };
        let integer = Kind::Integer { least: 1, most: 10 };
        for (value, good) in [
            ("1", true),
            ("10", true),
            ("0", false),
            ("11", false),
            ("-1", false),
            ("", false),
            ("1.0", false),
            ("x", false),
        ] {
            check(integer, value, good);
        }
        check(Kind::OneOf(&["a", "b"]), "b", true);
        check(Kind::OneOf(&["a", "b"]), "c", false);
        check(Kind::Text { pattern: ".*", longest: 2 }, "äö", true);
        check(Kind::Text { pattern: ".*", longest: 2 }, "abc", false);
        check(Kind::Text { pattern: "^[ab]+$", longest: 2 }, "b", true);
        for bad in ["", "c", "a\n"] {
            check(Kind::Text { pattern: "^[ab]+$", longest: 2 }, bad, false);
        }
    }
}
