//! The access of a child: granted folders, exclusions in them, the network. As data;
//! `world::sandbox` enforces it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The kind of a confined child: determines the refused system calls.
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

/// The access of a child; everything else is refused. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confinement {
    pub kind: Kind,
    pub grants: Vec<Grant>,
    /// Out of reach even below a granted folder.
    pub holes: Vec<PathBuf>,
    pub network: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub path: PathBuf,
    pub access: Access,
    /// Granted although it is an exclusion or below one; exclusions below it still apply.
    pub own: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Reading and executing.
    Read,
    /// Reading, executing and changing.
    Write,
}

/// Access to a file, or to a folder with all its contents.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    pub path: PathBuf,
    pub access: Access,
}

impl Confinement {
    pub fn new(kind: Kind) -> Self {
        Self { kind, grants: Vec::new(), holes: Vec::new(), network: false }
    }

    #[must_use]
    pub fn read<P: Into<PathBuf>>(self, paths: impl IntoIterator<Item = P>) -> Self {
        self.grant(paths, Access::Read, false)
    }

    #[must_use]
    pub fn write<P: Into<PathBuf>>(self, paths: impl IntoIterator<Item = P>) -> Self {
        self.grant(paths, Access::Write, false)
    }

    /// The child's own files, at any location.
    #[must_use]
    pub fn read_own<P: Into<PathBuf>>(self, paths: impl IntoIterator<Item = P>) -> Self {
        self.grant(paths, Access::Read, true)
    }

    #[must_use]
    pub fn write_own<P: Into<PathBuf>>(self, paths: impl IntoIterator<Item = P>) -> Self {
        self.grant(paths, Access::Write, true)
    }

    fn grant<P: Into<PathBuf>>(
        mut self,
        paths: impl IntoIterator<Item = P>,
        access: Access,
        own: bool,
    ) -> Self {
        for path in paths {
            let grant = Grant { path: path.into(), access, own };
            if !self.grants.contains(&grant) {
                self.grants.push(grant);
            }
        }
        self
    }

    #[must_use]
    pub fn without(mut self, holes: impl IntoIterator<Item = PathBuf>) -> Self {
        self.holes.extend(holes);
        self
    }

    #[must_use]
    pub fn network(mut self, network: bool) -> Self {
        self.network = network;
        self
    }

    /// Resolves each path by `resolve`.
    #[must_use]
    pub fn resolved(mut self, resolve: impl Fn(&Path) -> PathBuf) -> Self {
        let paths = self.grants.iter_mut().map(|grant| &mut grant.path).chain(&mut self.holes);
        paths.for_each(|path| *path = resolve(path));
        self
    }

    /// The grants as a list without exceptions: a folder with an exclusion below it is replaced by
    /// its entries; the entry that leads to the exclusion is omitted or replaced in turn. Files
    /// created in such a folder later are not granted.
    ///
    /// Paths are free of symbolic links; `entries` lists a folder, without the symbolic links in
    /// it.
    pub fn rules(&self, entries: impl Fn(&Path) -> Vec<PathBuf>) -> Vec<Rule> {
        let mut rules = Vec::new();
        for Grant { path, access, own } in &self.grants {
            if *own || !self.holes.iter().any(|hole| path.starts_with(hole)) {
                let holes: Vec<&Path> = self
                    .holes
                    .iter()
                    .map(PathBuf::as_path)
                    .filter(|hole| hole.starts_with(path) && hole != path)
                    .collect();
                expand(path.clone(), *access, &holes, &entries, &mut rules);
            }
        }
        rules.sort();
        rules.dedup();
        rules
    }

    /// The arguments that `take_argument` reads.
    pub fn to_arguments(&self) -> Vec<OsString> {
        let mut words = vec![CONFINE.into(), self.kind.as_str().into()];
        for Grant { path, access, own } in &self.grants {
            let (word, ..) = GRANTS
                .iter()
                .find(|(_, of, at_any_place)| (of, at_any_place) == (access, own))
                .expect("each kind has a name");
            words.extend([(*word).into(), path.into()]);
        }
        words.extend(self.holes.iter().flat_map(|path| [HOLE.into(), path.into()]));
        if self.network {
            words.push(NETWORK.into());
        }
        words
    }

    /// Takes one argument of `to_arguments`, and its value from `rest`; false when it is no such
    /// argument or has no such value.
    pub fn take_argument(
        this: &mut Option<Self>,
        word: &OsString,
        rest: &mut impl Iterator<Item = OsString>,
    ) -> bool {
        if word == CONFINE {
            let value = rest.next();
            let kind = [Kind::Tested, Kind::Coder]
                .into_iter()
                .find(|kind| value.as_ref().is_some_and(|value| value == kind.as_str()));
            *this = kind.map(Self::new);
            return this.is_some();
        }
        let Some(this) = this else { return false };
        if word == NETWORK {
            this.network = true;
            return true;
        }
        let Some(path) = rest.next().map(PathBuf::from) else { return false };
        if word == HOLE {
            this.holes.push(path);
            return true;
        }
        let found = GRANTS.iter().find(|(name, ..)| word == name);
        found
            .map(|(_, access, own)| this.grants.push(Grant { path, access: *access, own: *own }))
            .is_some()
    }
}

/// Whether an environment variable holds a secret or refers to one: keys, the socket of a key
/// agent, and the repository a git hook runs for. This is a heuristic on the variable's name, and
/// on values that are URLs with a password.
pub fn is_secret(name: &str, value: &str) -> bool {
    const PREFIXES: [&str; 11] = [
        "ACTIONS_",
        "AWS_",
        "AZURE_",
        "DBUS_",
        "DOCKER_",
        "GIT_",
        "GPG_",
        "KUBE",
        "OTEL_EXPORTER_OTLP_",
        "SSH_",
        "VAULT_",
    ];
    const WORDS: [&str; 24] = [
        "APIKEY",
        "AUTH",
        "AUTHORIZATION",
        "BEARER",
        "COOKIE",
        "CRED",
        "CREDENTIAL",
        "CREDENTIALS",
        "CREDS",
        "DSN",
        "HEADERS",
        "JWT",
        "KEY",
        "KEYS",
        "PASS",
        "PASSPHRASE",
        "PASSWD",
        "PASSWORD",
        "PAT",
        "PRIVATE",
        "SECRET",
        "SECRETS",
        "TOKEN",
        "TOKENS",
    ];
    // written as part of another word
    const ENDS: [&str; 5] = ["APIKEY", "PASSWORD", "PASSWD", "SECRET", "TOKEN"];
    let name = name.to_ascii_uppercase();
    let is_secret =
        |word: &str| WORDS.contains(&word) || ENDS.iter().any(|end| word.ends_with(end));
    let is_secret = |word: &str| is_secret(word) || (word == "PWD" && name != word);
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || name.split(['_', '-', '.']).any(is_secret)
        || has_password(value)
}

/// `scheme://user:password@host`.
fn has_password(value: &str) -> bool {
    let authority = |rest: &str| {
        rest.split(['/', '?', '#', ' ', ','])
            .next()
            .is_some_and(|authority| authority.contains('@'))
    };
    value.match_indices("://").any(|(at, scheme)| authority(&value[at + scheme.len()..]))
}

const CONFINE: &str = "--confine";
const GRANTS: [(&str, Access, bool); 4] = [
    ("--read", Access::Read, false),
    ("--write", Access::Write, false),
    ("--read-own", Access::Read, true),
    ("--write-own", Access::Write, true),
];
const HOLE: &str = "--hole";
const NETWORK: &str = "--network";

fn expand(
    path: PathBuf,
    access: Access,
    holes: &[&Path],
    entries: &impl Fn(&Path) -> Vec<PathBuf>,
    rules: &mut Vec<Rule>,
) {
    if !holes.iter().any(|hole| hole.starts_with(&path)) {
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

    /// A small machine: `/home/ann` has a repository, a clone of it is in `/opt`.
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
        let below = FILES
            .iter()
            .filter_map(|file| Path::new(file).strip_prefix(folder).ok()?.components().next());
        let mut found: Vec<_> = below.map(|name| folder.join(name)).collect();
        found.dedup();
        found
    }

    fn paths(paths: &[&str]) -> Vec<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    fn check(confinement: &Confinement, expected: &[(&str, Access)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(path, access)| Rule { path: path.into(), access: *access })
            .collect();
        assert_eq!(confinement.rules(entries), expected, "{confinement:?}");
    }

    fn read(granted: &[&str], holes: &[&str]) -> Confinement {
        Confinement::new(Kind::Tested).read(granted).without(paths(holes))
    }

    #[test]
    fn grant_without_exclusions_is_one_rule() {
        use Access::{Read, Write};
        check(&read(&["/usr"], &[]), &[("/usr", Read)]);
        check(
            &read(&["/usr"], &["/home/ann"]).write(["/home/bob"]),
            &[("/home/bob", Write), ("/usr", Read)],
        );
        // a name with the same prefix is not an exclusion
        check(&read(&["/home/ann/work"], &["/home/ann/wo"]), &[("/home/ann/work", Read)]);
    }

    #[test]
    fn exclusion_keeps_its_siblings_granted() {
        use Access::{Read, Write};
        check(&read(&["/opt"], &["/opt/clone"]), &[("/opt/tool", Read)]);
        check(
            &read(&["/home"], &["/home/ann/work/repo"]),
            &[
                ("/home/ann/.ssh", Read),
                ("/home/ann/notes", Read),
                ("/home/ann/work/other", Read),
                ("/home/bob", Read),
            ],
        );
        check(
            &read(&["/"], &["/home/ann", "/opt/clone"]),
            &[("/home/bob", Read), ("/opt/tool", Read), ("/usr", Read)],
        );
        check(&read(&[], &["/opt/clone/.git", "/opt/tool"]).write(["/opt"]), &[]);
        // a path that does not exist yet is excluded from the grant as well
        check(
            &read(&["/opt"], &["/opt/tool/store"]),
            &[("/opt/clone", Read), ("/opt/tool/bin", Read)],
        );
        check(
            &read(&["/opt/tool"], &["/opt/clone/x"]).write(["/opt/clone"]),
            &[("/opt/clone/.git", Write), ("/opt/tool", Read)],
        );
    }

    #[test]
    fn nothing_is_granted_inside_an_exclusion() {
        check(
            &read(&["/home/ann/work/repo", "/home/ann/work/repo/tests"], &["/home/ann/work/repo"]),
            &[],
        );
        check(&read(&["/home/ann"], &["/"]), &[]);
    }

    #[test]
    fn child_files_inside_an_exclusion_are_granted_without_nested_exclusions() {
        use Access::{Read, Write};
        let repository = "/home/ann/work/repo";
        let own = read(&["/home/ann/work"], &[repository])
            .read_own(["/home/ann/work/repo/.agent/checkouts/one"])
            .write_own(["/home/ann/work/repo/.agent/tmp/tier"]);
        check(
            &own,
            &[
                ("/home/ann/work/other", Read),
                ("/home/ann/work/repo/.agent/checkouts/one", Read),
                ("/home/ann/work/repo/.agent/tmp/tier", Write),
            ],
        );
        let below = ["tests", ".git", ".agent"].map(|name| format!("{repository}/{name}"));
        let holes = [repository, &below[0], &below[1], &below[2]];
        check(
            &read(&[], &holes).read_own([repository]),
            &[("/home/ann/work/repo/agent.toml", Read), ("/home/ann/work/repo/runner", Read)],
        );
    }

    #[test]
    fn secrets_are_known_by_name_or_by_value() {
        for name in [
            "AGENT_TOKEN",
            "AWS_ACCESS_KEY_ID",
            "aws_profile",
            "GIT_DIR",
            "GIT_ASKPASS",
            "SSH_AUTH_SOCK",
            "SSH_AGENT_PID",
            "GITHUB_TOKEN",
            "OPENAI_API_KEY",
            "PGPASSWORD",
            "MYSQL_PWD",
            "GITHUBTOKEN",
            "ClientSecret",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "SENTRY_DSN",
            "KUBECONFIG",
            "npm_config__auth",
            "OTEL_EXPORTER_OTLP_HEADERS",
            "ACTIONS_RUNTIME_TOKEN",
            "DOCKER_HOST",
            "CI_JOB_JWT",
            "SIGNING_KEY.PEM",
        ] {
            assert!(is_secret(name, "value"), "{name}");
        }
        for name in [
            "PATH",
            "HOME",
            "LANG",
            "PWD",
            "TMPDIR",
            "KEYMAP",
            "KEYBOARD",
            "MONKEY",
            "PYTHONPATH",
            "CUDA_VISIBLE_DEVICES",
            "AUTHOR",
            "SSL_CERT_FILE",
        ] {
            assert!(!is_secret(name, "value"), "{name}");
        }
        for value in ["postgres://ann:secret@db/x", "http://token@proxy:8080", "a=1,redis://:p@h"] {
            assert!(is_secret("URL", value), "{value}");
        }
        for value in [
            "http://proxy:8080",
            "https://example.org/a@b",
            "ann@example.org",
            "://",
            "file:///a@b",
        ] {
            assert!(!is_secret("URL", value), "{value}");
        }
    }

    #[test]
    fn confinement_survives_encoding_as_arguments() {
        let confinement = Confinement::new(Kind::Coder)
            .read(["/a", "/b c"])
            .write(["/--read"])
            .read_own(["/c"])
            .write_own(["/d"])
            .without(paths(&["/a/x"]))
            .network(true);
        let read = |words: Vec<OsString>| {
            let mut rest = words.into_iter();
            let mut found = None;
            while let Some(word) = rest.next() {
                if !Confinement::take_argument(&mut found, &word, &mut rest) {
                    return None;
                }
            }
            found
        };
        assert_eq!(read(confinement.to_arguments()), Some(confinement));
        let none: [&[&str]; 5] = [
            &["--read", "/a"],
            &["--confine"],
            &["--confine", "x"],
            &["--confine", "tested", "--hole"],
            &["--confine", "tested", "/a", "/b"],
        ];
        for words in none {
            assert_eq!(read(words.iter().map(OsString::from).collect()), None, "{words:?}");
        }
    }
}
