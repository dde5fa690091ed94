//! What is wrong with a manifest whose syntax is right: the first key with a value that cannot be.

use super::architect::CoderKind;
use super::environment::misplaced;
use super::{Manifest, SCHEMA};
use crate::child::variable;
use crate::formats::first_version::can_begin;
use std::borrow::Cow;

/// A key, and what is wrong with its value: the rest of a sentence.
pub(super) type Problem = (Cow<'static, str>, String);

fn problem(key: &'static str, wrong: impl Into<String>) -> Problem {
    (Cow::Borrowed(key), wrong.into())
}

fn of((key, wrong): (&'static str, String)) -> Problem {
    problem(key, wrong)
}

impl Manifest {
    pub(super) fn problem(&self) -> Option<Problem> {
        self.identity_problem()
            .or_else(|| self.commands_problem())
            .or_else(|| self.access_problem().map(of))
            .or_else(|| self.effects_problem().map(of))
            .or_else(|| self.variables_problem())
            .or_else(|| self.coder_problem())
            .or_else(|| self.limits.problem().map(|(key, wrong)| (key.into(), wrong)))
            .or_else(|| self.store.problem().map(|wrong| problem("store.timeout_s", wrong)))
            .or_else(|| self.files_problem())
            .or_else(|| self.record.problem().map(of))
            .or_else(|| self.promote.problem().map(of))
            .or_else(|| self.gates_problem())
            .or_else(|| self.store_url_problem())
    }

    fn identity_problem(&self) -> Option<Problem> {
        if self.schema != SCHEMA {
            let wrong = format!("is `{}`; this `agent` reads `{SCHEMA}`", self.schema);
            return Some(problem("schema", wrong));
        }
        if self.name.trim().is_empty() {
            return Some(problem("name", "is empty"));
        }
        let first = self.first_version.as_ref().filter(|first| !can_begin(first))?;
        let wrong = format!(
            "is {first}; a first version is three numbers below a thousand million, such as 1.4.2"
        );
        Some(problem("first_version", wrong))
    }

    fn commands_problem(&self) -> Option<Problem> {
        let tuner = self.tuner.as_ref().map(|tuner| ("tuner.command", tuner));
        let (key, _) = [("runner.command", &self.runner)]
            .into_iter()
            .chain(tuner)
            .find(|(_, entry)| entry.command.is_empty())?;
        Some(problem(key, "is empty; it has to be the program and its arguments"))
    }

    fn access_problem(&self) -> Option<(&'static str, String)> {
        let entries = [("runner.read", Some(&self.runner)), ("tuner.read", self.tuner.as_ref())];
        entries.into_iter().find_map(|(key, entry)| Some((key, entry?.problem()?)))
    }

    fn effects_problem(&self) -> Option<(&'static str, String)> {
        if self.runner.effects.is_some() {
            let wrong = "is for a Tuner: a Runner has access of its own".to_owned();
            return Some(("runner.effects", wrong));
        }
        self.effects().problem()
    }

    fn variables_problem(&self) -> Option<Problem> {
        let declared = [
            ("runner.env", self.runner.env.as_slice()),
            ("tuner.env", self.tuner.as_ref().map_or(&[], |tuner| tuner.env.as_slice())),
            ("evaluators.env", &self.evaluators.env),
        ];
        let (key, name) = declared
            .into_iter()
            .find_map(|(key, variables)| Some((key, variable::declared_twice(variables)?)))?;
        Some(problem(key, format!("names `{name}` twice")))
    }

    fn coder_problem(&self) -> Option<Problem> {
        let lacks_command =
            self.architect.coder == CoderKind::Command && self.architect.command.is_empty();
        lacks_command
            .then(|| problem("architect.command", "is empty, but `architect.coder` is `command`"))
    }

    /// Of the paths of files in the repository.
    fn files_problem(&self) -> Option<Problem> {
        let project = || misplaced(self.python.project.as_ref()?, "pyproject.toml");
        let lock = || misplaced(&self.node.as_ref()?.lock, "package-lock.json");
        project()
            .map(|wrong| problem("python.project", wrong))
            .or_else(|| lock().map(|wrong| problem("node.lock", wrong)))
            .or_else(|| self.evaluators.problem().map(|wrong| problem("evaluators.import", wrong)))
    }

    fn gates_problem(&self) -> Option<Problem> {
        let gates = [("promote", &self.promote.gated()), ("release", &self.release)];
        let (section, (key, wrong)) =
            gates.into_iter().find_map(|(section, gated)| Some((section, gated.problem()?)))?;
        Some((format!("{section}.{key}").into(), wrong))
    }

    fn store_url_problem(&self) -> Option<Problem> {
        let url = &self.store.url;
        let is_s3 = url
            .strip_prefix("s3://")
            .is_some_and(|place| !place.is_empty() && !place.starts_with('/'));
        (!url.starts_with("file:") && !is_s3).then(|| {
            let wrong = format!("is `{url}`; it has to be `file:PATH` or `s3://BUCKET/PREFIX`");
            problem("store.url", wrong)
        })
    }
}
