//! A folder that a child writes while this process reads and fills it. No symbolic link in it is
//! followed, whenever it is put there, and nothing is read that is not a file.

use crate::world::fs::{self, FsError};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, mkdirat, openat, statat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct ChildFolder {
    path: PathBuf,
}

/// The kind of an entry.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    Nothing,
    Bytes(Vec<u8>),
    /// An entry that is not read, and the reason.
    Special(String),
}

/// To go through a folder takes no permission to list it.
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// A pipe or a device does not make an open wait.
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

impl ChildFolder {
    /// An existing folder, in a location the child cannot write.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes all that is in it; the folder itself stays the same one.
    pub fn clear(&self) -> Result<(), FsError> {
        for entry in std::fs::read_dir(&self.path)
            .map_err(FsError::while_doing("list", &self.path))?
            .flatten()
        {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => fs::remove_folder(&entry.path())?,
                _ => fs::remove_if_there(&entry.path())?,
            }
        }
        Ok(())
    }

    /// Writes a file that is not there yet, with the folders to it.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), FsError> {
        let write = || {
            let (folders, name) = parts(name);
            let mut folder = self.open()?;
            for part in folders {
                match mkdirat(&folder, part, Mode::from_raw_mode(0o777)) {
                    Err(error) if error != Errno::EXIST => return Err(error.into()),
                    _ => folder = openat(&folder, part, FOLDER, Mode::empty())?,
                }
            }
            let flags = FILE | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            File::from(openat(&folder, name, flags, Mode::from_raw_mode(0o666))?).write_all(bytes)
        };
        write().map_err(FsError::while_doing("write", &self.path.join(name)))
    }

    /// The file under a relative path of plain names.
    pub fn find(&self, name: &str, most_bytes: u64) -> Found {
        match self.look(name, most_bytes) {
            Ok(found) => found,
            Err(Errno::NOENT) => Found::Nothing,
            Err(error) => {
                Found::Special(format!("it cannot be read: {}", std::io::Error::from(error)))
            }
        }
    }

    fn look(&self, name: &str, most_bytes: u64) -> Result<Found, Errno> {
        let malformed = |why: &str| Ok(Found::Special(why.to_owned()));
        let (folders, name) = parts(name);
        let mut folder = self.open()?;
        for part in folders {
            match kind(&folder, part)? {
                FileType::Directory => folder = openat(&folder, part, FOLDER, Mode::empty())?,
                FileType::Symlink => return malformed(LINK),
                _ => return Ok(Found::Nothing),
            }
        }
        match kind(&folder, name)? {
            FileType::RegularFile => {}
            FileType::Symlink => return malformed(LINK),
            _ => return malformed("it is not a file"),
        }
        let file = File::from(openat(&folder, name, FILE, Mode::empty())?);
        // the entry may have been replaced since it was inspected
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return malformed("it is not a file");
        }
        let mut bytes = Vec::new();
        match file.take(most_bytes + 1).read_to_end(&mut bytes) {
            Err(error) => Ok(Found::Special(format!("it cannot be read: {error}"))),
            Ok(_) if bytes.len() as u64 > most_bytes => {
                Ok(Found::Special(format!("it has more than {} MiB", most_bytes >> 20)))
            }
            Ok(_) => Ok(Found::Bytes(bytes)),
        }
    }

    fn open(&self) -> Result<OwnedFd, Errno> {
        rustix::fs::open(&self.path, FOLDER, Mode::empty())
    }
}

const LINK: &str = "it is a symbolic link, or is reached through one";

fn kind(folder: &OwnedFd, name: &str) -> Result<FileType, Errno> {
    Ok(FileType::from_raw_mode(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode))
}

fn parts(name: &str) -> (Vec<&str>, &str) {
    let mut folders: Vec<_> = name.split('/').collect();
    let last = folders.pop().unwrap_or_default();
    (folders, last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const MOST: u64 = 1 << 20;

    struct World {
        outside: tempfile::TempDir,
        folder: ChildFolder,
    }

    impl World {
        fn new() -> Self {
            let outside = tempfile::tempdir().unwrap();
            let path = outside.path().join("folder");
            std::fs::create_dir(&path).unwrap();
            std::fs::write(outside.path().join("secret"), "mine").unwrap();
            Self { outside, folder: ChildFolder::new(path) }
        }

        fn at(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn secret(&self) -> String {
            std::fs::read_to_string(self.outside.path().join("secret")).unwrap()
        }
    }

    #[test]
    fn file_round_trips() {
        let world = World::new();
        world.folder.put("a/b/c", b"one").unwrap();
        world.folder.put("a/d", b"two").unwrap();
        assert_eq!(world.folder.find("a/b/c", MOST), Found::Bytes(b"one".to_vec()));
        assert_eq!(world.folder.find("a/x/c", MOST), Found::Nothing);
        assert_eq!(world.folder.find("a/d/c", MOST), Found::Nothing);
        assert_eq!(world.folder.find("a/b", MOST), Found::Special("it is not a file".to_owned()));
        std::fs::write(world.at("long"), vec![0; (MOST + 1).try_into().unwrap()]).unwrap();
        assert_eq!(
            world.folder.find("long", MOST),
            Found::Special("it has more than 1 MiB".to_owned())
        );
        world.folder.clear().unwrap();
        assert_eq!(std::fs::read_dir(world.folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn no_link_is_followed() {
        let world = World::new();
        symlink(world.outside.path().join("secret"), world.at("link")).unwrap();
        symlink(world.outside.path(), world.at("out")).unwrap();
        for name in ["link", "out/secret"] {
            assert_eq!(world.folder.find(name, MOST), Found::Special(LINK.to_owned()), "{name}");
            assert!(world.folder.put(name, b"changed").is_err(), "{name}");
        }
        assert!(world.folder.put("out/new", b"new").is_err());
        world.folder.clear().unwrap();
        assert_eq!(world.secret(), "mine");
        assert_eq!(std::fs::read_dir(world.outside.path()).unwrap().count(), 2);
    }

    #[test]
    fn named_pipe_does_not_block() {
        let world = World::new();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            world.at("pipe"),
            FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert_eq!(world.folder.find("pipe", MOST), Found::Special("it is not a file".to_owned()));
    }

    /// A child that repeatedly swaps a file for a link, while the file is read.
    #[test]
    fn racing_link_is_not_followed() {
        let world = World::new();
        let (at, target, other) =
            (world.at("file"), world.outside.path().join("secret"), world.at("other"));
        let swapped = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !swapped.load(std::sync::atomic::Ordering::Relaxed) {
                    std::fs::write(&other, "fine").unwrap();
                    std::fs::rename(&other, &at).unwrap();
                    symlink(&target, &other).unwrap();
                    std::fs::rename(&other, &at).unwrap();
                }
            });
            for _ in 0..2000 {
                let found = world.folder.find("file", MOST);
                assert_ne!(found, Found::Bytes(b"mine".to_vec()));
            }
            swapped.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
