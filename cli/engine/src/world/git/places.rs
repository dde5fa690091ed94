//! Where a repository's files and objects lie on this machine.

use super::repository::Git;
use std::path::{Path, PathBuf};

impl Git {
    /// The working trees, the git directory, and the repositories on this machine that objects are
    /// taken from, fetched from or pushed to.
    pub fn places(&self) -> Vec<PathBuf> {
        let mut places = vec![self.root.clone(), self.common_dir.clone()];
        places.extend(self.worktree());
        places.extend(self.linked_worktrees());
        places.extend(self.alternates());
        places.extend(self.local_remotes());
        places
    }

    fn linked_worktrees(&self) -> Vec<PathBuf> {
        let linked =
            std::fs::read_dir(self.common_dir.join("worktrees")).into_iter().flatten().flatten();
        let pointers =
            linked.filter_map(|entry| std::fs::read_to_string(entry.path().join("gitdir")).ok());
        // each names the file `.git` in the worktree
        pointers
            .filter_map(|pointer| {
                Path::new(pointer.trim_end()).parent().map(|folder| self.common_dir.join(folder))
            })
            .collect()
    }

    fn alternates(&self) -> Vec<PathBuf> {
        let objects = self.common_dir.join("objects");
        let listed = std::fs::read_to_string(objects.join("info/alternates")).unwrap_or_default();
        let named = listed.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        // a repository has its objects in `objects`
        named
            .map(|line| objects.join(line))
            .map(|path| {
                if path.ends_with("objects") {
                    path.parent().map_or_else(|| path.clone(), Path::to_owned)
                } else {
                    path
                }
            })
            .collect()
    }

    fn local_remotes(&self) -> Vec<PathBuf> {
        let configuration = self.repository.config_snapshot();
        let remotes = configuration.plumbing().sections_by_name("remote").into_iter().flatten();
        let urls =
            remotes.flat_map(|remote| [remote.values("url"), remote.values("pushurl")]).flatten();
        urls.filter_map(|url| local_path(&url.to_string()))
            .map(|path| self.root.join(path))
            .collect()
    }
}

/// The folder a remote's URL names; `None` for one that is on another machine.
fn local_path(url: &str) -> Option<PathBuf> {
    if let Some(path) = url.strip_prefix("file://") {
        return Some(path.into());
    }
    let before_slash = url.split('/').next().unwrap_or_default();
    // `host:path`, `https://...`
    (!url.is_empty() && !before_slash.contains(':')).then(|| url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_is_a_local_remote() {
        let check = |url: &str, expected: Option<&str>| {
            assert_eq!(local_path(url), expected.map(PathBuf::from), "{url}");
        };
        check("/srv/git/a.git", Some("/srv/git/a.git"));
        check("../a", Some("../a"));
        check("file:///srv/a", Some("/srv/a"));
        check("./odd:name", Some("./odd:name"));
        for url in ["https://example.org/a.git", "git@example.org:a.git", "ssh://example.org/a", ""]
        {
            check(url, None);
        }
    }
}
