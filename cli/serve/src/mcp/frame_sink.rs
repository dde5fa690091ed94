//! The sink of a client's frames.

use serde_json::value::RawValue;

/// The request or the stream that a frame for the client belongs to.
#[derive(Debug, Clone, Copy)]
pub enum RelatedRequest<'a> {
    /// It answers this request of the client's.
    Answer(&'a RawValue),
    /// It belongs to this request, which is in flight.
    Request(&'a RawValue),
    Nothing,
}

pub trait FrameSink {
    /// Takes a whole frame, without a newline.
    fn deliver(&self, frame: String, related: RelatedRequest<'_>);
}
