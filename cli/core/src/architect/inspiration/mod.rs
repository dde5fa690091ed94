//! Inspirations: changes that are known to help, as data. The builtin coder applies them; every
//! other coder may read them.
//!
//! The format is described in `templates/inspirations/README.md`.

mod binding;
mod edit;
mod state_key;

use binding::{Binding, Bound};
use edit::Edit;
use serde::Deserialize;
use state_key::StateKey;
use std::collections::BTreeMap;

pub const SCHEMA: &str = "agent/inspiration@1";
pub const FILE: &str = "inspiration.toml";

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inspiration {
    schema: String,
    pub id: String,
    pub title: String,
    pub about: String,
    /// Where it does harm or is of no use.
    pub not_for: String,
    /// The paper, standard or practice it is from: author and year where there are any.
    pub source: String,
    /// The commit's subject.
    pub commit: String,
    /// A hint for readers; the Contract diff decides.
    pub bump: String,
    pub when: When,
    #[serde(default)]
    applies: Vec<Condition>,
    #[serde(default, rename = "bind")]
    bindings: Vec<Binding>,
    #[serde(default, rename = "state")]
    state_keys: Vec<StateKey>,
    #[serde(default, rename = "file")]
    new_files: Vec<NewFile>,
    #[serde(default, rename = "edit")]
    edits: Vec<Edit>,
    /// The files of the folder beside the description, by name.
    #[serde(skip)]
    contents: BTreeMap<String, String>,
}

/// The conditions that suggest it; case-insensitive.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    pub feedback: Vec<String>,
    #[serde(default)]
    pub cases: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    path: String,
    contains: Option<String>,
    #[serde(default)]
    absent: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFile {
    path: String,
    content: String,
}

/// How strongly something suggests an inspiration; the greater the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Relevance {
    /// The number of its keywords in the feedback.
    feedback: usize,
    /// The number of failing cases with one of its keywords.
    cases: usize,
}

impl Inspiration {
    /// Reads a folder: the description and the files beside it.
    pub fn parse(description: &str, contents: BTreeMap<String, String>) -> Result<Self, String> {
        let mut parsed: Self = toml::from_str(description).map_err(|error| error.to_string())?;
        if parsed.schema != SCHEMA {
            return Err(format!(
                "its schema is `{}`; this `agent` reads `{SCHEMA}`",
                parsed.schema
            ));
        }
        parsed.check()?;
        if let Some(missing) =
            parsed.new_files.iter().find(|file| !contents.contains_key(&file.content))
        {
            return Err(format!("there is no `{}` beside it", missing.content));
        }
        if let Some(path) = parsed.paths().find(|path| !is_inside(path)) {
            return Err(format!(
                "`{path}` does not stay inside the repository, or is an evaluator or a state"
            ));
        }
        parsed.contents = contents;
        Ok(parsed)
    }

    fn check(&self) -> Result<(), String> {
        let mut examples = Bound::default();
        self.bindings.iter().try_for_each(|binding| binding.check(&mut examples))?;
        self.edits.iter().try_for_each(|edit| edit.check(&examples))?;
        if self.not_for.trim().is_empty() || self.source.trim().is_empty() {
            return Err("`not_for` and `source` need a text".to_owned());
        }
        Ok(())
    }

    fn paths(&self) -> impl Iterator<Item = &str> {
        self.new_files
            .iter()
            .map(|file| file.path.as_str())
            .chain(self.edits.iter().map(|edit| edit.path.as_str()))
    }

    /// `None` when the feedback has none of its keywords: unrequested changes are not tried.
    pub fn relevance(&self, feedback: &str, failing: &[String]) -> Option<Relevance> {
        let feedback = feedback.to_lowercase();
        let words =
            |list: &[String]| list.iter().map(|word| word.to_lowercase()).collect::<Vec<_>>();
        let asked = words(&self.when.feedback)
            .iter()
            .filter(|word| feedback.contains(word.as_str()))
            .count();
        let case_keywords = words(&self.when.cases);
        let is_hit = |case: &&String| {
            let case = case.to_lowercase();
            case_keywords.iter().any(|word| case.contains(word.as_str()))
        };
        (asked > 0)
            .then(|| Relevance { feedback: asked, cases: failing.iter().filter(is_hit).count() })
    }

    /// The changed files by path; `Err` states why it does not apply.
    pub fn applied(
        &self,
        read: &dyn Fn(&str) -> Option<String>,
    ) -> Result<BTreeMap<String, String>, String> {
        for condition in &self.applies {
            condition.holds(read)?;
        }
        let mut bound = Bound::default();
        for binding in &self.bindings {
            binding.find(read, &mut bound)?;
        }
        let mut files = match self.state_keys.as_slice() {
            [] => BTreeMap::new(),
            keys => state_key::added(keys, &bound, read)?,
        };
        for edit in &self.edits {
            let text = files.get(&edit.path).cloned().or_else(|| read(&edit.path));
            let text = text.ok_or_else(|| format!("there is no {}", edit.path))?;
            files.insert(edit.path.clone(), edit.made(&text, &bound)?);
        }
        for file in &self.new_files {
            files.insert(file.path.clone(), bound.filled(&self.contents[&file.content]));
        }
        Ok(files)
    }
}

/// The ones the feedback suggests, the most relevant first; of equals, the first by id.
pub fn suggested<'a>(
    all: &'a [Inspiration],
    feedback: &str,
    failing: &[String],
) -> Vec<&'a Inspiration> {
    let mut found: Vec<_> =
        all.iter().filter_map(|one| Some((one.relevance(feedback, failing)?, one))).collect();
    found.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.id.cmp(&other.id)));
    found.into_iter().map(|(_, one)| one).collect()
}

impl Condition {
    fn holds(&self, read: &dyn Fn(&str) -> Option<String>) -> Result<(), String> {
        match (read(&self.path), &self.contains, self.absent) {
            (Some(_), _, true) => Err(format!("{} is already there", self.path)),
            (None, _, true) => Ok(()),
            (None, ..) => Err(format!("there is no {}", self.path)),
            (Some(text), Some(part), _) if !text.contains(part) => {
                Err(format!("{} does not contain {part:?}", self.path))
            }
            (Some(_), ..) => Ok(()),
        }
    }
}

fn is_inside(path: &str) -> bool {
    let plain = !path.is_empty()
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !path.contains('\\');
    plain && !["tests/", "ci/", "state/", ".git"].iter().any(|prefix| path.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESCRIPTION: &str = r#"
schema = "agent/inspiration@1"
id = "plurals"
title = "Plurals"
about = "Takes the s off."
not_for = "Names."
source = "Porter, 1980"
commit = "feat: plurals"
bump = "patch"
[when]
feedback = ["plural", "word form"]
cases = ["loops"]
[[applies]]
path = "runner/words.py"
contains = "def words("
[[applies]]
path = "runner/forms.py"
absent = true
[[file]]
path = "runner/forms.py"
content = "forms.py"
[[edit]]
path = "runner/words.py"
find = "return words"
replace = "return stems"
[[edit]]
path = "runner/words.py"
find = "stems"
replace = "stemmed"
"#;

    fn plurals() -> Inspiration {
        Inspiration::parse(
            DESCRIPTION,
            BTreeMap::from([("forms.py".to_owned(), "x = 1\n".to_owned())]),
        )
        .unwrap()
    }

    fn applied(files: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        let read = |path: &str| {
            files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
        };
        plurals().applied(&read).map(|files| files.into_iter().collect())
    }

    #[test]
    fn edits_apply_in_order_and_new_files_are_added() {
        let files = applied(&[("runner/words.py", "def words():\n    return words\n")]).unwrap();
        let expected = [
            ("runner/forms.py", "x = 1\n"),
            ("runner/words.py", "def words():\n    return stemmed\n"),
        ];
        assert_eq!(files, expected.map(|(path, text)| (path.to_owned(), text.to_owned())));
    }

    #[test]
    fn inapplicable_inspiration_reports_the_reason() {
        assert_eq!(applied(&[]).unwrap_err(), "there is no runner/words.py");
        assert_eq!(
            applied(&[("runner/words.py", "x")]).unwrap_err(),
            "runner/words.py does not contain \"def words(\""
        );
        let there = [("runner/words.py", "def words(): return words"), ("runner/forms.py", "")];
        assert_eq!(applied(&there).unwrap_err(), "runner/forms.py is already there");
        let twice = [("runner/words.py", "def words(): return words; return words")];
        assert!(applied(&twice).unwrap_err().contains("has 2 places"));
    }

    #[test]
    fn groups_of_a_binding_fill_edits_and_new_files() {
        let description = format!(
            "{}{}",
            DESCRIPTION
                .replace("replace = \"return stems\"", "replace = \"return {{name:lower}}\""),
            r#"
[[bind]]
path = "runner/words.py"
pattern = '(?m)^(?P<name>[A-Z]+) = (?P<value>\d+)$'
[[edit]]
path = "runner/words.py"
pattern = '(?m)^{{name}} = \d+\n'
replace = ''
"#
        )
        .replace("find = \"stems\"", "find = \"many\"");
        let contents = BTreeMap::from([("forms.py".to_owned(), "x = {{value}}\n".to_owned())]);
        let inspiration = Inspiration::parse(&description, contents).unwrap();
        let text = "MANY = 5\ndef words():\n    return words\n";
        let read = |path: &str| (path == "runner/words.py").then(|| text.to_owned());
        let files = inspiration.applied(&read).unwrap();
        assert_eq!(files["runner/forms.py"], "x = 5\n");
        assert_eq!(files["runner/words.py"], "def words():\n    return stemmed\n");
    }

    #[test]
    fn unrequested_inspirations_are_not_suggested() {
        let all = [plurals()];
        let failing = ["what are loops".to_owned()];
        assert!(suggested(&all, "the answers are too long", &failing).is_empty());
        assert_eq!(suggested(&all, "It ignores PLURALS", &failing).len(), 1);
    }

    #[test]
    fn failing_cases_break_ties() {
        let other = Inspiration {
            id: "another".to_owned(),
            when: When { feedback: vec!["plural".to_owned()], cases: Vec::new() },
            ..plurals()
        };
        let all = [other, plurals()];
        let order = |failing: &[String]| {
            suggested(&all, "plurals", failing).iter().map(|one| one.id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(order(&[]), ["another", "plurals"]);
        assert_eq!(order(&["for LOOPS".to_owned()]), ["plurals", "another"]);
    }

    #[test]
    fn path_outside_the_repository_is_refused() {
        for path in [
            "../x.py",
            "/etc/passwd",
            "runner//x.py",
            "tests/micro/a.jsonl",
            "state/active.state.json",
            ".git/hooks/x",
        ] {
            let description = DESCRIPTION.replace(
                "path = \"runner/forms.py\"\ncontent",
                &format!("path = \"{path}\"\ncontent"),
            );
            let contents = BTreeMap::from([("forms.py".to_owned(), String::new())]);
            assert!(Inspiration::parse(&description, contents).is_err(), "{path}");
        }
    }
}
