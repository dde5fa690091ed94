//! Makes the HOME of a confined coder, and copies a refreshed login back from it.
//! `agent_core::architect::home` defines its content.

use crate::world::fs::{self, FsError};
use agent_core::architect::home::{Entry, LOGINS, entry};
use std::path::{Path, PathBuf};

/// A larger file of settings is seen through a link.
const COPIED_LIMIT: u64 = 8 << 20;
const LOGIN_LIMIT: u64 = 64 << 10;

/// A coder's HOME, and the user's that it was made from.
pub struct CoderHome {
    own: PathBuf,
    users: PathBuf,
    /// The user's logins as they were when it was made.
    logins: Vec<(&'static str, Vec<u8>)>,
}

impl CoderHome {
    pub fn make(own: PathBuf, users: PathBuf) -> Result<Self, FsError> {
        fs::create_dir(&own)?;
        furnish(&users, &own, "")?;
        let logins =
            LOGINS.iter().filter_map(|path| Some((*path, login(&users.join(path))?))).collect();
        Ok(Self { own, users, logins })
    }

    pub fn folder(&self) -> &Path {
        &self.own
    }

    /// Gives the user the logins that the coder renewed, but for those that others renewed
    /// meanwhile.
    pub fn take_logins_back(&self) -> Result<(), FsError> {
        for (path, before) in &self.logins {
            let users = self.users.join(path);
            let renewed = login(&self.own.join(path)).filter(|now| now != before);
            if let Some(now) = renewed.filter(|_| login(&users).as_ref() == Some(before)) {
                fs::write(&users, &now)?;
            }
        }
        Ok(())
    }
}

/// A login is a small JSON object in a regular file.
fn login(path: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read_at_most(path, LOGIN_LIMIT).ok()?;
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes)
        .is_ok()
        .then_some(bytes)
}

fn furnish(users: &Path, own: &Path, below: &str) -> Result<(), FsError> {
    // a folder that cannot be listed is seen as an empty one
    for name in fs::names(&users.join(below)).unwrap_or_default() {
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let (from, to) = (users.join(&path), own.join(&path));
        match entry(&path, from.is_dir()) {
            Entry::Linked => fs::link(&from, &to)?,
            Entry::Copied => copy(&from, &to)?,
            Entry::Empty => fs::create_dir(&to)?,
            Entry::Opened => {
                fs::create_dir(&to)?;
                furnish(users, own, &path)?;
            }
            Entry::Absent => {}
        }
    }
    Ok(())
}

/// Settings may be links, into a folder that is under version control.
fn copy(from: &Path, to: &Path) -> Result<(), FsError> {
    let is_small = from.metadata().is_ok_and(|file| file.is_file() && file.len() <= COPIED_LIMIT);
    let real = from.canonicalize().ok().filter(|_| is_small);
    match real.and_then(|real| fs::read_at_most(&real, COPIED_LIMIT).ok()) {
        Some(bytes) => {
            fs::write(to, &bytes)?;
            fs::set_mode(to, 0o600)
        }
        None => fs::link(from, to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: &str = ".codex/auth.json";

    fn home(folder: &Path) -> CoderHome {
        let users = folder.join("users");
        for (path, text) in [
            (".gitconfig", "[user]\n"),
            (".claude/settings.json", "{}"),
            (".claude/projects/one/log.jsonl", "{}"),
            (".claude/skills/one/SKILL.md", "a skill"),
            (LOGIN, r#"{"token": 1}"#),
            (".cache/pip/wheel", "a wheel"),
            (".local/bin/tool", "a tool"),
        ] {
            fs::write(&users.join(path), text.as_bytes()).unwrap();
        }
        CoderHome::make(folder.join("own"), users).unwrap()
    }

    #[test]
    fn user_home_is_visible_and_coder_writes_stay_private() {
        let folder = tempfile::tempdir().unwrap();
        let home = home(folder.path());
        let read = |path: &str| std::fs::read_to_string(home.folder().join(path));
        assert_eq!(read(".gitconfig").unwrap(), "[user]\n");
        assert_eq!(read(".local/bin/tool").unwrap(), "a tool");
        assert_eq!(read(".claude/skills/one/SKILL.md").unwrap(), "a skill");
        assert!(
            read(".claude/projects/one/log.jsonl").is_err() && read(".cache/pip/wheel").is_err()
        );
        for path in [
            "bin/git",
            ".claude/settings.json",
            ".claude/projects/two/log.jsonl",
            ".cache/pip/wheel",
            ".config/new",
        ] {
            fs::write(&home.folder().join(path), b"mine").unwrap();
        }
        let users = |path: &str| std::fs::read_to_string(home.users.join(path));
        assert!(
            users("bin/git").is_err()
                && users(".claude/projects/two/log.jsonl").is_err()
                && users(".config/new").is_err()
        );
        assert_eq!(
            (users(".claude/settings.json").unwrap(), users(".cache/pip/wheel").unwrap()),
            ("{}".to_owned(), "a wheel".to_owned())
        );
    }

    #[test]
    fn refreshed_login_is_copied_back_unless_empty_or_superseded() {
        let folder = tempfile::tempdir().unwrap();
        let home = home(folder.path());
        let (own, users) = (home.folder().join(LOGIN), home.users.join(LOGIN));
        let left = |bytes: &str| {
            fs::write(&own, bytes.as_bytes()).unwrap();
            home.take_logins_back().unwrap();
            std::fs::read_to_string(&users).unwrap()
        };
        assert_eq!(left("#!/bin/sh\n"), r#"{"token": 1}"#);
        assert_eq!(left(r#"{"token": 2}"#), r#"{"token": 2}"#);
        fs::write(&users, br#"{"token": 3}"#).unwrap();
        assert_eq!(left(r#"{"token": 4}"#), r#"{"token": 3}"#);
        std::fs::remove_file(&own).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &own).unwrap();
        home.take_logins_back().unwrap();
        assert_eq!(std::fs::read_to_string(&users).unwrap(), r#"{"token": 3}"#);
    }
}
