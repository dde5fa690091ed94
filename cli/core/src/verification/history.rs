//! The history of a served branch: from its tip back to the first version, each version once, each
//! on top of the previous one.

use super::{Check, Finding, Status, missing, ok, untagged, wrong};
use crate::formats::count::counted;
use crate::formats::object_id::ObjectId;
use crate::version::legality::Role;
use crate::version::rollback::{self, Past, Plan, Snapshot};
use crate::version::trailers::Trailers;
use crate::version::{Bump, Kind, tag};
use semver::Version;
use serde::Serialize;
use std::collections::BTreeSet;

/// The number of problems of a kind that are listed; the others are counted.
const SHOWN: usize = 5;

/// A version on a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub commit: ObjectId,
    pub tree: ObjectId,
    pub parents: Vec<ObjectId>,
    pub trailers: Trailers,
    /// The commit that the tag of its version is on.
    pub tagged: Option<ObjectId>,
    /// The first version in its manifest; 0.1.0 where it names none, or where it was not read
    /// because the version has a predecessor.
    pub first: Version,
}

/// How the walk back from a tip ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// At a version without a predecessor.
    First,
    /// At the end of a shallow clone.
    Shallow,
    /// The tip is no version.
    NoVersion,
    /// A commit that cannot be read.
    Unreadable { commit: ObjectId, why: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// `active`, or `line/X.Y`.
    pub branch: String,
    pub tip: ObjectId,
    /// Newest first.
    pub links: Vec<Link>,
    pub end: End,
}

/// The version a rollback restores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restored {
    Version(Version),
    /// This clone does not go back as far.
    Unknown,
    /// To no version, and why.
    Nothing(&'static str),
}

/// The facts of a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BranchReport {
    pub branch: String,
    pub tip: ObjectId,
    pub status: Status,
    pub checks: Vec<Check>,
}

impl Link {
    /// Every link is a version.
    pub fn version(&self) -> &Version {
        self.trailers.version.as_ref().expect("a link is a version")
    }
}

impl Chain {
    /// The newest version before the one at `position` that has a gate record.
    pub fn recorded_before(&self, position: usize) -> Option<&Version> {
        self.links[position + 1..]
            .iter()
            .find(|link| link.trailers.gate.is_some())
            .map(Link::version)
    }

    /// The newest version before the one at `position` that names its ledger of the gate.
    pub fn ledger_named_before(&self, position: usize) -> Option<&Version> {
        self.links[position + 1..]
            .iter()
            .find(|link| link.trailers.ledger.is_some())
            .map(Link::version)
    }

    /// The version that the rollback at `position` restores.
    pub fn restored(&self, position: usize) -> Restored {
        let link = &self.links[position];
        let earlier = &self.links[position + 1..];
        let with_tree: Vec<&Link> = earlier.iter().filter(|past| past.tree == link.tree).collect();
        let evidence = |link: &Link| (link.trailers.eval.clone(), link.trailers.gate.clone());
        let targets: Vec<&Link> =
            with_tree.iter().copied().filter(|past| evidence(past) == evidence(link)).collect();
        if with_tree.is_empty() && self.end == End::Shallow {
            return Restored::Unknown;
        }
        if with_tree.is_empty() {
            return Restored::Nothing("no version before it has its tree");
        }
        if targets.is_empty() {
            return Restored::Nothing("its evidence is not that of the version whose tree it has");
        }
        let history = past(earlier);
        let undoes: BTreeSet<_> = link.trailers.undoes.iter().collect();
        let planned = targets.iter().find(|target| {
            // a version may be served again for a reason
            let wanted = Some(target.version().clone());
            let snapshot = Snapshot {
                branch: self.branch.clone(),
                history: history.clone(),
                wanted,
                again: true,
            };
            matches!(rollback::plan(&snapshot),
                Plan::Publish(plan) if plan.undoes.iter().collect::<BTreeSet<_>>() == undoes)
        });
        match planned {
            Some(target) => Restored::Version(target.version().clone()),
            None => {
                Restored::Nothing("it does not undo exactly the versions after the one it restores")
            }
        }
    }

    /// The findings on the branch.
    pub fn verify(&self) -> BranchReport {
        let findings = [("tip", self.tip()), ("history", self.history()), ("tags", self.tags())];
        let checks: Vec<_> = findings
            .into_iter()
            .map(|(check, (status, message))| Check { check, status, message })
            .collect();
        let status = checks.iter().map(|check| check.status).max().unwrap_or(Status::Ok);
        BranchReport { branch: self.branch.clone(), tip: self.tip.clone(), status, checks }
    }

    fn tip(&self) -> Finding {
        let Some(link) = self.links.first() else {
            return match &self.end {
                End::Unreadable { why, .. } => {
                    wrong(format!("commit {} cannot be read: {why}", self.tip.short()))
                }
                _ => wrong(format!(
                    "commit {} is not a version: its message has no Agent-Version",
                    self.tip.short()
                )),
            };
        };
        let version = link.version();
        if let Role::Line(major, minor) = Role::of(&format!("refs/heads/{}", self.branch))
            && (version.major, version.minor) != (major, minor)
        {
            return wrong(format!("{} does not belong on {}", tag(version), self.branch));
        }
        match &link.tagged {
            Some(tagged) if *tagged == link.commit => {
                ok(format!("{} at {}", tag(version), link.commit.short()))
            }
            Some(tagged) => wrong(format!(
                "{} declares {}, but that tag is on {}",
                link.commit.short(),
                tag(version),
                tagged.short()
            )),
            None => untagged(
                &format!("{} at {} has no tag", tag(version), link.commit.short()),
                self.end == End::Shallow,
            ),
        }
    }

    fn history(&self) -> Finding {
        let mut problems = Vec::new();
        let mut seen = BTreeSet::new();
        for (position, link) in self.links.iter().enumerate().rev() {
            if !seen.insert(link.version()) {
                problems.push(format!("{} appears in it twice", tag(link.version())));
            }
            let before = self.links.get(position + 1);
            problems.extend(misplaced(link, before, before.is_none() && self.end == End::First));
        }
        if let End::Unreadable { commit, why } = &self.end {
            problems.push(format!("commit {} cannot be read: {why}", commit.short()));
        }
        match (problems.as_slice(), &self.end, self.links.last()) {
            ([], End::Shallow, _) => {
                missing("this clone is shallow: the versions before are not here")
            }
            ([], _, Some(first)) => ok(format!(
                "{} back to {}, each on top of the one before",
                counted(self.links.len(), "version"),
                tag(first.version())
            )),
            ([], _, None) => wrong("it has no version"),
            _ => wrong(first_few(&problems)),
        }
    }

    fn tags(&self) -> Finding {
        let moved = self.links.iter().filter_map(|link| {
            let elsewhere = link.tagged.as_ref().filter(|tagged| **tagged != link.commit)?;
            Some(format!(
                "{} is on {}, and {} is that version",
                tag(link.version()),
                elsewhere.short(),
                link.commit.short()
            ))
        });
        let moved: Vec<_> = moved.collect();
        if !moved.is_empty() {
            return wrong(first_few(&moved));
        }
        let gone: Vec<_> = self
            .links
            .iter()
            .filter(|link| link.tagged.is_none())
            .map(|link| tag(link.version()))
            .collect();
        if gone.is_empty() {
            ok("each version has its tag")
        } else {
            untagged(&format!("no tag: {}", first_few(&gone)), self.end == End::Shallow)
        }
    }
}

/// The versions before a rollback, newest first, as its plan saw them.
fn past(earlier: &[Link]) -> Vec<Past> {
    let mut undone = BTreeSet::new();
    let mut history = Vec::new();
    for link in earlier {
        undone.extend(&link.trailers.undoes);
        let Some(revision) = link.trailers.state.clone() else { break };
        history.push(Past {
            version: link.version().clone(),
            commit: link.commit.clone(),
            tree: link.tree.clone(),
            revision,
            yanked: undone.contains(link.version()),
        });
    }
    history
}

/// The problem of a version's position.
fn misplaced(link: &Link, before: Option<&Link>, is_first: bool) -> Option<String> {
    let version = link.version();
    let shown = tag(version);
    if let Some((key, value)) = link.trailers.malformed.first() {
        return Some(format!("{shown} has a trailer that cannot be read: {key}: {value}"));
    }
    if is_first {
        return is_no_beginning(link);
    }
    let before = before?;
    if link.trailers.base.as_ref() != Some(&before.commit) {
        return Some(format!(
            "{shown} does not name its parent {} as its base",
            tag(before.version())
        ));
    }
    if version <= before.version() {
        return Some(format!("{shown} follows {}", tag(before.version())));
    }
    let next = Bump::Patch.apply(before.version());
    let kind = link.trailers.kind?;
    (kind != Kind::Release && *version != next).then(|| {
        format!(
            "{shown}, a {} on top of {}, is not {}",
            kind.as_str(),
            tag(before.version()),
            tag(&next)
        )
    })
}

/// A version without a predecessor has to be the first version.
pub(super) fn is_no_beginning(link: &Link) -> Option<String> {
    let shown = tag(link.version());
    match () {
        () if link.trailers.base.is_some() => {
            Some(format!("{shown} has no predecessor, but names a base"))
        }
        () if *link.version() != link.first || link.trailers.kind != Some(Kind::Release) => {
            Some(format!(
                "{shown} has no predecessor, but the first version is the release {}",
                tag(&link.first)
            ))
        }
        () => None,
    }
}

fn first_few(problems: &[String]) -> String {
    let more = problems.len().saturating_sub(SHOWN);
    let shown = problems[..problems.len() - more].join("; ");
    if more > 0 { format!("{shown}; and {more} more") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::first_version::FIRST;

    fn id(text: &str) -> ObjectId {
        ObjectId::of_blob(text.as_bytes())
    }

    /// `release 0.1.0 a`: a version with the tree `a`, of a commit that is called as its version;
    /// `undoes` follow.
    fn chain(described: &[&str]) -> Chain {
        let mut links: Vec<Link> = Vec::new();
        for text in described {
            let words: Vec<&str> = text.split(' ').collect();
            let [kind, version, tree, undoes @ ..] = words.as_slice() else { panic!("{text}") };
            let base = links.last().map(|link| link.commit.clone());
            let trailers = Trailers {
                kind: Kind::parse(kind),
                version: version.parse().ok(),
                state: Some(id(tree)),
                base: base.clone(),
                eval: Some(format!("sha256:{tree}")),
                undoes: undoes.iter().map(|version| version.parse().unwrap()).collect(),
                ..Trailers::default()
            };
            let commit = id(&format!("{version} {}", links.len()));
            links.push(Link {
                tagged: Some(commit.clone()),
                commit,
                tree: id(tree),
                parents: base.into_iter().collect(),
                trailers,
                first: FIRST,
            });
        }
        links.reverse();
        Chain { branch: "active".to_owned(), tip: links[0].commit.clone(), links, end: End::First }
    }

    const SOUND: [&str; 4] =
        ["release 0.1.0 a", "promotion 0.1.1 b", "release 0.2.0 c", "rollback 0.2.1 b 0.2.0"];

    #[track_caller]
    fn check(change: impl FnOnce(&mut Chain), expected: &[&str]) {
        let mut chain = chain(&SOUND);
        change(&mut chain);
        let report = chain.verify();
        let shown = report
            .checks
            .iter()
            .filter(|check| check.status != Status::Ok)
            .map(|check| format!("{} {}", check.check, check.message));
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn sound_branch_reaches_the_first_version() {
        let report = chain(&SOUND).verify();
        let shown: Vec<_> =
            report.checks.iter().map(|check| (check.status, check.message.as_str())).collect();
        assert_eq!(
            shown[1],
            (Status::Ok, "4 versions back to v0.1.0, each on top of the one before")
        );
        assert_eq!(report.status, Status::Ok, "{shown:?}");
    }

    #[test]
    fn first_version_matches_its_manifest() {
        let mut adopted = chain(&["release 1.4.2 a", "promotion 1.4.3 b"]);
        let history = |chain: &Chain| {
            chain.verify().checks.into_iter().find(|check| check.check == "history").unwrap()
        };
        let refused = "v1.4.2 has no predecessor, but the first version is the release v0.1.0";
        assert_eq!(history(&adopted).message, refused);
        adopted.links[1].first = Version::new(1, 4, 2);
        assert_eq!(history(&adopted).status, Status::Ok);
    }

    #[test]
    fn versions_are_unique_and_consecutive() {
        let of = |described: &[&str]| {
            let described = chain(described);
            described
                .verify()
                .checks
                .into_iter()
                .find(|check| check.check == "history")
                .unwrap()
                .message
        };
        assert_eq!(
            of(&["release 0.1.0 a", "promotion 0.1.2 b"]),
            "v0.1.2, a promotion on top of v0.1.0, is not v0.1.1"
        );
        assert_eq!(
            of(&["release 0.1.0 a", "release 0.2.0 b", "release 0.1.5 c"]),
            "v0.1.5 follows v0.2.0"
        );
        assert_eq!(
            of(&["release 0.1.0 a", "promotion 0.1.1 b", "promotion 0.1.1 c"]),
            "v0.1.1 appears in it twice; v0.1.1 follows v0.1.1"
        );
        assert_eq!(
            of(&["release 0.3.0 a"]),
            "v0.3.0 has no predecessor, but the first version is the release v0.1.0"
        );
        assert_eq!(
            of(&["promotion 0.1.0 a"]),
            "v0.1.0 has no predecessor, but the first version is the release v0.1.0"
        );
        check(
            |chain| chain.links[1].trailers.base = Some(id("x")),
            &["history v0.2.0 does not name its parent v0.1.1 as its base"],
        );
        check(
            |chain| chain.links[3].trailers.base = Some(id("x")),
            &["history v0.1.0 has no predecessor, but names a base"],
        );
    }

    #[test]
    fn tags_match_the_commit_trailers() {
        check(
            |chain| chain.links[2].tagged = None,
            &["tags no tag: v0.1.1; it is recreated from the commit"],
        );
        let moved = format!(
            "tags v0.1.1 is on {}, and {} is that version",
            id("x").short(),
            id("0.1.1 1").short()
        );
        check(|chain| chain.links[2].tagged = Some(id("x")), &[&moved]);
        check(
            |chain| chain.branch = "line/0.1".to_owned(),
            &["tip v0.2.1 does not belong on line/0.1"],
        );
    }

    #[test]
    fn incomplete_walk_is_reported() {
        check(
            |chain| chain.end = End::Shallow,
            &["history this clone is shallow: the versions before are not here"],
        );
        let unreadable = End::Unreadable { commit: id("x"), why: "torn".to_owned() };
        let message = format!("history commit {} cannot be read: torn", id("x").short());
        check(|chain| chain.end = unreadable, &[&message]);
        let hand = |chain: &mut Chain| {
            chain.links.clear();
            chain.end = End::NoVersion;
        };
        let tip = format!(
            "tip commit {} is not a version: its message has no Agent-Version",
            id("0.2.1 3").short()
        );
        check(hand, &[&tip, "history it has no version"]);
    }

    #[test]
    fn rollback_has_the_tree_and_evidence_of_its_target() {
        let restored = |last: &str| {
            let described: Vec<&str> = SOUND[..3].iter().copied().chain([last]).collect();
            chain(&described).restored(0)
        };
        assert_eq!(restored("rollback 0.2.1 b 0.2.0"), Restored::Version(Version::new(0, 1, 1)));
        assert_eq!(
            restored("rollback 0.2.1 a 0.2.0 0.1.1"),
            Restored::Version(Version::new(0, 1, 0))
        );
        let undoes =
            Restored::Nothing("it does not undo exactly the versions after the one it restores");
        assert_eq!(restored("rollback 0.2.1 b"), undoes);
        assert_eq!(restored("rollback 0.2.1 b 0.1.1"), undoes);
        assert_eq!(
            restored("rollback 0.2.1 d 0.2.0"),
            Restored::Nothing("no version before it has its tree")
        );
        let mut forged = chain(&SOUND);
        forged.links[0].trailers.eval = Some("sha256:other".to_owned());
        assert_eq!(
            forged.restored(0),
            Restored::Nothing("its evidence is not that of the version whose tree it has")
        );
        let mut shallow = chain(&SOUND[2..]);
        shallow.end = End::Shallow;
        assert_eq!(shallow.restored(0), Restored::Unknown);
    }

    #[test]
    fn gate_record_is_carried_over_versions_without_one() {
        let mut chain = chain(&SOUND);
        assert_eq!(chain.recorded_before(0), None);
        chain.links[2].trailers.gate = Some("sha256:g".to_owned());
        assert_eq!(chain.recorded_before(0), Some(&Version::new(0, 1, 1)));
        assert_eq!(chain.recorded_before(2), None);
    }
}
