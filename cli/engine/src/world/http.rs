//! A request over HTTP to a server that the repository names: the only file that uses `reqwest`.

use crate::world::store::provide_tls;
use reqwest::blocking::{Client, Response};
use std::io::Read;
use std::time::Duration;

/// A longer body of an answer is refused.
const MAX_BODY: u64 = 8 << 20;

/// A request to be sent.
#[derive(Debug)]
pub struct Outgoing<'a> {
    pub method: &'a str,
    pub url: &'a str,
    pub headers: &'a [(String, String)],
    pub body: Option<&'a str>,
    pub limit: Duration,
}

/// An answer with a body of text, whatever its status.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: Option<String>,
    pub body: String,
}

/// Sends a request; redirects are not followed.
pub fn send(outgoing: &Outgoing<'_>) -> Result<Answer, String> {
    let method = outgoing.method.parse().map_err(|_| "the method is not valid".to_owned())?;
    let mut request = client(outgoing.limit)?.request(method, outgoing.url);
    for (name, value) in outgoing.headers {
        request = request.header(name, value);
    }
    if let Some(body) = outgoing.body {
        request = request.body(body.to_owned());
    }
    answer(request.send().map_err(|error| with_causes(&error.without_url()))?)
}

fn answer(response: Response) -> Result<Answer, String> {
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type");
    let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut bytes = Vec::new();
    let read = response.take(MAX_BODY + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("its body cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_BODY {
        return Err(format!("its body is longer than {MAX_BODY} bytes"));
    }
    let body = String::from_utf8(bytes).map_err(|_| "its body is not UTF-8".to_owned())?;
    Ok(Answer { status, content_type, body })
}

fn client(limit: Duration) -> Result<Client, String> {
    provide_tls();
    Client::builder()
        .timeout(limit)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| error.to_string())
}

/// Sends JSON by POST; the status of the answer, whatever it is.
pub fn post_json(url: &str, body: Vec<u8>, limit: Duration) -> Result<u16, String> {
    let request = client(limit)?.post(url).header("content-type", "application/json").body(body);
    let answer = request.send().map_err(|error| with_causes(&error.without_url()))?;
    Ok(answer.status().as_u16())
}

/// The message of an error and of what caused it.
fn with_causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
