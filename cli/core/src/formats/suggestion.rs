//! "Did you mean": the valid word nearest to the one typed.

/// ` (did you mean "x"?)`, or nothing when no valid word is near.
pub fn did_you_mean<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(typed, known).map(|word| format!(" (did you mean \"{word}\"?)")).unwrap_or_default()
}

/// The nearest valid word, if its edit distance is small enough.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|word| (strsim::jaro_winkler(typed, word), word))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|one, two| one.0.total_cmp(&two.0))
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_matches_are_suggested() {
        assert_eq!(nearest("argumnets", ["id", "tool", "arguments"]), Some("arguments"));
        assert_eq!(did_you_mean("xyz", ["id", "tool"]), "");
    }
}
