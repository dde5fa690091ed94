//! The public face as a whole: help, versions, exit codes of the command line itself.

use crate::world::World;

#[test]
fn a_wrong_command_line_is_exit_2_and_suggests() {
    let world = World::new();
    world.agent(".", ["completionz"]).code(2).stderr_has("completions");
    world.agent(".", ["man", "bogus"]).code(2).stderr_has("`bogus` is not a verb");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let world = World::new();
    let ended = World::finish(
        world.command("sh", ".").args(["-c", &format!("{} man | head -c 1", crate::world::AGENT)]),
    );
    assert!(!ended.ok().stderr.contains("panicked"));
}

#[test]
fn with_json_an_error_is_a_document_on_stdout() {
    let world = World::new();
    let failure =
        |arguments: &[&str], code: i32| world.agent(".", arguments.to_vec()).code(code).json();
    let outside = failure(&["promote", "--json"], 3);
    assert_eq!(
        (&outside["schema"], &outside["exit"]),
        (&"agent/error@1".into(), &3.into()),
        "{outside:#}"
    );
    assert!(
        outside["error"].as_str().unwrap().contains("git repository")
            && outside["hint"].is_string(),
        "{outside:#}"
    );
    let wrong = failure(&["promote", "--json", "--gates", "better"], 2);
    assert_eq!(
        (&wrong["exit"], &wrong["error"]),
        (&2.into(), &"unexpected argument '--gates' found".into()),
        "{wrong:#}"
    );
    assert_eq!(
        world.agent(".", ["promote"]).code(3).stdout,
        "",
        "for people it is on stderr alone"
    );
}
