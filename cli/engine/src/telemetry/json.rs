//! Parts of a line of JSON, appended to a buffer without a value in between.

use serde::Serialize;

pub(super) fn write_hex(line: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        line.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// A text that has nothing to escape is copied whole. All of it is looked at, which the compiler
/// does many bytes at a time.
pub(super) fn write_text(line: &mut Vec<u8>, text: &str) {
    let escapes = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if text.bytes().fold(0, |all, byte| all | u8::from(escapes(byte))) == 0 {
        line.push(b'"');
        line.extend_from_slice(text.as_bytes());
        line.push(b'"');
    } else {
        write_json(line, text);
    }
}

pub(super) fn write_json(line: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(line, value).expect("it is JSON");
}
