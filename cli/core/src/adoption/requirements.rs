//! Requirements of Python packages: lists, other tools' locks, pip's report.

use crate::adoption::error::AdoptionError;
use serde_json::Value;

/// The file of a folder `requirements/` with a server's runtime requirements; `None` where that is
/// ambiguous.
pub fn main_list(names: &[String]) -> Option<&str> {
    const FIRST: [&str; 8] =
        ["production", "prod", "main", "base", "common", "default", "requirements", "runtime"];
    let lists: Vec<_> = names.iter().filter_map(|name| name.strip_suffix(".txt")).collect();
    let only = || if let [only] = lists.as_slice() { Some(*only) } else { None };
    let chosen = FIRST.into_iter().find(|first| lists.contains(first)).or_else(only)?;
    names.iter().map(String::as_str).find(|name| name.strip_suffix(".txt") == Some(chosen))
}

/// The lines of versions that another tool's lock has chosen (of poetry, of pdm).
pub fn constraints(lock: &str) -> Vec<String> {
    let lock: toml::Table = toml::from_str(lock).unwrap_or_default();
    let packages = lock.get("package").and_then(toml::Value::as_array).into_iter().flatten();
    let line = |package: &toml::Value| {
        Some(format!("{}=={}", package.get("name")?.as_str()?, package.get("version")?.as_str()?))
    };
    packages.filter_map(line).collect()
}

/// A hash-locked requirements file, from the report of `pip install --dry-run --report`.
pub fn lock(report: &str) -> Result<String, AdoptionError> {
    let report: Value =
        serde_json::from_str(report).map_err(|error| AdoptionError::Report(error.to_string()))?;
    let items = report["install"]
        .as_array()
        .ok_or_else(|| AdoptionError::Report("it has no `install`".to_owned()))?;
    let is_folder = |item: &&Value| item["download_info"].get("dir_info").is_some();
    let mut lines =
        items.iter().filter(|item| !is_folder(item)).map(locked).collect::<Result<Vec<_>, _>>()?;
    lines.sort();
    Ok(lines.concat())
}

fn locked(item: &Value) -> Result<String, AdoptionError> {
    let text = |value: &Value, what: &str| {
        value
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| AdoptionError::Report(format!("an entry has no {what}")))
    };
    let name = text(&item["metadata"]["name"], "name")?;
    let version = text(&item["metadata"]["version"], "version")?;
    let hash = text(
        &item["download_info"]["archive_info"]["hashes"]["sha256"],
        &format!("sha256 ({name})"),
    )?;
    Ok(format!("{}=={version} \\\n    --hash=sha256:{hash}\n", name.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_of_an_existing_lock_are_kept() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.2\"\n[[package]]\nname = \"odd\"\n";
        assert_eq!(constraints(lock), ["a==1.2"]);
        assert!(constraints("[").is_empty());
    }

    #[test]
    fn a_report_of_pip_becomes_a_lock_with_hashes() {
        let entry = |name: &str, hash: &str| {
            json!({"metadata": {"name": name, "version": "1.0"},
            "download_info": {"archive_info": {"hashes": {"sha256": hash}}}})
        };
        let report = json!({"install": [entry("Zlib-x", "bb"), entry("anyio", "aa")]}).to_string();
        assert_eq!(
            lock(&report).unwrap(),
            "anyio==1.0 \\\n    --hash=sha256:aa\nzlib-x==1.0 \\\n    --hash=sha256:bb\n"
        );
        let local = json!({"install": [{"metadata": {"name": "me", "version": "1"},
            "download_info": {"dir_info": {}}}]})
        .to_string();
        assert_eq!(lock(&local).unwrap(), "", "the project itself is not part of its lock");
        let unknown = json!({"install": [{"metadata": {"name": "me", "version": "1"},
            "download_info": {"vcs_info": {}}}]})
        .to_string();
        assert!(lock(&unknown).unwrap_err().to_string().contains("sha256 (me)"));
    }

    #[test]
    fn the_list_of_runtime_requirements_is_found() {
        let main = |names: &[&str]| {
            main_list(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
                .map(str::to_owned)
        };
        assert_eq!(main(&["base.txt", "dev.txt", "prod.txt"]).as_deref(), Some("prod.txt"));
        assert_eq!(main(&["README.md", "server.txt"]).as_deref(), Some("server.txt"));
        assert_eq!((main(&["dev.txt", "test.txt"]), main(&[])), (None, None));
    }
}
