//! Durable staging updates against `SQLite` (WAL, synchronous=FULL) on the same state, and a batch
//! against one at a time.
//!
//!     cargo bench -p agent --bench staging_updates [-- --updates 400 --rounds 5 --folder DIR]
//!
//! An update reads the state, changes two of its keys and is durable when it returns: staging
//! through its compare-and-swap, `SQLite` in a transaction that begins immediate. The writers are
//! processes that start together; a round's figure is all updates over the time until the last
//! writer is done. The two sides take turns, so that what else the disk does meets both; the ratio
//! is that of the medians.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "the writers are processes of this benchmark's own")]

use agent_core::formats::canonical;
use agent_core::formats::object_id::ObjectId;
use agent_core::state::journal::{Base, Draft, SealedAs};
use agent_engine::staging::past::{Counts, Fork, Past, PastError, Standing};
use agent_engine::staging::{Active, Append, Staging};
use agent_engine::world::layout::Layout;
use semver::Version;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// The baseline: the same update in `SQLite`, by Python's own module.
const SQLITE_WRITER: &str = r#"
import json, sqlite3, sys
folder, updates, writer = sys.argv[1], int(sys.argv[2]), sys.argv[3]
base = sqlite3.connect(folder + "/state.db", isolation_level=None, timeout=60)
base.execute("pragma journal_mode = wal")
base.execute("pragma synchronous = full")
print("ready", flush=True)
sys.stdin.readline()
for number in range(updates):
    base.execute("begin immediate")
    state = json.loads(base.execute("select value from state").fetchone()[0])
    state["total"] += 1
    state["k%d" % (number % 100)]["weight"] = number / 7
    base.execute("update state set value = ?", (json.dumps(state),))
    base.execute("commit")
print("done", flush=True)
"#;
const SQLITE_START: &str = r#"
import sqlite3, sys
base = sqlite3.connect(sys.argv[1] + "/state.db", isolation_level=None)
base.execute("pragma journal_mode = wal")
base.execute("create table state (value text)")
base.execute("insert into state values (?)", (sys.stdin.read(),))
"#;
const SQLITE_TOTAL: &str = r#"
import json, sqlite3, sys
print(json.loads(sqlite3.connect(sys.argv[1] + "/state.db").execute("select value from state").fetchone()[0])["total"])
"#;

/// As `agent` itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Options {
    updates: usize,
    rounds: usize,
    folder: PathBuf,
}

fn main() {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if words.first().is_some_and(|word| word == "writer") {
        write(Path::new(&words[1]), number(&words[2]), &words[3].to_string_lossy());
        return;
    }
    let options = options(&words);
    println!(
        "state: {} bytes; {} updates a round, {} rounds a side",
        canonical::to_bytes(&state()).len(),
        options.updates,
        options.rounds
    );
    for writers in [1, 8] {
        compare(&options, writers);
    }
    batch(&options);
}

fn options(words: &[OsString]) -> Options {
    let mut options = Options { updates: 400, rounds: 5, folder: std::env::temp_dir() };
    for pair in words.windows(2) {
        match pair[0].to_str() {
            Some("--updates") => options.updates = number(&pair[1]),
            Some("--rounds") => options.rounds = number(&pair[1]),
            Some("--folder") => options.folder = PathBuf::from(&pair[1]),
            _ => {}
        }
    }
    options
}

fn number(word: &OsString) -> usize {
    word.to_str().and_then(|text| text.parse().ok()).expect("a number")
}

/// About 4 KB: a counter and a hundred weights.
fn state() -> Value {
    let mut state = json!({"total": 0});
    for key in 0..100 {
        state[format!("k{key}")] = json!({"weight": f64::from(key) / 7.0});
    }
    state
}

fn active() -> Active {
    let state = state();
    let revision = canonical::revision(&state);
    Active {
        base: Base {
            version: Version::new(0, 1, 0),
            commit: ObjectId::of_blob(b"commit"),
            revision,
        },
        state,
        journal: None,
    }
}

fn draft(id: String, state: &Value, number: usize) -> Draft {
    let mut after = state.clone();
    after["total"] = json!(state["total"].as_u64().unwrap_or_default() + 1);
    after[format!("k{}", number % 100)]["weight"] =
        json!(f64::from(u32::try_from(number).unwrap_or_default()) / 7.0);
    Draft {
        id,
        tool: "count".to_owned(),
        arguments: json!({ "number": number }),
        conversation: None,
        trace: None,
        at: "2026-11-22T12:00:00.000Z".to_owned(),
        summary: None,
        tags: Vec::new(),
        effects: None,
        touched: None,
        state: Some(after),
    }
}

/// Nothing lies before the version that staging stands on.
#[derive(Debug)]
struct FirstVersion;

impl Past for FirstVersion {
    fn standing(&self, _: &ObjectId, _: &ObjectId) -> Result<Standing, PastError> {
        Ok(Standing::Before)
    }

    fn fork(&self, _: &ObjectId, _: &ObjectId) -> Result<Option<Fork>, PastError> {
        Ok(None)
    }

    fn journal(&self, _: &SealedAs) -> Result<Option<Vec<u8>>, PastError> {
        Ok(None)
    }

    fn counts(&self, _: &ObjectId, _: Option<&ObjectId>, _: usize) -> Result<Counts, PastError> {
        Ok(Counts::default())
    }
}

/// One writer process: updates one at a time, each durable before the next.
fn write(folder: &Path, updates: usize, writer: &str) {
    let mut staging = Staging::open(&Layout::new(folder), &active(), Box::new(FirstVersion))
        .expect("staging opens");
    println!("ready");
    std::io::stdin().lock().read_line(&mut String::new()).expect("the word to start");
    for number in 0..updates {
        update(&mut staging, writer, number);
    }
    println!("done");
}

/// As `agent tune` does: a lost race is run again while staging is held.
fn update(staging: &mut Staging, writer: &str, number: usize) {
    for lost in 0.. {
        if lost >= 1 {
            staging.hold_until_appended().expect("the lock");
        }
        let before = staging.snapshot().expect("a snapshot");
        let group = vec![draft(format!("{writer}-{number}"), &before.state, number)];
        if staging.append(group, &before.revision).expect("an append").value != Append::Conflict {
            staging.release();
            return;
        }
    }
}

fn compare(options: &Options, writers: usize) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let each = options.updates / writers;
    for _ in 0..options.rounds {
        ours.push(round(options, writers, each, &|folder, writer| {
            let mut command = Command::new(std::env::current_exe().expect("this program"));
            command.arg("writer").arg(folder).arg(each.to_string()).arg(writer);
            command
        }));
        theirs.push(round(options, writers, each, &|folder, writer| {
            let mut command = Command::new("python3");
            command.args(["-c", SQLITE_WRITER]).arg(folder).arg(each.to_string()).arg(writer);
            command
        }));
    }
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    println!(
        "{writers} writer(s): staging {ours:.0}/s, SQLite {theirs:.0}/s, ratio {:.2}",
        ours / theirs
    );
}

/// Updates a second of one round, in a fresh folder; both sides are started, so that the loser's
/// files are there as well.
fn round(
    options: &Options,
    writers: usize,
    each: usize,
    command: &dyn Fn(&Path, &str) -> Command,
) -> f64 {
    let folder = tempfile::tempdir_in(&options.folder).expect("a folder");
    run_python(SQLITE_START, folder.path(), &state().to_string());
    drop(
        Staging::open(&Layout::new(folder.path()), &active(), Box::new(FirstVersion))
            .expect("staging opens"),
    );
    let mut children: Vec<Writer> = (0..writers)
        .map(|writer| Writer::start(command(folder.path(), &writer.to_string())))
        .collect();
    for child in &mut children {
        child.expect("ready");
    }
    let began = Instant::now();
    children.iter_mut().for_each(Writer::go);
    for child in &mut children {
        child.expect("done");
    }
    let taken = began.elapsed().as_secs_f64();
    let mut staging = Staging::open(&Layout::new(folder.path()), &active(), Box::new(FirstVersion))
        .expect("staging opens");
    let total = staging.snapshot().expect("a snapshot").state["total"].as_u64().unwrap_or_default();
    let total =
        total + run_python(SQLITE_TOTAL, folder.path(), "").trim().parse::<u64>().expect("a total");
    assert_eq!(total, (writers * each) as u64, "an update was lost");
    (writers * each) as f64 / taken
}

struct Writer {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Writer {
    fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a writer starts");
        let said = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self { child, said }
    }

    fn expect(&mut self, word: &str) {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("the writer says something");
        assert_eq!(line.trim(), word);
    }

    fn go(&mut self) {
        self.child
            .stdin
            .as_mut()
            .expect("stdin is piped")
            .write_all(b"go\n")
            .expect("the writer listens");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.wait();
    }
}

fn run_python(script: &str, folder: &Path, stdin: &str) -> String {
    let mut command = Command::new("python3");
    let mut child = command
        .args(["-c", script])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    child.stdin.take().expect("stdin is piped").write_all(stdin.as_bytes()).expect("python3 reads");
    let output = child.wait_with_output().expect("python3 ends");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text")
}

/// A batch of 1,000 in groups of 128, as `agent tune --signals` appends them, against the same one
/// at a time; without a Tuner, for its time is the same.
fn batch(options: &Options) {
    const SIGNALS: usize = 1000;
    let (mut grouped, mut single) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        grouped.push(appended(options, SIGNALS, 128));
        single.push(appended(options, SIGNALS, 1));
    }
    let (grouped, single) = (median(&mut grouped), median(&mut single));
    println!(
        "{SIGNALS} signals: a batch {grouped:.0}/s, one at a time {single:.0}/s, ratio {:.1}",
        grouped / single
    );
}

fn appended(options: &Options, signals: usize, group: usize) -> f64 {
    let folder = tempfile::tempdir_in(&options.folder).expect("a folder");
    let mut staging = Staging::open(&Layout::new(folder.path()), &active(), Box::new(FirstVersion))
        .expect("staging opens");
    let numbers: Vec<usize> = (0..signals).collect();
    let began = Instant::now();
    for chunk in numbers.chunks(group) {
        let before = staging.snapshot().expect("a snapshot");
        let mut state = before.state;
        let mut drafts = Vec::with_capacity(chunk.len());
        for number in chunk {
            let draft = draft(number.to_string(), &state, *number);
            state = draft.state.clone().expect("it has one");
            drafts.push(draft);
        }
        assert_ne!(
            staging.append(drafts, &before.revision).expect("an append").value,
            Append::Conflict
        );
    }
    signals as f64 / began.elapsed().as_secs_f64()
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
