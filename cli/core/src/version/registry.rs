//! The registry of versions, as the list and the REST API serve it: which there are, which are out
//! of service, which one a range means.

use crate::formats::manifest::Tier;
use crate::formats::object_id::ObjectId;
use crate::version::trailers::Trailers;
use crate::version::what::What;
use crate::version::{self, Kind};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

pub const SCHEMA: &str = "agent/versions@1";
pub const ENTRY_SCHEMA: &str = "agent/version@1";
pub const PIN_SCHEMA: &str = "agent/pin@1";

/// A version, with the names of its evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    pub version: Version,
    pub tag: String,
    pub commit: ObjectId,
    /// `None` for a tag on a commit without version trailers.
    pub kind: Option<Kind>,
    /// The minor line it is of: `0.1`.
    pub line: String,
    /// The Revision of its state.
    pub state: Option<ObjectId>,
    /// Digest of its Contract.
    pub contract: Option<String>,
    /// The version it was made from.
    pub base: Option<Version>,
    /// RFC 3339, UTC.
    pub created: String,
    /// Whether a rollback yanked it.
    pub yanked: bool,
    pub eval: Option<Eval>,
    pub evidence: Evidence,
}

/// The evaluation that let it pass.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Eval {
    /// Its key in the object store.
    pub uri: String,
    pub digest: String,
    /// The summaries, tier by tier, as far as the store has them; `None` when the store was
    /// unreachable.
    pub tiers: Option<BTreeMap<String, Value>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Evidence {
    /// Commit of the base.
    pub base: Option<ObjectId>,
    /// Digest of the Journal that led from the base's state to its own.
    pub journal: Option<String>,
    pub feedback: Vec<String>,
    pub coder: Option<String>,
    /// The versions that a rollback took out of service.
    pub undoes: Vec<Version>,
    /// The rollback that took this one out of service.
    pub undone_by: Option<Version>,
}

impl Entry {
    /// `agent versions show --json`.
    pub fn document(&self) -> Value {
        let mut document = serde_json::json!({"schema": ENTRY_SCHEMA});
        if let (Some(document), Ok(Value::Object(entry))) =
            (document.as_object_mut(), serde_json::to_value(self))
        {
            document.extend(entry);
        }
        document
    }

    /// Its result on a tier; `None` where it was not measured or is not stored.
    pub fn score(&self, tier: Tier) -> Option<f64> {
        self.eval.as_ref()?.tiers.as_ref()?.get(tier.as_str())?.get("score")?.as_f64()
    }

    /// Sets the yanked flag.
    #[must_use]
    pub fn undone_by(mut self, by: Option<Version>) -> Self {
        self.yanked = by.is_some();
        self.evidence.undone_by = by;
        self
    }

    /// From the repository alone; the caller with access to the store adds `eval.tiers`.
    pub fn new(
        version: Version,
        commit: ObjectId,
        trailers: &Trailers,
        created: String,
        base: Option<Version>,
        undone_by: Option<Version>,
    ) -> Self {
        let eval = trailers.eval.clone().map(|digest| Eval {
            uri: evaluation_key(commit.as_str()),
            digest,
            tiers: None,
        });
        Self {
            tag: version::tag(&version),
            kind: trailers.kind,
            line: line(&version),
            state: trailers.state.clone(),
            contract: trailers.contract.clone(),
            base,
            created,
            yanked: undone_by.is_some(),
            eval,
            evidence: Evidence {
                base: trailers.base.clone(),
                journal: trailers.journal.clone(),
                feedback: trailers.feedback.clone(),
                coder: trailers.coder.clone(),
                undoes: trailers.undoes.clone(),
                undone_by,
            },
            version,
            commit,
        }
    }
}

/// The tier that most of the versions have a score on, the larger of two: scores of one list are of
/// one tier.
pub fn most_measured(entries: &[Entry]) -> Option<Tier> {
    let measured = |tier: Tier| entries.iter().filter(|entry| entry.score(tier).is_some()).count();
    Tier::ALL
        .into_iter()
        .filter(|tier| measured(*tier) > 0)
        .max_by_key(|tier| (measured(*tier), *tier))
}

/// A filter and page of the registry.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub range: Option<VersionReq>,
    pub kind: Option<Kind>,
    /// A minor line: `0.1`.
    pub line: Option<String>,
}

impl Filter {
    /// What the version number alone determines; the kind is in the commit.
    pub fn may_match(&self, version: &Version) -> bool {
        self.range.as_ref().is_none_or(|range| range.matches(version))
            && self.line.as_ref().is_none_or(|wanted| line(version) == *wanted)
    }
}

/// The key of a commit's evaluation in the object store.
pub fn evaluation_key(commit: &str) -> String {
    format!("evals/{commit}/summary.json")
}

/// The key of a sealed Journal in the object store.
pub fn journal_key(digest: &str) -> String {
    format!("journal/{}.jsonl", digest.trim_start_matches("sha256:"))
}

/// The minor line of a version.
pub fn line(version: &Version) -> String {
    format!("{}.{}", version.major, version.minor)
}

/// `agent versions list --json`: a page, newest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listing {
    pub schema: &'static str,
    pub versions: Vec<Entry>,
    /// The value of `--after` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Version>,
    /// The agent's name, as the manifest of what is served has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

impl Listing {
    pub const fn new(versions: Vec<Entry>, next: Option<Version>) -> Self {
        Self { schema: SCHEMA, versions, next, agent: None }
    }
}

/// `agent versions resolve --json`: the version that WHAT means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resolved {
    pub schema: &'static str,
    pub what: String,
    pub version: Version,
    pub tag: String,
    pub commit: ObjectId,
}

impl Resolved {
    pub fn new(what: &What, version: Version, commit: ObjectId) -> Self {
        Self {
            schema: "agent/resolved@1",
            what: what.to_string(),
            tag: version::tag(&version),
            version,
            commit,
        }
    }
}

/// A named, pushable pointer to a version or a range, as it is stored behind
/// `refs/agent/pins/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub schema: String,
    /// `v1.2.3`, or a range such as `^1.2`.
    pub what: String,
    /// When it was set, RFC 3339 in UTC: of two clones' pins of one name the newer one counts. Pins
    /// from before this was recorded are older than any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    #[error("`{name}` cannot name a pin: {why}")]
    Name { name: String, why: &'static str },
    #[error("pin `{name}` cannot be read: {why}")]
    Content { name: String, why: String },
}

impl crate::formats::diagnose::Diagnose for PinError {
    fn kind(&self) -> crate::formats::diagnose::FailureKind {
        match self {
            Self::Name { .. } => crate::formats::diagnose::FailureKind::Usage,
            Self::Content { .. } => crate::formats::diagnose::FailureKind::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Name { .. } => {
                "use letters, digits, `-`, `_` and `.`, such as `stable` or `team-a`".to_owned()
            }
            Self::Content { name, .. } => format!("set it again: agent pin {name} WHAT"),
        })
    }
}

impl Pin {
    pub fn new(what: &What, at: String) -> Self {
        Self { schema: PIN_SCHEMA.to_owned(), what: what.to_string(), at: Some(at) }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        crate::formats::canonical::to_bytes(&serde_json::to_value(self).expect("a pin serialises"))
    }

    /// What the stored bytes point to, a version or a range, and when that was set.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<(What, Option<String>), PinError> {
        let wrong = |why: String| PinError::Content { name: name.to_owned(), why };
        let pin: Self = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if pin.schema != PIN_SCHEMA {
            return Err(wrong(format!(
                "it is in format `{}`; this `agent` reads `{PIN_SCHEMA}`",
                pin.schema
            )));
        }
        match pin.what.parse() {
            Ok(what @ (What::Version(_) | What::Range(_))) => Ok((what, pin.at)),
            _ => Err(wrong(format!("`{}` is neither a version nor a range", pin.what))),
        }
    }
}

/// Whether a word is a valid pin name: valid in a git ref, and without another meaning as WHAT.
pub fn check_pin_name(name: &str) -> Result<(), PinError> {
    let wrong = |why| Err(PinError::Name { name: name.to_owned(), why });
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty()
        || !name.bytes().all(plain)
        || name.starts_with(['-', '.'])
        || name.ends_with('.')
        || name.contains("..")
    {
        return wrong("it is not valid in a git ref name");
    }
    if std::path::Path::new(name)
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("lock"))
    {
        return wrong("git reserves the suffix `.lock`");
    }
    match name.parse() {
        Ok(What::Name(_)) => Ok(()),
        _ => wrong("it already has a meaning as a version"),
    }
}

/// Whether a word may be an object id, full or abbreviated.
pub fn is_like_an_id(name: &str) -> bool {
    (4..=40).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The newest version that matches; `is_yanked` is called for matching ones only, newest first.
pub fn newest<E>(
    versions: impl IntoIterator<Item = Version>,
    range: Option<&VersionReq>,
    mut is_yanked: impl FnMut(&Version) -> Result<bool, E>,
) -> Result<Option<Version>, E> {
    let mut matching: Vec<Version> = versions
        .into_iter()
        .filter(|version| range.is_none_or(|range| range.matches(version)))
        .collect();
    matching.sort_unstable();
    while let Some(version) = matching.pop() {
        if !is_yanked(&version)? {
            return Ok(Some(version));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_newest(range: Option<&str>, yanked: &[&str], expected: Option<&str>) {
        let parse = |text: &str| text.parse::<Version>().unwrap();
        let versions = ["0.1.0", "0.1.9", "0.1.10", "0.2.0", "1.0.0"].map(parse);
        let range = range.map(|range| range.parse().unwrap());
        let found = newest::<()>(versions, range.as_ref(), |version| {
            Ok(yanked.contains(&version.to_string().as_str()))
        });
        assert_eq!(found, Ok(expected.map(parse)), "{range:?} without {yanked:?}");
    }

    #[test]
    fn range_resolves_to_the_newest_version_not_yanked() {
        check_newest(None, &[], Some("1.0.0"));
        check_newest(None, &["1.0.0"], Some("0.2.0"));
        check_newest(Some("^0.1"), &[], Some("0.1.10"));
        check_newest(Some("^0.1"), &["0.1.10"], Some("0.1.9"));
        check_newest(Some("<0.2"), &["0.1.10", "0.1.9"], Some("0.1.0"));
        check_newest(Some("^2"), &[], None);
        check_newest(Some("=0.2.0"), &["0.2.0"], None);
    }

    #[test]
    fn pin_round_trips() {
        for (what, stored) in [("0.1.2", "v0.1.2"), ("^0.1", "^0.1")] {
            let what: What = what.parse().unwrap();
            let at = "2026-11-22T12:00:00.000Z".to_owned();
            let pin = Pin::new(&what, at.clone());
            assert_eq!(pin.what, stored);
            assert_eq!(Pin::parse("stable", &pin.to_bytes()), Ok((what, Some(at))));
        }
    }

    #[test]
    fn pin_without_a_time_is_readable() {
        let bytes = br#"{"schema":"agent/pin@1","what":"^0.1"}"#;
        assert_eq!(Pin::parse("stable", bytes), Ok(("^0.1".parse().unwrap(), None)));
    }

    #[test]
    fn malformed_pin_is_named() {
        for (bytes, why) in [
            (
                r#"{"schema":"agent/pin@1","what":"main"}"#,
                "`main` is neither a version nor a range",
            ),
            (
                r#"{"schema":"agent/pin@9","what":"^1"}"#,
                "it is in format `agent/pin@9`; this `agent` reads `agent/pin@1`",
            ),
        ] {
            assert_eq!(
                Pin::parse("x", bytes.as_bytes()),
                Err(PinError::Content { name: "x".to_owned(), why: why.to_owned() })
            );
        }
    }

    #[test]
    fn pin_name_must_be_unambiguous() {
        for good in ["stable", "team-a", "v1", "prod_2"] {
            assert_eq!(check_pin_name(good), Ok(()), "{good}");
        }
        for bad in [
            "", "active", "staging", "worktree", "v1.2.3", "^1", "1.2", "a/b", "a b", ".x",
            "x.lock", "a..b", "-x", "é",
        ] {
            assert!(check_pin_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn commit_id_is_recognised_by_its_digits() {
        for (name, expected) in [
            ("abcd", true),
            ("DEADBEEF", true),
            ("abc", false),
            ("stable", false),
            ("cafe-1", false),
        ] {
            assert_eq!(is_like_an_id(name), expected, "{name}");
        }
    }

    #[test]
    fn list_scores_use_the_most_common_tier() {
        let check = |versions: &[&[&str]], expected: Option<Tier>| {
            let entry = |tiers: &&[&str]| {
                let trailers =
                    Trailers { eval: Some("sha256:aa".to_owned()), ..Trailers::default() };
                let created = "2026-01-01T00:00:00.000Z".to_owned();
                let mut entry = Entry::new(
                    Version::new(0, 1, 0),
                    ObjectId::of_blob(b"c"),
                    &trailers,
                    created,
                    None,
                    None,
                );
                let summaries = tiers
                    .iter()
                    .map(|tier| ((*tier).to_owned(), serde_json::json!({"score": 0.5})));
                entry.eval.as_mut().unwrap().tiers = Some(summaries.collect());
                entry
            };
            assert_eq!(
                most_measured(&versions.iter().map(entry).collect::<Vec<_>>()),
                expected,
                "{versions:?}"
            );
        };
        check(&[], None);
        check(&[&[]], None);
        check(&[&["micro"], &["micro", "full"]], Some(Tier::Micro));
        check(&[&["micro"], &["full"]], Some(Tier::Full));
        check(&[&["micro", "fast"], &["full"], &["fast"]], Some(Tier::Fast));
    }

    #[test]
    fn entry_reflects_the_commit_trailers() {
        let trailers = Trailers {
            kind: Some(Kind::Promotion),
            version: Some(Version::new(0, 1, 1)),
            eval: Some("sha256:aa".to_owned()),
            ..Trailers::default()
        };
        let commit = ObjectId::of_blob(b"c");
        let base = Some(Version::new(0, 1, 0));
        let entry = Entry::new(
            Version::new(0, 1, 1),
            commit.clone(),
            &trailers,
            "2026-01-01T00:00:00.000Z".to_owned(),
            base,
            None,
        );
        let shown = serde_json::to_value(&entry).unwrap();
        assert_eq!(shown["version"], "0.1.1");
        assert_eq!(shown["tag"], "v0.1.1");
        assert_eq!(shown["kind"], "promotion");
        assert_eq!(shown["line"], "0.1");
        assert_eq!(shown["base"], "0.1.0");
        assert_eq!(shown["yanked"], false);
        assert_eq!(
            shown["eval"],
            serde_json::json!({"uri": format!("evals/{commit}/summary.json"), "digest": "sha256:aa",
                "tiers": null})
        );
    }
}
