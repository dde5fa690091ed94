//! Lines and their checksums.

use memchr::memchr;
use serde::Serialize;

/// Between the lines of a block and its checksum; eight hex digits and `"}` and a newline follow.
const CHECKSUM_KEY: &[u8] = b",\"crc\":\"";
const CHECKSUM_LENGTH: usize = CHECKSUM_KEY.len() + 8 + 2 + 1;
pub(super) fn is_padding(byte: u8) -> bool {
    matches!(byte, b'\n' | 0)
}

pub(super) fn first_line(bytes: &[u8]) -> Option<&[u8]> {
    let end = memchr(b'\n', bytes)?;
    Some(&bytes[..=end])
}

pub(super) fn lines(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let line = first_line(bytes).unwrap_or(bytes);
        bytes = &bytes[line.len()..];
        (!line.is_empty()).then_some(line)
    })
}

pub(super) fn push_line(block: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(&mut *block, line).expect("a record serialises");
    block.push(b'\n');
}

/// Adds the line that closes a block: its last key is the checksum of everything before it.
pub(super) fn push_closing_line(block: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(&mut *block, line).expect("a commit line serialises");
    block.pop();
    let checksum = crc32fast::hash(block);
    block.extend_from_slice(CHECKSUM_KEY);
    block.extend_from_slice(format!("{checksum:08x}\"}}\n").as_bytes());
}

/// Whether a block that ends with a line from `last` on has the checksum it states.
pub(super) fn is_closed(block: &[u8], last: usize) -> bool {
    let Some(start) = block.len().checked_sub(CHECKSUM_LENGTH).filter(|start| *start > last) else {
        return false;
    };
    let (covered, closing) = block.split_at(start);
    closing.starts_with(CHECKSUM_KEY)
        && closing[CHECKSUM_KEY.len()..]
            == *format!("{:08x}\"}}\n", crc32fast::hash(covered)).as_bytes()
}
