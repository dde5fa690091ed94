//! Frames as server-sent events.

use hyper::body::Bytes;

/// The delay before a client reconnects to a broken stream.
const RETRY_MS: u32 = 1000;

/// A comment line: it keeps idle connections from being closed by proxies.
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

/// An event without data, which gives the client an id to resume from.
pub(super) fn priming(id: EventId) -> Bytes {
    format!("id: {}-{}\nretry: {RETRY_MS}\ndata: \n\n", id.stream, id.frame).into()
}

pub(super) fn message(id: Option<EventId>, frame: &[u8]) -> Bytes {
    let mut event = Vec::with_capacity(frame.len() + 48);
    event.extend_from_slice(b"event: message\n");
    if let Some(id) = id {
        event.extend_from_slice(format!("id: {}-{}\n", id.stream, id.frame).as_bytes());
    }
    // JSON may have line ends between tokens, and in an event a carriage return is one
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
    fn event_ids_round_trip() {
        assert_eq!(EventId::parse("3-7"), Some(EventId { stream: 3, frame: 7 }));
        for wrong in ["", "3", "-", "3-", "-7", "3-x", "3-7-1", "99999999999999999999-1"] {
            assert_eq!(EventId::parse(wrong), None, "{wrong}");
        }
    }
}
