//! Converts an event to the facts that the legality table judges, and violations to the message of a
//! refusal.

use crate::event::{HookName, RefChange};
use agent_core::formats::object_id::ObjectId;
use agent_core::version::legality::{self, CommitFacts, RefUpdate, Role, Violation};

/// The update by a commit that is about to be made; on a detached HEAD it is on no branch.
pub fn commit(
    branch: Option<&str>,
    head: Option<ObjectId>,
    tree: ObjectId,
    tracks_staging: bool,
) -> RefUpdate {
    RefUpdate {
        reference: branch.unwrap_or("HEAD").to_owned(),
        old: head,
        // the commit has no id yet: the id of its tree is used instead
        new: Some(tree),
        is_forward: true,
        added: vec![CommitFacts { tracks_staging, ..CommitFacts::default() }],
        ..RefUpdate::default()
    }
}

/// The updates that can be judged without the new objects, which a server's quarantine hides; the
/// `update` hook judges the others.
pub fn without_objects(changes: &[RefChange]) -> Vec<RefUpdate> {
    let blind = |change: &RefChange| {
        let is_judged = change.new.is_none()
            || matches!(Role::of(&change.name), Role::VersionTag(_) | Role::Once);
        is_judged.then(|| RefUpdate {
            reference: change.name.clone(),
            old: change.old.clone(),
            new: change.new.clone(),
            ..RefUpdate::default()
        })
    };
    changes.iter().filter_map(blind).collect()
}

/// The violations of several updates, each with its ref.
pub fn violations(updates: &[RefUpdate]) -> Vec<(String, Violation)> {
    updates
        .iter()
        .flat_map(|update| {
            legality::judge(update)
                .into_iter()
                .map(|violation| (update.reference.clone(), violation))
        })
        .collect()
}

/// The message of a refusal.
pub fn refusal(hook: HookName, violations: &[(String, Violation)]) -> String {
    let mut text = format!("{hook} refuses the change:");
    for (reference, violation) in violations {
        text.push_str(
            &["\n  ", short(reference), ": ", &violation.to_string(), "\n    ", violation.hint]
                .concat(),
        );
    }
    text
}

/// The command that skips a hook once; `None` for hooks of a server.
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

    fn rules(updates: &[RefUpdate]) -> Vec<&'static str> {
        violations(updates).into_iter().map(|(_, violation)| violation.rule).collect()
    }

    #[test]
    fn a_plain_commit_is_legal_on_unserved_branches_only() {
        let on = |branch, tracks| rules(&[commit(branch, Some(id("head")), id("tree"), tracks)]);
        assert_eq!(on(Some("refs/heads/main"), false), [] as [&str; 0]);
        assert_eq!(on(None, false), [] as [&str; 0]);
        assert_eq!(on(Some("refs/heads/active"), false), ["every-tip-is-a-version"]);
        assert_eq!(on(Some("refs/heads/line/0.1"), false), ["every-tip-is-a-version"]);
        assert_eq!(on(Some("refs/heads/main"), true), ["staging-is-not-tracked"]);
    }

    #[test]
    fn deletions_and_rewrites_are_refused_without_the_objects() {
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
        assert_eq!(rules(&updates), ["served-branches-stay", "tags-are-immutable"]);
    }

    #[test]
    fn a_refusal_names_ref_reason_law_and_mend() {
        let updates = [commit(Some("refs/heads/active"), Some(id("head")), id("tree"), false)];
        assert_eq!(
            refusal(HookName::PreCommit, &violations(&updates)),
            "pre-commit refuses the change:\
            \n  active: the commit would be added to active, but it is not a version \
            (every-tip-is-a-version)\
            \n    commit to `main`, then `agent release`; for a state, `agent promote`"
        );
    }
}
