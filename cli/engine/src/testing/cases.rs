//! Reads the cases of a tier.

use crate::target::evaluators::{EvaluatorsError, Files, Named, TESTS, resolved};
use agent_core::formats::document::{self, DocumentError};
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::digest;
use agent_core::formats::object_id::short_digest;
use agent_core::testing::case::{Case, Cases};
use agent_core::testing::expectation::{GoldenContent, is_json};
use agent_core::testing::scratch::InitialFile;
use std::path::Path;

/// The cases of a tier, with the digest of all that defines them.
#[derive(Debug)]
pub struct TierCases {
    pub cases: Cases,
    pub digest: String,
}

/// Reads every `*.jsonl` under the tier's folder, and the golden files the cases name.
pub fn load(files: &Files<'_>, tier: Tier) -> Result<TierCases, EvaluatorsError> {
    let mut cases = Cases::default();
    let mut definition = String::new();
    for file in files.of_tier(tier)? {
        let bytes = document::normal(files.read(file, file)?.unwrap_or_default());
        add(files, (file, &bytes), &mut cases, &mut definition)?;
    }
    Ok(TierCases { cases, digest: digest(definition.as_bytes()) })
}

/// Reads these lines as if they stood in a file of that name.
pub fn of_lines(files: &Files<'_>, file: &str, lines: &str) -> Result<TierCases, EvaluatorsError> {
    let mut cases = Cases::default();
    let mut definition = String::new();
    add(files, (file, lines.as_bytes()), &mut cases, &mut definition)?;
    Ok(TierCases { cases, digest: digest(definition.as_bytes()) })
}

fn add(
    files: &Files<'_>,
    (file, bytes): (&str, &[u8]),
    cases: &mut Cases,
    definition: &mut String,
) -> Result<(), EvaluatorsError> {
    let text = document::text(bytes, file)?;
    define(definition, file, bytes);
    let first = cases.list.len();
    cases.read(text, file)?;
    for case in &mut cases.list[first..] {
        fill_goldens(files, file, case, definition)?;
        fill_copies(files, file, case, definition)?;
        check_commands(files, case)?;
    }
    Ok(())
}

fn define(definition: &mut String, file: &str, bytes: &[u8]) {
    definition.extend([file, "\n", &digest(bytes), "\n"]);
}

fn fill_goldens(
    files: &Files<'_>,
    case_file: &str,
    case: &mut Case,
    definition: &mut String,
) -> Result<(), EvaluatorsError> {
    let place = case.place.clone();
    let mut defined_by = std::mem::take(&mut case.defined_by);
    for golden in case.goldens_mut() {
        golden.path = beside(case_file, &golden.path)
            .ok_or_else(|| outside(&place, "golden file", &golden.path))?;
        if let Some(bytes) = files.read(&golden.path, &place)?.map(document::normal) {
            define(definition, &golden.path, &bytes);
            defined_by.push(short_digest(&bytes));
            golden.content = Some(parse_golden(&golden.path, &bytes)?);
        }
    }
    case.defined_by = defined_by;
    Ok(())
}

/// Fills in the given files of a case that checks files.
fn fill_copies(
    files: &Files<'_>,
    case_file: &str,
    case: &mut Case,
    definition: &mut String,
) -> Result<(), EvaluatorsError> {
    for (_, given) in case.files.iter_mut().flat_map(|files| &mut files.given) {
        let InitialFile::Copy { path, bytes } = given else { continue };
        *path =
            beside(case_file, path).ok_or_else(|| outside(&case.place, "file to copy", path))?;
        let absent = || {
            DocumentError::new(
                &case.place,
                format!("there is no file {path} to copy"),
                "write it, or name another one",
            )
        };
        *bytes = files.read(path, &case.place)?.ok_or_else(absent)?;
        define(definition, path, bytes);
        case.defined_by.push(short_digest(bytes));
    }
    Ok(())
}

/// A judge is not started on a file that it will not find, or that belongs to the code under test.
fn check_commands(files: &Files<'_>, case: &mut Case) -> Result<(), EvaluatorsError> {
    let place = case.place.clone();
    for command in case.commands_mut() {
        for (index, word) in command.run.iter().enumerate() {
            // the system searches a program without a path on PATH only
            if index == 0 && !word.contains('/') {
                continue;
            }
            let (problem, hint) = match files.named(word)? {
                Named::Nothing | Named::Seen => continue,
                Named::OfATier => (
                    format!(
                        "the judge is given {word}, but judges see only the Python files of a \
                        tier's folder"
                    ),
                    format!("move it to {TESTS}/, outside of the tiers' folders"),
                ),
                Named::Elsewhere => (
                    format!("the judge is given {word}, which is outside of tests/ and ci/"),
                    "move it to tests/, or name it in agent.toml: `import` under [evaluators]"
                        .to_owned(),
                ),
            };
            return Err(DocumentError::new(place, problem, hint).into());
        }
    }
    Ok(())
}

fn outside(place: &str, what: &str, path: &str) -> DocumentError {
    DocumentError::new(
        place,
        format!("the {what} {path} is outside of {TESTS}/"),
        "keep it beside the cases",
    )
}

/// Relative to the root of the repository; `None` when it leads out of the tests.
fn beside(case_file: &str, named: &str) -> Option<String> {
    resolved(Path::new(case_file).parent()?, named)
        .filter(|path| Path::new(path).starts_with(TESTS))
}

fn parse_golden(file: &str, bytes: &[u8]) -> Result<GoldenContent, DocumentError> {
    if is_json(file) {
        let hint = "fix it, or let `agent test --bless` write it again".to_owned();
        return document::json(bytes, file)
            .map(GoldenContent::Json)
            .map_err(|error| DocumentError { hint, ..error });
    }
    Ok(GoldenContent::Text(document::text(bytes, file)?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::evaluators::fixture::Fixture;

    /// The same from git objects and from a folder.
    fn load(fixture: &Fixture, tier: Tier) -> Result<TierCases, String> {
        let [objects, folder] = fixture.both().map(|evaluators| {
            let files = evaluators.files(&fixture.git).map_err(|error| error.to_string())?;
            super::load(&files, tier).map_err(|error| error.to_string())
        });
        match (&objects, &folder) {
            (Ok(one), Ok(other)) => assert_eq!(one.digest, other.digest),
            (one, other) => assert_eq!(one.as_ref().err(), other.as_ref().err()),
        }
        objects
    }

    fn case(id: &str, golden: &str) -> String {
        format!("{{\"id\":\"{id}\",\"tool\":\"t\",\"expect\":{{\"golden\":\"{golden}\"}}}}\n")
    }

    #[test]
    fn a_tier_is_every_file_under_its_folder() {
        let mut fixture = Fixture::new();
        assert!(load(&fixture, Tier::Full).unwrap().cases.list.is_empty());
        fixture.write("tests/full/b.jsonl", case("b", "../golden/b.txt"));
        fixture.write("tests/full/heldout/a.jsonl", case("a", "none.json"));
        fixture.write("tests/golden/b.txt", "hello");
        let before = load(&fixture, Tier::Full).unwrap();
        let ids: Vec<_> =
            before.cases.list.iter().map(|case| (case.id.as_str(), case.place.as_str())).collect();
        assert_eq!(ids, [("b", "tests/full/b.jsonl:1"), ("a", "tests/full/heldout/a.jsonl:1")]);
        fixture.write("tests/golden/b.txt", "world");
        assert_ne!(
            load(&fixture, Tier::Full).unwrap().digest,
            before.digest,
            "a golden file is part of the definition"
        );
        assert!(load(&fixture, Tier::Micro).unwrap().cases.list.is_empty());
    }

    #[test]
    fn copied_files_are_part_of_the_definition() {
        let mut fixture = Fixture::new();
        let case = r#"{"id":"a","tool":"t","expect":{"equals":1},"files":{"given":{"in":{"copy":"in.txt"}}}}"#;
        fixture.write("tests/micro/a.jsonl", case);
        let mut digests = Vec::new();
        for given in ["1", "2"] {
            fixture.write("tests/micro/in.txt", given);
            let loaded = load(&fixture, Tier::Micro).unwrap();
            digests.push((loaded.digest, loaded.cases.list[0].definition("")));
        }
        assert!(digests[0].0 != digests[1].0 && digests[0].1 != digests[1].1);
    }

    #[test]
    fn judge_receives_only_evaluator_files() {
        let judged = |words: &[&str]| {
            let mut fixture = Fixture::new();
            fixture.manifest("[evaluators]\nimport = [\"data\"]\n");
            let run =
                serde_json::json!({"id": "a", "tool": "t", "expect": {"command": {"run": words}}});
            fixture.write("tests/micro/a.jsonl", run.to_string());
            for path in [
                "tests/judge.py",
                "tests/micro/rubric.txt",
                "ci/judge",
                "data/words.txt",
                "judge.py",
                "python",
            ] {
                fixture.write(path, "");
            }
            load(&fixture, Tier::Micro).map(drop).err().unwrap_or_default()
        };
        for seen in [
            &["python", "tests/judge.py", "--strict"][..],
            &["./ci/judge", "data/words.txt"],
            &["node", "tests/../data/words.txt", "../judge.py", "/etc/passwd", "-m", "judge"],
        ] {
            assert_eq!(judged(seen), "", "{seen:?}");
        }
        let outside = "tests/micro/a.jsonl:1: the judge is given judge.py, which is outside of \
            tests/ and ci/";
        assert_eq!(judged(&["python", "judge.py"]), outside);
        assert_eq!(judged(&["./judge.py"]), outside.replace("given judge.py", "given ./judge.py"));
        assert_eq!(
            judged(&["python", "tests/judge.py", "tests/micro/rubric.txt"]),
            "tests/micro/a.jsonl:1: the judge is given tests/micro/rubric.txt, but judges see only \
            the \
            Python files of a tier's folder"
        );
    }

    #[track_caller]
    fn check(files: &[(&str, &[u8])], message: &str) {
        let mut fixture = Fixture::new();
        for (path, bytes) in files {
            fixture.write(path, bytes);
        }
        assert_eq!(load(&fixture, Tier::Micro).unwrap_err(), message);
    }

    #[test]
    fn unreadable_case_names_file_and_line() {
        let good = case("a", "a.json");
        check(
            &[("tests/micro/a.jsonl", b"\n{\"id\": \"\xff\"}")],
            "tests/micro/a.jsonl:2: this line is not UTF-8",
        );
        check(
            &[("tests/micro/a.jsonl", good.as_bytes()), ("tests/micro/a.json", b"{\n1}")],
            "tests/micro/a.json:2:1: no JSON: key must be a string",
        );
        let outside = case("a", "../../agent.toml");
        check(
            &[("tests/micro/a.jsonl", outside.as_bytes())],
            "tests/micro/a.jsonl:1: the golden file ../../agent.toml is outside of tests/",
        );
        let copy = |path: &str| {
            format!(
                "{{\"id\":\"a\",\"tool\":\"t\",\"expect\":{{\"equals\":1}},\"files\":{{\"given\":{{\"in\":{{\"copy\":\"{path}\"}}}}}}}}"
            )
        };
        check(
            &[("tests/micro/a.jsonl", copy("in.txt").as_bytes())],
            "tests/micro/a.jsonl:1: there is no file tests/micro/in.txt to copy",
        );
        check(
            &[("tests/micro/a.jsonl", copy("../../x").as_bytes())],
            "tests/micro/a.jsonl:1: the file to copy ../../x is outside of tests/",
        );
        check(
            &[("tests/micro/a.jsonl", good.as_bytes()), ("tests/micro/b.jsonl", good.as_bytes())],
            "tests/micro/b.jsonl:1: the id \"a\" is taken by tests/micro/a.jsonl:1",
        );
    }
}
