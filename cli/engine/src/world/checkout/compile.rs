//! Compiled Python beside the files of a checkout, made with it by an isolated interpreter:
//! children neither write any nor have to.

use crate::world::git::{Listed, Mode};
use crate::world::process::Run;
use crate::world::python::Interpreter;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

const SCRIPT: &str = include_str!("compile.py");
/// Of more files than this, those are compiled that the command lines lead to.
const FEW: usize = 400;

/// Which interpreter a checkout is compiled for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiler {
    program: PathBuf,
    /// Interpreters of one kind load what each other compiled.
    kind: String,
    words: Vec<String>,
}

impl Compiler {
    /// `words` are the arguments of the command lines that are run in the checkout.
    pub fn new(interpreter: &Interpreter, words: Vec<String>) -> Self {
        let kind = format!("{}-{}", interpreter.implementation, interpreter.version);
        Self { program: interpreter.executable.clone(), kind, words }
    }

    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    /// Compiles what compiles; a child reports other errors on import. `folder` will be moved to
    /// `place`.
    pub(super) fn compile(&self, listed: &[Listed], folder: &Path, place: &Path) {
        let is_python = |file: &&Listed| {
            file.mode != Mode::Link
                && file.path.extension().is_some_and(|extension| extension == "py")
        };
        let mut input = [place.as_os_str().as_bytes(), b"\0"].concat();
        let before = input.len();
        for file in listed.iter().filter(is_python) {
            input.extend_from_slice(file.path.as_os_str().as_bytes());
            input.push(0);
        }
        if input.len() == before {
            return;
        }
        let run = Run::new(&self.program)
            .args(["-I", "-S", "-W", "ignore", "-c", SCRIPT])
            .arg(FEW.to_string())
            .args(&self.words);
        // without compiled files a start only takes longer
        let _ = run.directory(folder).stdin(input).finish();
    }
}
