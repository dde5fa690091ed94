//! Writes a zip archive of a few files, the format of an MCP bundle.
//!
//! Own code, since the crate `zip` adds six crates and ten CPU seconds of building for these three
//! records.

use miniz_oxide::deflate::compress_to_vec;

/// A file of the archive. Paths are relative, with `/`.
#[derive(Debug)]
pub struct Entry<'a> {
    pub path: &'a str,
    pub bytes: &'a [u8],
    pub is_program: bool,
}

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
/// Made by Unix, version 2.0: the mode is in the upper half of the external attributes.
const MADE_BY: u16 = (3 << 8) | NEEDED;
const NEEDED: u16 = 20;
/// The names are UTF-8.
const FLAGS: u16 = 1 << 11;
const DEFLATED: u16 = 8;
/// Higher ones take several times as long for 1% less.
const LEVEL: u8 = 6;
/// 1 January 1980: a constant, so that the same files give the same archive.
const DATE: u16 = (1 << 5) | 1;

/// The archive's bytes; `None` where a file is too large for the format (4 GiB).
pub fn archive(entries: &[Entry<'_>]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    for entry in entries {
        let offset = u32::try_from(bytes.len()).ok()?;
        let packed = compress_to_vec(entry.bytes, LEVEL);
        let facts = facts(entry, packed.len())?;
        put(&mut bytes, &[Word::Four(LOCAL)]);
        put(&mut bytes, &facts);
        bytes.extend_from_slice(entry.path.as_bytes());
        bytes.extend_from_slice(&packed);

        let mode: u32 = if entry.is_program { 0o100_755 } else { 0o100_644 };
        put(&mut directory, &[Word::Four(CENTRAL), Word::Two(MADE_BY)]);
        put(&mut directory, &facts);
        put(
            &mut directory,
            &[Word::Two(0), Word::Two(0), Word::Two(0), Word::Four(mode << 16), Word::Four(offset)],
        );
        directory.extend_from_slice(entry.path.as_bytes());
    }
    let (count, size, offset) = (
        u16::try_from(entries.len()).ok()?,
        u32::try_from(directory.len()).ok()?,
        u32::try_from(bytes.len()).ok()?,
    );
    bytes.append(&mut directory);
    let nothing = Word::Two(0);
    put(
        &mut bytes,
        &[
            Word::Four(END),
            nothing,
            nothing,
            Word::Two(count),
            Word::Two(count),
            Word::Four(size),
            Word::Four(offset),
            nothing,
        ],
    );
    Some(bytes)
}

#[derive(Clone, Copy)]
enum Word {
    Two(u16),
    Four(u32),
}

/// The fields that both headers of a file share.
fn facts(entry: &Entry<'_>, packed: usize) -> Option<[Word; 10]> {
    Some([
        Word::Two(NEEDED),
        Word::Two(FLAGS),
        Word::Two(DEFLATED),
        Word::Two(0),
        Word::Two(DATE),
        Word::Four(crc32fast::hash(entry.bytes)),
        Word::Four(u32::try_from(packed).ok()?),
        Word::Four(u32::try_from(entry.bytes.len()).ok()?),
        Word::Two(u16::try_from(entry.path.len()).ok()?),
        Word::Two(0),
    ])
}

fn put(bytes: &mut Vec<u8>, words: &[Word]) {
    for word in words {
        match word {
            Word::Two(number) => bytes.extend_from_slice(&number.to_le_bytes()),
            Word::Four(number) => bytes.extend_from_slice(&number.to_le_bytes()),
        }
    }
}
