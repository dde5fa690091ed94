//! Objectives put into ci/budgets.json; everything else in the file stays as it is.

use super::budget::{Budgets, FILE, SCHEMA};
use crate::formats::diagnose::{Diagnose, FailureKind};
use crate::formats::document::{DocumentError, without_mark};
use crate::formats::json_edit::{ListEdit, with_list};
use crate::slo::Objective;
use serde::Serialize;
use serde_json::json;

/// What putting an objective into the file changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    Added,
    /// It is there already, with the same content.
    Same,
    Replaced,
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum EditError {
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error("{FILE} has other objectives of the same name: {}", names.join(", "))]
    Taken { names: Vec<String> },
    #[error("{FILE} cannot be changed in its place")]
    Form,
}

impl Diagnose for EditError {
    fn kind(&self) -> FailureKind {
        FailureKind::Input
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Document(error) => error.hint(),
            Self::Taken { .. } => Some(
                "`--replace` replaces them; `agent slo export` prints those of the file".to_owned(),
            ),
            Self::Form => Some("write \"slos\" as a list of objects".to_owned()),
        }
    }
}

/// The text of the file with these objectives, and what it changes for each of them. An objective
/// of the same name with other content is replaced only where that is wanted.
pub fn with_objectives(
    text: Option<&str>,
    objectives: &[Objective],
    replaces: bool,
) -> Result<(String, Vec<Change>), EditError> {
    let whole = text.map_or_else(
        || format!("{:#}\n", json!({"schema": SCHEMA, "tiers": {}, "slos": []})),
        str::to_owned,
    );
    let text = without_mark(&whole);
    let mark = &whole[..whole.len() - text.len()];
    let mut expected = Budgets::parse(text, FILE)?;
    let (mut edits, mut changes, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for objective in objectives {
        let there = expected.slos.iter().position(|other| other.name == objective.name);
        changes.push(match there {
            Some(index) if expected.slos[index] == *objective => Change::Same,
            Some(index) => {
                names.push(objective.name.clone());
                edits.push(ListEdit::Replace(index, objective.document()));
                expected.slos[index] = objective.clone();
                Change::Replaced
            }
            None => {
                edits.push(ListEdit::Append(objective.document()));
                expected.slos.push(objective.clone());
                Change::Added
            }
        });
    }
    if !replaces && !names.is_empty() {
        return Err(EditError::Taken { names });
    }
    if edits.is_empty() {
        return Ok((whole, changes));
    }
    let edited = with_list(text, "slos", edits).ok_or(EditError::Form)?;
    if Budgets::parse(&edited, FILE)? == expected {
        Ok((format!("{mark}{edited}"), changes))
    } else {
        Err(EditError::Form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slo;

    fn objective(name: &str, target: f64) -> Objective {
        let value = json!({"name": name, "indicator": {"type": "success"}, "target": target,
            "window": "28d"});
        slo::parse(vec![value], "f").unwrap().remove(0)
    }

    const THERE: &str = "{\n  \"schema\": \"agent/budgets@1\",\n  \"tiers\": {\"fast\": {\"score\": 0.50}},\n  \
        \"slos\": [\n    {\"name\": \"a\", \"indicator\": {\"type\": \"success\"}, \"target\": 0.990, \
        \"window\": \"4w\"}\n  ]\n}\n";

    #[test]
    fn an_objective_is_added_and_the_rest_stays_as_it_is() {
        let wanted = [objective("a", 0.99), objective("b", 0.5)];
        let (text, changes) = with_objectives(Some(THERE), &wanted, false).unwrap();
        assert_eq!(changes, [Change::Same, Change::Added]);
        let start = THERE.split("\n  ]").next().unwrap();
        assert!(text.starts_with(start), "{text}");
        assert_eq!(Budgets::parse(&text, FILE).unwrap().slos, wanted);
        let again = with_objectives(Some(&text), &wanted, false).unwrap();
        assert_eq!(again, (text, vec![Change::Same, Change::Same]));
    }

    #[test]
    fn an_objective_of_other_content_is_replaced_where_that_is_wanted() {
        let wanted = [objective("a", 0.9)];
        let error = with_objectives(Some(THERE), &wanted, false).unwrap_err();
        assert_eq!(error, EditError::Taken { names: vec!["a".to_owned()] });
        let (text, changes) = with_objectives(Some(THERE), &wanted, true).unwrap();
        assert_eq!(changes, [Change::Replaced]);
        assert_eq!(Budgets::parse(&text, FILE).unwrap().slos, wanted);
        assert!(text.contains("\"score\": 0.50"), "{text}");
    }

    #[test]
    fn a_file_without_objectives_gets_a_list() {
        let wanted = [objective("a", 0.9)];
        let short = "{\"schema\": \"agent/budgets@1\"}";
        for text in
            [None, Some(short), Some("\u{feff}{\"schema\": \"agent/budgets@1\",\"slos\":[]}")]
        {
            let (text, changes) = with_objectives(text, &wanted, false).unwrap();
            assert_eq!(changes, [Change::Added]);
            assert_eq!(Budgets::parse(&text, FILE).unwrap().slos, wanted);
        }
        let torn = with_objectives(Some("{"), &wanted, false).unwrap_err();
        assert!(matches!(torn, EditError::Document(_)), "{torn}");
    }
}
