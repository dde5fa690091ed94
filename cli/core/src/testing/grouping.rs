//! Groups cases with an equal reason, so that it is reported once.

/// Ids that are named before the rest is counted.
const NAMED: usize = 3;

/// Groups by key, in the order of first occurrence.
pub fn by_key<T, K: PartialEq>(
    items: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> K,
) -> Vec<(K, Vec<T>)> {
    let mut groups: Vec<(K, Vec<T>)> = Vec::new();
    for item in items {
        let of = key(&item);
        match groups.iter_mut().find(|(known, _)| *known == of) {
            Some((_, members)) => members.push(item),
            None => groups.push((of, vec![item])),
        }
    }
    groups
}

/// `a`, `2 cases: a, b`, or `12 cases: a, b, c and 9 more`.
pub fn named(ids: &[&str]) -> String {
    match ids {
        [id] => (*id).to_owned(),
        _ if ids.len() <= NAMED + 1 => format!("{} cases: {}", ids.len(), ids.join(", ")),
        _ => format!(
            "{} cases: {} and {} more",
            ids.len(),
            ids[..NAMED].join(", "),
            ids.len() - NAMED
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_keep_first_seen_order() {
        let groups = by_key(["b1", "a1", "b2"], |name| name.chars().next());
        assert_eq!(groups, [(Some('b'), vec!["b1", "b2"]), (Some('a'), vec!["a1"])]);
    }

    #[test]
    fn long_list_is_truncated_with_a_count() {
        assert_eq!(named(&["a"]), "a");
        assert_eq!(named(&["a", "b", "c", "d"]), "4 cases: a, b, c, d");
        assert_eq!(named(&["a", "b", "c", "d", "e"]), "5 cases: a, b, c and 2 more");
    }
}
