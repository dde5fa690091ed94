//! Output files named by the user. An existing entry keeps its type: a pipe or a device is written
//! to, a link is followed, a file keeps its mode and its owner.

use crate::world::fs::{self, Durability, FsError};
use crate::world::stdout;
use std::ffi::OsString;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// `-`
    Stdout,
    File(PathBuf),
}

impl From<OsString> for Output {
    fn from(named: OsString) -> Self {
        if named == "-" { Self::Stdout } else { Self::File(named.into()) }
    }
}

impl Output {
    pub fn is_stdout(&self) -> bool {
        *self == Self::Stdout
    }

    /// A relative path is resolved against this folder.
    #[must_use]
    pub fn within(&self, folder: &Path) -> Self {
        match self {
            Self::Stdout => Self::Stdout,
            Self::File(path) => Self::File(folder.join(path)),
        }
    }

    /// As messages name it.
    pub fn shown(&self) -> String {
        match self {
            Self::Stdout => "stdout".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Writes a document, replacing the previous content. A file is replaced atomically where
    /// possible.
    pub fn write(&self, bytes: &[u8]) -> Result<(), FsError> {
        match self {
            Self::Stdout => delivered(stdout::write_all(bytes), Path::new("stdout")),
            Self::File(path) => write_file(path, bytes),
        }
    }

    /// Opens it to be written to as things happen.
    pub fn open(&self) -> Result<Open, FsError> {
        let Self::File(path) = self else { return Ok(Open { file: None, path: "stdout".into() }) };
        let file = match std::fs::metadata(path) {
            Ok(metadata) if is_through(path, &metadata) => through(path)?,
            _ => fs::create_file(path)?,
        };
        Ok(Open { file: Some(file), path: path.clone() })
    }
}

/// An output that is being written to.
#[derive(Debug)]
pub struct Open {
    file: Option<std::fs::File>,
    path: PathBuf,
}

impl Open {
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FsError> {
        let written = self
            .file
            .as_mut()
            .map_or_else(|| stdout::write_all(bytes), |file| file.write_all(bytes));
        delivered(written, &self.path)
    }
}

/// A reader that closed the pipe needs no more.
fn delivered(written: std::io::Result<()>, path: &Path) -> Result<(), FsError> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(FsError::while_doing("write", path)),
    }
}

/// Writes a file of the user's.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    match std::fs::metadata(path) {
        Ok(metadata) if is_through(path, &metadata) => {
            delivered(through(path)?.write_all(bytes), path)
        }
        Ok(metadata) if metadata.is_file() => replace(path, &metadata, bytes),
        Ok(_) => Err(FsError::while_doing("write", path)(ErrorKind::IsADirectory.into())),
        // perhaps a link to where nothing is yet
        Err(_) => fs::replace(&fs::followed(path)?, bytes, Durability::Rebuildable),
    }
}

/// Whether it is no file to be replaced: a pipe, a device, or something that is open already and
/// merely has a path.
fn is_through(path: &Path, metadata: &std::fs::Metadata) -> bool {
    let is_descriptor = ["/dev/fd", "/dev/stdout", "/dev/stderr", "/proc/self/fd"]
        .iter()
        .any(|place| path.starts_with(place));
    !metadata.is_dir() && (is_descriptor || !metadata.is_file())
}

fn through(path: &Path) -> Result<std::fs::File, FsError> {
    // output redirected by a shell is appended
    std::fs::OpenOptions::new().append(true).open(path).map_err(FsError::while_doing("open", path))
}

/// By a rename, and where that would not keep what belongs to the file, in place.
fn replace(path: &Path, metadata: &std::fs::Metadata, bytes: &[u8]) -> Result<(), FsError> {
    let real = path.canonicalize().map_err(FsError::while_doing("find", path))?;
    if metadata.nlink() == 1
        && let Ok(new) = fs::beside(&real, bytes, Some(metadata))
    {
        return new
            .persist(&real)
            .map(drop)
            .map_err(|error| FsError::while_doing("put in place", path)(error.error));
    }
    std::fs::write(&real, bytes).map_err(FsError::while_doing("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};

    fn written(path: &Path, text: &str) {
        Output::from(path.as_os_str().to_owned()).write(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_file_keeps_its_mode_its_links_and_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "old and longer").unwrap();
        std::fs::set_permissions(at("file"), std::fs::Permissions::from_mode(0o640)).unwrap();
        symlink("file", at("link")).unwrap();
        std::fs::hard_link(at("file"), at("twin")).unwrap();
        written(&at("link"), "new");
        assert!(at("link").is_symlink());
        for name in ["file", "twin"] {
            assert_eq!(std::fs::read_to_string(at(name)).unwrap(), "new");
            assert_eq!(at(name).metadata().unwrap().permissions().mode() & 0o777, 0o640);
        }
        std::fs::remove_file(at("twin")).unwrap();
        written(&at("file"), "newer");
        assert_eq!(at("file").metadata().unwrap().permissions().mode() & 0o777, 0o640);
        symlink("later", at("dangling")).unwrap();
        written(&at("dangling"), "x");
        assert!(
            at("dangling").is_symlink() && std::fs::read_to_string(at("later")).unwrap() == "x"
        );
        let names = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 4, "nothing is left beside");
    }

    #[test]
    fn a_pipe_and_a_device_are_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600))
            .unwrap();
        let read = {
            let pipe = pipe.clone();
            std::thread::spawn(move || std::fs::read_to_string(pipe).unwrap())
        };
        written(&pipe, "through");
        assert_eq!(read.join().unwrap(), "through");
        assert!(pipe.metadata().unwrap().file_type().is_fifo());
        written(Path::new("/dev/null"), "nothing");
        assert!(Path::new("/dev/null").metadata().unwrap().file_type().is_char_device());
    }

    #[test]
    fn open_descriptor_is_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = std::fs::File::create(folder.path().join("out")).unwrap();
        file.write_all(b"before ").unwrap();
        let descriptor = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        written(Path::new(&descriptor), "after");
        assert_eq!(std::fs::read_to_string(folder.path().join("out")).unwrap(), "before after");
    }

    #[test]
    fn a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = Output::File(folder.path().to_owned()).write(b"x").unwrap_err();
        assert_eq!(refused.io_kind(), ErrorKind::IsADirectory);
        assert!(Output::File(folder.path().to_owned()).open().is_err());
    }
}
