//! OTLP/JSON read back: spans and log records of an export request, by protobuf's rules for JSON.
//! Unused members are ignored.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Attributes by name; an integer is a number whatever its size, and what is neither text, number
/// nor truth value is null.
pub type Attributes = BTreeMap<String, Value>;

/// Whose view of an operation a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Internal,
    Server,
    Client,
}

/// Times are nanoseconds since 1970, UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// In hex, as all ids.
    pub trace: String,
    pub id: String,
    pub parent: Option<String>,
    pub name: String,
    pub kind: Kind,
    pub began: u64,
    pub ended: u64,
    pub attributes: Attributes,
    pub failed: bool,
    /// Its status.
    pub message: String,
    /// Traces of spans it has to do with.
    pub links: Vec<String>,
}

/// A log record that has a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub trace: Option<String>,
    pub span: Option<String>,
    pub at: u64,
    pub name: String,
    pub attributes: Attributes,
}

impl Span {
    pub fn text(&self, attribute: &str) -> Option<&str> {
        self.attributes.get(attribute)?.as_str()
    }

    pub const fn took(&self) -> u64 {
        self.ended.saturating_sub(self.began)
    }

    pub fn took_ms(&self) -> f64 {
        self.took() as f64 / 1e6
    }
}

impl Event {
    pub fn text(&self, attribute: &str) -> Option<&str> {
        self.attributes.get(attribute)?.as_str()
    }

    pub fn number(&self, attribute: &str) -> Option<f64> {
        self.attributes.get(attribute)?.as_f64()
    }
}

/// The spans of one line of a file of traces.
pub fn spans(line: &str) -> Result<Vec<Span>, serde_json::Error> {
    let request: TraceRequest = serde_json::from_str(line)?;
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    Ok(scopes.flat_map(|scope| scope.spans).map(Span::from).collect())
}

/// The named log records of one line of a file of logs.
pub fn events(line: &str) -> Result<Vec<Event>, serde_json::Error> {
    let request: LogsRequest = serde_json::from_str(line)?;
    let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
    Ok(scopes
        .flat_map(|scope| scope.log_records)
        .filter(|record| !record.event_name.is_empty())
        .map(Event::from)
        .collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TraceRequest {
    #[serde(default)]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans {
    #[serde(default)]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Deserialize)]
struct ScopeSpans {
    #[serde(default)]
    spans: Vec<SpanLine>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SpanLine {
    trace_id: String,
    span_id: String,
    parent_span_id: String,
    name: String,
    kind: u8,
    start_time_unix_nano: Integer,
    end_time_unix_nano: Integer,
    attributes: Vec<KeyValue>,
    status: Option<Status>,
    links: Vec<Link>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    code: u8,
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    trace_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogsRequest {
    #[serde(default)]
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs {
    #[serde(default)]
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs {
    #[serde(default)]
    log_records: Vec<LogLine>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct LogLine {
    time_unix_nano: Integer,
    event_name: String,
    trace_id: String,
    span_id: String,
    attributes: Vec<KeyValue>,
}

#[derive(Deserialize)]
struct KeyValue {
    key: String,
    value: Option<AnyValue>,
}

/// One of these is present.
#[derive(Deserialize)]
struct AnyValue {
    #[serde(rename = "stringValue")]
    text: Option<String>,
    #[serde(rename = "intValue")]
    integer: Option<Integer>,
    #[serde(rename = "doubleValue")]
    double: Option<f64>,
    #[serde(rename = "boolValue")]
    truth: Option<bool>,
}

impl AnyValue {
    fn into_value(self) -> Value {
        let text = self.text.map(Value::from);
        let number =
            || self.integer.and_then(|Integer(number)| i64::try_from(number).ok()).map(Value::from);
        text.or_else(number)
            .or_else(|| self.double.map(Value::from))
            .or_else(|| self.truth.map(Value::from))
            .unwrap_or_default()
    }
}

/// A string by the specification, a number from non-conforming exporters.
#[derive(Default, Clone, Copy)]
struct Integer(i128);

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.parse()
            .map(Self)
            .map_err(|_| serde::de::Error::custom(format!("`{text}` is not an integer")))
    }
}

impl Integer {
    fn nanoseconds(self) -> u64 {
        u64::try_from(self.0).unwrap_or_default()
    }
}

fn attributes(pairs: Vec<KeyValue>) -> Attributes {
    pairs
        .into_iter()
        .map(|pair| (pair.key, pair.value.map(AnyValue::into_value).unwrap_or_default()))
        .collect()
}

fn present(id: String) -> Option<String> {
    Some(id).filter(|id| !id.is_empty())
}

impl From<SpanLine> for Span {
    fn from(line: SpanLine) -> Self {
        const ERROR: u8 = 2;
        let status = line.status.unwrap_or_default();
        Self {
            trace: line.trace_id,
            id: line.span_id,
            parent: present(line.parent_span_id),
            name: line.name,
            kind: match line.kind {
                2 => Kind::Server,
                3 => Kind::Client,
                _ => Kind::Internal,
            },
            began: line.start_time_unix_nano.nanoseconds(),
            ended: line.end_time_unix_nano.nanoseconds(),
            attributes: attributes(line.attributes),
            failed: status.code == ERROR,
            message: status.message,
            links: line.links.into_iter().map(|link| link.trace_id).collect(),
        }
    }
}

impl From<LogLine> for Event {
    fn from(line: LogLine) -> Self {
        Self {
            trace: present(line.trace_id),
            span: present(line.span_id),
            at: line.time_unix_nano.nanoseconds(),
            name: line.event_name,
            attributes: attributes(line.attributes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn span_is_read_and_unknown_members_are_ignored() {
        let line = r#"{"resourceSpans":[{"resource":{},"new":1,"scopeSpans":[{"spans":[{"traceId":"ab","spanId":"cd","parentSpanId":"","name":"tools/call ask","kind":3,
            "startTimeUnixNano":"1795377764371489353","endTimeUnixNano":1795377764372489353,"status":{"code":2,"message":"no"},"links":[{"traceId":"ef","spanId":"01"}],
            "attributes":[{"key":"t","value":{"stringValue":"x"}},{"key":"i","value":{"intValue":"-7"}},{"key":"d","value":{"doubleValue":0.5}},
            {"key":"b","value":{"boolValue":true}},{"key":"l","value":{"arrayValue":{"values":[]}}},{"key":"n"}]}]}]},{}]}"#;
        let [span] = &spans(&line.replace('\n', " ")).unwrap()[..] else { panic!("one span") };
        assert_eq!(
            (span.kind, span.parent.as_deref(), span.took_ms(), span.failed),
            (Kind::Client, None, 1.0, true)
        );
        assert_eq!(span.links, ["ef"]);
        assert_eq!(
            json!(span.attributes),
            json!({"t": "x", "i": -7, "d": 0.5, "b": true, "l": null, "n": null})
        );
        assert!(
            spans(
                r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"soon"}]}]}]}"#
            )
            .is_err()
        );
        assert!(spans("{}").unwrap().is_empty());
    }

    #[test]
    fn an_event_has_a_name() {
        let line = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":null,"timeUnixNano":"5"},{"eventName":"gen_ai.evaluation.result","traceId":"ab",
            "timeUnixNano":"6","attributes":[{"key":"gen_ai.evaluation.score.value","value":{"doubleValue":-1}}]}]}]}]}"#;
        let [event] = &events(&line.replace('\n', " ")).unwrap()[..] else { panic!("one event") };
        assert_eq!(
            (event.at, event.trace.as_deref(), event.span.as_deref()),
            (6, Some("ab"), None)
        );
        assert_eq!(event.number("gen_ai.evaluation.score.value"), Some(-1.0));
    }
}
