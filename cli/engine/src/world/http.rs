//! A request over HTTP to a server that the repository names: the only file that uses `reqwest`.

use crate::world::store::provide_tls;
use std::time::Duration;

/// Sends JSON by POST; the status of the answer, whatever it is.
pub fn post_json(url: &str, body: Vec<u8>, limit: Duration) -> Result<u16, String> {
    provide_tls();
    let client = reqwest::blocking::Client::builder()
        .timeout(limit)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| error.to_string())?;
    let request = client.post(url).header("content-type", "application/json").body(body);
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
