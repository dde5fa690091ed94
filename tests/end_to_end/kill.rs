//! SIGKILL at random moments: what was acknowledged is there, once, and nothing is left lying
//! around.
#![expect(
    clippy::disallowed_methods,
    reason = "the number of kills and the seed are variables of the person who runs it"
)]

use crate::served::{Served, json_lines};
use agent_core::state::journal::Fold;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The share of kills that a test makes, in percent; a recipe of the justfile sets more.
pub fn kills(percent: usize) -> usize {
    let all =
        std::env::var("AGENT_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    (all * percent).div_ceil(100)
}

/// Random moments from a seed that a failure names, so that it can be tried again
/// (`AGENT_TEST_SEED`).
pub struct Moments(u64);

impl Moments {
    pub fn new() -> Self {
        let given = std::env::var("AGENT_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .expect("the clock is past 1970");
            u64::from(now.subsec_nanos()) << 20 | 1
        });
        Self(seed)
    }

    /// For the message of a test that failed.
    pub fn seed(&self) -> u64 {
        self.0
    }

    /// Moments of another thread's own.
    pub fn fork(&mut self) -> Self {
        Self(self.below(u64::MAX) | 1)
    }

    /// From 0 up to, not with, `below`.
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// When a command is killed.
#[derive(Debug, Clone, Copy)]
pub enum Moment {
    /// This long after it was started.
    After(Duration),
    /// This long after it printed this many lines on stdout.
    AfterLines(usize, Duration),
}

/// Starts a command, kills it at that moment, and gives the whole lines it printed until then;
/// `None` for the second when it was done before.
pub fn kill_at(command: &mut Command, moment: Moment) -> (Vec<String>, bool) {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the command starts");
    let (sender, printed) = mpsc::channel();
    let stdout = child.stdout.take().expect("stdout is piped");
    let reader = std::thread::spawn(move || {
        // a line that was cut off by the kill was not printed
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 0) && line.ends_with('\n') {
            let _ = sender.send(std::mem::take(&mut line).trim_end().to_owned());
        }
    });
    let mut lines = Vec::new();
    let pause = match moment {
        Moment::After(pause) => pause,
        Moment::AfterLines(count, pause) => {
            lines.extend(printed.iter().take(count));
            pause
        }
    };
    let killed = wait_until(&mut child, Instant::now() + pause);
    let _ = child.wait();
    reader.join().expect("the reader does not panic");
    lines.extend(printed.try_iter());
    (lines, killed)
}

/// Kills the child at that time unless it has ended by then.
fn wait_until(child: &mut Child, at: Instant) -> bool {
    while Instant::now() < at {
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    child.kill().is_ok()
}

/// The signal ids in the Journal and the state at its end, read as a bystander does: nothing is
/// mended.
fn folded(served: &Served) -> (Vec<String>, Value) {
    let Ok(bytes) = std::fs::read(served.path(".agent/journal/current.jsonl")) else {
        return (Vec::new(), json!({}));
    };
    let mut fold = Fold::begin(&bytes).expect("a Journal is put in place whole");
    let end = usize::try_from(fold.end).unwrap();
    let (records, _) = fold.extend(&bytes[end..]).expect("no group is damaged");
    (records.into_iter().map(|record| record.id).collect(), fold.state)
}

/// Every file below `.agent` and `state`, with how often its folder has others of its kind.
pub fn files(served: &Served) -> BTreeMap<String, usize> {
    let mut folders = vec![served.path(".agent"), served.path("state")];
    let mut counts = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                *counts.entry(folder.display().to_string()).or_default() += 1;
            }
        }
    }
    counts
}

/// Checks that nothing that was acknowledged is missing and nothing counts twice.
fn check(served: &Served, acknowledged: &BTreeSet<String>) -> usize {
    let (ids, state) = folded(served);
    let unique: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "a signal is in the Journal twice");
    let missing: Vec<_> = acknowledged.iter().filter(|id| !unique.contains(id)).collect();
    assert!(missing.is_empty(), "acknowledged and lost: {missing:?}");
    assert_eq!(
        state["tasks"]["t"]["seen"].as_u64().unwrap_or_default(),
        ids.len() as u64,
        "the state is not the sum of its signals"
    );
    ids.len()
}

/// Kills one writer again and again; what was not acknowledged is sent again each time, as one
/// does, and more behind it.
fn kill_a_writer(
    served: &Served,
    writer: usize,
    kills: usize,
    mut moments: Moments,
) -> BTreeSet<String> {
    let mut acknowledged = BTreeSet::new();
    let (mut killed, mut at_work) = (0, 0);
    while killed < kills {
        let first = acknowledged.len().saturating_sub(10);
        let line = |number| {
            json!({"id": format!("{writer}-{number}"), "arguments": {"task": "t",
            "minutes": 1}})
        };
        let lines = json_lines((first..first + 400).map(line));
        let input =
            std::fs::File::open(served.world.write(format!("{writer}.jsonl"), lines)).unwrap();
        let mut command = served.command();
        command.args(["tune", "took", "--signals", "-", "--acknowledge"]).stdin(input);
        let moment = match moments.below(4) {
            // while it starts, or mends what the kill before left
            0 => Moment::After(Duration::from_micros(moments.below(300_000))),
            _ => Moment::AfterLines(
                usize::try_from(moments.below(60)).unwrap_or(0),
                Duration::from_micros(moments.below(20_000)),
            ),
        };
        let (printed, was_killed) = kill_at(&mut command, moment);
        killed += usize::from(was_killed);
        at_work += usize::from(was_killed && !printed.is_empty() && printed.len() < 400);
        acknowledged.extend(printed);
        check(served, &acknowledged);
    }
    assert!(at_work > kills / 3, "only {at_work} of {kills} kills met the command at work");
    acknowledged
}

#[test]
fn tuning_survives_kills_at_random_moments() {
    const WRITERS: usize = 3;
    let served = Served::new();
    served.agent(["tune", "took", "task=t", "minutes=1"]).ok();
    let files_at_first = files(&served);
    let mut moments = Moments::new();
    let seed = moments.seed();
    let seeds: Vec<_> = (0..WRITERS).map(|_| moments.fork()).collect();
    let acknowledged: BTreeSet<String> = std::thread::scope(|scope| {
        let kill = |(writer, moments)| {
            let served = &served;
            scope.spawn(move || kill_a_writer(served, writer, kills(70).div_ceil(WRITERS), moments))
        };
        let writers: Vec<_> = seeds.into_iter().enumerate().map(kill).collect();
        writers
            .into_iter()
            .flat_map(|writer| {
                writer.join().unwrap_or_else(|_| panic!("with AGENT_TEST_SEED={seed}"))
            })
            .collect()
    });
    // the next command works, and no stale lock blocks it; only the view may be outdated after the
    // last kill
    served.agent(["tune", "took", "task=t", "minutes=1"]).ok();
    let last = served.agent(["tune", "took", "task=t", "minutes=1"]).ok();
    assert!(!last.stderr.contains("warning"), "{}", last.stderr);
    check(&served, &acknowledged);
    served.agent(["state", "verify"]).ok();
    served.git(["fsck", "--strict"]);
    assert_eq!(served.git(["status", "--porcelain"]), "");
    // each writer has its scratch folder, its lock and the state it began with, however often it
    // was killed
    let allowed =
        |folder: &String| files_at_first.get(folder).copied().unwrap_or(0) + 2 * WRITERS + 2;
    // the telemetry of each process is kept, as results are; unshipped files must not accumulate
    // either
    let is_kept = |folder: &str| folder.contains(".agent/store/telemetry/");
    let more: Vec<_> = files(&served)
        .into_iter()
        .filter(|(folder, count)| !is_kept(folder) && *count > allowed(folder))
        .collect();
    assert!(more.is_empty(), "files grew: {more:?}");
}

/// The version of every commit that `active` ever had, oldest first; each must carry its tag.
pub fn tagged_versions(served: &Served) -> Vec<String> {
    let tags =
        served.git(["for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/tags"]);
    let tags: BTreeSet<&str> = tags.lines().collect();
    let commits = served.git([
        "log",
        "--first-parent",
        "--reverse",
        "--format=%H v%(trailers:key=Agent-Version,valueonly,separator=)",
        "active",
    ]);
    for commit in commits.lines() {
        assert!(tags.contains(commit), "{commit} has no tag: {tags:?}");
    }
    commits.lines().filter_map(|line| Some(line.split_once(" v")?.1.to_owned())).collect()
}

/// 0.1.0, 0.1.1, 0.1.2 and so on.
pub fn assert_consecutive(versions: &[String]) {
    let expected: Vec<_> = (0..versions.len()).map(|patch| format!("0.1.{patch}")).collect();
    assert_eq!(versions, expected);
}

#[test]
fn promoting_survives_kills_at_random_moments() {
    let served = Served::new();
    // a key the tier's score does not hang on, so that every promotion passes its gate
    let set = |minutes: f64| {
        served.agent(["state", "set", "tasks.t.seen=1", &format!("tasks.t.minutes={minutes}")]).ok()
    };
    set(1.0);
    let began = Instant::now();
    served.agent(["promote"]).ok();
    let whole = u64::try_from(began.elapsed().as_micros()).expect("not that long");
    let mut moments = Moments::new();
    let seed = moments.seed();
    let mut files_at_first = BTreeMap::new();
    for round in 2..kills(30) + 2 {
        set(round as f64);
        // half of them anywhere, half where it publishes
        let pause = if round % 2 == 0 {
            moments.below(whole)
        } else {
            whole / 2 + moments.below(whole / 2)
        };
        kill_at(served.command().arg("promote"), Moment::After(Duration::from_micros(pause)));
        // what was acknowledged is there, promoted or not, and the next command has healed the rest
        assert_eq!(
            served.staging()["tasks"]["t"]["minutes"].as_f64(),
            Some(round as f64),
            "round {round} with AGENT_TEST_SEED={seed}"
        );
        assert_consecutive(&tagged_versions(&served));
        if round == 12 {
            files_at_first = files(&served);
        }
    }
    set(0.5);
    served.agent(["promote"]).ok();
    let active = served.agent(["state", "show", "active", "--json"]).ok().json();
    assert_eq!(active["state"]["tasks"]["t"]["minutes"], json!(0.5));
    served.git(["fsck", "--strict"]);
    assert_eq!(served.git(["status", "--porcelain"]), "");
    let locks = served.world.git(crate::served::FOLDER, ["rev-parse", "--git-dir"]);
    let locks = std::fs::read_dir(served.path(&locks)).unwrap().filter(|entry| {
        entry.as_ref().is_ok_and(|entry| {
            entry.path().extension().is_some_and(|extension| extension == "lock")
        })
    });
    assert_eq!(locks.count(), 0, "no stray lock");
    // evidence and states grow with the versions; nothing else does
    let grows = |folder: &str| {
        folder.contains("/store/")
            || folder.ends_with("/states")
            || folder.contains("/journal/set-aside")
    };
    let more: Vec<_> = files(&served)
        .into_iter()
        .filter(|(folder, count)| {
            !grows(folder) && *count > files_at_first.get(folder).copied().unwrap_or(0) + 4
        })
        .collect();
    assert!(files_at_first.is_empty() || more.is_empty(), "files grew: {more:?}");
}

#[test]
fn tuners_and_promoters_at_once_add_up() {
    const TUNERS: usize = 8;
    const SIGNALS: usize = 15;
    let served = Served::new();
    served.agent(["tune", "took", "task=other", "minutes=1"]).ok();
    std::thread::scope(|scope| {
        for tuner in 0..TUNERS {
            let line = move |number| {
                json!({"id": format!("{tuner}-{number}"),
                "arguments": {"task": "t", "minutes": 1}})
            };
            let file =
                served.world.write(format!("{tuner}.jsonl"), json_lines((0..SIGNALS).map(line)));
            let served = &served;
            scope.spawn(move || {
                served.agent(["tune", "took", "--signals", file.to_str().unwrap()]).ok()
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..2 {
                    let ended = served.agent(["promote", "--json"]);
                    assert!([0, 4].contains(&ended.code), "{ended:?}");
                    served.agent(["state", "show", "--json"]).ok().json();
                }
            });
        }
    });
    let ended = served.agent(["promote", "--json"]).ok();
    assert_eq!(served.staging()["tasks"]["t"]["seen"], json!(TUNERS * SIGNALS), "{ended:?}");
    let active = served.agent(["state", "show", "active", "--json"]).ok().json();
    assert_eq!(active["state"], served.staging());
    assert_consecutive(&tagged_versions(&served));
    served.git(["fsck", "--strict"]);
    // whatever was sealed is still counted
    let again = served.world.path("0.jsonl");
    let again =
        served.agent(["tune", "took", "--signals", again.to_str().unwrap(), "--json"]).ok().json();
    assert_eq!((&again["applied"], &again["duplicates"]), (&json!(0), &json!(SIGNALS)));
}
