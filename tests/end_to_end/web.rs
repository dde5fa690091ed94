//! A client of HTTP/1.1 that sends exact bytes and reads responses as they arrive.

use crate::pipes::DEADLINE;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

pub struct Connection {
    stream: BufReader<TcpStream>,
    /// Of a body in chunks: what was decoded and not looked at.
    pending: Vec<u8>,
    ended: bool,
}

#[derive(Debug)]
pub struct Head {
    pub status: u16,
    headers: Vec<(String, String)>,
}

#[derive(Debug, PartialEq)]
pub struct Event {
    pub id: Option<String>,
    pub data: String,
}

impl Event {
    #[track_caller]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server takes connections");
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        Self { stream: BufReader::new(stream), pending: Vec::new(), ended: false }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).expect("the server reads");
    }

    /// A request with its body, and `Host` where the headers name none.
    pub fn ask(&mut self, method: &str, headers: &[(&str, &str)], body: &str) {
        let named = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host = if named { "" } else { "host: localhost\r\n" };
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        self.send(format!(
            "{method} /mcp HTTP/1.1\r\ncontent-length: {length}\r\n{host}{}\r\n{body}",
            headers.concat()
        ));
    }

    #[track_caller]
    pub fn head(&mut self) -> Head {
        let mut lines = std::iter::repeat_with(|| {
            let mut line = String::new();
            self.stream.read_line(&mut line).expect("a head before the deadline");
            line.trim_end().to_owned()
        });
        let first = lines.next().unwrap_or_default();
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no head of an answer: {first:?}"));
        let headers = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim().to_owned()))
        });
        let headers = headers.collect();
        (self.pending, self.ended) = (Vec::new(), false);
        Head { status, headers }
    }

    /// The whole body that belongs to a head.
    pub fn body(&mut self, head: &Head) -> String {
        if let Some(length) = head.header("content-length") {
            let mut body = vec![0; length.parse().expect("a length")];
            self.stream.read_exact(&mut body).expect("the body");
            return String::from_utf8(body).expect("UTF-8");
        }
        while head.header("transfer-encoding").is_some() && self.more() {}
        String::from_utf8(std::mem::take(&mut self.pending)).expect("UTF-8")
    }

    /// The next event with an id or data; `None` when the stream has ended.
    pub fn event(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.pending.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.pending.drain(..end + 2).collect();
                if let Some(event) = event(std::str::from_utf8(&block).expect("UTF-8")) {
                    return Some(event);
                }
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// Whether one more chunk came.
    fn more(&mut self) -> bool {
        if self.ended {
            return false;
        }
        let mut size = String::new();
        self.stream.read_line(&mut size).expect("a chunk before the deadline");
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let mut chunk = vec![0; size + 2];
        let whole = self.stream.read_exact(&mut chunk).is_ok();
        self.ended = size == 0 || !whole;
        self.pending.extend_from_slice(&chunk[..size]);
        !self.ended
    }

    /// Whether the server has closed the connection, once it has.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.fill_buf(), Ok([]) | Err(_))
    }
}

fn event(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Some(lines.collect::<Vec<_>>().join("\n")).filter(|text| !text.is_empty())
    };
    let (id, data) = (field("id"), field("data"));
    (id.is_some() || data.is_some()).then(|| Event { id, data: data.unwrap_or_default() })
}
