//! The command that starts the server: found in a project, or given as a line.

use crate::adoption::error::AdoptionError;
use crate::adoption::package::Package;
use crate::adoption::project::{Project, script_file};
use crate::protocol::wire;
use std::path::{Path, PathBuf};

/// A command line as a shell would split it, without expansions.
pub fn words(text: &str) -> Result<Vec<String>, AdoptionError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for character in text.chars() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    match (quote, words.is_empty()) {
        (Some(_), _) => Err(AdoptionError::Quote(text.to_owned())),
        (None, true) => Err(AdoptionError::Empty),
        (None, false) => Ok(words),
    }
}

/// How the server is started, found in the project, its Python files (path and text), and its
/// package of Node.
pub fn detect(
    project: &Project,
    files: &[(String, String)],
    package: Option<&Package>,
) -> Result<Vec<String>, AdoptionError> {
    let named = |name: &str| (name.to_owned(), vec![name.to_owned()]);
    let scripts: Vec<_> = project
        .scripts
        .keys()
        .filter(|name| script_file(name).is_some())
        .map(|name| named(name))
        .collect();
    let servers = files.iter().filter(|(path, text)| !path.contains('/') && makes_a_server(text));
    let servers: Vec<_> =
        servers.map(|(path, _)| (path.clone(), vec!["python".to_owned(), path.clone()])).collect();
    let packages = files.iter().filter_map(|(path, _)| module_of(path));
    let packages: Vec<_> = packages
        .map(|name| (name.clone(), vec!["python".to_owned(), "-m".to_owned(), name]))
        .collect();
    for candidates in [scripts, servers, packages, package.map(programs).unwrap_or_default()] {
        match candidates.as_slice() {
            [] => {}
            [(_, command)] => return Ok(command.clone()),
            several => {
                return Err(AdoptionError::Several(
                    several.iter().map(|(name, _)| name.clone()).collect(),
                ));
            }
        }
    }
    Err(AdoptionError::NoServer)
}

/// The programs of a package, else what `npm start` runs, else its main file.
fn programs(package: &Package) -> Vec<(String, Vec<String>)> {
    let node = |path: &str| vec!["node".to_owned(), path.to_owned()];
    let programs: Vec<_> =
        package.programs().iter().map(|(name, path)| (name.clone(), node(path))).collect();
    if !programs.is_empty() {
        return programs;
    }
    // a shell command line has more than arguments
    let start = package
        .start()
        .filter(|line| !line.contains(['&', '|', ';', '$', '`', '<', '>']))
        .and_then(|line| words(line).ok());
    let main = || package.main().map(|path| ("main".to_owned(), node(path)));
    start.map(|words| ("start".to_owned(), words)).or_else(main).into_iter().collect()
}

fn makes_a_server(text: &str) -> bool {
    ["FastMCP(", "MCPServer(", "mcp.server"].iter().any(|sign| text.contains(sign))
}

/// `name/__main__.py`, `src/name/__main__.py` and `src/space/name/__main__.py` can be run as
/// `-m name` or `-m space.name`.
fn module_of(path: &str) -> Option<String> {
    let name = path.strip_prefix("src/").unwrap_or(path).strip_suffix("/__main__.py")?;
    (name != "tests").then(|| name.replace('/', "."))
}

/// The module that a command runs with `-m`.
pub fn module(command: &[String]) -> Option<&str> {
    let at = command.iter().position(|word| word == "-m")?;
    command.get(at + 1).map(|module| module.split('.').next().unwrap_or(module))
}

/// A command line in which files that the server writes beside itself are moved to the data folder,
/// and the changed arguments.
pub fn with_data_apart(command: &[String], own: &[PathBuf]) -> (Vec<String>, Vec<String>) {
    let mut moved = Vec::new();
    let apart = |word: &String| {
        // an option may contain its value (`--name=value`)
        let (before, path) = word
            .split_once('=')
            .map_or(("", word.as_str()), |(option, path)| (&word[..=option.len()], path));
        let is_own = own
            .iter()
            .any(|own| own.as_path() == Path::new(path.strip_prefix("./").unwrap_or(path)));
        match Path::new(path).file_name().and_then(|name| name.to_str()).filter(|_| is_own) {
            Some(name) => {
                moved.push(path.to_owned());
                format!("{before}${}/{name}", wire::ENV_DATA)
            }
            None => word.clone(),
        }
    };
    let command = command.iter().map(apart).collect();
    (command, moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_as_a_shell_does() {
        for (text, expected) in [
            ("python -m a", &["python", "-m", "a"][..]),
            (
                "  python  'my server.py' --name=\"x y\" ''",
                &["python", "my server.py", "--name=x y", ""],
            ),
        ] {
            assert_eq!(words(text).unwrap(), expected);
        }
        assert_eq!(words("python 'a"), Err(AdoptionError::Quote("python 'a".to_owned())));
        assert_eq!(words(" "), Err(AdoptionError::Empty));
    }

    fn detected(
        pyproject: &str,
        files: &[(&str, &str)],
        package: Option<&str>,
    ) -> Result<String, AdoptionError> {
        let files: Vec<_> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let package = package.map(|text| Package::parse(text.as_bytes(), "package.json").unwrap());
        detect(&Project::parse(pyproject).unwrap(), &files, package.as_ref())
            .map(|command| command.join(" "))
    }

    #[test]
    fn server_is_found_in_conventional_places() {
        let script = "[project]\nname = \"w\"\nscripts = { weather = \"weather.server:main\" }\n";
        let server = ("server.py", "from mcp.server.fastmcp import FastMCP\nmcp = FastMCP('x')\n");
        assert_eq!(detected(script, &[server], None).unwrap(), "weather");
        assert_eq!(detected("", &[("setup.py", ""), server], None).unwrap(), "python server.py");
        assert_eq!(
            detected("", &[("src/weather/__main__.py", ""), ("tests/__main__.py", "")], None)
                .unwrap(),
            "python -m weather"
        );
        assert_eq!(
            detected("", &[("a.py", "FastMCP()"), ("b.py", "FastMCP()")], None),
            Err(AdoptionError::Several(vec!["a.py".into(), "b.py".into()]))
        );
        assert_eq!(detected("", &[("setup.py", "")], None), Err(AdoptionError::NoServer));
        for (package, command) in [
            (
                r#"{"name": "a", "bin": {"a-server": "dist/a.js"}, "main": "b.js"}"#,
                "node dist/a.js",
            ),
            (
                r#"{"main": "b.js", "scripts": {"start": "tsx src/c.ts --quiet"}}"#,
                "tsx src/c.ts --quiet",
            ),
            (r#"{"main": "b.js", "scripts": {"start": "npm run build && node x"}}"#, "node b.js"),
        ] {
            assert_eq!(detected("", &[], Some(package)).unwrap(), command);
        }
    }

    #[test]
    fn server_data_files_go_to_the_data_folder() {
        let command =
            words("serve --db-path ./test.db --log=logs/a.log other.db test.db.bak").unwrap();
        let (apart, moved) = with_data_apart(&command, &["test.db".into(), "logs/a.log".into()]);
        assert_eq!(
            apart.join(" "),
            "serve --db-path $AGENT_DATA/test.db --log=$AGENT_DATA/a.log other.db test.db.bak"
        );
        assert_eq!(moved, ["./test.db", "logs/a.log"]);
        assert_eq!(with_data_apart(&command, &[]), (command.clone(), Vec::new()));
    }

    #[test]
    fn a_package_in_a_namespace_is_a_dotted_module() {
        assert_eq!(module_of("src/acme/notes/__main__.py").as_deref(), Some("acme.notes"));
    }
}
