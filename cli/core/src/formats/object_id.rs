//! Object ids of git, and the Revision of a state, which is the id its bytes have as a blob.

use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use std::fmt;

/// A git object id in lower-case hex (SHA-1: 40 digits).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectId(String);

impl ObjectId {
    /// The id from its hex form; `None` unless it is 40 lower-case hex digits.
    pub fn parse(hex: &str) -> Option<Self> {
        let valid =
            hex.len() == 40 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        valid.then(|| Self(hex.to_owned()))
    }

    /// The id git gives to a blob with these bytes.
    pub fn of_blob(bytes: &[u8]) -> Self {
        let mut hash = Sha1::new();
        hash.update(format!("blob {}\0", bytes.len()));
        hash.update(bytes);
        Self(hex(&hash.finalize()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The abbreviated form for display.
    pub fn short(&self) -> &str {
        &self.0[..9]
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Lower-case hex of any bytes.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|half| char::from(DIGITS[usize::from(half)]))
        .collect()
}

/// `sha256:<hex>` of bytes: the form of digests in trailers and stored documents.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&sha2::Sha256::digest(bytes)))
}

/// Like `digest`, for the content of a reader, which is not held in memory.
pub fn digest_of_reader(mut reader: impl std::io::Read) -> std::io::Result<String> {
    let mut hash = sha2::Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(format!("sha256:{}", hex(&hash.finalize()))),
            Ok(length) => hash.update(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The first half of the same digest, without the prefix: sufficient to distinguish objects within
/// one repository.
pub fn short_digest(bytes: &[u8]) -> String {
    hex(&sha2::Sha256::digest(bytes)[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_of_a_reader_is_that_of_its_bytes() {
        let bytes: Vec<u8> = (0..200_000u32).map(|number| (number % 251) as u8).collect();
        for length in [0, 1, 64 << 10, (64 << 10) + 1, bytes.len()] {
            assert_eq!(digest_of_reader(&bytes[..length]).unwrap(), digest(&bytes[..length]));
        }
    }

    #[test]
    fn a_blob_has_the_id_git_gives_it() {
        // `printf hello | git hash-object --stdin`
        assert_eq!(
            ObjectId::of_blob(b"hello").as_str(),
            "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"
        );
        assert!(ObjectId::parse("b6fc").is_none());
        assert_eq!(
            digest(b"hello"),
            "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        );
        assert_eq!(short_digest(b"hello"), "2cf24dba5fb0a30e26e83b2ac5b9e29e");
    }
}
