//! The public face as a whole: help, versions, exit codes of the command line itself.

use crate::world::World;

#[test]
fn a_wrong_command_line_is_exit_2_and_suggests() {
    let world = World::new();
    world.agent(".", ["completionz"]).code(2).stderr_has("completions");
    world.agent(".", ["man", "bogus"]).code(2).stderr_has("`bogus` is no verb");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let world = World::new();
    let ended = World::finish(world.command("sh", ".").args(["-c", &format!("{} man | head -c 1", crate::world::AGENT)]));
    assert!(!ended.ok().stderr.contains("panicked"));
}
