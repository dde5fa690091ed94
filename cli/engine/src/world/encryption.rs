//! Encryption at rest of lines: AES-256-GCM under a key of its own for each line.
//!
//! A line's key is derived from the user's (HKDF with SHA-256, RFC 5869) and a random salt of 128
//! bits, so no nonce is ever used twice under one key. A check value that is derived beside it
//! distinguishes another key from a damaged line.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

const SCHEMA: &str = "agent/sealed@1";
/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
const CHECK_BYTES: usize = 8;

/// A key for lines.
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptionKey([u8; KEY_BYTES]);

impl std::fmt::Debug for EncryptionKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("EncryptionKey")
    }
}

/// Why a line is not decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecryptionError {
    /// It was encrypted with another key.
    OtherKey,
    Damaged,
}

/// A line as it is written; binary values in base64.
#[derive(Serialize, Deserialize)]
struct Line {
    schema: String,
    salt: String,
    /// Derived from key and salt: equal for the right key alone.
    check: String,
    #[serde(rename = "sealed")]
    ciphertext: String,
}

/// A number of derived bytes.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl EncryptionKey {
    /// From 64 hexadecimal digits, or from base64.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let bytes = hexadecimal(text).or_else(|| {
            [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
                .iter()
                .find_map(|engine| engine.decode(text).ok())
        })?;
        bytes.try_into().ok().map(Self)
    }

    fn derive<const N: usize>(&self, salt: &[u8], what: &'static [u8]) -> Option<[u8; N]> {
        let mut derived = [0; N];
        let extracted = Salt::new(HKDF_SHA256, salt).extract(&self.0);
        extracted.expand(&[what], Length(N)).ok()?.fill(&mut derived).ok()?;
        Some(derived)
    }

    fn line_key(&self, salt: &[u8]) -> Option<LessSafeKey> {
        let key = self.derive::<KEY_BYTES>(salt, b"agent/sealed@1 key")?;
        UnboundKey::new(&AES_256_GCM, &key).ok().map(LessSafeKey::new)
    }

    fn check(&self, salt: &[u8]) -> Option<[u8; CHECK_BYTES]> {
        self.derive(salt, b"agent/sealed@1 check")
    }

    /// One line, with its newline; `None` where the system has no random bytes.
    pub fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut salt = [0; SALT_BYTES];
        SystemRandom::new().fill(&mut salt).ok()?;
        let mut text = plain.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        self.line_key(&salt)?.seal_in_place_append_tag(nonce, Aad::empty(), &mut text).ok()?;
        let encrypted = Line {
            schema: SCHEMA.to_owned(),
            salt: STANDARD.encode(salt),
            check: STANDARD.encode(self.check(&salt)?),
            ciphertext: STANDARD.encode(text),
        };
        let mut line = serde_json::to_vec(&encrypted).ok()?;
        line.push(b'\n');
        Some(line)
    }

    pub fn decrypt(&self, line: &str) -> Result<Vec<u8>, DecryptionError> {
        let encrypted: Line = serde_json::from_str(line).map_err(|_| DecryptionError::Damaged)?;
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| DecryptionError::Damaged);
        let salt = decode(&encrypted.salt)?;
        let check = self.check(&salt).ok_or(DecryptionError::Damaged)?;
        if decode(&encrypted.check)? != check {
            return Err(DecryptionError::OtherKey);
        }
        let mut text = decode(&encrypted.ciphertext)?;
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let key = self.line_key(&salt).ok_or(DecryptionError::Damaged)?;
        let plain = key.open_in_place(nonce, Aad::empty(), &mut text);
        plain.map(|plain| plain.to_vec()).map_err(|_| DecryptionError::Damaged)
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let is_hexadecimal =
        text.len() == 2 * KEY_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hexadecimal.then(|| {
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap_or_default();
        (0..text.len()).step_by(2).map(byte).collect()
    })
}

/// Whether a line is encrypted.
pub fn is_encrypted(line: &str) -> bool {
    line.starts_with("{\"schema\":\"agent/sealed@1\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> EncryptionKey {
        EncryptionKey([byte; KEY_BYTES])
    }

    #[test]
    fn encrypted_line_is_decrypted_by_its_key_alone() {
        let line = String::from_utf8(key(1).encrypt(b"secret text").unwrap()).unwrap();
        assert!(is_encrypted(&line) && line.ends_with('\n') && !line.contains("secret"));
        assert_eq!(key(1).decrypt(&line).unwrap(), b"secret text");
        assert_eq!(key(2).decrypt(&line), Err(DecryptionError::OtherKey));
        let again = key(1).encrypt(b"secret text").unwrap();
        assert_ne!(again, line.as_bytes(), "each line has a salt of its own");
    }

    #[test]
    fn a_changed_or_torn_line_is_damaged() {
        let line = String::from_utf8(key(1).encrypt(b"secret text").unwrap()).unwrap();
        let mut encrypted: Line = serde_json::from_str(&line).unwrap();
        let mut bytes = STANDARD.decode(&encrypted.ciphertext).unwrap();
        bytes[3] ^= 1;
        encrypted.ciphertext = STANDARD.encode(bytes);
        let changed = serde_json::to_string(&encrypted).unwrap();
        assert_eq!(key(1).decrypt(&changed), Err(DecryptionError::Damaged));
        assert_eq!(key(1).decrypt(&line[..line.len() / 2]), Err(DecryptionError::Damaged));
    }

    #[test]
    fn a_key_is_given_in_hexadecimal_or_base64() {
        let bytes = [0xfb; KEY_BYTES];
        let hexadecimal = "fb".repeat(KEY_BYTES);
        for text in [
            hexadecimal.clone(),
            hexadecimal.to_uppercase(),
            format!(" {}\n", STANDARD.encode(bytes)),
            URL_SAFE_NO_PAD.encode(bytes),
        ] {
            assert_eq!(EncryptionKey::parse(&text), Some(EncryptionKey(bytes)), "{text}");
        }
        for text in ["", "secret", &"fb".repeat(16), &"fb".repeat(33)] {
            assert_eq!(EncryptionKey::parse(text), None, "{text}");
        }
    }
}
