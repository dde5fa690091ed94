//! Conventional Commits as a lower bound: the authors' declarations can raise a bump, never lower
//! it.

use crate::version::Bump;

/// The bump a commit message declares; `None` when it is not a conventional commit, or its type
/// changes no version.
///
/// After Conventional Commits 1.0.0: `type(scope)!: description`, footers `BREAKING CHANGE: ...` or
/// `BREAKING-CHANGE: ...`.
pub fn bump_of(message: &str) -> Option<Bump> {
    let (header, body) = message.split_once('\n').unwrap_or((message, ""));
    let (kind, breaking) = header_of(header)?;
    if breaking || body.lines().any(is_breaking_footer) {
        return Some(Bump::Major);
    }
    match kind.to_ascii_lowercase().as_str() {
        "feat" => Some(Bump::Minor),
        "fix" | "perf" => Some(Bump::Patch),
        _ => None,
    }
}

/// The type of a header, and whether it has the mark of a break.
fn header_of(header: &str) -> Option<(&str, bool)> {
    let (prefix, description) = header.split_once(": ")?;
    let (prefix, breaking) = prefix.strip_suffix('!').map_or((prefix, false), |kept| (kept, true));
    let kind = match prefix.split_once('(') {
        Some((kind, scope)) if scope.len() > 1 && scope.ends_with(')') => kind,
        Some(_) => return None,
        None => prefix,
    };
    let word =
        !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (word && !description.trim().is_empty()).then_some((kind, breaking))
}

fn is_breaking_footer(line: &str) -> bool {
    ["BREAKING CHANGE: ", "BREAKING-CHANGE: ", "BREAKING CHANGE #", "BREAKING-CHANGE #"]
        .iter()
        .any(|token| line.starts_with(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conventional_commits_are_parsed() {
        for (message, expected) in [
            ("feat: follow-up questions", Some(Bump::Minor)),
            ("feat(ask): follow-up questions", Some(Bump::Minor)),
            ("Fix: a typo", Some(Bump::Patch)),
            ("perf: fewer reads", Some(Bump::Patch)),
            ("refactor!: rename a tool", Some(Bump::Major)),
            ("feat(api)!: rename a tool", Some(Bump::Major)),
            ("fix: x\n\nlong\n\nBREAKING CHANGE: the result is a list", Some(Bump::Major)),
            ("fix: x\n\nBREAKING-CHANGE: the result is a list", Some(Bump::Major)),
            ("fix: x\n\nthis is no BREAKING CHANGE: really", Some(Bump::Patch)),
            ("chore: tidy", None),
            ("Add a tool", None),
            ("two words: a thing", None),
            ("feat:no space", None),
            ("feat(: broken", None),
            ("feat(): empty scope", None),
            ("feat: ", None),
            ("", None),
        ] {
            assert_eq!(bump_of(message), expected, "{message:?}");
        }
    }
}
