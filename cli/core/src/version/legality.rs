//! Which ref updates are legal: one table, used by the planner before it publishes and by the git
//! hooks on receive.
//!
//! The world gathers the facts of an update (`RefUpdate`); each rule of the table decides whether
//! they break it, and gives the reason and the fix.

use crate::formats::object_id::ObjectId;
use crate::version::record_refs::{self, RefPurpose};
use crate::version::trailers::Trailers;
use crate::version::{self, Bump, Kind};
use semver::Version;

/// The folder that a promotion may change, and the Tuner's alone.
pub const STATE_FOLDER: &str = "state/";
/// The view of what is being tuned: ignored by git, never part of a commit.
pub const STAGING_FILE: &str = "state/staging.state.json";

/// A ref about to be moved, with what is needed to judge it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RefUpdate {
    pub reference: String,
    /// Where it is; `None` when it is being created.
    pub old: Option<ObjectId>,
    /// The new commit; `None` for a deletion.
    pub new: Option<ObjectId>,
    /// Whether `old` is among the first parents of `new` (for managed refs: among its ancestors,
    /// with all its content retained).
    pub is_forward: bool,
    /// Whether `old` lost the race for `active`: it is stored below `lost/`, and `new` is what a
    /// remote of this clone serves.
    pub is_superseded: bool,
    /// The version of `old`; where it is superseded, that of the common base.
    pub old_version: Option<Version>,
    /// The commits added to the ref along first parents, oldest first. For a tag: the one it names.
    pub added: Vec<CommitFacts>,
}

/// The facts about a commit, existing or planned, that a rule needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommitFacts {
    /// None while the commit is only being made.
    pub id: Option<ObjectId>,
    pub trailers: Trailers,
    /// The Revision of the state in its tree.
    pub state: Option<ObjectId>,
    /// The paths that differ from its first parent.
    pub changed: Vec<String>,
    /// Whether its tree holds `STAGING_FILE`.
    pub tracks_staging: bool,
    /// The commit that already has the tag of its version.
    pub tagged: Option<ObjectId>,
}

/// A rule that an update breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub rule: &'static str,
    pub reason: String,
    pub hint: &'static str,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} ({})", self.reason, self.rule)
    }
}

/// The role of a ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    VersionTag(Version),
    Active,
    /// `line/X.Y`
    Line(u64, u64),
    /// Append-only: the inbox and the ledger of the gate, in any clone's namespace.
    Record,
    /// Written once: the late result of a tier, a version that lost the race for `active`.
    Once,
    /// `main`, other branches and tags, pins: no restriction.
    Free,
}

impl Role {
    pub fn of(reference: &str) -> Self {
        if let Some(version) = reference.strip_prefix("refs/tags/").and_then(version::from_tag) {
            return Self::VersionTag(version);
        }
        if let Some(line) = reference.strip_prefix("refs/heads/line/") {
            let parts = line
                .split_once('.')
                .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
            return parts.map_or(Self::Free, |(major, minor)| Self::Line(major, minor));
        }
        match record_refs::purpose(reference) {
            Some(RefPurpose::Record(_)) => Self::Record,
            Some(RefPurpose::Superseded) => Self::Once,
            None if reference == "refs/heads/active" => Self::Active,
            None if reference.starts_with("refs/agent/results/") => Self::Once,
            None => Self::Free,
        }
    }

    const fn is_served(&self) -> bool {
        matches!(self, Self::Active | Self::Line(..))
    }
}

struct Rule {
    id: &'static str,
    /// The reason, when the update breaks it.
    violation: fn(&Role, &RefUpdate) -> Option<String>,
    hint: &'static str,
}

const TABLE: &[Rule] = &[
    Rule {
        id: "tags-are-immutable",
        violation: moved_tag,
        hint: "make a new version instead: `agent promote`, `agent release` or `agent rollback`",
    },
    Rule {
        id: "a-tag-names-its-commit",
        violation: wrong_tag,
        hint: "let `agent` make the tags of versions",
    },
    Rule {
        id: "written-once",
        violation: rewritten,
        hint: "leave it as it is; another result has another name",
    },
    Rule {
        id: "records-only-grow",
        violation: removed_entries,
        hint: "`agent sync` merges it with what other clones have pushed; if this was a push, \
            repeat it afterwards",
    },
    Rule {
        id: "served-branches-stay",
        violation: deleted,
        hint: "what is served cannot be deleted; `agent rollback` yanks a version",
    },
    Rule {
        id: "served-branches-move-forward",
        violation: moved_back,
        hint: "`agent rollback` makes a new version with an earlier tree",
    },
    Rule {
        id: "every-tip-is-a-version",
        violation: no_version,
        hint: "commit to `main`, then `agent release`; for a state, `agent promote`",
    },
    Rule {
        id: "versions-rise",
        violation: not_risen,
        hint: "use the next version on top of the current branch",
    },
    Rule {
        id: "one-version-one-commit",
        violation: tag_taken,
        hint: "use a version that has no tag yet",
    },
    Rule {
        id: "the-state-is-the-one-named",
        violation: other_state,
        hint: "let `agent` write the commit: its trailer is the blob id of the state",
    },
    Rule {
        id: "no-evidence-no-version",
        violation: no_evidence,
        hint: "run the tier that judges it: `agent promote` and `agent release` do",
    },
    Rule {
        id: "a-promotion-touches-only-state",
        violation: promoted_code,
        hint: "commit the code to `main`, then `agent release`",
    },
    Rule {
        id: "staging-is-not-tracked",
        violation: tracked_staging,
        hint: "git rm --cached state/staging.state.json",
    },
];

/// Every rule the update breaks; none means that it may happen.
pub fn judge(update: &RefUpdate) -> Vec<Violation> {
    let role = Role::of(&update.reference);
    TABLE
        .iter()
        .filter_map(|rule| {
            (rule.violation)(&role, update).map(|reason| Violation {
                rule: rule.id,
                reason,
                hint: rule.hint,
            })
        })
        .collect()
}

fn moved_tag(role: &Role, update: &RefUpdate) -> Option<String> {
    let Role::VersionTag(version) = role else { return None };
    let moved = update.old.is_some() && update.old != update.new && !update.is_superseded;
    moved.then(|| {
        format!(
            "tag v{version} exists and would be {}",
            if update.new.is_some() { "moved" } else { "deleted" }
        )
    })
}

fn wrong_tag(role: &Role, update: &RefUpdate) -> Option<String> {
    let Role::VersionTag(version) = role else { return None };
    let commit = update.added.first().filter(|_| update.new.is_some())?;
    match commit.trailers.as_version() {
        Some((_, named)) if named == version => None,
        Some((_, named)) => Some(format!("tag v{version} would name a commit that is v{named}")),
        None => Some(format!("tag v{version} would name a commit that is not a version")),
    }
}

fn rewritten(role: &Role, update: &RefUpdate) -> Option<String> {
    let written = *role == Role::Once && update.old.is_some() && update.old != update.new;
    written.then(|| format!("{} is written already", update.reference))
}

fn removed_entries(role: &Role, update: &RefUpdate) -> Option<String> {
    let reference = &update.reference;
    match role {
        Role::Record if update.new.is_none() => Some(format!("{reference} would be deleted")),
        Role::Record if update.old.is_some() && !update.is_forward => {
            Some(format!("{reference} would lose what it holds"))
        }
        _ => None,
    }
}

fn deleted(role: &Role, update: &RefUpdate) -> Option<String> {
    (role.is_served() && update.new.is_none())
        .then(|| format!("{} would be deleted", branch(update)))
}

fn moved_back(role: &Role, update: &RefUpdate) -> Option<String> {
    let replaced = role.is_served()
        && update.old.is_some()
        && update.new.is_some()
        && !update.is_forward
        && !update.is_superseded;
    replaced.then(|| format!("{} would move to a commit that is not on top of it", branch(update)))
}

fn no_version(role: &Role, update: &RefUpdate) -> Option<String> {
    if !role.is_served() || update.new.is_none() {
        return None;
    }
    let created_on_nothing = update.old.is_none() && update.added.is_empty();
    if created_on_nothing {
        return Some(format!("{} would begin at a commit that is not a version", branch(update)));
    }
    let commit = update.added.iter().find(|commit| {
        commit.trailers.as_version().is_none() || !commit.trailers.malformed.is_empty()
    })?;
    let named = commit.id.as_ref().map_or("the commit", |id| id.short());
    Some(match commit.trailers.malformed.first() {
        Some((key, value)) => format!("{named} has a trailer that cannot be read: {key}: {value}"),
        None => format!("{named} would be added to {}, but it is not a version", branch(update)),
    })
}

fn not_risen(role: &Role, update: &RefUpdate) -> Option<String> {
    if !role.is_served() {
        return None;
    }
    let mut before = update.old_version.clone();
    for (kind, version) in update.added.iter().filter_map(|commit| commit.trailers.as_version()) {
        if let Role::Line(major, minor) = role
            && (version.major, version.minor) != (*major, *minor)
        {
            return Some(format!("v{version} does not belong on line/{major}.{minor}"));
        }
        if let Some(before) = &before {
            let next = Bump::Patch.apply(before);
            if kind != Kind::Release && *version != next {
                return Some(format!(
                    "a {} on top of v{before} is v{next}, not v{version}",
                    kind.as_str()
                ));
            }
            if version <= before {
                return Some(format!("v{version} would follow v{before}"));
            }
        }
        before = Some(version.clone());
    }
    None
}

fn tag_taken(role: &Role, update: &RefUpdate) -> Option<String> {
    let taken = |commit: &CommitFacts| {
        let (_, version) = commit.trailers.as_version()?;
        let tagged = commit.tagged.as_ref().filter(|tagged| Some(*tagged) != commit.id.as_ref())?;
        Some(format!("v{version} is already the version of {}", tagged.short()))
    };
    if role.is_served() { update.added.iter().find_map(taken) } else { None }
}

fn other_state(role: &Role, update: &RefUpdate) -> Option<String> {
    let differs = |commit: &CommitFacts| {
        let (_, version) = commit.trailers.as_version()?;
        let reason = match (&commit.trailers.state, &commit.state) {
            (named, held) if named == held && held.is_some() => return None,
            (Some(named), Some(held)) => format!(
                "v{version} declares the state {}, but its tree holds {}",
                named.short(),
                held.short()
            ),
            (None, Some(_)) => format!("v{version} does not declare its state"),
            (_, None) => format!("v{version} holds no state/active.state.json"),
        };
        Some(reason)
    };
    if role.is_served() { update.added.iter().find_map(differs) } else { None }
}

fn no_evidence(role: &Role, update: &RefUpdate) -> Option<String> {
    let bare = |commit: &CommitFacts| {
        let (_, version) = commit.trailers.as_version()?;
        commit.trailers.eval.is_none().then(|| format!("v{version} names no evaluation"))
    };
    if role.is_served() { update.added.iter().find_map(bare) } else { None }
}

fn promoted_code(role: &Role, update: &RefUpdate) -> Option<String> {
    if !role.is_served() {
        return None;
    }
    let promotions =
        update.added.iter().filter(|commit| commit.trailers.kind == Some(Kind::Promotion));
    promotions.into_iter().find_map(|commit| {
        let outside: Vec<_> = commit
            .changed
            .iter()
            .filter(|path| !path.starts_with(STATE_FOLDER))
            .map(String::as_str)
            .collect();
        let first = outside.first()?;
        let more = if outside.len() > 1 {
            format!(" and {} more", outside.len() - 1)
        } else {
            String::new()
        };
        Some(format!("a promotion changes {first}{more}"))
    })
}

fn tracked_staging(_: &Role, update: &RefUpdate) -> Option<String> {
    update
        .added
        .iter()
        .any(|commit| commit.tracks_staging)
        .then(|| format!("{STAGING_FILE} would be committed"))
}

fn branch(update: &RefUpdate) -> &str {
    update.reference.strip_prefix("refs/heads/").unwrap_or(&update.reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ObjectId {
        ObjectId::of_blob(text.as_bytes())
    }

    /// A sound version commit; its id and state are made of its version.
    fn made(kind: Kind, version: &str, changed: &[&str]) -> CommitFacts {
        let trailers = Trailers {
            kind: Some(kind),
            version: Some(version.parse().unwrap()),
            state: Some(id(version)),
            eval: Some("sha256:aa".to_owned()),
            ..Trailers::default()
        };
        CommitFacts {
            id: Some(id(version)),
            trailers,
            state: Some(id(version)),
            changed: changed.iter().map(|path| (*path).to_owned()).collect(),
            tracks_staging: false,
            tagged: None,
        }
    }

    fn promotion(version: &str) -> CommitFacts {
        made(Kind::Promotion, version, &["state/active.state.json"])
    }

    /// `active` at v0.1.0 gets these commits.
    fn moves(added: Vec<CommitFacts>) -> RefUpdate {
        RefUpdate {
            reference: "refs/heads/active".to_owned(),
            old: Some(id("0.1.0")),
            new: Some(id("tip")),
            is_forward: true,
            old_version: Some(Version::new(0, 1, 0)),
            added,
            ..RefUpdate::default()
        }
    }

    fn of(
        reference: &str,
        old: Option<&str>,
        new: Option<&str>,
        added: Vec<CommitFacts>,
    ) -> RefUpdate {
        RefUpdate {
            reference: reference.to_owned(),
            old: old.map(id),
            new: new.map(id),
            added,
            ..RefUpdate::default()
        }
    }

    fn check(update: &RefUpdate, expected: &[&str]) {
        let violations = judge(update);
        let rules: Vec<_> = violations.iter().map(|violation| violation.rule).collect();
        assert_eq!(rules, expected, "{violations:#?}");
        assert!(
            violations
                .iter()
                .all(|violation| !violation.reason.is_empty() && !violation.hint.is_empty())
        );
    }

    #[test]
    fn sound_versions_are_accepted() {
        check(&moves(vec![promotion("0.1.1")]), &[]);
        check(
            &moves(vec![
                promotion("0.1.1"),
                made(Kind::Release, "0.2.0", &["runner/x.py"]),
                promotion("0.2.1"),
            ]),
            &[],
        );
        check(&moves(vec![made(Kind::Rollback, "0.1.1", &["runner/x.py"])]), &[]);
        check(
            &of(
                "refs/heads/active",
                None,
                Some("x"),
                vec![made(Kind::Release, "0.1.0", &["agent.toml"])],
            ),
            &[],
        );
    }

    #[test]
    fn served_branches_only_grow_by_versions() {
        check(&of("refs/heads/active", Some("a"), None, vec![]), &["served-branches-stay"]);
        check(&of("refs/heads/line/0.1", Some("a"), None, vec![]), &["served-branches-stay"]);
        check(&RefUpdate { is_forward: false, ..moves(vec![]) }, &["served-branches-move-forward"]);
        check(
            &moves(vec![promotion("0.1.1"), CommitFacts::default()]),
            &["every-tip-is-a-version"],
        );
        check(&of("refs/heads/active", None, Some("x"), vec![]), &["every-tip-is-a-version"]);
        let mut twofold = promotion("0.1.1");
        twofold.trailers.malformed.push(("Agent-Version".to_owned(), "0.1.2".to_owned()));
        check(&moves(vec![twofold]), &["every-tip-is-a-version"]);
    }

    #[test]
    fn versions_rise_one_patch_at_a_time_unless_released() {
        check(&moves(vec![promotion("0.1.2")]), &["versions-rise"]);
        check(&moves(vec![promotion("0.1.1"), promotion("0.1.1")]), &["versions-rise"]);
        check(&moves(vec![made(Kind::Release, "0.0.9", &[])]), &["versions-rise"]);
        check(&moves(vec![made(Kind::Rollback, "0.2.0", &[])]), &["versions-rise"]);
        let line = |version| RefUpdate {
            reference: "refs/heads/line/0.1".to_owned(),
            ..moves(vec![made(Kind::Release, version, &[])])
        };
        check(&line("0.1.1"), &[]);
        check(&line("0.2.0"), &["versions-rise"]);
    }

    #[test]
    fn a_version_has_its_state_its_evidence_and_its_own_tag() {
        let mut commit = promotion("0.1.1");
        commit.state = Some(id("another"));
        check(&moves(vec![commit]), &["the-state-is-the-one-named"]);
        let mut commit = promotion("0.1.1");
        (commit.state, commit.trailers.state) = (None, None);
        check(&moves(vec![commit]), &["the-state-is-the-one-named"]);
        let mut commit = promotion("0.1.1");
        commit.trailers.eval = None;
        check(&moves(vec![commit]), &["no-evidence-no-version"]);
        let mut commit = promotion("0.1.1");
        commit.tagged = Some(id("another"));
        check(&moves(vec![commit.clone()]), &["one-version-one-commit"]);
        commit.tagged.clone_from(&commit.id);
        check(&moves(vec![commit]), &[]);
    }

    #[test]
    fn a_promotion_touches_only_state() {
        check(
            &moves(vec![made(
                Kind::Promotion,
                "0.1.1",
                &["runner/x.py", "state/active.state.json"],
            )]),
            &["a-promotion-touches-only-state"],
        );
        check(
            &moves(vec![made(Kind::Promotion, "0.1.1", &["states/x"])]),
            &["a-promotion-touches-only-state"],
        );
    }

    #[test]
    fn version_tags_are_made_once_and_agree() {
        let tag = "refs/tags/v0.1.1";
        check(&of(tag, None, Some("x"), vec![promotion("0.1.1")]), &[]);
        check(&of(tag, Some("x"), Some("x"), vec![promotion("0.1.1")]), &[]);
        check(&of(tag, Some("a"), Some("x"), vec![promotion("0.1.1")]), &["tags-are-immutable"]);
        check(&of(tag, Some("a"), None, vec![]), &["tags-are-immutable"]);
        check(&of(tag, None, Some("x"), vec![promotion("0.1.2")]), &["a-tag-names-its-commit"]);
        check(&of(tag, None, Some("x"), vec![CommitFacts::default()]), &["a-tag-names-its-commit"]);
        check(&of("refs/tags/nightly", Some("a"), None, vec![]), &[]);
    }

    #[test]
    fn version_that_lost_the_race_may_move_once_it_is_stored() {
        let kept = |update: RefUpdate| RefUpdate { is_superseded: true, ..update };
        let theirs = || RefUpdate { is_forward: false, ..moves(vec![promotion("0.1.1")]) };
        check(&theirs(), &["served-branches-move-forward"]);
        check(&kept(theirs()), &[]);
        check(&kept(RefUpdate { new: None, ..theirs() }), &["served-branches-stay"]);
        let tag = || of("refs/tags/v0.1.1", Some("a"), Some("x"), vec![promotion("0.1.1")]);
        check(&kept(tag()), &[]);
        check(
            &kept(RefUpdate { added: vec![promotion("0.1.2")], ..tag() }),
            &["a-tag-names-its-commit"],
        );
        check(&kept(of("refs/agent/ledger", Some("a"), Some("x"), vec![])), &["records-only-grow"]);
    }

    #[test]
    fn main_is_free_but_staging_is_never_committed() {
        let state = CommitFacts {
            changed: vec!["state/active.state.json".to_owned()],
            ..CommitFacts::default()
        };
        check(&of("refs/heads/main", Some("a"), Some("x"), vec![state]), &[]);
        let staging = CommitFacts { tracks_staging: true, ..CommitFacts::default() };
        check(
            &of("refs/heads/main", Some("a"), Some("x"), vec![staging]),
            &["staging-is-not-tracked"],
        );
    }

    #[test]
    fn managed_refs_are_append_only() {
        for reference in [
            "refs/agent/inbox",
            "refs/agent/ledger",
            "refs/agent/peers/c1/ledger",
            "refs/agent-own/c1/inbox",
        ] {
            let update = of(reference, Some("a"), Some("x"), vec![]);
            check(&update, &["records-only-grow"]);
            check(&RefUpdate { is_forward: true, ..update }, &[]);
            check(&of(reference, Some("a"), None, vec![]), &["records-only-grow"]);
        }
        for reference in ["refs/agent/results/abc/full", "refs/agent-own/c1/lost/v0.1.1-abc"] {
            check(&of(reference, None, Some("x"), vec![]), &[]);
            check(&of(reference, Some("a"), Some("x"), vec![]), &["written-once"]);
            check(&of(reference, Some("a"), None, vec![]), &["written-once"]);
        }
        for reference in ["refs/agent/pins/stable", "refs/agent-remotes/origin/ledger"] {
            check(&of(reference, Some("a"), Some("x"), vec![]), &[]);
        }
    }
}
