//! The parameters that several routes have.

use crate::rest::Kind;
use agent_core::version::from_tag;
use semver::Version;
use std::str::FromStr;

pub(super) const VERSION: Kind = Kind::Text {
    pattern: r"^v?(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})$",
    longest: 32,
};
pub(super) const ANY: Kind = Kind::Text { pattern: r"^[\s\S]+$", longest: 200 };
pub(super) const PAGE: Kind = Kind::Integer { least: 1, most: 500 };

/// A version in a path.
pub(super) struct Named(pub(super) Version);

impl FromStr for Named {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        from_tag(&format!("v{}", text.strip_prefix('v').unwrap_or(text)))
            .map(Self)
            .ok_or("a version has three numbers, as in 0.1.2")
    }
}
