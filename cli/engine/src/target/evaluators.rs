//! Evaluators: the cases, golden files, budgets and scorers of one commit.
//!
//! They are read from git objects. The code under test runs from a folder that holds none of them,
//! and what it writes there is never read as a case.

use crate::world::fs::{self, FsError};
use crate::world::git::{Entry, Git, GitError, Mode, TreeEdit};
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::document::DocumentError;
use agent_core::formats::manifest::{self, Manifest, Tier};
use agent_core::formats::object_id::{ObjectId, digest};
use agent_core::testing::budget;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

/// Cases, and the golden files they name, lie in here.
pub const TESTS: &str = "tests";
pub const SCORERS: &str = "tests/scorers.py";
/// The folders that hold evaluators and nothing else.
const FOLDERS: [&str; 2] = [TESTS, "ci"];

#[derive(Debug, thiserror::Error)]
pub enum EvaluatorsError {
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error(transparent)]
    Git(#[from] GitError),
}

impl Diagnose for EvaluatorsError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Document(error) => error.kind(),
            Self::Fs(error) => error.kind(),
            Self::Git(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Document(error) => error.hint(),
            Self::Fs(error) => error.hint(),
            Self::Git(error) => error.hint(),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Evaluators {
    pub source: Source,
    /// Of the same commit: the environment of its scorers, and what they may import.
    pub manifest: Manifest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A commit or a tree.
    Objects(ObjectId),
    /// A working tree that git cannot describe.
    Folder(PathBuf),
}

impl Evaluators {
    /// A key of everything that affects them; `None` where they are mutable files. Reads few
    /// objects: neither cases nor scorers.
    pub fn identity(&self, git: &Git) -> Result<Option<String>, GitError> {
        let Source::Objects(tree) = &self.source else { return Ok(None) };
        let named = self
            .manifest
            .evaluators
            .import
            .iter()
            .chain(&self.manifest.python.lock)
            .map(|path| path.trim_end_matches('/'));
        let mut parts = Vec::new();
        for path in FOLDERS.into_iter().chain([manifest::FILE]).chain(named) {
            let entry = git.entry(tree, path)?;
            parts.push(entry.map_or_else(
                || format!("{path} absent"),
                |entry| format!("{path} {:?} {}", entry.mode, entry.id),
            ));
        }
        Ok(Some(parts.join("\n")))
    }

    /// The files, by path; their content is read on demand.
    pub fn files<'a>(&'a self, git: &'a Git) -> Result<Files<'a>, EvaluatorsError> {
        let mut files = BTreeMap::new();
        for folder in FOLDERS {
            files.extend(self.source.below(git, folder)?);
            if let Some(file) = files.get(folder) {
                regular(folder, folder, file)?;
            }
        }
        Ok(Files { git, source: &self.source, manifest: &self.manifest, by_path: files })
    }
}

/// A file, link or submodule; the id is known where it is a git object.
#[derive(Debug, Clone)]
struct File {
    mode: Mode,
    id: Option<ObjectId>,
}

impl From<Entry> for File {
    fn from(entry: Entry) -> Self {
        Self { mode: entry.mode, id: Some(entry.id) }
    }
}

impl Source {
    /// All files at or below a path. A link or a submodule is listed as such: its target is not
    /// part of the commit.
    fn below(&self, git: &Git, path: &str) -> Result<Vec<(String, File)>, EvaluatorsError> {
        match self {
            Self::Objects(tree) => Ok(git
                .checked_files(tree, path)?
                .into_iter()
                .map(|entry| (entry.path.clone(), entry.into()))
                .collect()),
            Self::Folder(folder) => Ok(on_disk(folder, path)?),
        }
    }

    fn read(&self, git: &Git, path: &str, file: &File) -> Result<Vec<u8>, EvaluatorsError> {
        match (self, &file.id) {
            (_, Some(id)) => Ok(git.checked_blob(id)?),
            (Self::Folder(folder), None) => {
                Ok(fs::read_if_there(&folder.join(path))?.unwrap_or_default())
            }
            (Self::Objects(_), None) => unreachable!("an object has an id"),
        }
    }
}

fn on_disk(folder: &Path, path: &str) -> Result<Vec<(String, File)>, FsError> {
    let mut found = Vec::new();
    let mut paths = vec![path.to_owned()];
    while let Some(path) = paths.pop() {
        let place = folder.join(&path);
        let metadata = match place.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.map_err(FsError::while_doing("inspect", &place))?,
        };
        if metadata.is_dir() {
            paths.extend(fs::names(&place)?.into_iter().map(|name| format!("{path}/{name}")));
            continue;
        }
        let mode = match (metadata.is_symlink(), metadata.permissions().mode() & 0o100) {
            (true, _) => Mode::Link,
            (false, 0) => Mode::File,
            (false, _) => Mode::Executable,
        };
        found.push((path, File { mode, id: None }));
    }
    Ok(found)
}

/// The files of evaluators.
pub struct Files<'a> {
    git: &'a Git,
    source: &'a Source,
    manifest: &'a Manifest,
    /// Below `tests/` and `ci/`.
    by_path: BTreeMap<String, File>,
}

/// The files named by an argument of a judge's command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// An option, or a program of the machine.
    Nothing,
    /// A file that judges see.
    Seen,
    /// A file in the folder of a tier, where they see Python files alone.
    OfATier,
    /// A file of the repository that is neither an evaluator nor imported by them.
    Elsewhere,
}

impl<'a> Files<'a> {
    /// The files with the cases of a tier, sorted.
    pub fn of_tier(&self, tier: Tier) -> Result<Vec<&str>, EvaluatorsError> {
        let folder = tier_folder(tier);
        let mut found = Vec::new();
        for (path, file) in self.by_path.iter().filter(|(path, _)| is_at(path, &folder)) {
            // there may be cases behind a link: skipping them silently would hide them
            regular(path, path, file)?;
            if Path::new(path).extension().is_some_and(|extension| extension == "jsonl") {
                found.push(path.as_str());
            }
        }
        Ok(found)
    }

    /// What a file holds; `None` where there is none. `place` is where it was named.
    pub fn read(&self, path: &str, place: &str) -> Result<Option<Vec<u8>>, EvaluatorsError> {
        let Some(file) = self.by_path.get(path) else { return Ok(None) };
        regular(path, place, file)?;
        self.source.read(self.git, path, file).map(Some)
    }

    pub fn budgets(&self) -> Result<Option<Vec<u8>>, EvaluatorsError> {
        self.read(budget::FILE, budget::FILE)
    }

    pub fn named(&self, word: &str) -> Result<Named, EvaluatorsError> {
        let Some(path) = resolved(Path::new(""), word) else { return Ok(Named::Nothing) };
        if self.by_path.contains_key(&path) {
            return Ok(if is_judging(&path) { Named::Seen } else { Named::OfATier });
        }
        if self.manifest.evaluators.import.iter().any(|import| is_at(&path, import)) {
            return Ok(Named::Seen);
        }
        let is_file = match self.source {
            Source::Objects(tree) => {
                self.git.entry(tree, &path)?.is_some_and(|entry| entry.mode != Mode::Folder)
            }
            Source::Folder(folder) => folder.join(&path).is_file(),
        };
        Ok(if is_file { Named::Elsewhere } else { Named::Nothing })
    }

    /// What scorers and judge commands see: `tests/` without the cases (of the folders of the tiers
    /// the Python files alone), `ci/` without the budgets, what the manifest lets them import, and
    /// the lock of their environment. No links.
    pub fn judging(&self) -> Result<Judging<'a>, EvaluatorsError> {
        let seen = |(path, file): (&String, &File)| {
            (is_judging(path) && is_regular(file)).then(|| (path.clone(), file.clone()))
        };
        let mut files: BTreeMap<_, _> = self.by_path.iter().filter_map(seen).collect();
        for path in self.manifest.evaluators.import.iter().chain(&self.manifest.python.lock) {
            let below = self.source.below(self.git, path.trim_end_matches('/'))?;
            if below.is_empty() {
                let hint = "commit the file, or do not name it";
                return Err(DocumentError::new(
                    manifest::FILE,
                    format!("it names {path}, which is not there"),
                    hint,
                )
                .into());
            }
            for (path, file) in below {
                regular(&path, manifest::FILE, &file)?;
                files.insert(path, file);
            }
        }
        for (path, file) in &mut files {
            if file.id.is_none() {
                file.id = Some(ObjectId::of_blob(&self.source.read(self.git, path, file)?));
            }
        }
        Ok(Judging { source: self.source, manifest: self.manifest, files })
    }
}

/// The files that scorers and judge commands see.
pub struct Judging<'a> {
    source: &'a Source,
    /// The Python that runs them, and the variables they read.
    manifest: &'a Manifest,
    files: BTreeMap<String, File>,
}

impl Judging<'_> {
    pub const fn manifest(&self) -> &Manifest {
        self.manifest
    }

    /// The digest of all their content: equal files give equal judgements.
    pub fn digest(&self) -> String {
        let lines = self.entries().map(|(path, file, id)| format!("{:?} {id} {path}\n", file.mode));
        digest(
            format!("python {}\n{}", self.manifest.python.requires, lines.collect::<String>())
                .as_bytes(),
        )
    }

    /// These files below a folder of a tree to be made; none for a working tree that git cannot
    /// describe, which is judged in place.
    pub fn put_below(&self, folder: &str) -> Vec<TreeEdit> {
        let put = |(path, file, id): (&str, &File, &ObjectId)| TreeEdit::Put {
            path: format!("{folder}/{path}"),
            id: id.clone(),
            mode: file.mode,
        };
        if self.in_place().is_some() { Vec::new() } else { self.entries().map(put).collect() }
    }

    /// The working tree that is judged in place.
    pub fn in_place(&self) -> Option<&Path> {
        match self.source {
            Source::Folder(folder) => Some(folder),
            Source::Objects(_) => None,
        }
    }

    fn entries(&self) -> impl Iterator<Item = (&str, &File, &ObjectId)> {
        self.files.iter().map(|(path, file)| {
            (path.as_str(), file, file.id.as_ref().expect("each was given its id"))
        })
    }
}

fn tier_folder(tier: Tier) -> String {
    format!("{TESTS}/{tier}")
}

/// Whether a path is the one named, or below it.
fn is_at(path: &str, named: &str) -> bool {
    path.strip_prefix(named.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether scorers see a file of the evaluators. Cases, and files that only they name, are passed
/// to a scorer case by case, so that its inputs are known.
fn is_judging(path: &str) -> bool {
    let of_a_tier = Tier::ALL.iter().any(|tier| is_at(path, &tier_folder(*tier)));
    path != budget::FILE
        && (!of_a_tier || Path::new(path).extension().is_some_and(|extension| extension == "py"))
}

const fn is_regular(file: &File) -> bool {
    matches!(file.mode, Mode::File | Mode::Executable)
}

fn regular(path: &str, place: &str, file: &File) -> Result<(), DocumentError> {
    if is_regular(file) {
        return Ok(());
    }
    let what = if file.mode == Mode::Link { "a symbolic link" } else { "a submodule" };
    let problem = if path == place { format!("it is {what}") } else { format!("{path} is {what}") };
    Err(DocumentError::new(
        place,
        problem,
        "put the files themselves there: what judges is read from the commit alone",
    ))
}

/// A path from `folder`, both relative to the root of the repository, with its `.` and `..`
/// resolved; `None` when it leads out of the repository.
pub fn resolved(folder: &Path, named: &str) -> Option<String> {
    let mut path = folder.to_owned();
    for part in Path::new(named).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir => path.pop().then_some(())?,
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path.to_str()?.to_owned())
}

#[cfg(test)]
pub(crate) mod fixture {
    use super::*;
    use crate::world::process::Run;

    /// Files as the tree of a repository, and as a folder.
    pub struct Fixture {
        folder: tempfile::TempDir,
        pub git: Git,
        files: BTreeMap<String, TreeEdit>,
        manifest: String,
    }

    impl Fixture {
        pub fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            Run::new("git").args(["init", "-q"]).arg(folder.path()).succeed().unwrap();
            let git = Git::discover(folder.path()).unwrap();
            Self { folder, git, files: BTreeMap::new(), manifest: String::new() }
        }

        pub fn manifest(&mut self, sections: &str) {
            sections.clone_into(&mut self.manifest);
        }

        pub fn write(&mut self, path: &str, bytes: impl AsRef<[u8]>) {
            let place = self.folder.path().join(path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, bytes.as_ref()).unwrap();
            self.put(path, bytes, Mode::File);
        }

        pub fn remove(&mut self, path: &str) {
            std::fs::remove_file(self.root().join(path)).unwrap();
            self.files.remove(path);
        }

        pub fn link(&mut self, path: &str, to: &str) {
            let place = self.folder.path().join(path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(to, place).unwrap();
            self.put(path, to, Mode::Link);
        }

        fn put(&mut self, path: &str, bytes: impl AsRef<[u8]>, mode: Mode) {
            let id = self.git.write_blob(bytes.as_ref()).unwrap();
            self.files.insert(path.to_owned(), TreeEdit::Put { path: path.to_owned(), id, mode });
        }

        pub fn root(&self) -> &Path {
            self.folder.path()
        }

        /// From the tree, and from the folder.
        pub fn both(&self) -> [Evaluators; 2] {
            let text = format!(
                "schema = \"agent/manifest@1\"\nname = \"a\"\n[runner]\ncommand = [\"x\"]\n{}",
                self.manifest
            );
            let manifest = Manifest::parse(&text, "agent.toml").unwrap();
            let tree = self
                .git
                .edit_tree(None, &self.files.values().cloned().collect::<Vec<_>>())
                .unwrap();
            [Source::Objects(tree), Source::Folder(self.folder.path().to_owned())]
                .map(|source| Evaluators { source, manifest: manifest.clone() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::Fixture;
    use super::*;

    fn seen(evaluators: &Evaluators, fixture: &Fixture) -> Vec<String> {
        evaluators.files(&fixture.git).unwrap().judging().unwrap().files.into_keys().collect()
    }

    #[test]
    fn scorers_get_evaluators_and_named_files_without_cases() {
        let mut fixture = Fixture::new();
        for path in [
            "agent.toml",
            "json.py",
            "sitecustomize.py",
            "runner/words.py",
            "runner/other.py",
            "requirements.lock",
            "state/active.state.json",
            "tests/scorers.py",
            "tests/rubric/prompt.txt",
            "tests/micro/cases.jsonl",
            "tests/micro/golden/a.json",
            "tests/full/heldout/cases.jsonl",
            "tests/full/judge.py",
            "ci/budgets.json",
            "ci/judge.sh",
        ] {
            fixture.write(path, path);
        }
        fixture.link("tests/elsewhere.txt", "/etc/passwd");
        let own =
            ["ci/judge.sh", "tests/full/judge.py", "tests/rubric/prompt.txt", "tests/scorers.py"];
        for evaluators in fixture.both() {
            assert_eq!(seen(&evaluators, &fixture), own);
        }
        fixture.manifest(
            "[python]\n\
            lock = \"requirements.lock\"\n\
            [evaluators]\n\
            import = [\"runner/words.py\"]\n",
        );
        let [objects, folder] = fixture.both();
        assert_eq!(seen(&objects, &fixture), seen(&folder, &fixture));
        assert_eq!(
            seen(&objects, &fixture),
            [own[0], "requirements.lock", "runner/words.py", own[1], own[2], own[3]]
        );

        let files = objects.files(&fixture.git).unwrap();
        let tree =
            fixture.git.edit_tree(None, &files.judging().unwrap().put_below("evaluators")).unwrap();
        let put: Vec<_> =
            fixture.git.files(&tree, "").unwrap().into_iter().map(|entry| entry.path).collect();
        assert_eq!(
            put,
            seen(&objects, &fixture)
                .iter()
                .map(|path| format!("evaluators/{path}"))
                .collect::<Vec<_>>()
        );
        assert_eq!(
            fixture.git.read(&tree, "evaluators/runner/words.py").unwrap().as_deref(),
            Some(b"runner/words.py".as_slice())
        );
        let digests = [&objects, &folder]
            .map(|evaluators| evaluators.files(&fixture.git).unwrap().judging().unwrap().digest());
        assert_eq!(digests[0], digests[1], "the same files are the same, wherever they are read");
    }

    #[test]
    fn evaluator_digest_covers_every_judging_file() {
        let mut fixture = Fixture::new();
        for path in [
            "agent.toml",
            "runner/words.py",
            "runner/other.py",
            "tests/scorers.py",
            "tests/prompt.txt",
            "tests/full/a.jsonl",
            "lock",
        ] {
            fixture.write(path, path);
        }
        fixture
            .manifest("[python]\nlock = \"lock\"\n[evaluators]\nimport = [\"runner/words.py\"]\n");
        let say = |fixture: &Fixture| {
            let [objects, folder] = fixture.both();
            assert_eq!(folder.identity(&fixture.git).unwrap(), None);
            let judging = objects.files(&fixture.git).unwrap().judging().unwrap().digest();
            (objects.identity(&fixture.git).unwrap().unwrap(), judging)
        };
        let before = say(&fixture);
        // what changes the digest, and what changes a score
        for (path, whole, score) in [
            ("runner/other.py", false, false),
            ("agent.toml", true, false),
            ("runner/words.py", true, true),
            ("tests/prompt.txt", true, true),
            ("tests/full/a.jsonl", true, false),
            ("ci/budgets.json", true, false),
            ("ci/judge.py", true, true),
            ("lock", true, true),
        ] {
            fixture.write(path, "changed");
            let after = say(&fixture);
            assert_eq!((before.0 != after.0, before.1 != after.1), (whole, score), "{path}");
            fixture.write(path, path);
            if path.starts_with("ci/") {
                fixture.remove(path);
            }
        }
    }

    #[track_caller]
    fn check(fixture: &Fixture, message: &str) {
        for evaluators in fixture.both() {
            let files = evaluators.files(&fixture.git);
            let read = files.and_then(|files| {
                Ok((files.of_tier(Tier::Full)?.len(), files.budgets()?, files.judging()?.digest()))
            });
            assert_eq!(read.unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn evaluators_behind_links_are_refused() {
        for (path, message) in [
            ("tests", "tests: it is a symbolic link"),
            ("ci", "ci: it is a symbolic link"),
            ("tests/full", "tests/full: it is a symbolic link"),
            ("tests/full/more", "tests/full/more: it is a symbolic link"),
            ("tests/full/heldout/a.jsonl", "tests/full/heldout/a.jsonl: it is a symbolic link"),
            ("ci/budgets.json", "ci/budgets.json: it is a symbolic link"),
        ] {
            let mut fixture = Fixture::new();
            fixture.link(path, "/etc");
            check(&fixture, message);
        }
        let mut fixture = Fixture::new();
        fixture.manifest("[evaluators]\nimport = [\"runner/\"]\n");
        check(&fixture, "agent.toml: it names runner/, which is not there");
        fixture.link("runner/words.py", "other.py");
        check(&fixture, "agent.toml: runner/words.py is a symbolic link");
    }

    #[test]
    fn a_submodule_and_a_name_that_is_not_utf8_are_refused() {
        let fixture = Fixture::new();
        let commit = ObjectId::parse(&"1".repeat(40)).unwrap();
        let tree = fixture
            .git
            .edit_tree(
                None,
                &[TreeEdit::Put {
                    path: "tests/full/sub".to_owned(),
                    id: commit,
                    mode: Mode::Submodule,
                }],
            )
            .unwrap();
        let evaluators = Evaluators { source: Source::Objects(tree), ..fixture.both()[0].clone() };
        let files = evaluators.files(&fixture.git).unwrap();
        assert_eq!(
            files.of_tier(Tier::Full).unwrap_err().to_string(),
            "tests/full/sub: it is a submodule"
        );

        // two names that would be the same text, and one of them would hide the other
        let blob = fixture.git.write_blob(b"").unwrap();
        let listed =
            [b"100644 blob ".as_slice(), blob.as_str().as_bytes(), b"\ttests/full/\xff.jsonl\0"]
                .concat();
        let index = fixture.root().join("index");
        let git = |words: &[&str], stdin: &[u8]| {
            let run = crate::world::process::Run::new("git")
                .args(words)
                .env("GIT_INDEX_FILE", &index)
                .directory(fixture.root());
            run.stdin(stdin).succeed().unwrap().text()
        };
        git(&["update-index", "-z", "--index-info"], &listed);
        let tree = ObjectId::parse(&git(&["write-tree"], b"")).unwrap();
        let evaluators = Evaluators { source: Source::Objects(tree), ..evaluators };
        let error = evaluators.files(&fixture.git).err().unwrap();
        assert_eq!(error.to_string(), "the name of `tests/full/\u{fffd}.jsonl` is not UTF-8");
    }
}
