//! Values taken from the code that an inspiration is applied to: `{{name}}` in its texts.

use regex::Regex;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A place in the code whose named groups become values.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Binding {
    path: String,
    pattern: String,
}

/// The values by the name of their group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bound(BTreeMap<String, String>);

impl Binding {
    /// Adds a value for each of its names, so that texts with placeholders can be checked.
    pub(super) fn check(&self, examples: &mut Bound) -> Result<(), String> {
        let pattern = compiled(&self.pattern)?;
        let names = pattern.capture_names().flatten();
        examples.0.extend(names.map(|name| (name.to_owned(), "x".to_owned())));
        Ok(())
    }

    /// Adds the values of the one place that matches.
    pub(super) fn find(
        &self,
        read: &dyn Fn(&str) -> Option<String>,
        bound: &mut Bound,
    ) -> Result<(), String> {
        let text = read(&self.path).ok_or_else(|| format!("there is no {}", self.path))?;
        let pattern = compiled(&self.pattern)?;
        let mut places = pattern.captures_iter(&text);
        let (Some(place), None) = (places.next(), places.next()) else {
            return Err(format!(
                "{} has {} places where one was to match {:?}",
                self.path,
                pattern.find_iter(&text).count(),
                self.pattern
            ));
        };
        for name in pattern.capture_names().flatten() {
            let value = place.name(name).map_or("", |group| group.as_str());
            bound.0.insert(name.to_owned(), value.to_owned());
        }
        Ok(())
    }
}

impl Bound {
    /// The text with `{{name}}` replaced, and `{{name:lower}}` by the value in lower case. Other
    /// braces stay.
    pub(super) fn filled(&self, text: &str) -> String {
        self.filled_with(text, &str::to_owned)
    }

    /// Like `filled`, for a regular expression: a value is matched literally.
    pub(super) fn filled_pattern(&self, text: &str) -> String {
        self.filled_with(text, &|value| regex::escape(value))
    }

    /// Like `filled`, for the replacement of a match, where `$` stands for a group.
    pub(super) fn filled_replacement(&self, text: &str) -> String {
        self.filled_with(text, &|value| value.replace('$', "$$"))
    }

    fn filled_with(&self, text: &str, form: &dyn Fn(&str) -> String) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{{{name}}}}}"), &form(value))
                .replace(&format!("{{{{{name}:lower}}}}"), &form(&value.to_lowercase()))
        })
    }
}

pub(super) fn compiled(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| format!("`{pattern}` is no regular expression: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(text: &str) -> Result<Bound, String> {
        let binding = Binding {
            path: "a.py".to_owned(),
            pattern: r"(?m)^(?P<name>[A-Z_]+) = (?P<value>\S+)$".to_owned(),
        };
        let mut bound = Bound::default();
        binding.find(&|_| Some(text.to_owned()), &mut bound).map(|()| bound)
    }

    #[test]
    fn values_are_taken_from_one_place() {
        let bound = bound("x = 1\nMOST_HITS = 5.0\n").unwrap();
        assert_eq!(bound.filled("{{name:lower}}={{value}} {{other}}"), "most_hits=5.0 {{other}}");
        assert_eq!(bound.filled_pattern(r"^{{value}}$"), r"^5\.0$");
    }

    #[test]
    fn no_place_and_two_places_are_refused() {
        assert!(bound("x = 1\n").unwrap_err().contains("has 0 places"));
        assert!(bound("A = 1\nB = 2\n").unwrap_err().contains("has 2 places"));
    }
}
