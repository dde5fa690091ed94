//! The plan that synchronises a clone with its remote: the target of `active`, the superseded
//! versions, and the steps.
//!
//! Other clones build on the remote's `active`, so where both made versions on the same base, those
//! of this clone are superseded. They are stored below `refs/agent-own/CLONE/lost/`, and their
//! signals return to staging.

use crate::formats::object_id::ObjectId;
use crate::version::{Kind, tag};
use semver::Version;
use serde::Serialize;
use std::fmt;

/// A commit that is a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    pub version: Version,
    pub commit: ObjectId,
}

impl fmt::Display for Served {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", tag(&self.version), self.commit.short())
    }
}

/// The relation of `active` here to `active` at the remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Both are equal, or there is no remote, or neither has one.
    Same,
    /// The remote has more.
    Behind { to: Served },
    /// This clone has more. Versions that the remote has no tag of, oldest first.
    Ahead { from: Option<ObjectId>, untagged: Vec<Served> },
    /// Both made versions on the same one.
    Diverged { to: Served },
    /// They have no version in common.
    Unrelated { there: ObjectId },
    /// The remote's `active` no longer has what it had when it was last fetched. It may be at a
    /// version before that one, or on another way.
    Rewound { was: ObjectId, now: ObjectId, is_before: bool },
}

/// A version of this clone that is no ancestor of what is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Superseded {
    pub version: Version,
    pub commit: ObjectId,
    pub kind: Kind,
    /// Whether a ref below `lost/` already points to it.
    #[serde(skip)]
    pub is_kept: bool,
}

/// A tag that a superseded version still has, and the commit that is this version now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub version: Version,
    pub from: ObjectId,
    pub to: Option<ObjectId>,
}

/// The relation of `main` to the newest release or rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Main {
    /// It has its code, or there is no `main`.
    Contains,
    /// It lacks it and has nothing that `active` has not.
    Behind { at: ObjectId, lacks: Version, checkout: Checkout },
    /// It lacks it and has diverged.
    Apart { lacks: Version },
}

impl Main {
    /// The version that it lacks, and what brings it along.
    pub const fn hint(&self) -> Option<(&Version, &'static str)> {
        match self {
            Self::Contains => None,
            Self::Behind { lacks, checkout: Checkout::Changed, .. } => {
                Some((lacks, "commit or stash what is changed in its checkout, then agent sync"))
            }
            Self::Behind { lacks, .. } => Some((lacks, "agent sync")),
            Self::Apart { lacks } => Some((lacks, "git switch main && git merge active")),
        }
    }
}

/// Where `main` is checked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkout {
    None,
    Clean,
    /// With changes that are not committed.
    Changed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub remote: Option<String>,
    /// `active` of this clone.
    pub here: Option<Served>,
    pub standing: Standing,
    /// Newest first.
    pub lost: Vec<Superseded>,
    pub tags: Vec<Tag>,
    pub main: Main,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Keeps a superseded version.
    Keep(Superseded),
    /// Moves `active`.
    Serve {
        from: Option<Served>,
        to: Served,
    },
    Tag(Tag),
    /// Records and pins, both ways.
    Share {
        remote: String,
    },
    Push {
        remote: String,
        from: Option<ObjectId>,
        to: Served,
        untagged: Vec<Served>,
    },
    /// Moves `main` forward to what is served.
    Forward {
        from: ObjectId,
        to: ObjectId,
        checkout: Checkout,
    },
    /// Staging's signals on what is served, where they began on something else.
    Replay,
}

/// Why a maintainer has to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    pub why: String,
    pub hint: String,
}

/// The steps, in order; after an interruption at any of them, the next run resumes.
pub fn plan(snapshot: &Snapshot) -> Result<Vec<Step>, Conflict> {
    if let Some(conflict) =
        snapshot.remote.as_ref().and_then(|remote| conflict(&snapshot.standing, remote))
    {
        return Err(conflict);
    }
    let mut steps: Vec<_> =
        snapshot.lost.iter().filter(|lost| !lost.is_kept).cloned().map(Step::Keep).collect();
    if let Standing::Behind { to } | Standing::Diverged { to } = &snapshot.standing {
        steps.push(Step::Serve { from: snapshot.here.clone(), to: to.clone() });
    }
    steps.extend(snapshot.tags.iter().cloned().map(Step::Tag));
    if let Some(remote) = &snapshot.remote {
        steps.push(Step::Share { remote: remote.clone() });
        if let (Standing::Ahead { from, untagged }, Some(here)) =
            (&snapshot.standing, &snapshot.here)
        {
            steps.push(Step::Push {
                remote: remote.clone(),
                from: from.clone(),
                to: here.clone(),
                untagged: untagged.clone(),
            });
        }
    }
    if let (Main::Behind { at, checkout, .. }, Some(served)) = (&snapshot.main, served(snapshot))
        && *checkout != Checkout::Changed
    {
        steps.push(Step::Forward {
            from: at.clone(),
            to: served.commit.clone(),
            checkout: *checkout,
        });
    }
    steps.extend(served(snapshot).map(|_| Step::Replay));
    Ok(steps)
}

/// The commit that is served afterwards.
pub fn served(snapshot: &Snapshot) -> Option<&Served> {
    match &snapshot.standing {
        Standing::Behind { to } | Standing::Diverged { to } => Some(to),
        _ => snapshot.here.as_ref(),
    }
}

fn conflict(standing: &Standing, remote: &str) -> Option<Conflict> {
    match standing {
        Standing::Rewound { was, now, is_before } => {
            let back = format!(
                "git push {}{remote} {was}:refs/heads/active",
                if *is_before { "" } else { "--force-with-lease=active " }
            );
            let along = format!(
                "; to go along with it: git update-ref refs/heads/active {now}, then agent sync"
            );
            Some(Conflict {
                why: format!(
                    "active of {remote} was moved back: it was at {} when it was last fetched, and \
                    {}, where it is now, is not on top of it",
                    was.short(),
                    now.short()
                ),
                hint: format!("to bring it back: {back}{}", if *is_before { "" } else { &along }),
            })
        }
        Standing::Unrelated { there } => Some(Conflict {
            why: format!(
                "active here and active of {remote} ({}) have no version in common: they are \
                different agents",
                there.short()
            ),
            hint: "name another remote: agent sync REMOTE".to_owned(),
        }),
        _ => None,
    }
}

/// What is left to the user, each with the command that does it.
pub fn left(snapshot: &Snapshot) -> Vec<(String, String)> {
    let mut left = Vec::new();
    for lost in snapshot.lost.iter().filter(|lost| !lost.is_kept) {
        let (version, commit) = (tag(&lost.version), lost.commit.short());
        match lost.kind {
            // its signals are in staging again
            Kind::Promotion => {}
            Kind::Release => left.push((
                format!("{version} ({commit}) was a release of this clone; its code is not served"),
                // what it released: a code change of another clone is on no branch of this clone
                format!(
                    "git switch main && git merge {commit}^2 && git merge active && agent \
                    release"
                ),
            )),
            Kind::Rollback => left.push((
                format!(
                    "{version} ({commit}) was a rollback of this clone; what it took out of \
                    service may be served"
                ),
                "agent versions, then agent rollback VERSION".to_owned(),
            )),
        }
    }
    let is_forwarded =
        matches!(&snapshot.main, Main::Behind { checkout: Checkout::None | Checkout::Clean, .. });
    let main = snapshot.main.hint().filter(|_| !is_forwarded);
    left.extend(
        main.map(|(lacks, hint)| {
            (format!("main lacks the code of {}", tag(lacks)), hint.to_owned())
        }),
    );
    left
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep(lost) => write!(
                formatter,
                "keep {} ({}), which is superseded",
                tag(&lost.version),
                lost.commit.short()
            ),
            Self::Serve { from: None, to } => write!(formatter, "begin active at {to}"),
            Self::Serve { from: Some(from), to } => {
                write!(formatter, "move active from {from} to {to}")
            }
            Self::Tag(Tag { version, from, to: Some(to) }) => {
                write!(
                    formatter,
                    "move the tag {} from {} to {}",
                    tag(version),
                    from.short(),
                    to.short()
                )
            }
            Self::Tag(Tag { version, from, to: None }) => {
                write!(formatter, "delete the tag {} of {}", tag(version), from.short())
            }
            Self::Share { remote } => {
                write!(formatter, "bring records and pins together with {remote}")
            }
            Self::Push { remote, to, .. } => {
                write!(formatter, "push active to {remote}, up to {to}")
            }
            Self::Forward { to, .. } => write!(formatter, "move main forward to {}", to.short()),
            Self::Replay => {
                formatter.write_str("replay staging's signals where they began on another version")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ObjectId {
        ObjectId::of_blob(text.as_bytes())
    }

    fn served_(version: &str, commit: &str) -> Served {
        Served { version: version.parse().unwrap(), commit: id(commit) }
    }

    fn lost(version: &str, commit: &str, kind: Kind) -> Superseded {
        Superseded { version: version.parse().unwrap(), commit: id(commit), kind, is_kept: false }
    }

    fn snapshot(standing: Standing) -> Snapshot {
        Snapshot {
            remote: Some("origin".to_owned()),
            here: Some(served_("0.1.1", "ours")),
            standing,
            lost: Vec::new(),
            tags: Vec::new(),
            main: Main::Contains,
        }
    }

    fn check(snapshot: &Snapshot, expected: &[&str]) {
        let steps = match plan(snapshot) {
            Ok(steps) => steps.iter().map(ToString::to_string).collect(),
            Err(conflict) => vec![conflict.why, conflict.hint],
        };
        assert_eq!(steps, expected);
    }

    const SHARE: &str = "bring records and pins together with origin";
    const REPLAY: &str = "replay staging's signals where they began on another version";

    #[test]
    fn clone_fast_forwards_or_pushes() {
        let (ours, theirs) = (id("ours").short().to_owned(), id("theirs").short().to_owned());
        check(&snapshot(Standing::Same), &[SHARE, REPLAY]);
        let behind = snapshot(Standing::Behind { to: served_("0.1.2", "theirs") });
        check(
            &behind,
            &[&format!("move active from v0.1.1 ({ours}) to v0.1.2 ({theirs})"), SHARE, REPLAY],
        );
        let fresh = Snapshot { here: None, ..behind };
        check(&fresh, &[&format!("begin active at v0.1.2 ({theirs})"), SHARE, REPLAY]);
        let ahead = snapshot(Standing::Ahead {
            from: Some(id("base")),
            untagged: vec![served_("0.1.1", "ours")],
        });
        check(&ahead, &[SHARE, &format!("push active to origin, up to v0.1.1 ({ours})"), REPLAY]);
        check(&Snapshot { remote: None, here: None, ..snapshot(Standing::Same) }, &[]);
    }

    #[test]
    fn lost_version_is_stored_before_refs_move() {
        let (ours, theirs) = (id("ours").short().to_owned(), id("theirs").short().to_owned());
        let tag_ = |version: &str, to: Option<&str>| Tag {
            version: version.parse().unwrap(),
            from: id("ours"),
            to: to.map(id),
        };
        let mut diverged = Snapshot {
            lost: vec![lost("0.1.1", "ours", Kind::Promotion)],
            tags: vec![tag_("0.1.1", Some("theirs")), tag_("0.1.2", None)],
            ..snapshot(Standing::Diverged { to: served_("0.1.1", "theirs") })
        };
        let expected = [
            &format!("keep v0.1.1 ({ours}), which is superseded"),
            &format!("move active from v0.1.1 ({ours}) to v0.1.1 ({theirs})"),
            &format!("move the tag v0.1.1 from {ours} to {theirs}"),
            &format!("delete the tag v0.1.2 of {ours}"),
            SHARE,
            REPLAY,
        ];
        check(&diverged, &expected);
        assert_eq!(left(&diverged), []);
        diverged.lost[0].is_kept = true;
        check(&diverged, &expected[1..]);
        diverged.lost = vec![lost("0.3.0", "r", Kind::Release), lost("0.2.1", "b", Kind::Rollback)];
        let left = left(&diverged);
        assert!(left[0].0.contains("v0.3.0") && left[0].1.ends_with("agent release"), "{left:?}");
        assert!(left[1].0.contains("v0.2.1") && left[1].1.contains("agent rollback"), "{left:?}");
    }

    #[test]
    fn main_is_fast_forwarded_only() {
        let main =
            |checkout| Main::Behind { at: id("main"), lacks: Version::new(0, 2, 0), checkout };
        let mut snapshot = snapshot(Standing::Same);
        let forward = format!("move main forward to {}", id("ours").short());
        for checkout in [Checkout::None, Checkout::Clean] {
            snapshot.main = main(checkout);
            check(&snapshot, &[SHARE, &forward, REPLAY]);
            assert_eq!(left(&snapshot), []);
        }
        for apart in [main(Checkout::Changed), Main::Apart { lacks: Version::new(0, 2, 0) }] {
            snapshot.main = apart;
            check(&snapshot, &[SHARE, REPLAY]);
            assert!(
                left(&snapshot)[0].0.starts_with("main lacks the code of v0.2.0"),
                "{:?}",
                left(&snapshot)
            );
        }
    }

    #[test]
    fn rewound_remote_needs_a_maintainer() {
        let (was, now) = (id("was"), id("now"));
        let rewound = |is_before| {
            snapshot(Standing::Rewound { was: was.clone(), now: now.clone(), is_before })
        };
        let Err(conflict) = plan(&rewound(true)) else { panic!("it is a conflict") };
        assert_eq!(
            conflict.hint,
            format!("to bring it back: git push origin {was}:refs/heads/active")
        );
        let Err(conflict) = plan(&rewound(false)) else { panic!("it is a conflict") };
        assert!(
            conflict.hint.contains("--force-with-lease=active")
                && conflict.hint.contains(&format!("update-ref refs/heads/active {now}"))
        );
        assert!(plan(&snapshot(Standing::Unrelated { there: now.clone() })).is_err());
    }
}
