//! The W3C `traceparent`: a span's identity as text.

use super::json::write_hex;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// The length of version 00.
const LENGTH: usize = 55;

pub(super) fn of(context: &SpanContext) -> String {
    let mut text = Vec::with_capacity(LENGTH);
    text.extend_from_slice(b"00-");
    write_hex(&mut text, &context.trace_id().to_bytes());
    text.push(b'-');
    write_hex(&mut text, &context.span_id().to_bytes());
    text.push(b'-');
    write_hex(&mut text, &[context.trace_flags().to_u8()]);
    String::from_utf8(text).expect("its digits are ASCII")
}

/// Version 00, and what later versions begin with.
pub(super) fn parse(text: &str) -> Option<SpanContext> {
    let parts: Vec<&str> = text.split('-').collect();
    let &[version, trace, span, flags, ..] = parts.as_slice() else { return None };
    let lengths = [(version, 2), (trace, 32), (span, 16), (flags, 2)];
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if lengths.iter().any(|(part, length)| part.len() != *length || !is_hex(part))
        || version == "ff"
        || (version == "00" && parts.len() > 4)
    {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        flags,
        true,
        TraceState::NONE,
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_and_written() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(of(&parse(text).unwrap()), text);
        assert!(
            parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later")
                .is_some()
        );
        for wrong in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-äbf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
