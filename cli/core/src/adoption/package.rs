//! A Node project: its `package.json` and its lock, as far as they decide what is installed.

use crate::formats::object_id;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub const FILE: &str = "package.json";
/// Lock files that `npm ci` accepts.
pub const LOCKS: [&str; 2] = ["npm-shrinkwrap.json", "package-lock.json"];

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    #[error("{file} cannot be read: {problem}")]
    Malformed { file: String, problem: String },
    #[error(
        "{file} names `{entry}`, which is in the repository: an environment is shared by every \
        checkout with the same lock file"
    )]
    Local { file: String, entry: String },
}

/// A package's own description.
#[derive(Debug, Clone, PartialEq)]
pub struct Package {
    value: Map<String, Value>,
}

impl Package {
    pub fn parse(bytes: &[u8], file: &str) -> Result<Self, PackageError> {
        let malformed =
            |problem: String| PackageError::Malformed { file: file.to_owned(), problem };
        let value: Value =
            serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        match value {
            Value::Object(value) => Ok(Self { value }),
            _ => Err(malformed("it is not an object".to_owned())),
        }
    }

    /// Without the scope that it is published in.
    pub fn name(&self) -> Option<&str> {
        let name = self.value.get("name")?.as_str()?;
        Some(name.rsplit('/').next().unwrap_or(name)).filter(|name| !name.is_empty())
    }

    pub fn version(&self) -> Option<&str> {
        self.value.get("version")?.as_str()
    }

    /// Its programs, by name.
    pub fn programs(&self) -> BTreeMap<String, String> {
        match self.value.get("bin") {
            Some(Value::String(path)) => {
                self.name().map(|name| (name.to_owned(), path.clone())).into_iter().collect()
            }
            Some(Value::Object(programs)) => programs
                .iter()
                .filter_map(|(name, path)| Some((name.clone(), path.as_str()?.to_owned())))
                .collect(),
            _ => BTreeMap::new(),
        }
    }

    pub fn main(&self) -> Option<&str> {
        self.value.get("main")?.as_str()
    }

    /// What `npm start` runs.
    pub fn start(&self) -> Option<&str> {
        self.value.get("scripts")?.get("start")?.as_str()
    }

    /// The folders of an npm workspace, as glob patterns.
    pub fn workspaces(&self) -> Option<String> {
        let value = self.value.get("workspaces")?;
        let listed = value.as_array().or_else(|| value.get("packages")?.as_array())?;
        Some(listed.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
            .filter(|text| !text.is_empty())
    }

    pub fn has_dependencies(&self) -> bool {
        ["dependencies", "devDependencies", "optionalDependencies"].iter().any(|kind| {
            self.value
                .get(*kind)
                .and_then(Value::as_object)
                .is_some_and(|listed| !listed.is_empty())
        })
    }

    /// The description without scripts: these belong to the project's files, which are not there
    /// where packages are installed.
    pub fn to_install(&self) -> Vec<u8> {
        let kept: Map<_, _> = self
            .value
            .iter()
            .filter(|(name, _)| *name != "scripts")
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        serde_json::to_vec_pretty(&kept).expect("a JSON value serialises")
    }
}

/// Refuses a lock with packages that are no packages of a registry: folders of the repository, and
/// workspaces.
pub fn refuse_local(lock: &[u8], file: &str) -> Result<(), PackageError> {
    let malformed = |problem: String| PackageError::Malformed { file: file.to_owned(), problem };
    let lock: Value = serde_json::from_slice(lock).map_err(|error| malformed(error.to_string()))?;
    let packages = lock["packages"].as_object().into_iter().flatten();
    let is_local = |place: &str, package: &Value| {
        let resolved = package["resolved"].as_str().unwrap_or_default();
        package["link"] == true
            || resolved.starts_with("file:")
            || (!place.is_empty() && !place.contains("node_modules"))
    };
    match packages.into_iter().find(|(place, package)| is_local(place, package)) {
        Some((place, _)) => {
            Err(PackageError::Local { file: file.to_owned(), entry: place.clone() })
        }
        None => Ok(()),
    }
}

/// Whether npm can use the versions of a `yarn.lock`: it reads those of Yarn 1.
pub fn npm_reads(yarn_lock: &str) -> bool {
    yarn_lock.lines().take(8).any(|line| line.trim() == "# yarn lockfile v1")
}

/// The key of a Node environment.
pub fn key(node: &str, platform: &str, package: &[u8], lock: &[u8], settings: &[u8]) -> String {
    let mut text = format!("node {node} {platform}\n").into_bytes();
    for part in [package, lock, settings] {
        text.extend_from_slice(part.len().to_string().as_bytes());
        text.push(b'\n');
        text.extend_from_slice(part);
    }
    object_id::digest(&text).trim_start_matches("sha256:")[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_name_and_run_command_are_read() {
        let text =
            br#"{"name": "@acme/notes", "version": "2.1.0", "bin": "dist/index.js", "scripts": {"start": "node .", "prepare": "tsc"}, "dependencies": {"x": "1"}}"#;
        let package = Package::parse(text, FILE).unwrap();
        assert_eq!(
            (package.name(), package.version(), package.start()),
            (Some("notes"), Some("2.1.0"), Some("node ."))
        );
        assert_eq!(
            package.programs().into_iter().collect::<Vec<_>>(),
            [("notes".to_owned(), "dist/index.js".to_owned())]
        );
        let installed = Package::parse(&package.to_install(), FILE).unwrap();
        assert!(installed.start().is_none() && installed.has_dependencies());
        assert!(Package::parse(b"[]", FILE).is_err());
    }

    #[test]
    fn lock_holds_only_registry_packages() {
        let lock = |entry: &str| {
            format!(
                r#"{{"packages": {{"": {{"name": "a"}}, "node_modules/b": {{"version": "1"}}{entry}}}}}"#
            )
        };
        refuse_local(lock("").as_bytes(), "l").unwrap();
        for entry in [
            r#", "packages/c": {"version": "1"}"#,
            r#", "node_modules/c": {"link": true}"#,
            r#", "node_modules/c": {"resolved": "file:../c"}"#,
        ] {
            assert!(refuse_local(lock(entry).as_bytes(), "l").is_err(), "{entry}");
        }
        assert!(refuse_local(b"{", "l").is_err());
    }

    #[test]
    fn workspaces_and_foreign_locks_are_recognised() {
        let of = |text: &str| Package::parse(text.as_bytes(), FILE).unwrap().workspaces();
        assert_eq!(
            of(r#"{"workspaces": ["packages/*", "apps/a"]}"#).as_deref(),
            Some("packages/*, apps/a")
        );
        assert_eq!(of(r#"{"workspaces": {"packages": ["p"]}}"#).as_deref(), Some("p"));
        assert_eq!((of("{}"), of(r#"{"workspaces": []}"#)), (None, None));
        assert!(
            npm_reads("# THIS IS AN AUTOGENERATED FILE.\n# yarn lockfile v1\n")
                && !npm_reads("__metadata:\n  version: 8\n")
        );
    }

    #[test]
    fn ambiguous_inputs_have_distinct_digests() {
        assert_ne!(key("20", "x", b"ab", b"c", b""), key("20", "x", b"a", b"bc", b""));
        assert_ne!(key("20", "x", b"a", b"b", b""), key("22", "x", b"a", b"b", b""));
    }
}
