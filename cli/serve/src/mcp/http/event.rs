//! Frames as server-sent events.

use hyper::body::Bytes;

/// How long a client waits before it comes back to a stream that broke.
const RETRY_MS: u32 = 1000;

/// A line that is no event: it keeps the connection from being taken for dead.
pub(super) const KEEP_ALIVE: &[u8] = b":\n\n";

/// The name of a frame for `Last-Event-ID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventId {
    pub stream: u64,
    pub frame: u64,
}

impl EventId {
    pub fn parse(text: &str) -> Option<Self> {
        let (stream, frame) = text.split_once('-')?;
        Some(Self { stream: stream.parse().ok()?, frame: frame.parse().ok()? })
    }
}

/// An event without data: all it says is how to come back.
pub(super) fn priming(id: EventId) -> Bytes {
    format!("id: {}-{}\nretry: {RETRY_MS}\ndata: \n\n", id.stream, id.frame).into()
}

pub(super) fn message(id: Option<EventId>, frame: &[u8]) -> Bytes {
    let mut event = Vec::with_capacity(frame.len() + 48);
    event.extend_from_slice(b"event: message\n");
    if let Some(id) = id {
        event.extend_from_slice(format!("id: {}-{}\n", id.stream, id.frame).as_bytes());
    }
    // between two tokens of JSON a line may end, and a carriage return ends one here as well
    for line in frame.split(|byte| matches!(byte, b'\n' | b'\r')) {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line);
        event.push(b'\n');
    }
    event.push(b'\n');
    event.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_one_event_however_its_lines_end() {
        let id = EventId { stream: 3, frame: 7 };
        assert_eq!(message(Some(id), b"{\"a\":1}"), "event: message\nid: 3-7\ndata: {\"a\":1}\n\n");
        assert_eq!(
            message(None, b"{\"a\":\r\n1}"),
            "event: message\ndata: {\"a\":\ndata: \ndata: 1}\n\n"
        );
        assert_eq!(priming(id), "id: 3-7\nretry: 1000\ndata: \n\n");
    }

    #[test]
    fn names_of_events_are_read_back() {
        assert_eq!(EventId::parse("3-7"), Some(EventId { stream: 3, frame: 7 }));
        for wrong in ["", "3", "-", "3-", "-7", "3-x", "3-7-1", "99999999999999999999-1"] {
            assert_eq!(EventId::parse(wrong), None, "{wrong}");
        }
    }
}
