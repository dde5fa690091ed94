//! One change of a file: a text or a regular expression, and what replaces it.

use super::binding::{Bound, compiled};
use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    pub(super) path: String,
    /// This text, literally.
    find: Option<String>,
    /// A regular expression; the replacement has its groups as `${1}` or `${name}`.
    pattern: Option<String>,
    replace: String,
    #[serde(default)]
    occurs: Occurs,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Occurs {
    /// Exactly once; otherwise the edit does not apply.
    #[default]
    Once,
    /// Once or more; the first is changed.
    First,
    /// Once or more; each is changed.
    Every,
}

impl Edit {
    /// The pattern is checked with the values of `examples` for its placeholders.
    pub(super) fn check(&self, examples: &Bound) -> Result<(), String> {
        match (&self.find, &self.pattern) {
            (Some(text), None) if !text.is_empty() => Ok(()),
            (None, Some(pattern)) => compiled(&examples.filled_pattern(pattern)).map(drop),
            _ => Err(format!("an edit of {} needs either `find` or `pattern`", self.path)),
        }
    }

    pub(super) fn made(&self, text: &str, bound: &Bound) -> Result<String, String> {
        let (pattern, replacement) = match &self.pattern {
            Some(pattern) => {
                (bound.filled_pattern(pattern), bound.filled_replacement(&self.replace))
            }
            None => (
                regex::escape(&bound.filled(self.target())),
                bound.filled(&self.replace).replace('$', "$$"),
            ),
        };
        let expression = compiled(&pattern)?;
        let limit = match (self.occurs, expression.find_iter(text).count()) {
            (_, 1) | (Occurs::First, 2..) => 1,
            (Occurs::Every, 2..) => 0,
            (_, times) => return Err(self.misplaced(times)),
        };
        Ok(expression.replacen(text, limit, replacement.as_str()).into_owned())
    }

    fn misplaced(&self, times: usize) -> String {
        format!(
            "{} has {times} places where one was to be changed: {:?}",
            self.path,
            self.target().trim()
        )
    }

    fn target(&self) -> &str {
        self.find.as_deref().or(self.pattern.as_deref()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn made(edit: &str, text: &str) -> Result<String, String> {
        let edit: Edit = toml::from_str(&format!("path = 'a.py'\n{edit}")).unwrap();
        edit.check(&Bound::default())?;
        edit.made(text, &Bound::default())
    }

    #[test]
    fn a_literal_text_is_neither_a_pattern_nor_a_group() {
        assert_eq!(made("find = 'a.c'\nreplace = '$1'", "abc a.c").unwrap(), "abc $1");
    }

    #[test]
    fn groups_of_a_pattern_are_in_its_replacement() {
        let edit = "pattern = '(?m)^(@\\w+)$'\nreplace = \"${1}\\n@retried\"\noccurs = 'every'";
        assert_eq!(made(edit, "@a\nx\n@b\n").unwrap(), "@a\n@retried\nx\n@b\n@retried\n");
    }

    #[test]
    fn the_number_of_places_is_as_stated() {
        let edit = |occurs: &str| format!("find = 'x'\nreplace = 'y'\noccurs = '{occurs}'");
        assert_eq!(made(&edit("first"), "x x").unwrap(), "y x");
        assert_eq!(made(&edit("every"), "x x").unwrap(), "y y");
        assert!(made(&edit("once"), "x x").unwrap_err().contains("has 2 places"));
        for occurs in ["once", "first", "every"] {
            assert!(made(&edit(occurs), "z").unwrap_err().contains("has 0 places"), "{occurs}");
        }
    }

    #[test]
    fn an_edit_that_cannot_be_read_is_refused() {
        assert!(made("pattern = '('\nreplace = ''", "").is_err());
        assert!(made("find = ''\nreplace = ''", "").is_err());
        assert!(made("find = 'x'\npattern = 'x'\nreplace = ''", "x").is_err());
    }
}
