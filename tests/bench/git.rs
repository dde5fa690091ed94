//! What the git part of a promotion costs, and finding the newest of 100,000 tags: each as a ratio
//! to `git` itself, measured in the same run.
//!
//! `cargo bench --bench git`. With arguments it is the worker of the power-loss recipe:
//! `prepare DIR`, `promote DIR`, `latest DIR`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark starts git itself and prints its figures"
)]

use agent_core::formats::object_id::ObjectId;
use agent_core::version::trailers::Trailers;
use agent_core::version::{Bump, Kind};
use agent_engine::world::git::{
    ACTIVE, CommitSpec, Git, Publication, Published, STATE_FILE, TreeEdit,
};
use semver::Version;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const PROMOTIONS: usize = 40;
const TAGS: usize = 100_000;
const SEARCHES: usize = 15;

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            promotion();
            newest();
        }
        ["prepare", folder] => prepare(Path::new(folder)),
        ["promote", folder] => promote_for_ever(Path::new(folder)),
        ["latest", folder] => {
            println!("{}", Git::discover(Path::new(folder)).unwrap().latest().unwrap().unwrap());
        }
        _ => println!("nothing, or one of: prepare DIR, promote DIR, latest DIR"),
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=b", "-c", "user.email=b@b"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// A repository with some code and v0.1.0 on `active`.
fn prepare(folder: &Path) {
    std::fs::create_dir_all(folder.join("runner")).unwrap();
    std::fs::create_dir_all(folder.join("state")).unwrap();
    git(folder, &["init", "-q", "-b", "main"]);
    std::fs::write(folder.join("agent.toml"), "name = \"bench\"\n").unwrap();
    for file in 0..20 {
        std::fs::write(folder.join(format!("runner/file_{file}.py")), format!("x = {file}\n"))
            .unwrap();
    }
    std::fs::write(folder.join(STATE_FILE), state(0)).unwrap();
    git(folder, &["add", "-A"]);
    git(folder, &["commit", "-q", "-m", "first"]);
    let repository = Git::discover(folder).unwrap();
    publish(&repository, None, Kind::Release, &Version::new(0, 1, 0), 0);
}

/// About 4 KB, different for each `number`.
fn state(number: usize) -> Vec<u8> {
    format!(
        "{{\n  \"number\": {number},\n  \"padding\": \"{}\"\n}}\n",
        format!("{number:08}").repeat(500)
    )
    .into_bytes()
}

fn publish(
    git: &Git,
    tip: Option<&ObjectId>,
    kind: Kind,
    version: &Version,
    number: usize,
) -> ObjectId {
    let parent = tip.cloned().unwrap_or_else(|| git.expect("main").unwrap());
    let blob = git.write_blob(&state(number)).unwrap();
    let tree = git.edit_tree(Some(&parent), &[TreeEdit::file(STATE_FILE, blob.clone())]).unwrap();
    let trailers = Trailers {
        kind: Some(kind),
        version: Some(version.clone()),
        state: Some(blob),
        base: tip.cloned(),
        eval: Some("sha256:00".to_owned()),
        ..Trailers::default()
    };
    let message = trailers.message(&format!("v{version}"), "");
    let commit = git.write_commit(&CommitSpec { tree, parents: vec![parent], message }).unwrap();
    let publication = Publication {
        branch: "active".to_owned(),
        expect: tip.cloned(),
        commit: commit.clone(),
        version: version.clone(),
    };
    assert_eq!(git.publish(&publication).unwrap().value, Published::Done);
    commit
}

/// Promotes until it is killed; a line on stdout is an acknowledgement.
fn promote_for_ever(folder: &Path) {
    let git = Git::discover(folder).unwrap();
    for line in git.repair().unwrap().lines() {
        println!("repairs: {line}");
    }
    let mut tip = git.target(ACTIVE).unwrap().unwrap();
    let mut version = git.commit(&tip).unwrap().trailers.version.unwrap();
    for number in 1.. {
        version = Bump::Patch.apply(&version);
        tip = publish(&git, Some(&tip), Kind::Promotion, &version, number);
        println!("{version} {tip}");
    }
}

/// The objects and refs of `publish` by plumbing, without a single sync.
const PLUMBING: &str = r#"
set -eu
blob=$(git hash-object -w "$3")
state=$(printf '100644 blob %s\tactive.state.json\n' "$blob" | git mktree)
root=$({ git ls-tree "$1" | grep -v '	state$'; printf '040000 tree %s\tstate\n' "$state"; } | git mktree)
commit=$(git commit-tree -p "$1" -m "$2" "$root")
git update-ref refs/heads/active "$commit" "$1"
git tag "$2" "$commit"
"#;

fn promotion() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    prepare(&ours);
    prepare(&theirs);
    let repository = Git::discover(&ours).unwrap();
    let mut tip = repository.target(ACTIVE).unwrap().unwrap();
    let file = folder.path().join("state.json");
    let (mut agent, mut plumbing) = (Vec::new(), Vec::new());
    for number in 1..=PROMOTIONS {
        let version = Version::new(0, 1, number as u64);
        let start = Instant::now();
        tip = publish(&repository, Some(&tip), Kind::Promotion, &version, number);
        agent.push(start.elapsed());

        std::fs::write(&file, state(number)).unwrap();
        let parent = git(&theirs, &["rev-parse", "active"]);
        let mut script = Command::new("sh");
        script
            .args(["-c", PLUMBING, "sh", &parent, &format!("v{version}")])
            .arg(&file)
            .current_dir(&theirs);
        script
            .env("GIT_AUTHOR_NAME", "b")
            .env("GIT_AUTHOR_EMAIL", "b@b")
            .env("GIT_COMMITTER_NAME", "b")
            .env("GIT_COMMITTER_EMAIL", "b@b");
        let start = Instant::now();
        assert!(script.status().unwrap().success());
        plumbing.push(start.elapsed());
    }
    report(
        "a promotion's git part, durable, against plumbing that syncs nothing",
        agent,
        "plumbing",
        plumbing,
    );
}

/// 100,000 packed tags `v0.M.P`, and one that is newer among the loose ones.
fn many_tags(folder: &Path) {
    prepare(folder);
    let commit = git(folder, &["rev-parse", "active"]);
    let mut names: Vec<String> =
        (0..TAGS).map(|number| format!("refs/tags/v0.{}.{}", number / 300, number % 300)).collect();
    names.sort();
    let lines: String = names.iter().flat_map(|name| [&commit, " ", name, "\n"]).collect();
    std::fs::write(
        folder.join(".git/packed-refs"),
        format!("# pack-refs with: peeled fully-peeled sorted \n{lines}"),
    )
    .unwrap();
    git(folder, &["tag", "v1.0.0", &commit]);
}

fn timed(run: &mut Command) -> Duration {
    let start = Instant::now();
    assert!(run.output().unwrap().status.success());
    start.elapsed()
}

fn newest() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("many");
    many_tags(&path);
    let (mut agent, mut listed, mut sorted) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..SEARCHES {
        agent.push(timed(Command::new(std::env::current_exe().unwrap()).arg("latest").arg(&path)));
        listed.push(timed(
            Command::new("git")
                .args(["for-each-ref", "--format=%(refname)", "refs/tags/"])
                .current_dir(&path),
        ));
        sorted.push(timed(
            Command::new("git")
                .args(["for-each-ref", "--sort=-v:refname", "--count=1", "refs/tags/"])
                .current_dir(&path),
        ));
    }
    report(
        "the newest of 100,000 tags, process and all",
        agent.clone(),
        "git for-each-ref, unsorted",
        listed,
    );
    report("the same", agent, "git for-each-ref --sort=-v:refname --count=1", sorted);
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

fn report(what: &str, agent: Vec<Duration>, baseline: &str, other: Vec<Duration>) {
    let (ours, theirs) = (median(agent), median(other));
    println!("{what}: {ours:.1} ms; {baseline}: {theirs:.1} ms; ratio {:.2}", ours / theirs);
}
