//! Python: the interpreter a repository runs on, and its environment.
//!
//! A manifest without a lock gets the bare interpreter. One with a lock gets an environment keyed
//! by the lock's bytes and the interpreter, made once, by `uv` where there is one and by `venv` and
//! pip otherwise.

mod error;
mod installer;
mod interpreter;
mod locking;
mod marker;
mod project;

pub use error::PythonError;
pub use installer::Installer;
pub use interpreter::Interpreter;
pub use locking::{LockInputs, Locked, Locking};
pub use marker::{MARKER, is_finished};
pub use project::project;

use crate::world::env;
use crate::world::fs::{self, Durability, FileLock, FsError};
use crate::world::layout::Layout;
use crate::world::process::{ProcessError, Run, on_path};
use agent_core::formats::manifest::{EntryPoint, Python};
use agent_core::formats::object_id;
use agent_core::formats::python_version::PythonRequirement;
use installer::Pip;
use marker::{COMPILED, Marker, is_compiled};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The interpreter a checkout's children run on: the bare one, or that of the environment of its
/// lock, created when it is missing. `say` is called with slow steps.
pub fn interpreter(
    layout: &Layout,
    code: &Path,
    python: &Python,
    say: &dyn Fn(&str),
) -> Result<PathBuf, PythonError> {
    interpreter_by(Installer::found, layout, code, python, say)
}

/// Like `interpreter`, with this installer, should packages have to be installed.
pub fn interpreter_by(
    installer: impl FnOnce(&Interpreter) -> Installer,
    layout: &Layout,
    code: &Path,
    python: &Python,
    say: &dyn Fn(&str),
) -> Result<PathBuf, PythonError> {
    let bare = find(layout, &python.requires)?;
    match &python.lock {
        None => Ok(bare.executable),
        Some(lock) => environment(installer, layout, code, Path::new(lock), &bare, say),
    }
}

/// The paths of a repository's interpreter and its modules, excluding the code and a lock's
/// environment.
pub struct Folders {
    /// The installation of the interpreter.
    pub installed: Vec<PathBuf>,
    /// The user's additional module path, where there is no lock.
    pub packages: Vec<PathBuf>,
}

pub fn folders(layout: &Layout, python: &Python) -> Result<Folders, PythonError> {
    let bare = find(layout, &python.requires)?;
    let mut packages = Vec::new();
    if python.lock.is_none() {
        packages.extend(
            env::python_path()
                .iter()
                .flat_map(std::env::split_paths)
                .filter(|path| path.is_absolute()),
        );
        packages.extend(bare.user_packages());
    }
    Ok(Folders { installed: bare.prefixes, packages })
}

/// Whether the interpreter of a checkout is ready: creating a lock's environment is slow.
pub fn is_ready(layout: &Layout, code: &Path, python: &Python) -> Result<bool, PythonError> {
    let bare = find(layout, &python.requires)?;
    let Some(lock) = &python.lock else { return Ok(true) };
    let bytes = fs::read_if_there(&code.join(lock))?
        .ok_or_else(|| PythonError::NoLock { lock: lock.into() })?;
    Ok(finished(&layout.environment(&key(&bytes, &bare))).is_some())
}

/// A child's command line: `python` and `python3` are replaced by the interpreter, and programs of
/// its environment by their paths.
pub fn command(entry: &EntryPoint, interpreter: &Path) -> Vec<OsString> {
    let mut command: Vec<OsString> = entry.command.iter().map(OsString::from).collect();
    if let Some(program) = command.first_mut() {
        if *program == "python" || *program == "python3" {
            *program = interpreter.into();
        } else if let Some(installed) = beside(interpreter, program) {
            *program = installed.into();
        }
    }
    command
}

fn beside(interpreter: &Path, program: &OsStr) -> Option<PathBuf> {
    let bare_name = Path::new(program).components().count() == 1;
    let candidate = interpreter.parent()?.join(program);
    (bare_name && fs::is_program(&candidate)).then_some(candidate)
}

/// Where the compiled files of what a child imports are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bytecode {
    /// Beside the files, made with the checkout; children write none.
    InPlace,
    /// In a folder of `agent`, since the code is in a folder of the user.
    Apart(PathBuf),
}

/// What every Python child finds in its environment besides the user's own.
pub fn child_environment(
    bytecode: &Bytecode,
    code: &Path,
    python: &Python,
) -> Vec<(OsString, OsString)> {
    let mut roots = vec![code.to_owned()];
    let sources = code.join("src");
    if sources.is_dir() {
        roots.push(sources);
    }
    // a lock is complete; without one, the user's interpreter and module path are used
    if python.lock.is_none() {
        roots.extend(env::python_path().iter().flat_map(std::env::split_paths));
    }
    let joined = std::env::join_paths(&roots).unwrap_or_else(|_| code.into());
    // an empty variable is as one that is not set
    let (prefix, write_none) = match bytecode {
        Bytecode::InPlace => (OsString::new(), "1".into()),
        Bytecode::Apart(folder) => (folder.into(), OsString::new()),
    };
    vec![
        ("PYTHONPATH".into(), joined),
        ("PYTHONPYCACHEPREFIX".into(), prefix),
        ("PYTHONDONTWRITEBYTECODE".into(), write_none),
    ]
}

/// The environment of a Python process that may import from one folder only: without the user's
/// module path.
pub fn isolated_environment(folder: &Path) -> Vec<(OsString, OsString)> {
    let roots =
        std::env::join_paths([folder, &folder.join("src")]).unwrap_or_else(|_| folder.into());
    vec![
        ("PYTHONPATH".into(), roots),
        ("PYTHONNOUSERSITE".into(), "1".into()),
        ("PYTHONDONTWRITEBYTECODE".into(), "1".into()),
    ]
}

// ---- the interpreter

/// The first interpreter that meets the requirement: `AGENT_PYTHON` alone when it is set, else
/// `python3`, `python` and the newer names on PATH.
pub fn find(layout: &Layout, requires: &str) -> Result<Interpreter, PythonError> {
    let requirement: PythonRequirement = requires.parse().map_err(PythonError::Requirement)?;
    let mut probes = Probes::read(layout);
    let mut found = Vec::new();
    for (label, path) in candidates() {
        match path.map_or_else(|| Err("not on PATH".to_owned()), |path| probes.interpreter(&path)) {
            Ok(interpreter)
                if interpreter.release().is_some_and(|version| requirement.allows(version)) =>
            {
                probes.write();
                return Ok(interpreter);
            }
            Ok(interpreter) => found.push(format!(
                "{label}: Python {} at {}",
                interpreter.version,
                interpreter.executable.display()
            )),
            Err(problem) => found.push(format!("{label}: {problem}")),
        }
    }
    Err(PythonError::NotFound { requires: requires.to_owned(), found })
}

const NAMES: [&str; 2] = ["python3", "python"];
/// Tried when the two names above are missing or too old (macOS and long-lived distributions keep
/// an old `python3`).
const NEWER_NAMES: [&str; 4] = ["python3.14", "python3.13", "python3.12", "python3.11"];

/// Each is searched only when the earlier ones are unsuitable: PATH may be long.
fn candidates() -> Box<dyn Iterator<Item = (String, Option<PathBuf>)>> {
    if let Some(named) = env::python() {
        let label = format!("{}={}", env::PYTHON, named.to_string_lossy());
        let path = if Path::new(&named).components().count() > 1 {
            Some(PathBuf::from(named))
        } else {
            on_path(&named)
        };
        return Box::new(std::iter::once((label, path)));
    }
    let newer = NEWER_NAMES
        .iter()
        .map(|name| (name, on_path(OsStr::new(name))))
        .filter(|(_, path)| path.is_some());
    let usual = NAMES.iter().map(|name| (name, on_path(OsStr::new(name))));
    Box::new(usual.chain(newer).map(|(name, path)| ((*name).to_owned(), path)))
}

const PROBES: &str = "agent/pythons@2";
/// Isolated and without `site`, which is what takes the time.
const QUESTION: [&str; 4] = [
    "-I",
    "-S",
    "-c",
    "import sys; print(sys.executable); print('%d.%d.%d' % sys.version_info[:3]); \
    print(sys.implementation.name + ('-' + sys.abiflags if sys.abiflags else '')); \
    print(sys.base_prefix); print(sys.base_exec_prefix)",
];

/// What interpreters have answered, by path, time of change and what steers a version manager's
/// shim: no process is started for one that is known.
struct Probes<'a> {
    layout: &'a Layout,
    known: BTreeMap<String, Interpreter>,
    changed: bool,
}

#[derive(Serialize, Deserialize)]
struct ProbesFile {
    schema: String,
    probes: BTreeMap<String, Interpreter>,
}

impl<'a> Probes<'a> {
    fn read(layout: &'a Layout) -> Self {
        let file = fs::read_if_there(&layout.pythons()).ok().flatten();
        let known = file
            .and_then(|bytes| serde_json::from_slice::<ProbesFile>(&bytes).ok())
            .filter(|file| file.schema == PROBES)
            .map_or_else(BTreeMap::new, |file| file.probes);
        Self { layout, known, changed: false }
    }

    /// A cache: in a read-only repository the interpreter is probed each time.
    fn write(&self) {
        if self.changed
            && self.layout.root().is_dir()
            && let Ok(bytes) = serde_json::to_vec_pretty(&ProbesFile {
                schema: PROBES.to_owned(),
                probes: self.known.clone(),
            })
        {
            let _ = fs::replace(&self.layout.pythons(), &bytes, Durability::Rebuildable);
        }
    }

    fn interpreter(&mut self, path: &Path) -> Result<Interpreter, String> {
        let key = self.key(path).ok_or_else(|| format!("{} is not there", path.display()))?;
        if let Some(known) = self.known.get(&key).filter(|known| fs::is_program(&known.executable))
        {
            return Ok(known.clone());
        }
        let interpreter = self.probe(path)?;
        self.changed = true;
        self.known.insert(key, interpreter.clone());
        Ok(interpreter)
    }

    fn key(&self, path: &Path) -> Option<String> {
        let metadata = path.metadata().ok()?;
        let shim = [
            env::pyenv_version().unwrap_or_default(),
            std::fs::read(self.layout.root().join(".python-version")).unwrap_or_default(),
        ];
        let steering = shim
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned())
            .collect::<Vec<_>>()
            .join(" ");
        let key = format!(
            "{} {}.{} {} {steering}",
            path.display(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.size()
        );
        Some(key.trim_end().to_owned())
    }

    fn probe(&self, path: &Path) -> Result<Interpreter, String> {
        let run = Run::new(path).args(QUESTION).env_remove("PYTHONHOME");
        let run = if self.layout.root().is_dir() { run.directory(self.layout.root()) } else { run };
        let finished = run.succeed().map_err(|error| error.to_string())?;
        let text = finished.text();
        let mut lines = text.lines();
        let (Some(executable), Some(version), Some(implementation)) =
            (lines.next(), lines.next(), lines.next())
        else {
            return Err(format!("{} does not answer as Python does", path.display()));
        };
        let executable = PathBuf::from(executable);
        let mut prefixes: Vec<PathBuf> = lines.map(PathBuf::from).collect();
        // an environment of the user's own
        prefixes.extend(environment_of(&executable));
        prefixes.dedup();
        Ok(Interpreter {
            executable,
            version: version.to_owned(),
            implementation: implementation.to_owned(),
            prefixes,
        })
    }
}

/// The environment that contains a program, as made by `python -m venv`.
pub fn environment_of(program: &Path) -> Option<PathBuf> {
    program
        .ancestors()
        .nth(2)
        .filter(|folder| folder.join("pyvenv.cfg").is_file())
        .map(Path::to_owned)
}

// ---- the environment

fn environment(
    installer: impl FnOnce(&Interpreter) -> Installer,
    layout: &Layout,
    code: &Path,
    lock: &Path,
    bare: &Interpreter,
    say: &dyn Fn(&str),
) -> Result<PathBuf, PythonError> {
    let bytes = fs::read_if_there(&code.join(lock))?
        .ok_or_else(|| PythonError::NoLock { lock: lock.to_owned() })?;
    let folder = layout.environment(&key(&bytes, bare));
    let known = finished(&folder);
    if let Some(python) = known.as_ref().filter(|_| is_compiled(&folder)) {
        return Ok(python.clone());
    }
    let installer = installer(bare);
    let maker = Maker { code, lock, folder: &folder, bare, bytes: &bytes, installer };
    if let Some(python) = known {
        // where that cannot be, each start takes longer
        let _ = maker.compile();
        return Ok(python);
    }
    refuse_local_entries(&bytes, lock)?;
    let _turn = maker.turn()?;
    if let Some(python) = finished(&folder) {
        return Ok(python);
    }
    say(&format!(
        "making the Python environment for {} ({})",
        lock.display(),
        maker.installer.name()
    ));
    maker.make()?;
    if let Some(lacking) = maker.lacking() {
        say(&format!("{} is incomplete: {lacking}", lock.display()));
    }
    maker.mark()?;
    Ok(python_of(&folder))
}

fn key(lock: &[u8], bare: &Interpreter) -> String {
    let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    let mut text = format!("{} {} {platform}\n", bare.implementation, bare.version).into_bytes();
    text.extend_from_slice(lock);
    let digest = object_id::digest(&text);
    digest.trim_start_matches("sha256:")[..32].to_owned()
}

fn python_of(folder: &Path) -> PathBuf {
    folder.join("bin/python")
}

/// The environment's interpreter, when its creation completed and its link target still exists.
fn finished(folder: &Path) -> Option<PathBuf> {
    let python = python_of(folder);
    (is_finished(folder) && fs::is_program(&python)).then_some(python)
}

/// Held by the process that makes an environment.
pub fn lock_of(environment: &Path) -> PathBuf {
    let mut beside = environment.as_os_str().to_owned();
    beside.push(".lock");
    beside.into()
}

fn lists_hashes(lock: &[u8]) -> bool {
    String::from_utf8_lossy(lock).contains("--hash=")
}

fn refuse_local_entries(bytes: &[u8], lock: &Path) -> Result<(), PythonError> {
    const LOCAL: [&str; 9] =
        ["-e", "--editable", "-r", "--requirement", "-c", "--constraint", ".", "/", "file:"];
    let text = String::from_utf8_lossy(bytes);
    let local = text
        .lines()
        .enumerate()
        .find(|(_, line)| LOCAL.iter().any(|prefix| line.trim_start().starts_with(prefix)));
    match local {
        None => Ok(()),
        Some((index, line)) => Err(PythonError::LocalEntry {
            lock: lock.to_owned(),
            line: index + 1,
            entry: line.trim().to_owned(),
        }),
    }
}

/// Creates an environment, under its lock.
struct Maker<'a> {
    code: &'a Path,
    lock: &'a Path,
    folder: &'a Path,
    bare: &'a Interpreter,
    bytes: &'a [u8],
    installer: Installer,
}

impl Maker<'_> {
    fn make(&self) -> Result<(), PythonError> {
        self.clear()?;
        let made = match &self.installer {
            Installer::Uv { program, settings } => self.with_uv(program, settings),
            Installer::Pip => self.with_pip(),
        };
        made.map_err(|source| {
            let _ = self.clear();
            PythonError::Environment { lock: self.lock.to_owned(), source }
        })
    }

    /// Leftovers of a killed process.
    fn clear(&self) -> Result<(), FsError> {
        match std::fs::remove_dir_all(self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(FsError::while_doing("clear", self.folder)(error))
            }
            _ => Ok(()),
        }
    }

    fn with_uv(&self, uv: &Path, settings: &[(OsString, OsString)]) -> Result<(), ProcessError> {
        let run = || settings.iter().fold(self.run(uv), |run, (name, value)| run.env(name, value));
        run()
            .args(["venv", "--quiet", "--python"])
            .arg(&self.bare.executable)
            .arg(self.folder)
            .succeed()?;
        let install = run()
            .args(["pip", "install", "--quiet", "--compile-bytecode", "--python"])
            .arg(python_of(self.folder));
        self.lock_of(install).succeed().map(drop)
    }

    /// Which packages lack others: a lock with hashes is installed as it is, and nothing besides.
    fn lacking(&self) -> Option<String> {
        if !lists_hashes(self.bytes) {
            return None;
        }
        let check = match &self.installer {
            Installer::Uv { program, .. } => {
                self.run(program).args(["pip", "check", "--python"]).arg(python_of(self.folder))
            }
            Installer::Pip => self.pip().ok()?.arg("check"),
        };
        let checked = check.finish().ok().filter(|checked| !checked.success())?;
        Some(format!("{} {}", checked.text(), checked.complaint()).trim().replace('\n', "; "))
    }

    /// The environment gets no pip of its own, which takes seconds, and packages are compiled on
    /// every processor afterwards.
    fn with_pip(&self) -> Result<(), ProcessError> {
        let venv = self.run(&self.bare.executable).args(["-I", "-m", "venv", "--without-pip"]);
        venv.arg(self.folder).succeed()?;
        let install = self.pip()?.args(["install", "--quiet", "--no-compile"]);
        self.lock_of(install).succeed()?;
        self.compile_packages();
        Ok(())
    }

    fn pip(&self) -> Result<Run, ProcessError> {
        let pip = Pip::within(self.bare, &python_of(self.folder))?;
        Ok(pip.run().directory(self.code).env_remove("VIRTUAL_ENV"))
    }

    fn compile_packages(&self) {
        const COMPILE: &str = "import compileall, sysconfig; \
            compileall.compile_dir(sysconfig.get_path('purelib'), quiet=2, workers=0)";
        // a package that does not compile is its user's to find
        let _ = self.run(&python_of(self.folder)).args(["-I", "-c", COMPILE]).finish();
    }

    /// Compiles what was installed without that.
    fn compile(&self) -> Result<(), PythonError> {
        let _turn = self.turn()?;
        if !is_compiled(self.folder) {
            self.compile_packages();
            self.mark()?;
        }
        Ok(())
    }

    /// One process at a time makes an environment.
    fn turn(&self) -> Result<FileLock, FsError> {
        FileLock::acquire(&lock_of(self.folder))
    }

    /// The environment is complete.
    fn mark(&self) -> Result<(), FsError> {
        let lock_digest = object_id::digest(self.bytes);
        let marker = Marker {
            schema: COMPILED,
            lock: self.lock,
            lock_digest,
            python: self.bare,
            made_with: self.installer.name(),
        };
        marker.write(self.folder)
    }

    fn lock_of(&self, run: Run) -> Run {
        let run = if lists_hashes(self.bytes) {
            run.args(["--no-deps", "--require-hashes"])
        } else {
            run
        };
        run.arg("-r").arg(self.lock)
    }

    /// In the checkout, without variables that would direct either tool to another environment.
    fn run(&self, program: &Path) -> Run {
        [
            "VIRTUAL_ENV",
            "PYTHONHOME",
            "PYTHONPATH",
            "UV_PYTHON",
            "PIP_USER",
            "PIP_TARGET",
            "PIP_PREFIX",
        ]
        .into_iter()
        .fold(Run::new(program).directory(self.code), Run::env_remove)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::formats::diagnose::{Diagnose as _, FailureKind};
    use std::cell::RefCell;

    struct Repository {
        folder: tempfile::TempDir,
        layout: Layout,
    }

    impl Repository {
        fn new() -> Self {
            let folder = tempfile::Builder::new().prefix("agent with späces ").tempdir().unwrap();
            let layout = Layout::new(folder.path());
            Self { folder, layout }
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.folder.path().join(name), text).unwrap();
        }

        /// A wheel of one module, and the lock that names it by hash.
        fn lock_a_wheel(&self) -> String {
            const BUILD: &str = "
import sys, zipfile, hashlib
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    wheel.writestr('tiny_wheel.py', 'ANSWER = 42\\n')
    wheel.writestr('tiny_wheel-1.0.dist-info/METADATA',
        'Metadata-Version: 2.1\\nName: tiny-wheel\\nVersion: 1.0\\n')
    wheel.writestr('tiny_wheel-1.0.dist-info/WHEEL',
        'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr('tiny_wheel-1.0.dist-info/RECORD', '')
print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())
";
            let wheel = self.folder.path().join("tiny_wheel-1.0-py3-none-any.whl");
            let python = find(&self.layout, ">=3.11").unwrap().executable;
            let digest = Run::new(python).args(["-c", BUILD]).arg(&wheel).succeed().unwrap().text();
            let url = wheel.display().to_string().replace(' ', "%20").replace('ä', "%C3%A4");
            format!("tiny-wheel @ file://{url} --hash=sha256:{digest}\n")
        }

        fn interpreter(&self, lock: Option<&str>) -> (Result<PathBuf, PythonError>, usize) {
            let said = RefCell::new(0);
            let python = Python { lock: lock.map(str::to_owned), ..Python::default() };
            let result = interpreter(&self.layout, self.folder.path(), &python, &|_| {
                *said.borrow_mut() += 1;
            });
            (result, said.into_inner())
        }
    }

    #[test]
    fn interpreter_is_used_without_a_lock_and_its_probe_is_cached() {
        let repository = Repository::new();
        let (first, _) = repository.interpreter(None);
        let kept = std::fs::read(repository.layout.pythons()).unwrap();
        // a known interpreter is not probed again: the cached result is returned, even a modified
        // one
        let changed =
            String::from_utf8(kept).unwrap().replace("\"version\": \"3.", "\"version\": \"9.");
        std::fs::write(repository.layout.pythons(), changed).unwrap();
        assert_eq!(repository.interpreter(None).0.unwrap(), first.unwrap());
        assert!(find(&repository.layout, ">=9").unwrap().version.starts_with("9."));
        assert!(!repository.layout.home().join("environments").exists());
    }

    #[test]
    fn missing_python_error_lists_candidates() {
        let repository = Repository::new();
        let error = find(&repository.layout, ">=4").unwrap_err();
        assert_eq!(error.kind(), FailureKind::Surroundings);
        assert!(
            error.to_string().starts_with("no Python >=4 was found\n  python3: Python 3."),
            "{error}"
        );
        assert_eq!(find(&repository.layout, "newest").unwrap_err().kind(), FailureKind::Input);
    }

    #[test]
    fn environment_is_built_once_after_an_interrupted_build() {
        let repository = Repository::new();
        let lock = repository.lock_a_wheel();
        repository.write("requirements.lock", &lock);
        let folder = repository
            .layout
            .environment(&key(lock.as_bytes(), &find(&repository.layout, ">=3.11").unwrap()));
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        std::fs::copy("/bin/sh", folder.join("bin/python")).unwrap();

        let (python, said) = repository.interpreter(Some("requirements.lock"));
        let python = python.unwrap();
        assert_eq!((said, python.starts_with(&folder)), (1, true));
        let answer = Run::new(&python)
            .args(["-c", "import tiny_wheel; print(tiny_wheel.ANSWER)"])
            .succeed()
            .unwrap();
        assert_eq!(answer.text(), "42");
        assert_eq!(repository.interpreter(Some("requirements.lock")).1, 0);
    }

    #[test]
    fn hash_mismatch_reports_the_installer_output_and_leaves_no_files() {
        let repository = Repository::new();
        let lock = repository.lock_a_wheel();
        let digest = lock.rsplit(':').next().unwrap().trim().to_owned();
        repository.write("requirements.lock", &lock.replace(&digest, &"0".repeat(64)));
        let error = repository.interpreter(Some("requirements.lock")).0.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Surroundings);
        let PythonError::Environment { source, .. } = &error else { panic!("{error}") };
        assert!(source.to_string().contains(&digest), "{source}");
        let left = std::fs::read_dir(repository.layout.home().join("environments")).unwrap();
        assert!(
            left.flatten()
                .all(|entry| entry.path().extension().is_some_and(|extension| extension == "lock"))
        );
    }

    #[test]
    fn lock_with_local_or_no_entries_is_an_input_error() {
        let repository = Repository::new();
        repository.write("requirements.lock", "# made manually\n-e .\n");
        let error = repository.interpreter(Some("requirements.lock")).0.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Input);
        assert!(error.to_string().starts_with("requirements.lock:2: `-e .`"), "{error}");
        assert_eq!(
            repository.interpreter(Some("missing.lock")).0.unwrap_err().kind(),
            FailureKind::Input
        );
    }

    #[test]
    fn leading_python_is_replaced_by_the_interpreter() {
        let python = Path::new("/opt/python/bin/python3.13");
        let check = |words: &[&str], expected: &[&str]| {
            let entry = EntryPoint {
                command: words.iter().map(|word| (*word).to_owned()).collect(),
                ..EntryPoint::default()
            };
            assert_eq!(
                command(&entry, python),
                expected.iter().map(OsString::from).collect::<Vec<_>>()
            );
        };
        check(&["python", "-m", "runner"], &["/opt/python/bin/python3.13", "-m", "runner"]);
        check(&["python3", "python"], &["/opt/python/bin/python3.13", "python"]);
        check(&["node", "server.js"], &["node", "server.js"]);
    }
}
