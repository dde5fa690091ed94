//! README.md and the pages it links to: every command is one that `agent` accepts, the sessions are
//! run, and the links lead somewhere.

use crate::world::{AGENT, Ended, World, source_root};
use clap::error::ErrorKind;
use std::collections::BTreeSet;
use std::path::Path;

const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    ".github/docs/adopt.md",
    ".github/docs/learning.md",
    ".github/docs/record.md",
    ".github/docs/overlay.md",
    ".github/docs/performance.md",
    ".github/docs/serving.md",
    ".github/docs/testing.md",
    ".github/docs/triggers.md",
    "examples/README.md",
    "examples/assistant/README.md",
    "examples/co2/README.md",
    "examples/docs-search/README.md",
    "examples/iris/README.md",
    "examples/journals/README.md",
    "examples/open-bandit/README.md",
    "examples/wine/README.md",
    "templates/bandit/README.md",
    "templates/minimal/README.md",
    "templates/minimal/tests/README.md",
    "templates/preferences/README.md",
    "templates/presentation/README.md",
    "templates/prompts/README.md",
    "templates/rules/README.md",
    "templates/runtime/README.md",
    "templates/search/AGENTS.md",
    "templates/search/README.md",
];

/// Not a verb: `agent` starts it before it reads the command line.
const STARTED_BY_AGENT: &str = "agent launch";

fn text(document: &str) -> String {
    std::fs::read_to_string(source_root().join(document))
        .unwrap_or_else(|error| panic!("{document}: {error}"))
}

/// Indented blocks of consecutive lines, without their indentation.
fn blocks(text: &str) -> Vec<Vec<String>> {
    let mut blocks = vec![Vec::new()];
    for line in text.lines() {
        match line.strip_prefix("    ") {
            Some(line) => blocks.last_mut().expect("one block").push(line.to_owned()),
            None if line.is_empty() => {}
            None => blocks.push(Vec::new()),
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

/// The commands of a block. Where some lines begin with a prompt, the others are output.
fn commands(block: &[String]) -> Vec<&str> {
    let prompted: Vec<_> =
        block.iter().filter_map(|line| line.trim_start().strip_prefix("$ ")).collect();
    let typed = if prompted.is_empty() {
        block.iter().map(|line| line.trim_start()).collect()
    } else {
        prompted
    };
    let is_command = |line: &&str| {
        let program = line.split(' ').find(|word| !word.contains('='));
        program.is_some_and(|program| ["agent", "cargo", "cd", "git", "python3"].contains(&program))
    };
    typed.into_iter().filter(is_command).collect()
}

/// The words of each call of `agent` in a script, as a shell takes them apart.
fn calls(script: &str) -> Vec<Vec<String>> {
    const NONE_IS_RUN: &str = "set -f\n\
        agent() { printf '%s\\000' agent \"$@\"; printf '\\n\
        '; }\n\
        cd() { :; }\n\
        git() { :; }\n\
        python3() { :; }\n\
        cargo() { while [ $# -gt 0 ] && [ \"$1\" != -- ]; do shift; done; [ $# -eq 0 ] || { shift; \
        agent \"$@\"; }; }\n";
    let world = World::new();
    let ended =
        World::finish(world.command("sh", ".").args(["-c", &format!("{NONE_IS_RUN}{script}")]))
            .ok();
    ended
        .stdout
        .lines()
        .map(|line| line.trim_end_matches('\0').split('\0').map(str::to_owned).collect())
        .collect()
}

/// Commands within sentences, which may leave out arguments and have placeholders for values; not
/// those that are still missing.
fn mentioned(text: &str) -> Vec<&str> {
    let there = text.split("## What does not work yet").next().unwrap_or_default();
    let prose = there
        .lines()
        .filter(|line| !line.starts_with("    "))
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    prose
        .filter(|span| {
            span.starts_with("agent ")
                && !span.contains(['|', '*', '<'])
                && ![STARTED_BY_AGENT, "agent VERB --help"].contains(span)
        })
        .collect()
}

#[test]
fn every_command_of_the_documents_is_accepted() {
    let (mut typed, mut wrong) = (0, Vec::new());
    for document in DOCUMENTS.iter().copied() {
        let text = text(document);
        let blocks = blocks(&text);
        let mut script: Vec<_> = blocks.iter().flat_map(|block| commands(block)).collect();
        // of the others, programs in folders have no function in their place
        script.retain(|line| line.contains("agent ") || line.starts_with("cargo "));
        for words in calls(&script.join("\n")) {
            typed += 1;
            wrong.extend(
                agent::arguments::command()
                    .try_get_matches_from(&words)
                    .err()
                    .map(|error| format!("{document}: {error}")),
            );
        }
        for span in mentioned(&text) {
            let may_lack = [
                ErrorKind::MissingRequiredArgument,
                ErrorKind::MissingSubcommand,
                ErrorKind::InvalidValue,
                ErrorKind::ValueValidation,
            ];
            let may_lack = |error: &clap::Error| {
                may_lack.contains(&error.kind())
                    || !error.use_stderr()
                    || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            };
            let failed = agent::arguments::command()
                .try_get_matches_from(span.split(' '))
                .err()
                .filter(|error| !may_lack(error));
            wrong.extend(failed.map(|error| format!("{document}: `{span}`: {error}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(typed > 25, "{typed}");
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut broken = Vec::new();
    for document in DOCUMENTS.iter().copied() {
        let text = text(document);
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
            .filter(|link| !link.contains("://"));
        broken.extend(
            links
                .filter(|link| !leads_somewhere(document, link))
                .map(|link| format!("{document}: {link}")),
        );
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// To a file, and where the link names a heading, to one of that file.
fn leads_somewhere(document: &str, link: &str) -> bool {
    let (file, heading) =
        link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
    let page = source_root().join(document);
    let target = match file {
        "" => page,
        file => page.parent().expect("a document is in a folder").join(file),
    };
    target.exists()
        && heading.is_none_or(|heading| {
            let text = std::fs::read_to_string(&target).unwrap_or_default();
            text.lines().any(|line| line.starts_with('#') && anchor(line) == heading)
        })
}

/// The anchor that a forge gives a heading.
fn anchor(line: &str) -> String {
    let title = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    title.chars().filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect()
}

/// Runs the commands of a block in one shell, with `agent` on PATH.
fn run(world: &World, folder: &str, block: &[String]) -> Ended {
    ended(world, folder, block).ok()
}

fn ended(world: &World, folder: &str, block: &[String]) -> Ended {
    let mut commands = commands(block);
    commands.retain(|line| !line.starts_with("cargo "));
    let bin = Path::new(AGENT).parent().expect("the binary is in a folder");
    let path = std::env::join_paths(
        std::iter::once(bin.to_owned()).chain(std::env::split_paths(&world.path_led_by("bin"))),
    )
    .expect("a PATH");
    World::finish(
        world.command("sh", folder).args(["-e", "-c", &commands.join("\n")]).env("PATH", path),
    )
}

/// The blocks of a document whose text has `part`.
fn blocks_with(document: &str, part: &str) -> Vec<Vec<String>> {
    let found: Vec<_> = blocks(&text(document))
        .into_iter()
        .filter(|block| block.iter().any(|line| line.contains(part)))
        .collect();
    assert!(!found.is_empty(), "{document} has no block with {part:?}");
    found
}

#[test]
fn the_sessions_of_the_readme_and_of_the_template_are_run() {
    let world = World::new();
    run(&world, ".", &blocks_with("README.md", "agent init my-agent")[0]);
    world.agent(".", ["init", "a"]).ok();
    run(&world, "a", &blocks_with("templates/minimal/README.md", "agent run")[0]);
}

/// Each line that is shown below the commands of a block, up to its `...`, was printed by them.
fn is_as_shown(block: &[String], printed: Ended) {
    let printed = printed.stdout + &printed.stderr;
    let shown: Vec<_> = block
        .iter()
        .filter(|line| !line.starts_with("$ "))
        .map(|line| line.trim_end_matches("..."))
        .collect();
    for line in shown {
        assert!(printed.contains(line), "{line}\n---\n{printed}");
    }
}

#[test]
fn the_session_of_the_page_about_testing_prints_what_it_shows() {
    let world = World::new();
    world.agent(".", ["init", "a"]).ok();
    let block = &blocks_with(".github/docs/testing.md", "$ agent test")[0];
    assert!(block.iter().filter(|line| !line.starts_with("$ ")).count() >= 4, "{block:?}");
    is_as_shown(block, run(&world, "a", block));
}

/// The session in the README of an example, from `agent init` on.
fn run_example(example: &str) {
    let world = World::new();
    let blocks = blocks_with(&format!("examples/{example}/README.md"), "$ ");
    for (number, block) in blocks.iter().enumerate() {
        let printed = ended(&world, if number == 0 { "." } else { example }, block);
        if printed.lacks_packages() {
            return;
        }
        is_as_shown(block, printed.ok());
    }
}

#[test]
fn the_example_of_the_bandit_prints_what_it_shows() {
    run_example("wine");
}

#[test]
fn the_example_of_off_policy_evaluation_prints_what_it_shows() {
    run_example("open-bandit");
}

#[test]
fn the_example_of_the_preferences_prints_what_it_shows() {
    run_example("journals");
}

#[test]
fn the_example_of_the_prompts_prints_what_it_shows() {
    run_example("assistant");
}

#[test]
fn the_example_of_the_search_prints_what_it_shows() {
    run_example("co2");
}

#[test]
fn the_example_of_the_rules_prints_what_it_shows() {
    run_example("iris");
}

#[test]
fn the_sessions_of_the_example_are_run() {
    let world = World::new();
    world.agent(".", ["init", "a", "--template", "docs-search"]).ok();
    for block in blocks_with("examples/docs-search/README.md", "agent ") {
        run(&world, "a", &block);
    }
    run(&world, "a", &blocks_with(".github/docs/serving.md", "$ agent log")[0]);
}

/// The sessions in the README of a template, in a repository made from it.
fn run_sessions_of(template: &str) {
    let world = World::new();
    let made = world.agent(".", ["init", "a", "--template", template]);
    if made.lacks_packages() {
        return;
    }
    made.ok();
    for block in blocks_with(&format!("templates/{template}/README.md"), "agent run") {
        run(&world, "a", &block);
    }
}

#[test]
fn the_sessions_of_the_bandit_are_run() {
    run_sessions_of("bandit");
}

#[test]
fn the_sessions_of_the_preferences_are_run() {
    run_sessions_of("preferences");
}

#[test]
fn the_sessions_of_the_presentation_are_run() {
    run_sessions_of("presentation");
}

#[test]
fn the_sessions_of_the_prompts_are_run() {
    run_sessions_of("prompts");
}

#[test]
fn the_sessions_of_the_rules_are_run() {
    run_sessions_of("rules");
}

#[test]
fn the_sessions_of_the_template_that_searches_are_run() {
    let world = World::new();
    world.agent(".", ["init", "a", "--template", "search"]).ok();
    for document in ["templates/search/README.md", "templates/search/AGENTS.md"] {
        for block in blocks_with(document, "agent ") {
            run(&world, "a", &block);
        }
    }
}

#[test]
fn the_rules_on_the_page_about_triggers_are_read() {
    let rules = &blocks_with(".github/docs/triggers.md", "\"triggers\"")[0];
    let rules: Vec<_> = rules.iter().take_while(|line| !line.starts_with("$ ")).cloned().collect();
    let mut budgets: serde_json::Value = serde_json::from_str(&rules.join("\n")).unwrap();
    budgets["schema"] = "agent/budgets@1".into();
    let world = World::new();
    world.agent(".", ["init", "a"]).ok();
    world.write("a/ci/budgets.json", budgets.to_string());
    world.agent("a", ["trigger", "check"]).ok().stdout_has("errors-burn    burn");
}

#[test]
fn the_map_names_every_module_and_only_files_that_are_there() {
    let text = text("ARCHITECTURE.md");
    let is_path = |span: &&str| {
        ["cli/", "hooks/", "tests/", "templates/", "examples/", ".github/"]
            .iter()
            .any(|start| span.starts_with(start))
    };
    let spans = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(is_path)
        .filter(|span| !span.contains([' ', '{', '*']) && !is_placeholder(span));
    let named: BTreeSet<String> = spans.map(str::to_owned).chain(mapped(&text)).collect();
    let gone: Vec<_> = named.iter().filter(|path| !source_root().join(path).exists()).collect();
    assert!(gone.is_empty(), "ARCHITECTURE.md names {gone:?}");
    let missing: Vec<_> = modules().into_iter().filter(|module| !named.contains(module)).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md does not name {missing:?}");
}

/// The files of the map: a folder, and below it lines that begin with a name in it and may go on
/// with others, in it or beside it.
fn mapped(text: &str) -> Vec<String> {
    let (mut files, mut folder) = (Vec::new(), String::new());
    for line in blocks(text).concat() {
        if !line.starts_with(' ') {
            folder = if line.ends_with('/') { line } else { String::new() };
        } else if !folder.is_empty() {
            let mut words =
                line.split_whitespace().map(|word| word.trim_end_matches([':', ',', '.', ';']));
            let first = words.next().unwrap_or_default();
            files.push(format!("{folder}{}", first.trim_end_matches('/')));
            let is_name = |word: &&str| {
                word.ends_with('/')
                    || Path::new(word).extension().is_some_and(|end| end == "rs" || end == "py")
            };
            let others = words.filter(is_name).map(|word| word.trim_end_matches('/'));
            let inside = |name: &str| {
                Some(format!("{folder}{first}{name}"))
                    .filter(|path| first.ends_with('/') && source_root().join(path).exists())
            };
            files.extend(
                others.map(|name| inside(name).unwrap_or_else(|| format!("{folder}{name}"))),
            );
        }
    }
    files
}

/// The files and folders that the map has to name: those right below the crates' `src`, below
/// `tests`, and of the Python package.
fn modules() -> Vec<String> {
    let folders = [
        "cli/core/src",
        "cli/engine/src",
        "cli/serve/src",
        "cli/src",
        "hooks/src",
        "templates/runtime/agent_runtime",
        "tests",
    ];
    let entries = folders.iter().flat_map(|folder| {
        std::fs::read_dir(source_root().join(folder))
            .expect("a folder of the map")
            .map(move |entry| (folder, entry))
    });
    let names = entries.map(|(folder, entry)| {
        (folder, entry.expect("an entry").file_name().to_string_lossy().into_owned())
    });
    let is_module = |name: &str| {
        !["lib.rs", "main.rs", "scaffold", "py.typed"].contains(&name)
            && !name.starts_with(['_', '.'])
    };
    names
        .filter(|(_, name)| is_module(name))
        .map(|(folder, name)| format!("{folder}/{name}"))
        .collect()
}

/// `tests/TIER/heldout`: a word in capitals stands for a name.
fn is_placeholder(path: &str) -> bool {
    path.split(['/', '.'])
        .any(|part| part.len() > 1 && part.chars().all(|letter| letter.is_ascii_uppercase()))
}
