//! Reads the cases of a tier from a checkout.

use crate::world::fs::{self, FsError};
use agent_core::case::{Case, Cases};
use agent_core::diagnose::{Diagnose, Exit};
use agent_core::document::DocumentError;
use agent_core::expectation::{GoldenContent, is_json};
use agent_core::manifest::Tier;
use agent_core::object_id::digest;
use agent_core::trace::short_digest;
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
    let defined_by = &mut case.defined_by;
    for golden in case.steps.iter_mut().filter_map(|step| step.expect.as_mut()?.golden_mut()) {
        let relative = golden_path(case_file, &golden.path).ok_or_else(|| {
            DocumentError::new(&place, format!("the golden file {} is outside of {TESTS}/", golden.path), "keep it beside the cases")
        })?;
        golden.path = relative.display().to_string();
        if let Some(bytes) = fs::read_if_there(&directory.join(&relative))? {
            define(definition, &golden.path, &bytes);
            defined_by.push(short_digest(&bytes));
            golden.content = Some(parse_golden(&golden.path, &bytes)?);
        }
    }
    Ok(())
}

/// Relative to the checkout, `..` resolved; `None` when it leads out of the tests.
fn golden_path(case_file: &Path, golden: &str) -> Option<PathBuf> {
    let mut path = case_file.parent()?.to_owned();
    for part in Path::new(golden).components() {
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
        check(
            &[("tests/micro/a.jsonl", good.as_bytes()), ("tests/micro/b.jsonl", good.as_bytes())],
            "tests/micro/b.jsonl:1: the id \"a\" is taken by tests/micro/a.jsonl:1",
        );
    }
}
