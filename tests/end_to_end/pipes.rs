//! A process spoken to line by line, as an MCP host does. Every wait has a deadline.
#![expect(clippy::disallowed_methods, reason = "tests start processes themselves")]

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use std::io::{Read, Seek, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Long enough for a machine that does much else.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// What has to be over "within a second", on a machine that does much else.
pub const SOON: Duration = Duration::from_secs(4);

pub struct Pipes {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    pending: Vec<u8>,
    stderr: std::fs::File,
    next_id: u64,
}

impl Pipes {
    pub fn start(command: &mut Command) -> Self {
        let stderr = tempfile::tempfile().expect("a file for stderr");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr.try_clone().expect("a second handle"));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        Self { child, stdin, stdout, pending: Vec::new(), stderr, next_id: 0 }
    }

    pub fn stderr(&self) -> String {
        let mut text = String::new();
        let mut file = &self.stderr;
        file.rewind().and_then(|()| file.read_to_string(&mut text)).expect("stderr can be read");
        text
    }

    pub fn send(&mut self, line: impl std::fmt::Display) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin
            .write_all(format!("{line}\n").as_bytes())
            .unwrap_or_else(|error| panic!("{error}\n{}", self.stderr()));
    }

    /// The next line; `None` at the end.
    pub fn line(&mut self) -> Option<String> {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Some(String::from_utf8(line).expect("UTF-8").trim_end().to_owned());
            }
            let left = Timespec::try_from(until.saturating_duration_since(Instant::now()))
                .expect("a short time");
            let stdout = self.stdout.as_mut().expect("stdout is open");
            let ready = poll(&mut [PollFd::new(stdout, PollFlags::IN)], Some(&left)).expect("poll");
            assert!(ready > 0, "no line within {DEADLINE:?}; stderr: {}", self.stderr());
            let mut chunk = [0; 8192];
            match stdout.read(&mut chunk).expect("a read") {
                0 => return None,
                count => self.pending.extend_from_slice(&chunk[..count]),
            }
        }
    }

    #[track_caller]
    pub fn value(&mut self) -> Value {
        let line =
            self.line().unwrap_or_else(|| panic!("the output ended; stderr: {}", self.stderr()));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Sends a request and gives its id.
    pub fn post(&mut self, method: &str, params: &Value) -> u64 {
        self.next_id += 1;
        self.send(
            json!({"jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params}),
        );
        self.next_id
    }

    /// A request's answer, which must be the next frame.
    #[track_caller]
    pub fn request(&mut self, method: &str, params: &Value) -> Value {
        let id = self.post(method, params);
        let answer = self.value();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// The result of `initialize`.
    #[track_caller]
    pub fn initialize(&mut self, revision: &str) -> Value {
        let client = json!({"name": "test", "version": "1"});
        let answer = self.request(
            "initialize",
            &json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": client}),
        );
        self.send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        answer["result"].clone()
    }

    /// The result of a tool.
    #[track_caller]
    pub fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let answer = self.request("tools/call", &json!({"name": tool, "arguments": arguments}));
        assert!(answer["result"].is_object(), "{answer}");
        answer["result"].clone()
    }

    /// The text of a tool's error.
    #[track_caller]
    pub fn call_fails(&mut self, tool: &str, arguments: &Value) -> String {
        let result = self.call(tool, arguments);
        assert_eq!(result["isError"], true, "{result}");
        result["content"][0]["text"].as_str().expect("a text").to_owned()
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be waited for");
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Closes both pipes, as a host that exits.
    pub fn close(&mut self) {
        (self.stdin, self.stdout) = (None, None);
    }

    #[track_caller]
    pub fn exited(&mut self, within: Duration) -> ExitStatus {
        let mut status = None;
        eventually(within, "the process ends", || {
            status = self.child.try_wait().expect("it can be waited for");
            status.is_some()
        });
        status.expect("it has ended")
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something holds.
#[track_caller]
pub fn eventually(within: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + within;
    while !holds() {
        assert!(Instant::now() < until, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process runs; one that ended and was not yet collected does not.
pub fn runs(process: u64) -> bool {
    let listed = Command::new("ps")
        .args(["-o", "stat=", "-p", &process.to_string()])
        .output()
        .expect("`ps` runs");
    let state = String::from_utf8_lossy(&listed.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}
