//! From an event to the facts that the legality table judges, and from its breaches to what git's
//! user reads.

use crate::event::{HookName, RefChange};
use agent_core::formats::object_id::ObjectId;
use agent_core::version::legality::{self, Breach, CommitFacts, RefUpdate, Role};

/// A commit about to be made on a branch; on a detached HEAD it comes to no branch.
pub fn commit(
    branch: Option<&str>,
    head: Option<ObjectId>,
    tree: ObjectId,
    tracks_staging: bool,
) -> RefUpdate {
    RefUpdate {
        reference: branch.unwrap_or("HEAD").to_owned(),
        old: head,
        // the commit has no id yet; its tree stands for it
        new: Some(tree),
        is_forward: true,
        added: vec![CommitFacts { tracks_staging, ..CommitFacts::default() }],
        ..RefUpdate::default()
    }
}

/// What can be judged where the new objects are out of sight (a server's quarantine): the rest is
/// left to `update`.
pub fn without_objects(changes: &[RefChange]) -> Vec<RefUpdate> {
    let blind = |change: &RefChange| {
        let settled = change.new.is_none()
            || matches!(Role::of(&change.name), Role::VersionTag(_) | Role::Once);
        settled.then(|| RefUpdate {
            reference: change.name.clone(),
            old: change.old.clone(),
            new: change.new.clone(),
            ..RefUpdate::default()
        })
    };
    changes.iter().filter_map(blind).collect()
}

/// The breaches of several updates, with the ref that each is about.
pub fn breaches(updates: &[RefUpdate]) -> Vec<(String, Breach)> {
    updates
        .iter()
        .flat_map(|update| {
            legality::judge(update).into_iter().map(|breach| (update.reference.clone(), breach))
        })
        .collect()
}

/// The lines a person reads when a hook refuses.
pub fn refusal(hook: HookName, breaches: &[(String, Breach)]) -> String {
    let mut text = format!("{hook} refuses this:");
    for (reference, breach) in breaches {
        text.push_str(
            &["\n  ", short(reference), ": ", &breach.to_string(), "\n    ", breach.mend].concat(),
        );
    }
    text
}

/// How to go past a hook once, where the person at the keyboard can.
pub fn skip(hook: HookName) -> Option<&'static str> {
    match hook {
        HookName::PreCommit => Some("AGENT_SKIP_HOOKS=1 git commit ..."),
        HookName::PreMergeCommit => Some("AGENT_SKIP_HOOKS=1 git merge ..."),
        HookName::PrePush => Some("AGENT_SKIP_HOOKS=1 git push ..."),
        HookName::Update | HookName::PreReceive | HookName::ReferenceTransaction => None,
    }
}

fn short(reference: &str) -> &str {
    reference
        .strip_prefix("refs/heads/")
        .or_else(|| reference.strip_prefix("refs/"))
        .unwrap_or(reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ObjectId {
        ObjectId::of_blob(text.as_bytes())
    }

    fn laws(updates: &[RefUpdate]) -> Vec<&'static str> {
        breaches(updates).into_iter().map(|(_, breach)| breach.law).collect()
    }

    #[test]
    fn a_commit_by_hand_goes_to_free_branches_alone() {
        let on = |branch, tracks| laws(&[commit(branch, Some(id("head")), id("tree"), tracks)]);
        assert_eq!(on(Some("refs/heads/main"), false), [] as [&str; 0]);
        assert_eq!(on(None, false), [] as [&str; 0]);
        assert_eq!(on(Some("refs/heads/active"), false), ["every-tip-is-a-version"]);
        assert_eq!(on(Some("refs/heads/line/0.1"), false), ["every-tip-is-a-version"]);
        assert_eq!(on(Some("refs/heads/main"), true), ["staging-is-not-tracked"]);
    }

    #[test]
    fn without_objects_what_is_deleted_or_rewritten_is_still_refused() {
        let change = |name: &str, old: Option<&str>, new: Option<&str>| RefChange {
            name: name.to_owned(),
            old: old.map(id),
            new: new.map(id),
        };
        let updates = without_objects(&[
            change("refs/heads/active", Some("a"), None),
            change("refs/heads/active", Some("a"), Some("b")),
            change("refs/tags/v0.1.0", Some("a"), Some("b")),
            change("refs/heads/topic", Some("a"), None),
        ]);
        assert_eq!(laws(&updates), ["served-branches-stay", "tags-are-immutable"]);
    }

    #[test]
    fn a_refusal_names_ref_reason_law_and_mend() {
        let updates = [commit(Some("refs/heads/active"), Some(id("head")), id("tree"), false)];
        assert_eq!(
            refusal(HookName::PreCommit, &breaches(&updates)),
            "pre-commit refuses this:\n  active: the commit would come to active, but it is not a \
            version (every-tip-is-a-version)\n    \
             commit to `main`, then `agent release`; for a state, `agent promote`"
        );
    }
}
