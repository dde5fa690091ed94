//! Metrics of the HTTP server itself, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Seconds, as the semantic conventions have them for `http.server.request.duration`.
const BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, Default)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

#[derive(Debug, Default)]
pub(super) struct Metrics {
    requests: Mutex<BTreeMap<Series, Histogram>>,
    /// Requests that were refused before they reached a worker, by status.
    refused: Mutex<BTreeMap<u16, u64>>,
    connections: AtomicUsize,
}

impl Metrics {
    /// `route` is the template, empty where none matched: a client's path never becomes a label,
    /// so clients cannot create series.
    pub(super) fn answered(&self, route: &'static str, method: &str, status: u16, took: Duration) {
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("_OTHER");
        let mut requests = self.requests.lock().expect("no panic while it is held");
        let histogram = requests.entry(Series { route, method, status }).or_default();
        let seconds = took.as_secs_f64();
        histogram.count += 1;
        histogram.sum += seconds;
        for (bucket, most) in histogram.buckets.iter_mut().zip(BUCKETS) {
            *bucket += u64::from(seconds <= most);
        }
    }

    pub(super) fn refused(&self, status: u16) {
        *self.refused.lock().expect("no panic while it is held").entry(status).or_default() += 1;
    }

    pub(super) fn connected(&self, now: usize) {
        self.connections.store(now, Ordering::Relaxed);
    }

    pub(super) fn to_text(&self, streams: usize) -> String {
        let mut text = String::new();
        let connections = self.connections.load(Ordering::Relaxed);
        let gauges = [
            ("agent_http_connections", "Connections that are open.", connections),
            ("agent_http_event_streams", "Streams of events that are open.", streams),
        ];
        for (name, help, value) in gauges {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
        }
        let name = "agent_http_refused_total";
        let _ = writeln!(
            text,
            "# HELP {name} Requests refused before a handler.\n# TYPE {name} counter"
        );
        for (status, count) in &*self.refused.lock().expect("no panic while it is held") {
            let _ = writeln!(text, "{name}{{http_response_status_code=\"{status}\"}} {count}");
        }
        let name = "http_server_request_duration_seconds";
        let _ = writeln!(text, "# HELP {name} How long requests took.\n# TYPE {name} histogram");
        for (series, histogram) in &*self.requests.lock().expect("no panic while it is held") {
            write_histogram(&mut text, name, series, histogram);
        }
        text
    }
}

fn write_histogram(text: &mut String, name: &str, series: &Series, histogram: &Histogram) {
    let Series { route, method, status } = series;
    let labels = format!(
        "http_route=\"{route}\",http_request_method=\"{method}\",\
        http_response_status_code=\"{status}\""
    );
    for (count, most) in histogram.buckets.iter().zip(BUCKETS) {
        let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{most}\"}} {count}");
    }
    let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", histogram.count);
    let _ = writeln!(text, "{name}_sum{{{labels}}} {}", histogram.sum);
    let _ = writeln!(text, "{name}_count{{{labels}}} {}", histogram.count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route_method_and_status() {
        let metrics = Metrics::default();
        metrics.answered("/v1/x", "GET", 200, Duration::from_millis(7));
        metrics.answered("/v1/x", "GET", 200, Duration::from_secs(60));
        metrics.answered("", "BREW\"", 404, Duration::ZERO);
        metrics.refused(431);
        let text = metrics.to_text(3);
        let labels =
            "http_route=\"/v1/x\",http_request_method=\"GET\",http_response_status_code=\"200\"";
        for line in [
            format!("http_server_request_duration_seconds_bucket{{{labels},le=\"0.005\"}} 0"),
            format!("http_server_request_duration_seconds_bucket{{{labels},le=\"0.01\"}} 1"),
            format!("http_server_request_duration_seconds_bucket{{{labels},le=\"10\"}} 1"),
            format!("http_server_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 2"),
            format!("http_server_request_duration_seconds_count{{{labels}}} 2"),
            "agent_http_event_streams 3".to_owned(),
            "agent_http_refused_total{http_response_status_code=\"431\"} 1".to_owned(),
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        assert!(text.contains("http_request_method=\"_OTHER\""));
    }
}
