//! WHAT: the version or commit that a verb reads or serves, as the user names it.

use semver::{Version, VersionReq};
use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The version that is served.
    Active,
    /// The code of active with the state being tuned.
    Staging,
    /// The files of the working tree as they are.
    Worktree,
    Version(Version),
    /// The newest version that matches and is not yanked.
    Range(VersionReq),
    /// A pin, a branch, a tag or any other revision git understands; the repository resolves which.
    Name(String),
}

impl FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = match text {
            "" => {
                return Err(
                    "WHAT is empty; name active, staging, worktree, a version, a range, a \
            pin or a commit"
                        .to_owned(),
                );
            }
            "active" => Self::Active,
            "staging" => Self::Staging,
            "worktree" => Self::Worktree,
            _ => return Ok(Self::version_range_or_name(text)),
        };
        Ok(named)
    }
}

impl What {
    fn version_range_or_name(text: &str) -> Self {
        if let Ok(version) = Version::parse(text.strip_prefix('v').unwrap_or(text)) {
            return Self::Version(version);
        }
        let looks_like_a_range = text.starts_with(['^', '~', '=', '>', '<', '*']);
        match VersionReq::parse(text) {
            Ok(range) if looks_like_a_range || text.contains('.') => Self::Range(range),
            _ => Self::Name(text.to_owned()),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active => formatter.write_str("active"),
            Self::Staging => formatter.write_str("staging"),
            Self::Worktree => formatter.write_str("worktree"),
            Self::Version(version) => write!(formatter, "v{version}"),
            Self::Range(range) => range.fmt(formatter),
            Self::Name(name) => formatter.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_selectors_are_parsed() {
        for (text, shown) in [
            ("active", "active"),
            ("v1.2.3", "v1.2.3"),
            ("1.2.3", "v1.2.3"),
            ("^1.2", "^1.2"),
            ("1.2", "^1.2"),
            ("stable", "stable"),
            ("deadbeef", "deadbeef"),
            ("1234567", "1234567"),
        ] {
            assert_eq!(text.parse::<What>().unwrap().to_string(), shown, "{text}");
        }
        assert!(matches!("1234567".parse(), Ok(What::Name(_))));
        assert!(matches!("~0.1".parse(), Ok(What::Range(_))));
    }
}
