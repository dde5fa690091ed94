//! A Python project as its `pyproject.toml` describes it: how it is run, what it needs, and the metadata an installer would write for it.

use crate::document;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pyproject.toml: {0}")]
pub struct ProjectError(String);

type Scripts = BTreeMap<String, String>;

/// What the `[project]` table says, and Poetry's own where there is none.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Project {
    pub name: Option<String>,
    /// Absent where the build backend computes it.
    pub version: Option<String>,
    pub scripts: Scripts,
    pub dependencies: Vec<String>,
    /// The build backend has to be asked for the dependencies.
    pub has_dynamic_dependencies: bool,
    pub requires_python: Option<String>,
    summary: Option<String>,
    /// By group; scripts are not among them.
    entry_points: BTreeMap<String, Scripts>,
}

#[derive(Deserialize)]
struct File {
    project: Option<Table>,
    #[serde(default)]
    tool: Tool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Table {
    name: Option<String>,
    version: Option<String>,
    description: Option<String>,
    scripts: Scripts,
    gui_scripts: Scripts,
    entry_points: BTreeMap<String, Scripts>,
    dependencies: Vec<String>,
    requires_python: Option<String>,
    dynamic: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Tool {
    poetry: Option<Poetry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Poetry {
    name: Option<String>,
    version: Option<String>,
    description: Option<String>,
    /// Beside plain targets there are tables of Poetry's own.
    scripts: BTreeMap<String, toml::Value>,
    plugins: BTreeMap<String, Scripts>,
    dependencies: BTreeMap<String, toml::Value>,
}

impl Project {
    pub fn parse(text: &str) -> Result<Self, ProjectError> {
        let file: File = toml::from_str(document::without_mark(text)).map_err(|error| ProjectError(error.message().to_owned()))?;
        let poetry = file.tool.poetry.unwrap_or_default();
        let Some(table) = file.project else { return Ok(Self::of_poetry(poetry)) };
        let is_dynamic = |what: &str| table.dynamic.iter().any(|dynamic| dynamic == what);
        let has_dynamic_dependencies = is_dynamic("dependencies");
        let mut scripts = table.scripts;
        scripts.extend(table.gui_scripts);
        Ok(Self {
            name: table.name,
            version: table.version.or(poetry.version),
            scripts,
            dependencies: table.dependencies,
            has_dynamic_dependencies,
            requires_python: table.requires_python,
            summary: table.description,
            entry_points: table.entry_points,
        })
    }

    fn of_poetry(poetry: Poetry) -> Self {
        let scripts = poetry.scripts.into_iter().filter_map(|(name, target)| Some((name, target.as_str()?.to_owned())));
        Self {
            name: poetry.name,
            version: poetry.version,
            scripts: scripts.collect(),
            dependencies: Vec::new(),
            has_dynamic_dependencies: poetry.dependencies.keys().any(|name| name != "python"),
            requires_python: None,
            summary: poetry.description,
            entry_points: poetry.plugins,
        }
    }

    /// What an installer writes for the project, as files of one folder that is searched for modules. `computed` is its version where the file says none.
    /// `None` for a project without a name, which cannot be installed.
    pub fn installed(&self, computed: Option<&str>) -> Option<Vec<(String, String)>> {
        let name = self.name.as_deref().filter(|name| is_name(name))?;
        let version = self.version.as_deref().or(computed).unwrap_or("0").replace(['\n', '\r', '/'], "");
        let folder = format!("{}-{version}.dist-info", name.replace(['-', '.'], "_"));
        let mut metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
        let one_line = |text: &str| text.replace(['\n', '\r'], " ");
        let fields = [("Summary", &self.summary), ("Requires-Python", &self.requires_python)];
        for (field, value) in fields.into_iter().filter_map(|(field, value)| Some((field, value.as_ref()?))) {
            let _ = writeln!(metadata, "{field}: {}", one_line(value));
        }
        for dependency in &self.dependencies {
            let _ = writeln!(metadata, "Requires-Dist: {}", one_line(dependency));
        }
        let mut files = vec![(format!("{folder}/METADATA"), metadata), (format!("{folder}/INSTALLER"), "agent\n".to_owned())];
        files.push((format!("{folder}/entry_points.txt"), self.entry_points_text()));
        files.extend(self.scripts.iter().filter_map(|(name, target)| Some((script_file(name)?, program(target)?))));
        Some(files)
    }

    fn entry_points_text(&self) -> String {
        let mut text = String::new();
        let scripts = std::iter::once(("console_scripts", &self.scripts)).filter(|(_, scripts)| !scripts.is_empty());
        for (group, entries) in scripts.chain(self.entry_points.iter().map(|(group, entries)| (group.as_str(), entries))) {
            let _ = writeln!(text, "[{group}]");
            for (name, target) in entries {
                let _ = writeln!(text, "{name} = {target}");
            }
            text.push('\n');
        }
        text
    }
}

/// As packaging has it: letters, digits, `-`, `_` and `.`.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character))
}

/// Where a console script of the project lies.
pub fn script_file(name: &str) -> Option<String> {
    (is_name(name) && name != "." && name != "..").then(|| format!("bin/{name}"))
}

/// `package.module:function` as a program for the interpreter.
fn program(target: &str) -> Option<String> {
    let (module, function) = target.split(['[', ' ']).next()?.split_once(':')?;
    let root = function.split('.').next()?;
    Some(format!("import sys\nfrom {module} import {root}\nsys.exit({function}())\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_installed_by_what_its_file_says() {
        let text = "[project]\nname = \"acme-notes\"\nversion = \"1.4.2\"\ndescription = \"a\\nb\"\nrequires-python = \">=3.11\"\n\
                    dependencies = [\"mcp>=2\"]\n[project.scripts]\nacme-notes = \"acme_notes.server:main.run\"\n[project.entry-points.\"x.y\"]\nz = \"q:r\"\n";
        let files: BTreeMap<_, _> = Project::parse(text).unwrap().installed(None).unwrap().into_iter().collect();
        let metadata = &files["acme_notes-1.4.2.dist-info/METADATA"];
        assert_eq!(
            metadata,
            "Metadata-Version: 2.1\nName: acme-notes\nVersion: 1.4.2\nSummary: a b\nRequires-Python: >=3.11\nRequires-Dist: mcp>=2\n"
        );
        let points = &files["acme_notes-1.4.2.dist-info/entry_points.txt"];
        assert_eq!(points, "[console_scripts]\nacme-notes = acme_notes.server:main.run\n\n[x.y]\nz = q:r\n\n");
        assert_eq!(files["bin/acme-notes"], "import sys\nfrom acme_notes.server import main\nsys.exit(main.run())\n");
    }

    #[test]
    fn a_version_that_is_computed_is_given_and_names_stay_within_their_folder() {
        let dynamic =
            Project::parse("[project]\nname = \"a.b\"\ndynamic = [\"version\", \"dependencies\"]\n[project.scripts]\n\"../x\" = \"a:b\"\n")
                .unwrap();
        assert!(dynamic.has_dynamic_dependencies && dynamic.version.is_none());
        let files = dynamic.installed(Some("2.0")).unwrap();
        assert!(files.iter().all(|(path, _)| path.starts_with("a_b-2.0.dist-info/")), "{files:?}");
        assert_eq!(Project::parse("[project]\nname = \"../evil\"\n").unwrap().installed(None), None);
        assert_eq!(Project::parse("[tool.black]\n").unwrap(), Project::default());
        assert!(Project::parse("[project").is_err());
    }

    #[test]
    fn a_project_of_poetry_is_read_as_well() {
        let text = "[tool.poetry]\nname = \"p\"\nversion = \"0.2.0\"\n[tool.poetry.dependencies]\npython = \"^3.11\"\nmcp = \"^2\"\n\
                    [tool.poetry.scripts]\np = \"p.cli:main\"\nq = { reference = \"q.sh\", type = \"file\" }\n";
        let project = Project::parse(text).unwrap();
        assert_eq!((project.name.as_deref(), project.version.as_deref(), project.scripts.len()), (Some("p"), Some("0.2.0"), 1));
        assert!(project.has_dynamic_dependencies);
    }
}
