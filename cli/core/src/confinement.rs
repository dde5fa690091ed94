//! What a child may reach: folders granted, holes in them, the network. As data; `world::sandbox` enforces it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What a child is confined as: it decides which system calls are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Code under test: a Runner in a tier, or a Tuner.
    Tested,
    /// A program that edits files, with all that it starts: compilers, package managers, git.
    Coder,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tested => "tested",
            Self::Coder => "coder",
        }
    }
}

/// What a child may reach; all else is refused. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confinement {
    pub kind: Kind,
    /// Files and folders it may read and execute.
    pub read: Vec<PathBuf>,
    /// Files and folders it may read and change.
    pub write: Vec<PathBuf>,
    /// Out of reach even below a granted folder. What is granted below a hole stays granted.
    pub holes: Vec<PathBuf>,
    pub network: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    Read,
    Write,
}

/// Access to a file, or to a folder with all that lies below it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    pub path: PathBuf,
    pub access: Access,
}

impl Confinement {
    pub fn new(kind: Kind) -> Self {
        Self { kind, read: Vec::new(), write: Vec::new(), holes: Vec::new(), network: false }
    }

    /// The same with each path as `resolve` gives it; a path it does not resolve is left out.
    #[must_use]
    pub fn resolved(self, resolve: impl Fn(&Path) -> Option<PathBuf>) -> Self {
        let all = |paths: Vec<PathBuf>| paths.iter().filter_map(|path| resolve(path)).collect();
        Self { read: all(self.read), write: all(self.write), holes: all(self.holes), ..self }
    }

    /// The grants as a list that knows no exceptions: a folder with a hole below it is replaced by its entries, the one towards the hole left
    /// out or replaced in turn. What is created in such a folder later is not granted. A path that is both granted and a hole is granted.
    ///
    /// Paths are free of symbolic links; `entries` lists a folder, without the symbolic links in it.
    pub fn rules(&self, entries: impl Fn(&Path) -> Vec<PathBuf>) -> Vec<Rule> {
        let mut grants = BTreeMap::new();
        for (paths, access) in [(&self.read, Access::Read), (&self.write, Access::Write)] {
            for path in paths {
                grants.insert(path.as_path(), access);
            }
        }
        let holes: Vec<&Path> = self.holes.iter().map(PathBuf::as_path).filter(|hole| !grants.contains_key(hole)).collect();
        let mut rules = Vec::new();
        for (path, access) in grants {
            expand(path.to_owned(), access, &holes, &entries, &mut rules);
        }
        rules
    }

    /// The arguments that `from_words` reads.
    pub fn to_words(&self) -> Vec<OsString> {
        let paths = [(READ, &self.read), (WRITE, &self.write), (HOLE, &self.holes)];
        let mut words = vec![CONFINE.into(), self.kind.as_str().into()];
        words.extend(paths.into_iter().flat_map(|(word, paths)| paths.iter().flat_map(move |path| [word.into(), path.into()])));
        if self.network {
            words.push(NETWORK.into());
        }
        words
    }

    /// Takes one argument of `to_words`, and its value from `rest`; false when it is no such argument or has no such value.
    pub fn take_word(this: &mut Option<Self>, word: &OsString, rest: &mut impl Iterator<Item = OsString>) -> bool {
        if word == CONFINE {
            let value = rest.next();
            let kind = [Kind::Tested, Kind::Coder].into_iter().find(|kind| value.as_ref().is_some_and(|value| value == kind.as_str()));
            *this = kind.map(Self::new);
            return this.is_some();
        }
        let Some(this) = this else { return false };
        if word == NETWORK {
            this.network = true;
            return true;
        }
        let paths = match word.to_str() {
            Some(READ) => &mut this.read,
            Some(WRITE) => &mut this.write,
            Some(HOLE) => &mut this.holes,
            _ => return false,
        };
        rest.next().map(|path| paths.push(path.into())).is_some()
    }
}

const CONFINE: &str = "--confine";
const READ: &str = "--read";
const WRITE: &str = "--write";
const HOLE: &str = "--hole";
const NETWORK: &str = "--network";

fn expand(path: PathBuf, access: Access, holes: &[&Path], entries: &impl Fn(&Path) -> Vec<PathBuf>, rules: &mut Vec<Rule>) {
    let has_hole = holes.iter().any(|hole| hole.starts_with(&path));
    if !has_hole {
        rules.push(Rule { path, access });
        return;
    }
    for entry in entries(&path) {
        if !holes.contains(&entry.as_path()) {
            expand(entry, access, holes, entries, rules);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small machine: `/home/ann` has a repository, a clone of it lies in `/opt`.
    const FILES: [&str; 16] = [
        "/usr/bin/python",
        "/usr/lib/libc.so",
        "/opt/tool/bin",
        "/opt/clone/.git/config",
        "/home/ann/.ssh/id",
        "/home/ann/notes",
        "/home/ann/work/other/file",
        "/home/ann/work/repo/runner/main.py",
        "/home/ann/work/repo/agent.toml",
        "/home/ann/work/repo/tests/full/cases.jsonl",
        "/home/ann/work/repo/.git/config",
        "/home/ann/work/repo/.agent/store/evals",
        "/home/ann/work/repo/.agent/checkouts/one/runner/main.py",
        "/home/ann/work/repo/.agent/checkouts/two/runner/main.py",
        "/home/ann/work/repo/.agent/tmp/tier/0",
        "/home/bob/file",
    ];

    fn entries(folder: &Path) -> Vec<PathBuf> {
        let below = FILES.iter().filter_map(|file| Path::new(file).strip_prefix(folder).ok()?.components().next());
        let mut found: Vec<_> = below.map(|name| folder.join(name)).collect();
        found.dedup();
        found
    }

    fn paths(paths: &[&str]) -> Vec<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    fn check(read: &[&str], write: &[&str], holes: &[&str], expected: &[(&str, Access)]) {
        let confinement = Confinement { read: paths(read), write: paths(write), holes: paths(holes), ..Confinement::new(Kind::Tested) };
        let mut rules = confinement.rules(entries);
        rules.sort();
        let expected: Vec<_> = expected.iter().map(|(path, access)| Rule { path: path.into(), access: *access }).collect();
        assert_eq!(rules, expected, "read {read:?}, write {write:?}, holes {holes:?}");
    }

    #[test]
    fn a_grant_without_a_hole_is_one_rule() {
        use Access::{Read, Write};
        check(&["/usr"], &[], &[], &[("/usr", Read)]);
        check(&["/usr"], &["/home/bob"], &["/home/ann"], &[("/home/bob", Write), ("/usr", Read)]);
        // a name that only begins alike is no hole
        check(&["/home/ann/work"], &[], &["/home/ann/wo"], &[("/home/ann/work", Read)]);
    }

    #[test]
    fn a_hole_leaves_its_siblings() {
        use Access::{Read, Write};
        check(&["/opt"], &[], &["/opt/clone"], &[("/opt/tool", Read)]);
        check(
            &["/home"],
            &[],
            &["/home/ann/work/repo"],
            &[("/home/ann/.ssh", Read), ("/home/ann/notes", Read), ("/home/ann/work/other", Read), ("/home/bob", Read)],
        );
        check(&[], &["/opt"], &["/opt/clone/.git", "/opt/tool"], &[]);
        // a hole that is not there yet takes its place from the grant
        check(&["/opt"], &[], &["/opt/tool/store"], &[("/opt/clone", Read), ("/opt/tool/bin", Read)]);
        check(&["/opt/tool"], &["/opt/clone"], &["/opt/clone/x"], &[("/opt/clone/.git", Write), ("/opt/tool", Read)]);
    }

    #[test]
    fn what_is_granted_below_a_hole_stays_granted() {
        use Access::{Read, Write};
        let repository = "/home/ann/work/repo";
        check(
            &["/home/ann/work", "/home/ann/work/repo/.agent/checkouts/one"],
            &["/home/ann/work/repo/.agent/tmp/tier"],
            &[repository],
            &[
                ("/home/ann/work/other", Read),
                ("/home/ann/work/repo/.agent/checkouts/one", Read),
                ("/home/ann/work/repo/.agent/tmp/tier", Write),
            ],
        );
    }

    #[test]
    fn a_path_that_is_granted_and_a_hole_is_granted_with_the_holes_below_it() {
        use Access::Read;
        let repository = "/home/ann/work/repo";
        let below = ["tests", ".git", ".agent"].map(|name| format!("{repository}/{name}"));
        let holes = [repository, &below[0], &below[1], &below[2]];
        check(&[repository], &[], &holes, &[("/home/ann/work/repo/agent.toml", Read), ("/home/ann/work/repo/runner", Read)]);
        check(&["/", repository], &[], &["/home", repository], &[("/home/ann/work/repo", Read), ("/opt", Read), ("/usr", Read)]);
    }

    #[test]
    fn the_root_may_be_granted() {
        use Access::Read;
        let holes = ["/home/ann", "/opt/clone"];
        check(&["/"], &[], &holes, &[("/home/bob", Read), ("/opt/tool", Read), ("/usr", Read)]);
    }

    #[test]
    fn words_carry_all_of_it() {
        let confinement = Confinement {
            kind: Kind::Coder,
            read: paths(&["/a", "/b c"]),
            write: paths(&["/--read"]),
            holes: paths(&["/a/x"]),
            network: true,
        };
        let read = |words: Vec<OsString>| {
            let mut rest = words.into_iter();
            let mut found = None;
            while let Some(word) = rest.next() {
                if !Confinement::take_word(&mut found, &word, &mut rest) {
                    return None;
                }
            }
            found
        };
        assert_eq!(read(confinement.to_words()), Some(confinement));
        let none: [&[&str]; 4] = [&["--read", "/a"], &["--confine"], &["--confine", "x"], &["--confine", "tested", "--hole"]];
        for words in none {
            assert_eq!(read(words.iter().map(OsString::from).collect()), None, "{words:?}");
        }
    }
}
