//! Files that a user names to be read. Each is opened once and read from its start to its end, so
//! that a pipe does as well as a file.

use agent_core::formats::diagnose::{Diagnose, FailureKind};
use std::io::Read;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("there is no file {file}")]
    Missing { file: String },
    #[error("cannot read {file}")]
    Io {
        file: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{file} is {kind}, not a file or a pipe")]
    Kind { file: String, kind: &'static str },
}

impl Diagnose for InputError {
    fn kind(&self) -> FailureKind {
        FailureKind::Input
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Missing { .. } | Self::Io { .. } => "check the path; `-` reads stdin".to_owned(),
            Self::Kind { .. } => "name a file; `-` reads stdin".to_owned(),
        })
    }
}

/// An input that is being read.
pub struct Open {
    pub reader: Box<dyn Read + Send>,
    /// Whether it is a regular file, which can be read again.
    pub is_file: bool,
}

/// Opens what a user named; `-` is stdin.
pub fn open(path: &Path) -> Result<Open, InputError> {
    if path == Path::new("-") || path == Path::new("/dev/stdin") {
        return Ok(Open { reader: Box::new(std::io::stdin()), is_file: false });
    }
    let failed = |source: std::io::Error| {
        let file = shown(path);
        if source.kind() == std::io::ErrorKind::NotFound {
            InputError::Missing { file }
        } else {
            InputError::Io { file, source }
        }
    };
    // before it is opened: to open a device may do something, and never end
    let metadata = std::fs::metadata(path).map_err(failed)?;
    let kind = metadata.file_type();
    let other = [
        (kind.is_dir(), "a folder"),
        (kind.is_char_device() || kind.is_block_device(), "a device"),
        (kind.is_socket(), "a socket"),
    ];
    if let Some((_, kind)) = other.into_iter().find(|(is, _)| *is) {
        return Err(InputError::Kind { file: shown(path), kind });
    }
    let file = std::fs::File::open(path).map_err(failed)?;
    Ok(Open { reader: Box::new(file), is_file: kind.is_file() })
}

/// The path as the user gave it, relative to their working directory.
fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

/// All of it.
pub fn read(path: &Path) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    let read = open(path)?.reader.read_to_end(&mut bytes);
    read.map_err(|source| InputError::Io { file: shown(path), source })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_pipe_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600))
            .unwrap();
        let written = {
            let pipe = pipe.clone();
            std::thread::spawn(move || std::fs::write(pipe, "all of it").unwrap())
        };
        assert_eq!(read(&pipe).unwrap(), b"all of it");
        written.join().unwrap();
    }

    #[test]
    fn non_file_is_refused_immediately() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, kind) in [
            (folder.path(), "a folder"),
            (Path::new("/dev/zero"), "a device"),
            (&socket, "a socket"),
        ] {
            let refused = read(path).unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!("{} is {kind}, not a file or a pipe", path.display())
            );
        }
        assert!(
            read(&folder.path().join("nothing"))
                .unwrap_err()
                .to_string()
                .starts_with("there is no file")
        );
    }
}
