//! The side effects of a case on its scratch folder: the files given before, and those expected
//! after.

use crate::formats::document::{DocumentError, Fields, kind};
use crate::formats::suggestion::did_you_mean;
use crate::testing::expectation::{Check, Golden, judge_bytes, pattern};
use crate::testing::judgement::Judgement;
use serde_json::{Map, Value};

const MEND: &str = "\"files\" is {\"given\": {\"in.txt\": \"text\" or \
    {\"copy\": \"FILE\"}}, \"expect\": {\"out.txt\": {\"equals\": ...}}}";
const KINDS: [&str; 4] = ["equals", "regex", "golden", "absent"];

#[derive(Debug)]
pub struct Files {
    pub given: Vec<(String, InitialFile)>,
    pub expect: Vec<(String, FileCheck)>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum InitialFile {
    Text(String),
    /// A file relative to the case file; who reads the cases fills `bytes`.
    Copy {
        path: String,
        bytes: Vec<u8>,
    },
}

#[derive(Debug)]
pub enum FileCheck {
    Absent,
    Content(Check),
}

impl Files {
    /// Reads the object under `files`.
    pub fn parse(value: Value, place: &str) -> Result<Self, DocumentError> {
        let mut fields = Fields::new(value, place, "\"files\"", &["given", "expect"])?;
        let given = named(&mut fields, "given", |_, value| parse_initial_file(value, place))?;
        let expect = named(&mut fields, "expect", |_, value| parse_check(value, place))?;
        if given.is_empty() && expect.is_empty() {
            return Err(fields.error("\"files\" is empty", MEND));
        }
        Ok(Self { given, expect })
    }
}

/// The files named under a key, each read by `parse`.
fn named<T>(
    fields: &mut Fields,
    key: &str,
    parse: impl Fn(&str, Value) -> Result<T, DocumentError>,
) -> Result<Vec<(String, T)>, DocumentError> {
    let map = match fields.take(key) {
        None => Map::new(),
        Some(Value::Object(map)) => map,
        Some(other) => return Err(fields.wrong(key, &other, "an object of files by name")),
    };
    let read = |(name, value): (String, Value)| {
        if !stays_inside(&name) {
            let problem =
                format!("\"{name}\" under \"{key}\" is not a file inside the scratch folder");
            return Err(fields
                .error(problem, "name it by a relative path without `..`, `.` and empty parts"));
        }
        let parsed = parse(&name, value)?;
        Ok((name, parsed))
    };
    map.into_iter().map(read).collect()
}

/// Whether a path is one of plain names only.
fn stays_inside(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains(['\\', '\0'])
}

fn parse_initial_file(value: Value, place: &str) -> Result<InitialFile, DocumentError> {
    if let Value::String(text) = value {
        return Ok(InitialFile::Text(text));
    }
    let mut fields = Fields::new(value, place, "a file that is given", &["copy"])?;
    let path = fields.text("copy")?.ok_or_else(|| fields.missing("copy", MEND))?;
    Ok(InitialFile::Copy { path, bytes: Vec::new() })
}

fn parse_check(value: Value, place: &str) -> Result<FileCheck, DocumentError> {
    let hint = format!("give it exactly one of {}", KINDS.join(", "));
    let wrong = |problem: String| DocumentError::new(place, problem, hint.clone());
    let Value::Object(map) = value else {
        return Err(wrong(format!(
            "what is expected of a file is {}, not an object",
            kind(&value)
        )));
    };
    let count = map.len();
    let Some((key, value)) = map.into_iter().next().filter(|_| count == 1) else {
        return Err(wrong(format!("what is expected of a file has {count} keys, not one")));
    };
    Ok(match (key.as_str(), value) {
        ("absent", Value::Bool(true)) => FileCheck::Absent,
        ("absent", _) => return Err(wrong("\"absent\" is not true".to_owned())),
        ("equals", value) => FileCheck::Content(Check::Equals(value)),
        ("regex", value) => FileCheck::Content(Check::Regex(pattern(&value, "regex", place)?)),
        ("golden", value) => FileCheck::Content(Check::Golden(Golden::parse(&value, place)?)),
        (other, _) => {
            return Err(wrong(format!(
                "\"{other}\" is not an expectation of a file{}",
                did_you_mean(other, KINDS)
            )));
        }
    })
}

impl FileCheck {
    /// Judges what a file holds; `None` when there is no such file.
    pub fn judge(&self, name: &str, bytes: Option<&[u8]>) -> Judgement {
        let why = match (self, bytes) {
            (Self::Absent, None) => None,
            (Self::Absent, Some(bytes)) => Some(format!("it exists, with {} bytes", bytes.len())),
            (Self::Content(_), None) => Some("it was not written".to_owned()),
            (Self::Content(check), Some(bytes)) => judge_bytes(check, bytes),
        };
        why.map_or_else(Judgement::passed, |why| Judgement::failed(format!("file {name}: {why}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::expectation::GoldenContent;
    use serde_json::json;

    #[track_caller]
    fn check(expect: &Value, bytes: Option<&[u8]>, why: &str) {
        let files = Files::parse(json!({"expect": {"out.txt": expect}}), "c.jsonl:1").unwrap();
        let judged = files.expect[0].1.judge("out.txt", bytes);
        assert_eq!(judged.why.unwrap_or_default(), why);
    }

    #[test]
    fn file_is_judged_by_its_content() {
        check(&json!({"equals": "a\n"}), Some(b"a\n"), "");
        check(&json!({"equals": {"n": 1}}), Some(b"{\"n\": 1.0}"), "");
        check(&json!({"equals": "a"}), Some(b"b"), "file out.txt: $: expected \"a\", got \"b\"");
        check(&json!({"equals": [1]}), Some(b"x"), "file out.txt: $: expected [1], got \"x\"");
        check(&json!({"equals": "a"}), None, "file out.txt: it was not written");
        check(&json!({"equals": "a"}), Some(b"\xff"), "file out.txt: it is not UTF-8");
        check(&json!({"regex": "^to.al$"}), Some(b"total"), "");
        check(&json!({"regex": "^a$"}), Some(b"b"), "file out.txt: `^a$` does not match \"b\"");
        check(&json!({"absent": true}), None, "");
        check(&json!({"absent": true}), Some(b"abc"), "file out.txt: it exists, with 3 bytes");
        let golden = Golden {
            path: "g.txt".to_owned(),
            content: Some(GoldenContent::Text("one\n".to_owned())),
        };
        let judged = FileCheck::Content(Check::Golden(golden)).judge("out.txt", Some(b"two\n"));
        assert!(judged.why.unwrap().starts_with("file out.txt: against g.txt:\n"));
    }

    #[track_caller]
    fn check_wrong(value: Value, message: &str) {
        let error = Files::parse(value, "c.jsonl:1").unwrap_err();
        assert_eq!(error.to_string(), format!("c.jsonl:1: {message}"));
        assert!(!error.hint.is_empty());
    }

    #[test]
    fn wrong_files_are_named() {
        for name in ["/etc/passwd", "../x", "a/../../x", "a//b", "", ".", "a\\b", "a/\0"] {
            let message =
                format!("\"{name}\" under \"given\" is not a file inside the scratch folder");
            check_wrong(json!({"given": {name: "x"}}), &message);
        }
        check_wrong(json!({}), "\"files\" is empty");
        check_wrong(json!([]), "\"files\" is a list, not an object");
        check_wrong(
            json!({"gives": {}}),
            "\"gives\" is not a key of \"files\" (did you mean \"given\"?)",
        );
        check_wrong(json!({"given": []}), "\"given\" is a list, not an object of files by name");
        check_wrong(json!({"given": {"a": 1}}), "a file that is given is 1, not an object");
        check_wrong(json!({"given": {"a": {}}}), "\"copy\" is missing");
        check_wrong(
            json!({"expect": {"a": "x"}}),
            "what is expected of a file is a text, not an object",
        );
        check_wrong(json!({"expect": {"a": {}}}), "what is expected of a file has 0 keys, not one");
        check_wrong(
            json!({"expect": {"a": {"equal": 1}}}),
            "\"equal\" is not an expectation of a file (did you mean \"equals\"?)",
        );
        check_wrong(json!({"expect": {"a": {"absent": false}}}), "\"absent\" is not true");
        check_wrong(
            json!({"expect": {"a": {"regex": "("}}}),
            "\"regex\" is not a regular expression: unclosed group: (",
        );
    }
}
