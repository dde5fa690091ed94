//! Which commits of a range are in effect: a commit undone by `git revert` does not count for the
//! release, unless the revert was reverted too.

use std::collections::{HashMap, HashSet};

/// The shortest abbreviation of an id that git writes by default (`git revert --reference`).
const SHORTEST_ID: usize = 7;

/// A commit of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub id: String,
    pub parents: Vec<String>,
    pub message: String,
}

/// The messages of the commits in effect, in the order given.
pub fn standing(commits: Vec<Commit>) -> Vec<String> {
    let mut reverts: Vec<Vec<usize>> = vec![Vec::new(); commits.len()];
    for (index, commit) in commits.iter().enumerate() {
        for reverted in reverted_by(&commit.message).filter_map(|id| position(&commits, id)) {
            for back in taken_back(&commits, reverted, &commit.message) {
                reverts[back].push(index);
            }
        }
    }
    let stands = resolve(&reverts);
    commits
        .into_iter()
        .zip(stands)
        .filter_map(|(commit, stands)| stands.then_some(commit.message))
        .collect()
}

/// The ids that a message reverts, in git's format.
fn reverted_by(message: &str) -> impl Iterator<Item = &str> {
    let ids = message.lines().filter_map(|line| line.strip_prefix("This reverts commit "));
    ids.map(leading_id).filter(|id| id.len() >= SHORTEST_ID)
}

fn leading_id(text: &str) -> &str {
    &text[..text.bytes().take_while(u8::is_ascii_hexdigit).count()]
}

/// The one commit of the range with this id; none when an abbreviation fits several.
fn position(commits: &[Commit], id: &str) -> Option<usize> {
    let mut found = commits
        .iter()
        .enumerate()
        .filter(|(_, commit)| commit.id.starts_with(id))
        .map(|(index, _)| index);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// A reverted commit, and for a merge all that it brought to the parent that was kept.
fn taken_back(commits: &[Commit], reverted: usize, message: &str) -> Vec<usize> {
    let commit = &commits[reverted];
    if commit.parents.len() < 2 {
        return vec![reverted];
    }
    let named =
        message.lines().find_map(|line| line.strip_prefix("changes made to ")).map(leading_id);
    let named = named.filter(|id| id.len() >= SHORTEST_ID);
    let kept = commit
        .parents
        .iter()
        .find(|parent| named.is_some_and(|id| parent.starts_with(id)))
        .unwrap_or(&commit.parents[0]);
    let (kept, brought) = (reachable(commits, kept), reachable(commits, &commit.id));
    brought.difference(&kept).copied().collect()
}

/// The commits of the range that are reached from one, itself among them.
fn reachable(commits: &[Commit], from: &str) -> HashSet<usize> {
    let places: HashMap<&str, usize> =
        commits.iter().enumerate().map(|(index, commit)| (commit.id.as_str(), index)).collect();
    let mut open = vec![from];
    let mut reached = HashSet::new();
    while let Some(id) = open.pop() {
        if let Some(&index) = places.get(id)
            && reached.insert(index)
        {
            open.extend(commits[index].parents.iter().map(String::as_str));
        }
    }
    reached
}

/// Whether each commit is in effect, from those that revert it. A revert is newer than what it
/// reverts, so one pass over a range, newest first, suffices.
fn resolve(reverts: &[Vec<usize>]) -> Vec<bool> {
    let mut known: Vec<Option<bool>> = vec![None; reverts.len()];
    loop {
        let mut is_done = true;
        for index in 0..reverts.len() {
            let by: Vec<_> = reverts[index].iter().map(|&revert| known[revert]).collect();
            let stands = if by.contains(&Some(true)) {
                Some(false)
            } else {
                by.iter().all(Option::is_some).then_some(true)
            };
            is_done &= known[index] == stands;
            known[index] = stands;
        }
        if is_done {
            // a message cannot name its own commit: an unresolved commit is in effect
            return known.into_iter().map(|stands| stands.unwrap_or(true)).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(letter: char) -> String {
        letter.to_string().repeat(40)
    }

    fn commit(letter: char, parents: &str, message: &str) -> Commit {
        Commit {
            id: id(letter),
            parents: parents.chars().map(id).collect(),
            message: message.to_owned(),
        }
    }

    fn revert(letter: char, parent: &str, of: &str) -> Commit {
        commit(letter, parent, &format!("Revert it\n\nThis reverts commit {of}.\n"))
    }

    #[track_caller]
    fn check(commits: &[Commit], stand: &str) {
        let subjects = |commits: Vec<Commit>| -> String {
            let ids: HashMap<String, String> =
                commits.iter().map(|commit| (commit.message.clone(), commit.id.clone())).collect();
            standing(commits).iter().map(|message| ids[message].chars().next().unwrap()).collect()
        };
        assert_eq!(subjects(commits.to_vec()), stand);
        let oldest_first = commits.iter().rev().cloned().collect();
        assert_eq!(
            subjects(oldest_first),
            stand.chars().rev().collect::<String>(),
            "the order does not count"
        );
    }

    #[test]
    fn reverted_commit_does_not_count() {
        let feature = commit('a', "0", "feat!: x");
        check(&[commit('c', "b", "docs: y"), revert('b', "a", &id('a')), feature.clone()], "cb");
        check(&[revert('b', "a", "aaaaaaa (feat!: x, 2026-01-01)"), feature.clone()], "b");
        check(&[revert('b', "a", "aaaaaa"), feature.clone()], "ba");
        check(&[revert('b', "a", &id('f')), feature], "ba");
    }

    #[test]
    fn reverted_revert_has_no_effect() {
        let feature = commit('a', "0", "feat!: x");
        let again = commit('c', "b", &format!("Reapply it\n\nThis reverts commit {}.", id('b')));
        let and_back =
            commit('d', "c", &format!("Revert it once more\n\nThis reverts commit {}.", id('c')));
        check(&[again.clone(), revert('b', "a", &id('a')), feature.clone()], "ca");
        check(&[and_back, again, revert('b', "a", &id('a')), feature], "db");
    }

    #[test]
    fn revert_of_several_commits_applies_to_each() {
        let both = format!(
            "Revert both\n\nThis reverts commit {}.\nThis reverts commit {}.",
            id('a'),
            id('b')
        );
        check(
            &[commit('c', "b", &both), commit('b', "a", "feat!: y"), commit('a', "0", "feat!: x")],
            "c",
        );
    }

    #[test]
    fn ambiguous_abbreviation_reverts_nothing() {
        let mut other = commit('a', "0", "feat: y");
        other.id.replace_range(39.., "b");
        let standing =
            standing(vec![revert('c', "a", "aaaaaaa"), other, commit('a', "0", "feat!: x")]);
        assert_eq!(standing.len(), 3);
    }

    #[test]
    fn reverted_merge_reverts_its_commits() {
        let merge = [
            commit('d', "cb", "Merge branch 'topic'"),
            commit('c', "0", "fix: on main"),
            commit('b', "a", "feat!: y"),
            commit('a', "0", "feat: x"),
        ];
        let with = |message: String| -> Vec<Commit> {
            std::iter::once(commit('e', "d", &message)).chain(merge.clone()).collect()
        };
        let reversing = |kept| {
            format!(
                "Revert it\n\nThis reverts commit {}, reversing\nchanges made to {}.",
                id('d'),
                id(kept)
            )
        };
        check(&with(reversing('c')), "ec");
        check(&with(reversing('b')), "eba");
    }
}
