//! Versions of Python, and what a manifest's `python.requires` requires of them (the comparisons of
//! PEP 440 on final releases).
//!
//! Own code, since `pep440_rs` also accepts what a manifest must not name (pre-releases, local
//! versions, no clause at all) and does not give the oldest release that a requirement allows.

use std::fmt;
use std::str::FromStr;

/// A release of Python, such as 3.11.7; an omitted part is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PythonVersion(pub [u32; 3]);

impl fmt::Display for PythonVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(formatter, "{major}.{minor}.{patch}")
    }
}

impl FromStr for PythonVersion {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        parts(text).map(|(version, _)| version)
    }
}

/// The version and how many of its parts were written.
fn parts(text: &str) -> Result<(PythonVersion, usize), ()> {
    let mut numbers = [0; 3];
    let mut count = 0;
    for part in text.split('.') {
        *numbers.get_mut(count).ok_or(())? = part.parse().map_err(|_| ())?;
        count += 1;
    }
    Ok((PythonVersion(numbers), count))
}

/// `>=3.11,<3.14`: every clause must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonRequirement {
    text: String,
    clauses: Vec<Clause>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Clause {
    operator: Operator,
    version: PythonVersion,
    /// How many leading parts count for a prefix match.
    prefix: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    AtLeast,
    AtMost,
    Above,
    Below,
    Equal,
    NotEqual,
    /// `~=3.11.2`: at least that, and the same up to the last part but one.
    Compatible,
}

const OPERATORS: [(&str, Operator); 7] = [
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("~=", Operator::Compatible),
    (">", Operator::Above),
    ("<", Operator::Below),
];

impl Clause {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (operator, rest) = OPERATORS
            .iter()
            .find_map(|(sign, operator)| Some((*operator, text.strip_prefix(sign)?.trim())))?;
        let (number, starred) =
            rest.strip_suffix(".*").map_or((rest, false), |number| (number, true));
        let (version, count) = parts(number).ok()?;
        let prefix = match operator {
            Operator::Compatible if !starred && count >= 2 => count - 1,
            Operator::Equal | Operator::NotEqual if starred => count,
            Operator::Compatible => return None,
            _ if starred => return None,
            _ => 3,
        };
        Some(Self { operator, version, prefix })
    }

    fn allows(&self, candidate: PythonVersion) -> bool {
        let same_prefix = candidate.0[..self.prefix] == self.version.0[..self.prefix];
        match self.operator {
            Operator::AtLeast => candidate >= self.version,
            Operator::AtMost => candidate <= self.version,
            Operator::Above => candidate > self.version,
            Operator::Below => candidate < self.version,
            Operator::Equal => same_prefix,
            Operator::NotEqual => !same_prefix,
            Operator::Compatible => candidate >= self.version && same_prefix,
        }
    }
}

impl PythonRequirement {
    pub fn allows(&self, version: PythonVersion) -> bool {
        self.clauses.iter().all(|clause| clause.allows(version))
    }

    /// The oldest release that it allows, as far as minor versions from 3.8 on and the versions it
    /// names go.
    pub fn oldest(&self) -> Option<PythonVersion> {
        let minors = (8..100).map(|minor| PythonVersion([3, minor, 0]));
        let named = self.clauses.iter().flat_map(|clause| {
            let [major, minor, patch] = clause.version.0;
            [clause.version, PythonVersion([major, minor, patch.saturating_add(1)])]
        });
        minors.chain(named).filter(|version| self.allows(*version)).min()
    }
}

impl fmt::Display for PythonRequirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl FromStr for PythonRequirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let clauses = text.split(',').map(Clause::parse).collect::<Option<Vec<_>>>();
        let clauses = clauses.ok_or_else(|| {
            format!(
                "`{text}` is not a Python version requirement; write it \
                as `>=3.11` or `>=3.11,<3.14`"
            )
        })?;
        Ok(Self { text: text.to_owned(), clauses })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_allows_what_pep_440_allows() {
        for (requirement, allowed, refused) in [
            (">=3.11", &["3.11", "3.11.0", "3.14.1", "4.0"][..], &["3.10.13", "2.7.18"][..]),
            (">=3.11,<3.14", &["3.11.7", "3.13.9"], &["3.14.0", "3.9"]),
            ("==3.12.*", &["3.12.0", "3.12.9"], &["3.13.0", "3.1.2"]),
            (">= 3.11 , !=3.12.1", &["3.12.0"], &["3.12.1"]),
            ("~=3.11", &["3.11.0", "3.14.0"], &["4.0.0", "3.10.9"]),
            ("~=3.11.2", &["3.11.2", "3.11.9"], &["3.12.0", "3.11.1"]),
            (">3.11", &["3.11.1"], &["3.11.0"]),
        ] {
            let parsed: PythonRequirement = requirement.parse().unwrap();
            for version in allowed {
                assert!(parsed.allows(version.parse().unwrap()), "{requirement} allows {version}");
            }
            for version in refused {
                assert!(
                    !parsed.allows(version.parse().unwrap()),
                    "{requirement} refuses {version}"
                );
            }
        }
    }

    #[test]
    fn the_oldest_release_of_a_requirement() {
        for (requirement, oldest) in [
            (">=3.11", "3.11.0"),
            (">=3.11.4,<3.14", "3.11.4"),
            (">3.11", "3.11.1"),
            ("~=3.12", "3.12.0"),
            ("<3.13", "3.8.0"),
            ("==3.12.*", "3.12.0"),
        ] {
            assert_eq!(
                requirement.parse::<PythonRequirement>().unwrap().oldest().unwrap().to_string(),
                oldest,
                "{requirement}"
            );
        }
        assert_eq!(">=3.12,<3.11".parse::<PythonRequirement>().unwrap().oldest(), None);
    }

    #[test]
    fn invalid_requirements_are_refused() {
        for text in ["", "3.11", ">=3.x", "~=3", ">=3.11.*", "=>3.11", ">=3.11,"] {
            assert!(text.parse::<PythonRequirement>().is_err(), "{text}");
        }
    }
}
