//! A small proxy between `agent` and an HTTP server: it passes requests on and injects configured
//! faults.

use std::collections::VecDeque;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 500, and the server hears nothing of it.
    Error,
    /// The server executes the request, and the response is lost.
    LostAnswer,
    /// Nothing, until the client gives it up.
    Silence,
    /// The server does not hear of the condition.
    Unconditional,
}

/// Requests with this method and this in their path are spoiled, so many of them.
#[derive(Debug, Clone)]
pub struct Spoil {
    pub method: &'static str,
    pub path: &'static str,
    pub fault: Fault,
    pub times: usize,
}

pub struct Proxy {
    pub address: SocketAddr,
    spoils: Arc<Mutex<VecDeque<Spoil>>>,
}

impl Proxy {
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().unwrap();
        let spoils = Arc::new(Mutex::new(VecDeque::new()));
        let shared = spoils.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let spoils = shared.clone();
                // a client that goes away in the middle is what faults are about
                std::thread::spawn(move || drop(serve(&client, server, &spoils)));
            }
        });
        Self { address, spoils }
    }

    pub fn spoil(&self, method: &'static str, path: &'static str, fault: Fault, times: usize) {
        self.spoils.lock().unwrap().push_back(Spoil { method, path, fault, times });
    }

    /// All that was to be spoiled was.
    #[track_caller]
    pub fn is_done(&self) {
        assert!(
            self.spoils.lock().unwrap().is_empty(),
            "never came: {:?}",
            self.spoils.lock().unwrap()
        );
    }
}

fn serve(
    client: &TcpStream,
    server: SocketAddr,
    spoils: &Mutex<VecDeque<Spoil>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    while let Some(mut request) = Request::read(&mut reader)? {
        let mut client = client;
        match take(spoils, &request.line) {
            Some(Fault::Error) => client
                .write_all(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n")?,
            Some(Fault::LostAnswer) => {
                request.pass_on(server)?;
                return client.shutdown(std::net::Shutdown::Both);
            }
            Some(Fault::Silence) => return reader.read_to_end(&mut Vec::new()).map(drop),
            other => {
                if other == Some(Fault::Unconditional) {
                    request
                        .headers
                        .retain(|header| !header.to_ascii_lowercase().starts_with("if-none-match"));
                }
                client.write_all(&request.pass_on(server)?)?;
                return client.shutdown(std::net::Shutdown::Both);
            }
        }
    }
    Ok(())
}

fn take(spoils: &Mutex<VecDeque<Spoil>>, line: &str) -> Option<Fault> {
    let mut spoils = spoils.lock().unwrap();
    let at = spoils
        .iter()
        .position(|spoil| line.starts_with(spoil.method) && line.contains(spoil.path))?;
    let fault = spoils[at].fault;
    spoils[at].times -= 1;
    if spoils[at].times == 0 {
        spoils.remove(at);
    }
    Some(fault)
}

struct Request {
    line: String,
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Request {
    /// `None` when the client is through.
    fn read(reader: &mut impl std::io::BufRead) -> std::io::Result<Option<Self>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            if line.trim_end().is_empty() {
                break;
            }
            lines.push(line.trim_end().to_owned());
        }
        let length = lines.iter().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
        });
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        Ok(Some(Self { line: lines.remove(0), headers: lines, body }))
    }

    /// The whole answer; the server ends the connection after it.
    fn pass_on(&self, server: SocketAddr) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(server)?;
        let kept = self
            .headers
            .iter()
            .filter(|header| !header.to_ascii_lowercase().starts_with("connection:"));
        let headers: String = kept.flat_map(|header| [header.as_str(), "\r\n"]).collect();
        stream
            .write_all(format!("{}\r\n{headers}connection: close\r\n\r\n", self.line).as_bytes())?;
        stream.write_all(&self.body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }
}
