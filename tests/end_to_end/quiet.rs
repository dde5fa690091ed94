//! `-q`: results alone on stdout, what went wrong on stderr, and nothing else anywhere.

use crate::world::World;

/// What stdout may hold.
enum Out {
    Nothing,
    /// One line, which is this.
    Line(&'static str),
    /// One line that begins so.
    Begins(&'static str),
    /// Requested output.
    Shown,
}

use Out::{Begins, Line, Nothing, Shown};

#[test]
fn every_verb_is_quiet_under_q() {
    let world = World::new();
    let case = "{\"id\": \"wanted\", \"tool\": \"estimate\", \"arguments\": \
        {\"task\": \"new\"}, \"must\": true, \"expect\": {\"equals\": 1}}\n";
    let verbs: &[(&str, &[&str], i32, Out)] = &[
        (".", &["init", "a"], 0, Line("v0.1.0")),
        ("a", &["run", "estimate", "task=review"], 0, Shown),
        ("a", &["tune", "took", "task=deploy", "minutes=30"], 0, Nothing),
        ("a", &["tune", "took", "task=deploy", "minutes=30", "--dry-run"], 0, Nothing),
        ("a", &["state", "show"], 0, Shown),
        ("a", &["state", "diff"], 0, Shown),
        ("a", &["state", "log"], 0, Shown),
        ("a", &["state", "verify"], 0, Nothing),
        ("a", &["test", "--tier", "micro"], 0, Nothing),
        ("a", &["promote"], 0, Line("v0.1.1")),
        ("a", &["promote"], 0, Nothing),
        ("a", &["release"], 0, Nothing),
        ("a", &["rollback"], 0, Line("v0.1.2")),
        ("a", &["tune", "took", "task=deploy", "minutes=30", "--promote"], 0, Line("v0.1.3")),
        ("a", &["state", "set", "usual_minutes=31"], 0, Nothing),
        ("a", &["state", "reset"], 0, Nothing),
        ("a", &["pin", "stable", "active"], 0, Nothing),
        ("a", &["pin"], 0, Line("stable = v0.1.3")),
        ("a", &["unpin", "stable"], 0, Nothing),
        ("a", &["pin"], 0, Nothing),
        ("a", &["versions"], 0, Shown),
        ("a", &["versions", "show"], 0, Shown),
        ("a", &["versions", "resolve", "^0.1"], 0, Line("v0.1.3")),
        ("a", &["versions", "diff", "v0.1.1", "v0.1.2"], 0, Shown),
        ("a", &["semver"], 0, Shown),
        ("a", &["architect", "list"], 0, Nothing),
        ("a", &["architect", "run"], 0, Nothing),
        ("a", &["architect", "--queue-only", "be quicker"], 0, Begins("f-")),
        ("a", &["architect", "list"], 0, Begins("f-")),
        ("a", &["verify", "--all"], 0, Nothing),
        ("a", &["gc"], 0, Nothing),
        ("a", &["hooks", "install"], 0, Nothing),
        ("a", &["hooks", "status"], 0, Nothing),
        ("a", &["hooks", "uninstall"], 0, Nothing),
        ("a", &["templates", "list"], 0, Shown),
    ];
    for (folder, arguments, code, out) in verbs {
        let ended = world.agent(folder, [&["-q"], *arguments].concat()).code(*code);
        assert_eq!(ended.stderr, "", "{arguments:?}");
        let lines: Vec<_> = ended.stdout.lines().collect();
        let is_so = match out {
            Nothing => lines.is_empty(),
            Line(line) => lines == [*line],
            Begins(beginning) => lines.len() == 1 && lines[0].starts_with(beginning),
            Shown => !lines.is_empty(),
        };
        assert!(is_so, "{arguments:?}: {lines:?}");
    }
    // an error is printed once, on stderr; a report of failures is the requested output
    world.write("a/tests/micro/more.jsonl", case);
    let told: &[(&[&str], i32, &str)] = &[
        (&["rollback", "9.9.9"], 3, "error: "),
        (&["tune", "took", "task=review", "minutes=4000", "--promote"], 1, "refused: "),
        (&["promote"], 1, "refused: "),
        (&["architect", "be quicker"], 1, "needs a person: "),
    ];
    for (arguments, code, beginning) in told {
        for quiet in ["-q", "-qq"] {
            let ended = world.agent("a", [&[quiet], *arguments].concat()).code(*code);
            assert_eq!(
                (ended.stdout.as_str(), ended.stderr.matches(beginning).count()),
                ("", 1),
                "{arguments:?}: {}",
                ended.stderr
            );
            assert!(ended.stderr.starts_with(beginning), "{arguments:?}: {}", ended.stderr);
        }
    }
    let failed = world
        .agent("a", ["-q", "test", "--tier", "micro", "--at", "worktree"])
        .code(1)
        .stdout_has("wanted");
    assert_eq!(failed.stderr, "");
}
