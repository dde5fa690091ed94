//! Two texts compared, line by line or character by character: the one place of `similar`, whose
//! algorithms are compiled for each crate that names them.

pub use similar::ChangeTag;
use similar::TextDiff;
use std::time::Duration;

/// A unified diff, with so many unchanged lines around a change; without a line end at its end.
/// `names` are those of the two files, where its head is wanted.
pub fn unified(before: &str, after: &str, context: usize, names: Option<(&str, &str)>) -> String {
    let diff = TextDiff::from_lines(before, after);
    let mut unified = diff.unified_diff();
    unified.context_radius(context);
    if let Some((old, new)) = names {
        unified.header(old, new);
    }
    unified.to_string().trim_end().to_owned()
}

/// Changed lines with the lines around them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// As a unified diff has it: `@@ -1,2 +1,3 @@`.
    pub header: String,
    /// Without their line ends.
    pub lines: Vec<(ChangeTag, String)>,
}

/// How many lines were added and removed, and the hunks of the difference. After `time_limit` the
/// comparison is a rough one.
pub fn hunks(
    before: &str,
    after: &str,
    context: usize,
    time_limit: Duration,
) -> (usize, usize, Vec<Hunk>) {
    let diff = TextDiff::configure().timeout(time_limit).diff_lines(before, after);
    let count = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    let (added, removed) = (count(ChangeTag::Insert), count(ChangeTag::Delete));
    let mut unified = diff.unified_diff();
    let hunks = unified.context_radius(context).iter_hunks().map(|hunk| Hunk {
        header: hunk.header().to_string(),
        lines: hunk
            .iter_changes()
            .map(|change| (change.tag(), change.value().trim_end_matches(['\n', '\r']).to_owned()))
            .collect(),
    });
    (added, removed, hunks.collect())
}

/// How alike two texts are, from 0 to 1, and their characters by what became of them.
pub fn characters(before: &str, after: &str) -> (f32, Vec<(ChangeTag, String)>) {
    let diff = TextDiff::from_chars(before, after);
    let changes =
        diff.iter_all_changes().map(|change| (change.tag(), change.value().to_owned())).collect();
    (diff.ratio(), changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unified_diff_has_its_head_where_names_are_given() {
        assert_eq!(
            unified("a\nb\nc\n", "a\nx\nc\n", 0, Some(("a/f", "b/f"))),
            "--- a/f\n+++ b/f\n@@ -2 +2 @@\n-b\n+x"
        );
        assert_eq!(unified("a\nb\n", "a\nx\n", 1, None), "@@ -1,2 +1,2 @@\n a\n-b\n+x");
        assert_eq!(unified("a\n", "a\n", 1, None), "");
    }

    #[test]
    fn characters_are_told_apart() {
        let (ratio, changes) = characters("ab", "ac");
        assert!((ratio - 0.5).abs() < 1e-6);
        let text = |tag| {
            let of_tag = changes.iter().filter(|(found, _)| *found == tag);
            of_tag.map(|(_, text)| text.as_str()).collect::<String>()
        };
        assert_eq!(
            (text(ChangeTag::Equal), text(ChangeTag::Delete), text(ChangeTag::Insert)),
            ("a".to_owned(), "b".to_owned(), "c".to_owned())
        );
    }
}
