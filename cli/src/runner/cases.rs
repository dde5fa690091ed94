//! Reads the cases of a tier from a checkout.

use crate::world::fs::{self, FsError};
use agent_core::case::{Case, Cases};
use agent_core::diagnose::{Diagnose, Exit};
use agent_core::document::DocumentError;
use agent_core::expectation::{GoldenContent, is_json};
use agent_core::manifest::Tier;
use agent_core::object_id::digest;
use agent_core::object_id::short_digest;
use agent_core::scratch::Given;
use std::path::{Component, Path, PathBuf};

pub const SCORERS: &str = "tests/scorers.py";
/// Cases, and the golden files they name, lie in here.
pub const TESTS: &str = "tests";

#[derive(Debug, thiserror::Error)]
pub enum CasesError {
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl Diagnose for CasesError {
    fn exit(&self) -> Exit {
        match self {
            Self::Document(error) => error.exit(),
            Self::Fs(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Document(error) => error.hint(),
            Self::Fs(error) => error.hint(),
        }
    }
}

/// The cases of a tier, with the digest of all that defines them.
#[derive(Debug)]
pub struct TierCases {
    pub cases: Cases,
    pub digest: String,
}

/// Reads every `*.jsonl` under the tier's folder, and the golden files the cases name.
pub fn load(directory: &Path, tier: Tier) -> Result<TierCases, CasesError> {
    let mut cases = Cases::default();
    let mut definition = String::new();
    for relative in files_below(directory, &Path::new(TESTS).join(tier.as_str()), "jsonl")? {
        let file = relative.display().to_string();
        let bytes = fs::read_if_there(&directory.join(&relative))?.unwrap_or_default();
        let text = std::str::from_utf8(&bytes).map_err(|error| not_utf8(&file, &bytes, &error))?;
        define(&mut definition, &file, &bytes);
        let first = cases.list.len();
        cases.read(text, &file)?;
        for case in &mut cases.list[first..] {
            fill_goldens(directory, &relative, case, &mut definition)?;
            fill_copies(directory, &relative, case, &mut definition)?;
            fill_sources(directory, case, &mut definition)?;
        }
    }
    Ok(TierCases { cases, digest: digest(definition.as_bytes()) })
}

fn define(definition: &mut String, file: &str, bytes: &[u8]) {
    definition.extend([file, "\n", &digest(bytes), "\n"]);
}

fn not_utf8(file: &str, bytes: &[u8], error: &std::str::Utf8Error) -> DocumentError {
    let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
    DocumentError::new(format!("{file}:{line}"), "it is no UTF-8", "save the file as UTF-8")
}

/// Paths relative to the checkout, sorted.
pub fn files_below(directory: &Path, folder: &Path, extension: &str) -> Result<Vec<PathBuf>, FsError> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let path = directory.join(&folder);
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(FsError::while_doing("list the folder", &path)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(FsError::while_doing("list the folder", &path))?;
            let relative = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(relative);
            } else if relative.extension().is_some_and(|its| its == extension) {
                files.push(relative);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn fill_goldens(directory: &Path, case_file: &Path, case: &mut Case, definition: &mut String) -> Result<(), CasesError> {
    let place = case.place.clone();
    let mut defined_by = std::mem::take(&mut case.defined_by);
    for golden in case.goldens_mut() {
        let relative = beside(case_file, &golden.path).ok_or_else(|| outside(&place, "golden file", &golden.path))?;
        golden.path = relative.display().to_string();
        if let Some(bytes) = fs::read_if_there(&directory.join(&relative))? {
            define(definition, &golden.path, &bytes);
            defined_by.push(short_digest(&bytes));
            golden.content = Some(parse_golden(&golden.path, &bytes)?);
        }
    }
    case.defined_by = defined_by;
    Ok(())
}

/// Fills in what a case that looks at files is given.
fn fill_copies(directory: &Path, case_file: &Path, case: &mut Case, definition: &mut String) -> Result<(), CasesError> {
    for (_, given) in case.files.iter_mut().flat_map(|files| &mut files.given) {
        let Given::Copy { path, bytes } = given else { continue };
        let relative = beside(case_file, path).ok_or_else(|| outside(&case.place, "file to copy", path))?;
        *path = relative.display().to_string();
        let absent = || DocumentError::new(&case.place, format!("there is no file {path} to copy"), "write it, or name another one");
        *bytes = fs::read_if_there(&directory.join(&relative))?.ok_or_else(absent)?;
        define(definition, path, bytes);
        case.defined_by.push(short_digest(bytes));
    }
    Ok(())
}

/// The programs that judge are part of what a case means.
fn fill_sources(directory: &Path, case: &mut Case, definition: &mut String) -> Result<(), CasesError> {
    let mut defined_by = std::mem::take(&mut case.defined_by);
    for command in case.commands_mut() {
        for word in &command.run {
            let path = directory.join(word);
            // a word that is no file of the repository is an option, or a program of the machine
            let inside = Path::new(word).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
            if inside && path.is_file() {
                let bytes = fs::read_if_there(&path)?.unwrap_or_default();
                define(definition, word, &bytes);
                defined_by.push(short_digest(&bytes));
                command.sources.push(digest(&bytes));
            }
        }
    }
    case.defined_by = defined_by;
    Ok(())
}

fn outside(place: &str, what: &str, path: &str) -> DocumentError {
    DocumentError::new(place, format!("the {what} {path} is outside of {TESTS}/"), "keep it beside the cases")
}

/// Relative to the checkout, `..` resolved; `None` when it leads out of the tests.
fn beside(case_file: &Path, named: &str) -> Option<PathBuf> {
    let mut path = case_file.parent()?.to_owned();
    for part in Path::new(named).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    path.starts_with(TESTS).then_some(path)
}

fn parse_golden(file: &str, bytes: &[u8]) -> Result<GoldenContent, DocumentError> {
    if is_json(file) {
        return serde_json::from_slice(bytes).map(GoldenContent::Json).map_err(|error| {
            let text = error.to_string();
            let problem = text.split(" at line ").next().unwrap_or(&text).to_owned();
            let mend = "mend it, or let `agent test --bless` write it anew";
            DocumentError::new(format!("{file}:{}:{}", error.line(), error.column()), format!("no JSON: {problem}"), mend)
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| not_utf8(file, bytes, &error))?;
    Ok(GoldenContent::Text(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, path: &str, text: &str) {
        std::fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
        std::fs::write(folder.join(path), text).unwrap();
    }

    fn case(id: &str, golden: &str) -> String {
        format!("{{\"id\":\"{id}\",\"tool\":\"t\",\"expect\":{{\"golden\":\"{golden}\"}}}}\n")
    }

    #[test]
    fn a_tier_is_every_file_under_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let load = |tier| load(folder.path(), tier);
        assert!(load(Tier::Full).unwrap().cases.list.is_empty());
        write(folder.path(), "tests/full/b.jsonl", &case("b", "../golden/b.txt"));
        write(folder.path(), "tests/full/heldout/a.jsonl", &case("a", "none.json"));
        write(folder.path(), "tests/golden/b.txt", "hello");
        let before = load(Tier::Full).unwrap();
        let ids: Vec<_> = before.cases.list.iter().map(|case| (case.id.as_str(), case.place.as_str())).collect();
        assert_eq!(ids, [("b", "tests/full/b.jsonl:1"), ("a", "tests/full/heldout/a.jsonl:1")]);
        write(folder.path(), "tests/golden/b.txt", "world");
        assert_ne!(load(Tier::Full).unwrap().digest, before.digest, "a golden file is part of the definition");
        assert!(load(Tier::Micro).unwrap().cases.list.is_empty());
    }

    #[test]
    fn what_is_copied_and_what_judges_is_part_of_the_definition() {
        let folder = tempfile::tempdir().unwrap();
        let case = r#"{"id":"a","tool":"t","expect":{"command":{"run":["python","tests/judge.py","--strict"]}},"files":{"given":{"in":{"copy":"in.txt"}}}}"#;
        write(folder.path(), "tests/micro/a.jsonl", case);
        let mut digests = Vec::new();
        for (judge, given) in [("1", "1"), ("2", "1"), ("2", "2")] {
            write(folder.path(), "tests/judge.py", judge);
            write(folder.path(), "tests/micro/in.txt", given);
            let mut loaded = load(folder.path(), Tier::Micro).unwrap();
            assert_eq!(loaded.cases.list[0].commands_mut().next().unwrap().sources, [digest(judge.as_bytes())]);
            assert!(!digests.contains(&loaded.digest));
            digests.push(loaded.digest);
        }
    }

    #[track_caller]
    fn check(files: &[(&str, &[u8])], message: &str) {
        let folder = tempfile::tempdir().unwrap();
        for (path, bytes) in files {
            write(folder.path(), path, "");
            std::fs::write(folder.path().join(path), bytes).unwrap();
        }
        assert_eq!(load(folder.path(), Tier::Micro).unwrap_err().to_string(), message);
    }

    #[test]
    fn what_cannot_be_read_names_file_and_line() {
        let good = case("a", "a.json");
        check(&[("tests/micro/a.jsonl", b"\n{\"id\": \"\xff\"}")], "tests/micro/a.jsonl:2: it is no UTF-8");
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
        check(&[("tests/micro/a.jsonl", copy("in.txt").as_bytes())], "tests/micro/a.jsonl:1: there is no file tests/micro/in.txt to copy");
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
