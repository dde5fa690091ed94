//! A Python project as its `pyproject.toml` describes it: how it is run, what it needs, and the
//! metadata an installer would write for it.

use crate::formats::document;
use regex::Regex;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pyproject.toml: {0}")]
pub struct ProjectError(String);

type Scripts = BTreeMap<String, String>;

/// The `[project]` table, or Poetry's table where there is none.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Project {
    pub name: Option<String>,
    /// Absent where the build backend computes it.
    pub version: Option<String>,
    pub scripts: Scripts,
    pub dependencies: Vec<String>,
    /// The dependencies are dynamic: only the build backend can list them.
    pub has_dynamic_dependencies: bool,
    pub requires_python: Option<String>,
    summary: Option<String>,
    /// By group; without scripts.
    entry_points: BTreeMap<String, Scripts>,
    /// Requirements of a project that is not a package (Poetry's `package-mode = false`): no build
    /// backend lists them.
    pub unpackaged: Vec<String>,
    /// Packages in the repository that the server depends on: members of a uv workspace.
    pub members: Vec<String>,
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
    uv: Option<Uv>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Uv {
    /// By package; uv interprets the values.
    sources: BTreeMap<String, toml::Value>,
    workspace: Option<toml::Table>,
}

impl Uv {
    /// The members that a project needs; all of them, where there is no project at the root.
    fn members(&self, has_project: bool) -> Vec<String> {
        let is_member = |source: &toml::Value| {
            source.get("workspace").and_then(toml::Value::as_bool) == Some(true)
        };
        let named: Vec<_> = self
            .sources
            .iter()
            .filter(|(_, source)| is_member(source))
            .map(|(name, _)| name.clone())
            .collect();
        let listed = || {
            let members = self
                .workspace
                .iter()
                .filter_map(|workspace| workspace.get("members"))
                .filter_map(toml::Value::as_array)
                .flatten();
            members.filter_map(toml::Value::as_str).map(str::to_owned).collect()
        };
        if has_project || !named.is_empty() { named } else { listed() }
    }
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
    #[serde(rename = "package-mode")]
    package_mode: Option<bool>,
}

impl Project {
    pub fn parse(text: &str) -> Result<Self, ProjectError> {
        let file: File = toml::from_str(document::without_mark(text))
            .map_err(|error| ProjectError(error.message().to_owned()))?;
        let poetry = file.tool.poetry.unwrap_or_default();
        let members = file.tool.uv.unwrap_or_default().members(file.project.is_some());
        let Some(table) = file.project else {
            return Ok(Self { members, ..Self::of_poetry(poetry) });
        };
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
            unpackaged: Vec::new(),
            members,
        })
    }

    fn of_poetry(poetry: Poetry) -> Self {
        let scripts = poetry
            .scripts
            .into_iter()
            .filter_map(|(name, target)| Some((name, target.as_str()?.to_owned())));
        let is_package = poetry.package_mode != Some(false);
        let (python, needed): (Vec<_>, Vec<_>) =
            poetry.dependencies.into_iter().partition(|(name, _)| name == "python");
        Self {
            name: poetry.name,
            version: poetry.version,
            scripts: scripts.collect(),
            dependencies: Vec::new(),
            has_dynamic_dependencies: is_package && !needed.is_empty(),
            requires_python: python.first().and_then(|(_, value)| poetry_range(value.as_str()?)),
            summary: poetry.description,
            entry_points: poetry.plugins,
            unpackaged: if is_package {
                Vec::new()
            } else {
                needed.iter().filter_map(|(name, value)| poetry_requirement(name, value)).collect()
            },
            members: Vec::new(),
        }
    }

    /// The metadata an installer writes for the project, as files of one folder on the module path.
    /// `computed` is its version where the file declares none. `None` for a project without a name,
    /// which cannot be installed.
    pub fn installed(&self, computed: Option<&str>) -> Option<Vec<(String, String)>> {
        let name = self.name.as_deref().filter(|name| is_name(name))?;
        let version =
            self.version.as_deref().or(computed).unwrap_or("0").replace(['\n', '\r', '/'], "");
        let folder = format!("{}-{version}.dist-info", name.replace(['-', '.'], "_"));
        let mut metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
        let one_line = |text: &str| text.replace(['\n', '\r'], " ");
        let fields = [("Summary", &self.summary), ("Requires-Python", &self.requires_python)];
        for (field, value) in
            fields.into_iter().filter_map(|(field, value)| Some((field, value.as_ref()?)))
        {
            let _ = writeln!(metadata, "{field}: {}", one_line(value));
        }
        for dependency in &self.dependencies {
            let _ = writeln!(metadata, "Requires-Dist: {}", one_line(dependency));
        }
        let mut files = vec![
            (format!("{folder}/METADATA"), metadata),
            (format!("{folder}/INSTALLER"), "agent\n".to_owned()),
        ];
        files.push((format!("{folder}/entry_points.txt"), self.entry_points_text()));
        files.extend(
            self.scripts
                .iter()
                .filter_map(|(name, target)| Some((script_file(name)?, program(target)?))),
        );
        Some(files)
    }

    fn entry_points_text(&self) -> String {
        let mut text = String::new();
        let scripts = std::iter::once(("console_scripts", &self.scripts))
            .filter(|(_, scripts)| !scripts.is_empty());
        for (group, entries) in scripts
            .chain(self.entry_points.iter().map(|(group, entries)| (group.as_str(), entries)))
        {
            let _ = writeln!(text, "[{group}]");
            for (name, target) in entries {
                let _ = writeln!(text, "{name} = {target}");
            }
            text.push('\n');
        }
        text
    }
}

/// A Poetry dependency as a requirement; `None` for one that is optional or not from a registry.
fn poetry_requirement(name: &str, value: &toml::Value) -> Option<String> {
    let (version, extras) = match value {
        toml::Value::String(version) => (version.as_str(), String::new()),
        toml::Value::Table(table) => {
            if table.get("optional").and_then(toml::Value::as_bool) == Some(true) {
                return None;
            }
            let extras: Vec<_> = table
                .get("extras")
                .and_then(toml::Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(toml::Value::as_str)
                .collect();
            (
                table.get("version")?.as_str()?,
                if extras.is_empty() { String::new() } else { format!("[{}]", extras.join(",")) },
            )
        }
        _ => return None,
    };
    Some(format!("{name}{extras}{}", poetry_range(version)?))
}

/// A range of Poetry's (`^1.2`, `~1.2`, `*`, `1.2`, or clauses of packaging) in clauses of
/// packaging.
fn poetry_range(range: &str) -> Option<String> {
    let clauses = range.split(',').map(str::trim).map(|clause| {
        let (sign, version) =
            match clause.strip_prefix(['^', '~']).filter(|_| !clause.starts_with("~=")) {
                Some(version) => (clause.as_bytes()[0], version.trim()),
                None if clause == "*" => return Some(String::new()),
                None if clause.starts_with(|first: char| first.is_ascii_digit()) => {
                    return Some(format!("=={clause}"));
                }
                None => return Some(clause.to_owned()),
            };
        let parts =
            version.split('.').map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<_>>>()?;
        // the part that is raised: the first that is not 0 of a caret, the second of a tilde, or
        // the last there is
        let at = match sign {
            b'^' => parts.iter().position(|part| *part != 0).unwrap_or(parts.len() - 1),
            _ => usize::from(parts.len() > 1),
        };
        let above: Vec<_> = parts[..at]
            .iter()
            .copied()
            .chain([parts[at] + 1])
            .map(|part| part.to_string())
            .collect();
        Some(format!(">={version},<{}", above.join(".")))
    });
    let clauses = clauses.collect::<Option<Vec<_>>>()?;
    Some(clauses.into_iter().filter(|clause| !clause.is_empty()).collect::<Vec<_>>().join(","))
}

/// The literal values of a `setup.py` or `setup.cfg`: the build is not run to evaluate computed
/// ones.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Setup {
    pub name: Option<String>,
    pub version: Option<String>,
    /// Console scripts, by name.
    pub scripts: Vec<(String, String)>,
}

impl Setup {
    pub fn read(program: &str, settings: &str) -> Self {
        let found = |pattern: &str, text: &str| {
            Regex::new(pattern).ok()?.captures(text).map(|found| found[1].to_owned())
        };
        let said = |key: &str| {
            let in_program = found(&format!(r#"\b{key}\s*=\s*["']([^"'\n]+)["']"#), program);
            in_program.or_else(|| found(&format!(r"(?m)^{key}\s*=\s*([^\s:]+)\s*$"), settings))
        };
        let scripts = |pattern: &str, text: &str| {
            let pattern = Regex::new(pattern).expect("a pattern of ours");
            pattern
                .captures_iter(text)
                .map(|found| (found[1].to_owned(), found[2].to_owned()))
                .collect::<Vec<_>>()
        };
        let mut named = scripts(r#"["']([\w.-]+)\s*=\s*([\w.]+:[\w.]+)["']"#, program);
        named.extend(scripts(r"(?m)^\s+([\w.-]+)\s*=\s*([\w.]+:[\w.]+)\s*$", settings));
        Self { name: said("name"), version: said("version"), scripts: named }
    }

    /// The only console script, as a command: such a project is not installed.
    pub fn command(&self) -> Option<Vec<String>> {
        let [(_, target)] = self.scripts.as_slice() else { return None };
        Some(vec![
            "python".to_owned(),
            "-c".to_owned(),
            program(target)?.trim_end().replace('\n', "; "),
        ])
    }
}

/// A valid name by the packaging specification: letters, digits, `-`, `_` and `.`.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character))
}

/// The location of a console script of the project.
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
    fn install_requirements_come_from_the_project_file() {
        let text = "[project]\n\
            name = \"acme-notes\"\n\
            version = \"1.4.2\"\n\
            description = \"a\\n\
            b\"\n\
            requires-python = \">=3.11\"\n\
            dependencies = [\"mcp>=2\"]\n\
            [project.scripts]\n\
            acme-notes = \"acme_notes.server:main.run\"\n\
            [project.entry-points.\"x.y\"]\n\
            z = \"q:r\"\n";
        let files: BTreeMap<_, _> =
            Project::parse(text).unwrap().installed(None).unwrap().into_iter().collect();
        let metadata = &files["acme_notes-1.4.2.dist-info/METADATA"];
        assert_eq!(
            metadata,
            "Metadata-Version: 2.1\n\
            Name: acme-notes\n\
            Version: 1.4.2\n\
            Summary: a b\n\
            Requires-Python: >=3.11\n\
            Requires-Dist: mcp>=2\n"
        );
        let points = &files["acme_notes-1.4.2.dist-info/entry_points.txt"];
        assert_eq!(
            points,
            "[console_scripts]\nacme-notes = acme_notes.server:main.run\n\n[x.y]\nz = q:r\n\n"
        );
        assert_eq!(
            files["bin/acme-notes"],
            "import sys\nfrom acme_notes.server import main\nsys.exit(main.run())\n"
        );
    }

    #[test]
    fn dynamic_versions_are_replaced_and_names_stay_within_their_folder() {
        let dynamic = Project::parse(
            "[project]\n\
            name = \"a.b\"\n\
            dynamic = [\"version\", \"dependencies\"]\n\
            [project.scripts]\n\"../x\" = \"a:b\"\n",
        )
        .unwrap();
        assert!(dynamic.has_dynamic_dependencies && dynamic.version.is_none());
        let files = dynamic.installed(Some("2.0")).unwrap();
        assert!(files.iter().all(|(path, _)| path.starts_with("a_b-2.0.dist-info/")), "{files:?}");
        assert_eq!(
            Project::parse("[project]\nname = \"../evil\"\n").unwrap().installed(None),
            None
        );
        assert_eq!(Project::parse("[tool.black]\n").unwrap(), Project::default());
        assert!(Project::parse("[project").is_err());
    }

    #[test]
    fn a_project_of_poetry_is_read_as_well() {
        let text = "[tool.poetry]\n\
            name = \"p\"\n\
            version = \"0.2.0\"\n\
            [tool.poetry.dependencies]\n\
            python = \"^3.11\"\n\
            mcp = \"^2\"\n\
            [tool.poetry.scripts]\n\
            p = \"p.cli:main\"\n\
            q = { reference = \"q.sh\", type = \"file\" }\n";
        let project = Project::parse(text).unwrap();
        assert_eq!(
            (project.name.as_deref(), project.version.as_deref(), project.scripts.len()),
            (Some("p"), Some("0.2.0"), 1)
        );
        assert!(project.has_dynamic_dependencies);
    }

    #[test]
    fn poetry_requirements_become_pep_508() {
        for (range, clauses) in [
            ("^1.2", ">=1.2,<2"),
            ("^0.2.3", ">=0.2.3,<0.3"),
            ("^0.0", ">=0.0,<0.1"),
            ("~1.2", ">=1.2,<1.3"),
            ("~1", ">=1,<2"),
            ("*", ""),
            ("1.4.0", "==1.4.0"),
            (">=1,<3", ">=1,<3"),
            ("~=1.4", "~=1.4"),
        ] {
            assert_eq!(poetry_range(range).as_deref(), Some(clauses), "{range}");
        }
        let text = "[tool.poetry]\n\
            package-mode = false\n\
            [tool.poetry.dependencies]\n\
            python = \"^3.11\"\n\
            mcp = { version = \"^1.2\", extras = [\"cli\"] }\n\
            six = \"*\"\n\
            local = { path = \"../x\" }\n\
            maybe = { version = \"1\", optional = true }\n";
        let project = Project::parse(text).unwrap();
        assert_eq!(
            (project.unpackaged, project.requires_python.as_deref()),
            (vec!["mcp[cli]>=1.2,<2".to_owned(), "six".to_owned()], Some(">=3.11,<4"))
        );
        assert!(!project.has_dynamic_dependencies);
    }

    #[test]
    fn workspace_members_are_listed_where_required() {
        let members = |text: &str| Project::parse(text).unwrap().members;
        let workspace = "[tool.uv.workspace]\nmembers = [\"packages/*\"]\n";
        assert_eq!(members(workspace), ["packages/*"]);
        assert!(
            members(&format!("[project]\nname = \"a\"\n{workspace}")).is_empty(),
            "a project that needs none is on its own"
        );
        let needs = format!(
            "[project]\n\
            name = \"a\"\n\
            [tool.uv.sources]\n\
            b = {{ workspace = true }}\n\
            c = {{ git = \"x\" }}\n\
            {workspace}"
        );
        assert_eq!(members(&needs), ["b"]);
    }

    #[test]
    fn literal_values_of_a_setup_file_are_read() {
        let program = "from setuptools import setup\n\
            setup(name='acme', version = \"1.2.3\",\
            \n  entry_points={'console_scripts': ['acme = srv.main:run']})\n";
        let setup = Setup::read(program, "");
        assert_eq!(
            (setup.name.as_deref(), setup.version.as_deref()),
            (Some("acme"), Some("1.2.3"))
        );
        assert_eq!(
            setup.command().unwrap(),
            ["python", "-c", "import sys; from srv.main import run; sys.exit(run())"]
        );
        let settings = "[metadata]\n\
            name = beta\n\
            version = attr: beta.__version__\n\
            [options.entry_points]\n\
            console_scripts =\
            \n    beta = beta:main\n";
        let setup = Setup::read("", settings);
        assert_eq!(
            (setup.name.as_deref(), setup.version, setup.scripts.len()),
            (Some("beta"), None, 1)
        );
        assert_eq!(Setup::read("setup(name=NAME)", ""), Setup::default());
    }
}
