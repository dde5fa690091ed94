//! The HTTP server on a real socket, with well-behaved, slow and malformed clients.

use super::*;
use agent_engine::notices::Silent;
use serde::Deserialize;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A service on a free port, until it is dropped.
struct Served {
    address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<Ended>>,
}

#[derive(Deserialize)]
struct Greeting {
    name: String,
}

fn service() -> Service<u32> {
    let greet = |count: &mut u32, call: &Call<'_>| {
        *count += 1;
        let Greeting { name } = call.json()?;
        Ok(Reply::json(&json!({"hello": name})).status(201).once())
    };
    let page = |_: &mut u32, call: &Call<'_>| {
        let limit = call.query::<usize>("limit")?.unwrap_or(2);
        Ok(call.with_next(Reply::json(&json!({"limit": limit})), Some("b&c")))
    };
    let large = |_: &mut u32, _: &Call<'_>| Ok(Reply::of("text/plain", vec![b'x'; 3 << 20]).once());
    let fixed = |_: &mut u32, _: &Call<'_>| Ok(Reply::json(&json!({})).immutable());
    let fault =
        |_: &mut u32, _: &Call<'_>| -> Result<Reply, Problem> { panic!("a fault, on purpose") };
    let count = |_: &mut u32, call: &Call<'_>| {
        let (events, reply) = call.events()?;
        std::thread::spawn(move || {
            for number in 0_u64.. {
                let event = Event {
                    id: Some(number.to_string()),
                    name: None,
                    data: format!("line {number}"),
                };
                if !events.send(event) {
                    return;
                }
            }
        });
        Ok(reply)
    };
    Service {
        title: "Test",
        description: "A service of the tests.",
        schemas: r#"{"Greeting": {"type": "object"}, "Any": {}}"#,
        routes: vec![
            Route::post("/v1/greetings", "greet", "Greets.", greet)
                .takes("Greeting")
                .answers(201, "Any", "Greeted."),
            Route::get("/v1/page", "page", "A page.", page)
                .query("limit", Kind::Integer { least: 1, most: 9 }, "How many.")
                .query("after", Kind::Text { pattern: ".*", longest: 9 }, "After which.")
                .answers(200, "Any", "The page."),
            Route::get("/v1/large", "large", "Much.", large).answers_as(200, "text/plain", "Much."),
            Route::get("/v1/fixed", "fixed", "Never changes.", fixed).answers(
                200,
                "Any",
                "What it is.",
            ),
            Route::get("/v1/fault", "fault", "Fails.", fault),
            Route::get("/v1/events", "count", "Counts.", count).answers_as(
                200,
                "text/event-stream",
                "Events.",
            ),
        ],
        open: Box::new(|| Ok(0)),
        metrics: |_| Ok("own_metric 1\n".to_owned()),
    }
}

impl Served {
    fn new(limits: Limits, token: Option<&str>) -> Self {
        let access = Access::new(&[], token);
        let (listener, address) = listen::listen("127.0.0.1:0", &access).unwrap();
        let (end, shutdown) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let (shared, workers) = start(service(), access, &Notices::to(Silent)).unwrap();
            let shutdown = async {
                let _ = shutdown.await;
                Ended::Stopped
            };
            serve_connections(listener, shared, workers, limits, shutdown).unwrap()
        });
        Self { address, end: Some(end), thread: Some(thread) }
    }

    fn client(&self) -> Client {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client { socket, ahead: Vec::new() }
    }

    /// One request on a connection of its own.
    fn ask(&self, text: &str) -> Answered {
        let mut client = self.client();
        client.send(text.as_bytes());
        client.answer()
    }

    fn get(&self, path: &str) -> Answered {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    fn post(&self, path: &str, media: &str, body: &str) -> Answered {
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\n\
            Host: localhost\r\n\
            Content-Type: {media}\r\n\
            Content-Length: {}\r\n\r\n\
            {body}",
            body.len()
        ))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.end.take());
        let exit = self.thread.take().unwrap().join();
        assert!(std::thread::panicking() || matches!(exit, Ok(Ended::Stopped)));
    }
}

struct Client {
    socket: TcpStream,
    ahead: Vec<u8>,
}

#[derive(Debug)]
struct Answered {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answered {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

impl Client {
    fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    fn read_until(&mut self, mark: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.ahead.windows(mark.len()).position(|window| window == mark) {
                let rest = self.ahead.split_off(at + mark.len());
                return std::mem::replace(&mut self.ahead, rest);
            }
            self.read_some();
        }
    }

    fn read_some(&mut self) {
        let mut part = [0; 4096];
        let count = self.socket.read(&mut part).expect("an answer");
        assert!(count > 0, "closed after {}", String::from_utf8_lossy(&self.ahead));
        self.ahead.extend_from_slice(&part[..count]);
    }

    fn answer(&mut self) -> Answered {
        self.answer_of(true)
    }

    fn answer_of(&mut self, has_body: bool) -> Answered {
        let head = String::from_utf8(self.read_until(b"\r\n\r\n")).unwrap();
        let status = head[9..12].parse().unwrap();
        let mut answered = Answered { status, head, body: Vec::new() };
        let length = answered.header("content-length").map_or(0, |length| length.parse().unwrap());
        while has_body && self.ahead.len() < length {
            self.read_some();
        }
        if has_body {
            let rest = self.ahead.split_off(length);
            answered.body = std::mem::replace(&mut self.ahead, rest);
        }
        answered
    }

    /// Whether the server has closed its side, within the read timeout.
    fn is_closed(&mut self) -> bool {
        matches!(self.socket.read(&mut [0; 1]), Ok(0) | Err(_))
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let served = Served::new(Limits::default(), None);
    let mut client = served.client();
    // three pipelined requests are answered in order
    client.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nHEAD /v1/page HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.send(
        b"POST /v1/greetings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"name\":\"x\"}",
    );
    assert_eq!(client.answer().json(), json!({"status": "ok"}));
    let head = client.answer_of(false);
    assert_eq!((head.status, head.header("content-length")), (200, Some("11")));
    let greeted = client.answer();
    assert_eq!((greeted.status, greeted.json()), (201, json!({"hello": "x"})));
    assert_eq!(greeted.header("cache-control"), Some("no-store"));
    client.send(b"GET /v1/large HTTP/1.0\r\n\r\n");
    let large = client.answer();
    assert_eq!((large.body.len(), large.header("connection")), (3 << 20, Some("close")));
    assert!(client.is_closed());
}

#[test]
fn a_refused_request_is_answered_with_problem_details() {
    let served = Served::new(Limits::default(), None);
    let check = |answered: Answered, status: u16, part: &str| {
        assert_eq!(
            answered.header("content-type"),
            Some("application/problem+json"),
            "{answered:?}"
        );
        let problem = answered.json();
        assert_eq!(
            (answered.status, problem["status"].as_u64()),
            (status, Some(status.into())),
            "{problem}"
        );
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
    };
    check(served.get("/nowhere"), 404, "/nowhere");
    check(served.get("/v1/page?limit=10"), 400, "from 1 to 9");
    check(served.get("/v1/page?limit=1&limit=2"), 400, "twice");
    check(served.get("/v1/page?limits=1"), 400, "`limits`");
    check(served.get("/v1/page?after=%ff"), 400, "UTF-8");
    check(served.get("/v1/page?after=0123456789"), 400, "9 characters");
    check(served.get("/v1/fault"), 500, "internal error");
    check(served.post("/v1/greetings", "text/plain", "{}"), 415, "application/json");
    check(served.post("/v1/greetings", "application/json", "{"), 400, "1:1");
    check(served.post("/v1/greetings", "application/json; charset=utf-8", "{}"), 422, "name");
    check(
        served.ask(
            "POST /v1/greetings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
        ),
        413,
        "1048576",
    );
    check(served.ask("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 403, "evil.example");
    let other = served.ask("DELETE /v1/page HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(other.header("allow"), Some("GET, HEAD, OPTIONS"));
    check(other, 405, "GET, HEAD, OPTIONS");
    let options = served.ask("OPTIONS /v1/greetings HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(
        (options.status, options.header("allow"), options.header("content-length")),
        (204, Some("POST, OPTIONS"), None)
    );
}

#[test]
fn a_page_links_to_the_next_and_is_revalidated_by_its_tag() {
    let served = Served::new(Limits::default(), None);
    let page = served.get("/v1/page?limit=3&after=a%20b");
    assert_eq!(page.header("link"), Some("</v1/page?limit=3&after=b%26c>; rel=\"next\""));
    let tag = page.header("etag").unwrap();
    let again = served.ask(&format!(
        "GET /v1/page?limit=3 HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {tag}\r\n\r\n"
    ));
    assert_eq!(
        (again.status, again.header("etag"), again.header("content-length")),
        (304, Some(tag), None)
    );
    assert_eq!(
        served.get("/v1/fixed").header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
}

#[test]
fn a_token_is_required_where_one_is_set() {
    let served = Served::new(Limits::default(), Some("s3cret"));
    let refused = served.get("/v1/page");
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(served.get("/healthz").status, 200);
    let allowed = served
        .ask("GET /v1/page HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer s3cret\r\n\r\n");
    assert_eq!((allowed.status, allowed.header("cache-control")), (200, Some("private, no-cache")));
    let document = served.get("/openapi.json").json();
    assert_eq!(
        (&document["security"], &document["paths"]["/v1/page"]["get"]["security"]),
        (&json!([{"token": []}]), &Value::Null)
    );
    assert!(document["paths"]["/v1/page"]["get"]["responses"]["401"].is_object());
    assert_eq!(document["paths"]["/healthz"]["get"]["security"], json!([]));
}

#[test]
fn every_route_is_in_the_document() {
    let served = Served::new(Limits::default(), None);
    let document = served.get("/openapi.json").json();
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        paths,
        [
            "/v1/greetings",
            "/v1/page",
            "/v1/large",
            "/v1/fixed",
            "/v1/fault",
            "/v1/events",
            "/healthz",
            "/metrics",
            "/openapi.json"
        ]
    );
    assert_eq!((&document["servers"], &document["security"]), (&json!([{"url": "/"}]), &json!([])));
    let post = &document["paths"]["/v1/greetings"]["post"];
    assert_eq!(
        post["requestBody"]["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/Greeting"
    );
    for status in ["201", "400", "413", "415", "422", "503"] {
        assert!(post["responses"][status].is_object(), "{status}");
    }
}

#[test]
fn slow_clients_time_out_and_do_not_delay_others() {
    let limits = Limits {
        idle: Duration::from_millis(300),
        head: Duration::from_millis(300),
        body: Duration::from_millis(300),
        ..Limits::default()
    };
    let served = Served::new(limits, None);
    let mut idle = served.client();
    let mut slow_head = served.client();
    slow_head.send(b"GET /healthz HTTP/1.1\r\nHost: loc");
    let mut slow_body = served.client();
    slow_body
        .send(b"POST /v1/greetings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{");
    // clients that never read their response
    let unread: Vec<_> = (0..64)
        .map(|_| {
            let mut client = served.client();
            client.send(b"GET /v1/large HTTP/1.1\r\nHost: localhost\r\n\r\n");
            client
        })
        .collect();
    assert_eq!(served.get("/healthz").status, 200);
    assert_eq!(slow_head.answer().status, 408);
    assert_eq!(slow_body.answer().status, 408);
    assert!(idle.is_closed());
    drop(unread);
}

#[test]
fn stalled_bodies_hold_only_received_bytes_and_small_requests_are_still_served() {
    let served = Served::new(Limits { bodies_bytes: 256 << 10, ..Limits::default() }, None);
    let head = |length: usize| {
        format!(
            "POST /v1/greetings HTTP/1.1\r\n\
            Host: localhost\r\n\
            Content-Type: application/json\r\n\
            Content-Length: {length}\r\n\r\n"
        )
    };
    let greeting = |length: usize| {
        let name = "{\"name\":\"y\"}";
        name.to_owned() + &" ".repeat(length - name.len())
    };
    // an announced length takes no memory, however many there are
    let announced: Vec<_> = (0..64)
        .map(|_| {
            let mut client = served.client();
            client.send((head(1 << 20) + "{").as_bytes());
            client
        })
        .collect();
    assert_eq!(served.post("/v1/greetings", "application/json", &greeting(200 << 10)).status, 201);
    // a body that lacks only its last byte holds the whole budget
    let mut stalled = served.client();
    stalled.send((head(256 << 10) + &greeting((256 << 10) - 1)).as_bytes());
    let full = loop {
        let answered = served.post("/v1/greetings", "application/json", &greeting(200 << 10));
        if answered.status != 201 {
            break answered;
        }
    };
    assert_eq!((full.status, full.header("retry-after")), (503, Some("1")));
    assert_eq!(served.post("/v1/greetings", "application/json", &greeting(1 << 10)).status, 201);
    stalled.send(b" ");
    assert_eq!(stalled.answer().status, 201);
    assert_eq!(
        served.post("/v1/greetings", "application/json", &greeting(200 << 10)).status,
        201,
        "the memory is free again"
    );
    drop(announced);
}

#[test]
fn a_request_names_one_server_and_one_sender() {
    let served = Served::new(Limits::default(), Some("s3cret"));
    let token = "Authorization: Bearer s3cret\r\n";
    for (target, headers, status) in [
        ("/v1/page", format!("Host: localhost\r\n{token}"), 200),
        ("http://localhost/v1/page", format!("Host: localhost\r\n{token}"), 200),
        ("http://evil.example/v1/page", format!("Host: localhost\r\n{token}"), 400),
        ("http://evil.example/v1/page", format!("Host: evil.example\r\n{token}"), 421),
        ("/v1/page", format!("Host: evil.example\r\n{token}"), 403),
        ("/v1/page", format!("Host: localhost\r\nhost: evil.example\r\n{token}"), 400),
        ("/v1/page", format!("Host: localhost\r\nAuthorization: Bearer no\r\n{token}"), 400),
        ("/v1/page", format!("Host: localhost\r\n{token}authorization:\r\n"), 400),
    ] {
        let answered = served.ask(&format!("GET {target} HTTP/1.1\r\n{headers}\r\n"));
        assert_eq!(answered.status, status, "{target} {headers}");
    }
}

#[test]
fn at_the_limit_of_connections_the_longest_idle_one_is_closed() {
    let served = Served::new(Limits { connections: 8, ..Limits::default() }, None);
    let mut idle: Vec<_> = (0..8).map(|_| served.client()).collect();
    // one after the other, so that their order is certain
    for client in &mut idle {
        client.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!(served.get("/healthz").status, 200);
    assert!(idle[0].is_closed());
    idle[7].send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(idle[7].answer().status, 200);
}

#[test]
fn malformed_bytes_are_refused_and_the_server_goes_on() {
    let served =
        Served::new(Limits { head: Duration::from_millis(200), ..Limits::default() }, None);
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let pattern =
        b"GET /v1/page?limit=%31 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    for round in 0..300 {
        let mut bytes = pattern.to_vec();
        for _ in 0..=random() % 6 {
            let at = usize::try_from(random() % bytes.len() as u64).unwrap();
            bytes[at] = random().to_le_bytes()[0];
        }
        let mut client = served.client();
        // the server may close before all is sent
        let _ = client.socket.write_all(&bytes);
        let _ = client.socket.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = client.socket.read_to_end(&mut answer);
        let status = answer
            .get(9..12)
            .map(|status| String::from_utf8_lossy(status).into_owned())
            .unwrap_or_default();
        assert!(
            !status.starts_with('5') || status == "505",
            "{round}: {:?} -> {status}",
            String::from_utf8_lossy(&bytes)
        );
    }
    assert_eq!(served.get("/healthz").status, 200);
}

#[test]
fn events_are_sent_until_the_client_closes_the_stream() {
    let served = Served::new(Limits::default(), None);
    let mut listeners: Vec<_> = (0..20)
        .map(|_| {
            let mut client = served.client();
            client.send(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
            client
        })
        .collect();
    for client in &mut listeners {
        let head = String::from_utf8(client.read_until(b"\r\n\r\n")).unwrap();
        assert!(
            head.starts_with("HTTP/1.1 200")
                && head.contains("text/event-stream")
                && !head.contains("Content-Length"),
            "{head}"
        );
        for number in 0..1000 {
            assert_eq!(
                client.read_until(b"\n\n"),
                format!("id: {number}\ndata: line {number}\n\n").into_bytes()
            );
        }
    }
    // more streams than workers, and other requests are still served
    let metrics = String::from_utf8(served.get("/metrics").body).unwrap();
    assert!(
        metrics.contains("agent_http_event_streams 20") && metrics.contains("own_metric 1"),
        "{metrics}"
    );
    drop(listeners);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !String::from_utf8(served.get("/metrics").body)
        .unwrap()
        .contains("agent_http_event_streams 0")
    {
        assert!(Instant::now() < deadline, "the streams end with their clients");
    }
}

#[test]
fn a_client_that_expects_continue_receives_it() {
    let served = Served::new(Limits::default(), None);
    let mut client = served.client();
    client.send(b"POST /v1/greetings HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n");
    assert_eq!(client.read_until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send(b"{\"name\":\"y\"}");
    assert_eq!(client.answer().json(), json!({"hello": "y"}));
}
