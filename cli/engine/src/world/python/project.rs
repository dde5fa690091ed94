//! The project of a checkout, as if it was installed: metadata, entry points and console scripts in
//! a separate folder on Python's path. The code itself is that of the checkout, and the environment
//! of a lock stays one for all checkouts with that lock.

use super::error::PythonError;
use super::marker::{MARKER, is_finished};
use crate::world::fs;
use crate::world::layout::Layout;
use agent_core::adoption::project::Project;
use agent_core::formats::manifest::Python;
use agent_core::formats::object_id;
use std::path::{Path, PathBuf};

/// Like an environment's marker: the folder is complete.
const SCHEMA: &str = r#"{"schema":"agent/project@1"}"#;

/// The folder with the project's metadata; `None` where the manifest names no project, or one
/// without a name.
pub fn project(
    layout: &Layout,
    code: &Path,
    python: &Python,
) -> Result<Option<PathBuf>, PythonError> {
    let Some(path) = &python.project else { return Ok(None) };
    let bytes = fs::read_if_there(&code.join(path))?
        .ok_or_else(|| PythonError::NoProject { path: path.into() })?;
    let project = Project::parse(&String::from_utf8_lossy(&bytes))?;
    let Some(files) = project.installed(python.version.as_deref()) else { return Ok(None) };
    let folder = layout.environment(&format!("project-{}", key(&files)));
    if !is_finished(&folder) {
        write(layout, &files, &folder)?;
    }
    Ok(Some(folder))
}

fn key(files: &[(String, String)]) -> String {
    let text: String = files.iter().flat_map(|(path, text)| [path, "\0", text, "\0"]).collect();
    object_id::digest(text.as_bytes()).trim_start_matches("sha256:")[..32].to_owned()
}

/// Written beside its place and put there by a rename: another process may do the same.
fn write(layout: &Layout, files: &[(String, String)], folder: &Path) -> Result<(), PythonError> {
    let under_way = layout.temporary_folder("project")?;
    let fresh = under_way.path().join("files");
    for (path, text) in files {
        fs::write(&fresh.join(path), text.as_bytes())?;
    }
    fs::write(&fresh.join(MARKER), SCHEMA.as_bytes())?;
    fs::create_dir(&layout.environments())?;
    match fs::rename(&fresh, folder) {
        Err(_) if is_finished(folder) => Ok(()),
        renamed => Ok(renamed?),
    }
}
