//! Command lines that fetch a package each time, as hosts' configurations have them.

use crate::adoption::package::Package;

/// A command line that fetches its package each time, such as a host's configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub by: Fetcher,
    /// The requirement for an installer.
    pub package: String,
    /// The program and its arguments; of `npx` the program is still to be found in the package.
    pub command: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetcher {
    Uvx,
    Npx,
}

/// `uvx NAME`, `uv tool run NAME`, `npx NAME`, with the options that name a package or skip the
/// prompt.
pub fn fetched(command: &[String]) -> Option<Fetched> {
    let words: Vec<_> = command.iter().map(String::as_str).collect();
    let (by, mut rest) = match words.as_slice() {
        ["uvx", rest @ ..] | ["uv", "tool", "run", rest @ ..] => (Fetcher::Uvx, rest),
        ["npx", rest @ ..] => (Fetcher::Npx, rest),
        _ => return None,
    };
    let mut package = None;
    loop {
        rest = match (by, rest) {
            (Fetcher::Uvx, ["--from", from, rest @ ..])
            | (Fetcher::Npx, ["-p" | "--package", from, rest @ ..]) => {
                package = Some((*from).to_owned());
                rest
            }
            (Fetcher::Npx, ["-y" | "--yes" | "--", rest @ ..]) => rest,
            _ => break,
        };
    }
    let (program, arguments) =
        rest.split_first().filter(|(program, _)| !program.starts_with('-'))?;
    // a package may be named with a version, a program is not
    let at = program
        .char_indices()
        .skip(1)
        .find(|(_, character)| *character == '@')
        .map_or(program.len(), |(at, _)| at);
    let name = &program[..at];
    let package = package.unwrap_or_else(|| match (by, program.get(at + 1..)) {
        (Fetcher::Uvx, Some(version)) if version != "latest" => format!("{name}=={version}"),
        (Fetcher::Uvx, _) => name.to_owned(),
        (Fetcher::Npx, _) => (*program).to_owned(),
    });
    let name = name.split('[').next().unwrap_or(name);
    let command =
        std::iter::once(name).chain(arguments.iter().copied()).map(str::to_owned).collect();
    Some(Fetched { by, package, command })
}

/// The program of a package that is run by the package's name.
pub fn program_of(package: &Package) -> Option<String> {
    let programs = package.programs();
    let named = package.name().filter(|name| programs.contains_key(*name)).map(str::to_owned);
    named.or_else(|| programs.into_keys().next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adoption::command::words;

    #[test]
    fn host_configuration_entry_yields_its_package() {
        for (line, by, package, command) in [
            (
                "uvx mcp-server-time --local-timezone UTC",
                Fetcher::Uvx,
                "mcp-server-time",
                "mcp-server-time --local-timezone UTC",
            ),
            ("uvx mcp-server-git@2.1", Fetcher::Uvx, "mcp-server-git==2.1", "mcp-server-git"),
            ("uvx --from git-tools[all] serve x", Fetcher::Uvx, "git-tools[all]", "serve x"),
            (
                "npx -y @scope/server-x@1.2 /tmp",
                Fetcher::Npx,
                "@scope/server-x@1.2",
                "@scope/server-x /tmp",
            ),
            ("npx --package=a b", Fetcher::Npx, "", ""),
            ("npx -p a b c", Fetcher::Npx, "a", "b c"),
        ] {
            let found = fetched(&words(line).unwrap());
            let expected = (!package.is_empty()).then(|| Fetched {
                by,
                package: package.to_owned(),
                command: words(command).unwrap(),
            });
            assert_eq!(found, expected, "{line}");
        }
        assert_eq!(fetched(&["python".to_owned()]), None);
    }
}
