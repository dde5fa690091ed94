//! `--help` of every verb, as the published reference in `tests/help`. `AGENT_BLESS=1` writes what
//! has changed.
#![expect(
    clippy::disallowed_methods,
    reason = "the one switch of this test is a variable of the person who runs it"
)]

use crate::world::{AGENT, World, source_root};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

fn folder() -> PathBuf {
    source_root().join("tests/help")
}

/// The help of a command and of all below it, as the binary prints it.
fn help(world: &World, command: &clap::Command, path: &[&str], into: &mut String) {
    let ended =
        World::finish(world.command(AGENT, ".").args(path).arg("--help").env("COLUMNS", "100"))
            .ok();
    into.extend(["$ agent ", &path.join(" "), " --help\n\n", &ended.stdout, "\n"]);
    for below in
        command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help")
    {
        help(world, below, &[path, &[below.get_name()]].concat(), into);
    }
}

/// One page for the program, and one for each verb.
fn pages() -> BTreeMap<String, String> {
    let world = World::new();
    let mut program = agent::arguments::command();
    program.build();
    let mut pages = BTreeMap::new();
    let whole = World::finish(world.command(AGENT, ".").arg("--help").env("COLUMNS", "100")).ok();
    pages.insert("agent.txt".to_owned(), format!("$ agent --help\n\n{}", whole.stdout));
    for verb in
        program.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
    {
        let page = pages.entry(format!("agent-{}.txt", verb.get_name())).or_default();
        help(&world, verb, &[verb.get_name()], page);
    }
    pages
}

fn written() -> BTreeMap<String, String> {
    let Ok(entries) = std::fs::read_dir(folder()) else { return BTreeMap::new() };
    let read = |entry: std::fs::DirEntry| {
        (
            entry.file_name().to_string_lossy().into_owned(),
            std::fs::read_to_string(entry.path()).expect("a page of help"),
        )
    };
    entries.map(|entry| read(entry.expect("a folder entry"))).collect()
}

fn bless(pages: &BTreeMap<String, String>) {
    std::fs::create_dir_all(folder()).expect("tests/help");
    for name in written().keys().filter(|name| !pages.contains_key(*name)) {
        std::fs::remove_file(folder().join(name)).expect("a page of a verb that is gone");
    }
    for (name, page) in pages {
        std::fs::write(folder().join(name), page).expect("a page of help");
    }
}

#[test]
fn the_help_of_every_verb_is_the_published_one() {
    let pages = pages();
    if std::env::var_os("AGENT_BLESS").is_some() {
        bless(&pages);
    }
    let written = written();
    let names: Vec<_> = pages.keys().collect();
    assert_eq!(
        names,
        written.keys().collect::<Vec<_>>(),
        "AGENT_BLESS=1 cargo test -p agent --test end_to_end help"
    );
    for (name, page) in &pages {
        assert!(
            written[name] == *page,
            "tests/help/{name} is not what the binary prints (AGENT_BLESS=1 writes it):\n{page}"
        );
    }
}

/// The summary line of a verb is one sentence of its own, not clap's silence.
#[test]
fn every_verb_and_argument_is_described() {
    fn undescribed(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        for argument in command
            .get_arguments()
            .filter(|argument| argument.get_help().is_none() && !argument.is_hide_set())
        {
            found.push(format!("{path} {}", argument.get_id()));
        }
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            let path = format!("{path} {}", below.get_name());
            if below.get_about().is_none() {
                found.push(path.clone());
            }
            undescribed(below, &path, found);
        }
    }
    let mut found = Vec::new();
    undescribed(&agent::arguments::command(), "agent", &mut found);
    assert!(found.is_empty(), "without a word of help:\n{}", found.join("\n"));
}

#[test]
fn every_verb_stands_under_one_heading_in_a_line_of_eighty_columns() {
    let mut program = agent::arguments::command();
    program.build();
    let verbs: BTreeSet<_> = program
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set())
        .map(|verb| verb.get_name().to_owned())
        .collect();
    let listed: Vec<_> = agent::arguments::GROUPS
        .iter()
        .flat_map(|(_, verbs)| verbs.iter().map(|verb| (*verb).to_owned()))
        .collect();
    assert_eq!(listed.len(), verbs.len(), "{listed:?}");
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), verbs);
    let world = World::new();
    let help =
        World::finish(world.command(AGENT, ".").arg("--help").env("COLUMNS", "100")).ok().stdout;
    for verb in &verbs {
        let line = help
            .lines()
            .find(|line| line.starts_with(&format!("  {verb} ")))
            .unwrap_or_else(|| panic!("{verb}:\n{help}"));
        assert!(line.chars().count() <= 80, "{line}");
    }
}
