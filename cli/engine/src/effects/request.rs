//! A Tuner's HTTP request. Secrets are put in here and taken out of the answer, so that none is in
//! the state or the Journal.

use crate::error::Failure;
use crate::target::effects::EffectError;
use crate::world::env;
use crate::world::http::{self, Outgoing};
use agent_core::formats::diagnose::FailureKind;
use agent_core::state::effect::{HeaderValue, HttpRequest};
use serde_json::{Value, json};
use std::time::Duration;

/// The replacement of a secret that an answer repeats.
const REDACTED: &str = "[redacted]";
/// Shorter values of a variable are in many texts.
const SHORTEST_SECRET: usize = 8;

pub(super) fn send(request: &HttpRequest, limit: Duration) -> Result<Value, EffectError> {
    let mut secrets = Vec::new();
    let mut headers = Vec::with_capacity(request.headers.len());
    for (name, value) in &request.headers {
        let value = match value {
            HeaderValue::Text(text) => text.clone(),
            HeaderValue::Variable(variable) => {
                let secret = env::token_in(&variable.env).ok_or_else(|| unset(&variable.env))?;
                let value = format!("{}{secret}", variable.prefix);
                secrets.push(secret);
                value
            }
        };
        headers.push((name.clone(), value));
    }
    let outgoing = Outgoing {
        method: &request.method,
        url: &request.url,
        headers: &headers,
        body: request.body.as_deref(),
        limit,
    };
    let answer = http::send(&outgoing).map_err(|problem| {
        let problem = redacted(problem, &secrets);
        let message = format!("{} {} failed: {problem}", request.method, request.url);
        EffectError::Failed(Failure::new(FailureKind::Surroundings, message))
    })?;
    Ok(json!({
        "status": answer.status,
        "type": answer.content_type,
        "body": redacted(answer.body, &secrets),
    }))
}

fn redacted(text: String, secrets: &[String]) -> String {
    secrets
        .iter()
        .filter(|secret| secret.len() >= SHORTEST_SECRET)
        .fold(text, |text, secret| text.replace(secret.as_str(), REDACTED))
}

fn unset(variable: &str) -> EffectError {
    let failure = Failure::new(
        FailureKind::Surroundings,
        format!(
            "the environment variable {variable} is not set, and a header of the Tuner's HTTP \
            request takes its value"
        ),
    );
    EffectError::Failed(failure.with_hint(format!("set {variable}, and send the signal again")))
}
