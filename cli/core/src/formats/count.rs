//! Counts in messages.

use std::fmt::Display;

/// A number of things: `1 signal`, `2 signals`.
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
