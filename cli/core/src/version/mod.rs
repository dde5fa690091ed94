//! Versions: immutable semver tags `vX.Y.Z`, and the bumps between them.

pub mod conventional;
pub mod legality;
pub mod promotion;
pub mod publication;
pub mod record_refs;
pub mod registry;
pub mod release;
pub mod reverts;
pub mod rollback;
pub mod sync;
pub mod trailers;
pub mod what;

use semver::Version;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How far a change moves the version; ordered, so that the greatest of several wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bump {
    Patch,
    Minor,
    Major,
}

impl Bump {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Patch => "patch",
            Self::Minor => "minor",
            Self::Major => "major",
        }
    }

    /// The version after `from`.
    pub const fn apply(self, from: &Version) -> Version {
        match self {
            Self::Patch => Version::new(from.major, from.minor, from.patch + 1),
            Self::Minor => Version::new(from.major, from.minor + 1, 0),
            Self::Major => Version::new(from.major + 1, 0, 0),
        }
    }
}

impl fmt::Display for Bump {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl std::str::FromStr for Bump {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "patch" => Ok(Self::Patch),
            "minor" => Ok(Self::Minor),
            "major" => Ok(Self::Major),
            other => {
                Err(format!("`{other}` is not a bump; it has to be one of patch, minor, major"))
            }
        }
    }
}

/// The tag of a version.
pub fn tag(version: &Version) -> String {
    format!("v{version}")
}

/// The tags of versions, as a list for messages.
pub fn tags(versions: &[Version]) -> String {
    versions.iter().map(tag).collect::<Vec<_>>().join(", ")
}

/// The version a tag names; `None` for other tags (`v1`, `release-3`,
/// `v1.2.3-rc1`).
pub fn from_tag(name: &str) -> Option<Version> {
    Version::parse(name.strip_prefix('v')?).ok().filter(is_plain)
}

/// Three numbers and nothing else.
fn is_plain(version: &Version) -> bool {
    version.pre.is_empty() && version.build.is_empty()
}

/// The way a version was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Promotion,
    Release,
    Rollback,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Promotion => "promotion",
            Self::Release => "release",
            Self::Rollback => "rollback",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Promotion, Self::Release, Self::Rollback]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_semver_tags_are_versions() {
        assert_eq!(from_tag("v0.1.10"), Some(Version::new(0, 1, 10)));
        for name in ["0.1.0", "v1", "v1.2.3-rc1", "v1.2.3+x", "v01.2.3", "vx"] {
            assert_eq!(from_tag(name), None, "{name}");
        }
    }

    #[test]
    fn a_bump_resets_what_is_below_it() {
        assert_eq!(Bump::Major.apply(&Version::new(0, 3, 4)), Version::new(1, 0, 0));
        assert_eq!(Bump::Minor.apply(&Version::new(1, 3, 4)), Version::new(1, 4, 0));
        assert_eq!(Bump::Patch.apply(&Version::new(1, 3, 4)), Version::new(1, 3, 5));
    }
}
