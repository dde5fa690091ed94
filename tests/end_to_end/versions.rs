//! The registry as people and programs ask for it: versions, pins, ranges.

use crate::world::World;
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::{ObjectId, digest};
use agent_core::testing::budget::Budget;
use agent_core::testing::case_result::{CaseResult, Outcome};
use agent_core::testing::evaluation::{Evaluation, TierFold, TierSummary};
use agent_core::testing::event::Event;
use agent_core::version::Kind;
use agent_core::version::trailers::Trailers;
use agent_engine::world::checkout::{Checkout, CheckoutPurpose, record_of};
use agent_engine::world::git::{
    ACTIVE, CommitSpec, Git, Publication, Published, STATE_FILE, TreeEdit,
};
use semver::Version;

fn summary(results: &[CaseResult], lines: &str) -> TierSummary {
    let mut fold = TierFold::default();
    for result in results {
        fold.add(&Event::CaseFinished { tier: Tier::Micro, result: result.clone() });
    }
    let budget = Budget { pass_rate: Some(0.0), ..Budget::default() };
    TierSummary { results: Some(digest(lines.as_bytes())), ..fold.summary(budget) }
}

/// An agent repository without children to run, in `repository with ä space`.
pub struct Registry {
    pub world: World,
    pub git: Git,
}

pub const FOLDER: &str = "repository with ä space";

impl Registry {
    /// With v0.1.0 on `active`.
    pub fn new() -> Self {
        let world = World::new();
        world.write(
            format!("{FOLDER}/agent.toml"),
            "schema = \"agent/manifest@1\"\nname = \"a\"\n[runner]\ncommand = [\"python\"]\n",
        );
        world.write(format!("{FOLDER}/{STATE_FILE}"), "{\n  \"n\": 0\n}\n");
        world.write(
            format!("{FOLDER}/tests/micro/a.jsonl"),
            "{\"id\": \"a\", \"tool\": \"t\", \"expect\": {\"equals\": 1}}\n",
        );
        world.write(
            format!("{FOLDER}/ci/budgets.json"),
            "{\"schema\": \"agent/budgets@1\", \"tiers\": {\"micro\": {\"pass_rate\": 0}}}\n",
        );
        world.git(FOLDER, ["init", "-q"]);
        world.git(FOLDER, ["add", "-A"]);
        world.git(FOLDER, ["commit", "-q", "-m", "first"]);
        let git = Git::discover(&world.path(FOLDER)).unwrap();
        let registry = Self { world, git };
        registry.publish(Kind::Release, 0, 0, &[]);
        registry
    }

    /// Publishes v0.1.`patch` with the state `{"n": n}`; its evidence is named, and not kept.
    pub fn publish(&self, kind: Kind, patch: u64, n: u64, undoes: &[u64]) {
        let commit = self.publish_tested(kind, patch, n, undoes);
        std::fs::remove_dir_all(
            self.world.path(FOLDER).join(".agent/store/evals").join(commit.as_str()),
        )
        .unwrap();
    }

    /// Like `publish`; the evidence is kept, with the result of the one case in its tree.
    pub fn publish_tested(&self, kind: Kind, patch: u64, n: u64, undoes: &[u64]) -> ObjectId {
        let place = Some("tests/micro/a.jsonl:1".to_owned());
        self.publish_with(
            kind,
            patch,
            n,
            undoes,
            &[CaseResult { place, ..CaseResult::passed("a") }],
        )
    }

    /// Like `publish_tested`, with these results of micro as they are stored.
    pub fn publish_with(
        &self,
        kind: Kind,
        patch: u64,
        n: u64,
        undoes: &[u64],
        results: &[CaseResult],
    ) -> ObjectId {
        let tip = self.git.target(ACTIVE).unwrap();
        let parent = tip.clone().unwrap_or_else(|| self.git.expect("main").unwrap());
        let blob = self.git.write_blob(format!("{{\n  \"n\": {n}\n}}\n").as_bytes()).unwrap();
        let tree =
            self.git.edit_tree(Some(&parent), &[TreeEdit::file(STATE_FILE, blob.clone())]).unwrap();
        let mut evaluation = Evaluation::new(Some(tree.to_string()), Some(blob.to_string()));
        let lines: String =
            results.iter().map(|result| Event::case_line(Tier::Micro, result)).collect();
        evaluation.tiers.insert(Tier::Micro, summary(results, &lines));
        evaluation.definitions.cases.insert(Tier::Micro, "sha256:cases".to_owned());
        let trailers = Trailers {
            kind: Some(kind),
            version: Some(Version::new(0, 1, patch)),
            state: Some(blob),
            base: tip.clone(),
            eval: Some(evaluation.digest()),
            journal: (kind == Kind::Promotion).then(|| digest(b"a Journal that is not stored")),
            undoes: undoes.iter().map(|patch| Version::new(0, 1, *patch)).collect(),
            ..Trailers::default()
        };
        let message = trailers.message(&format!("v0.1.{patch}"), "");
        let commit =
            self.git.write_commit(&CommitSpec { tree, parents: vec![parent], message }).unwrap();
        evaluation.commit = Some(commit.to_string());
        self.world.write(
            format!("{FOLDER}/.agent/store/evals/{commit}/summary.json"),
            evaluation.to_bytes(),
        );
        self.world.write(format!("{FOLDER}/.agent/store/evals/{commit}/micro.jsonl"), lines);
        let publication = Publication {
            branch: "active".to_owned(),
            expect: tip,
            commit: commit.clone(),
            version: Version::new(0, 1, patch),
        };
        assert_eq!(self.git.publish(&publication).unwrap().value, Published::Done);
        commit
    }

    /// v0.1.0, v0.1.1, v0.1.2 and a rollback of the last as v0.1.3.
    pub fn with_rollback() -> Self {
        let registry = Self::new();
        registry.publish(Kind::Promotion, 1, 1, &[]);
        registry.publish(Kind::Promotion, 2, 2, &[]);
        registry.publish(Kind::Rollback, 3, 1, &[2]);
        registry
    }

    #[track_caller]
    pub fn check(&self, arguments: &[&str], code: i32, stdout: &str) {
        let ended = self.world.agent(FOLDER, arguments).code(code);
        assert_eq!(ended.stdout.trim_end(), stdout, "{arguments:?}\n{}", ended.stderr);
    }
}

#[test]
fn the_list_is_newest_first_and_paged() {
    let registry = Registry::with_rollback();
    let listed = registry.world.agent(FOLDER, ["versions", "--json", "--limit", "2"]).ok().json();
    assert_eq!(listed["schema"], "agent/versions@1");
    let shown = |listed: &serde_json::Value| {
        let versions = listed["versions"].as_array().unwrap().clone();
        versions
            .iter()
            .map(|entry| format!("{} {} {}", entry["tag"], entry["kind"], entry["yanked"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(&listed), [r#""v0.1.3" "rollback" false"#, r#""v0.1.2" "promotion" true"#]);
    let next = listed["next"].as_str().unwrap();
    let listed =
        registry.world.agent(FOLDER, ["versions", "list", "--json", "--after", next]).ok().json();
    assert_eq!(shown(&listed), [r#""v0.1.1" "promotion" false"#, r#""v0.1.0" "release" false"#]);
    assert_eq!(listed.get("next"), None);
    let ended = registry.world.agent(FOLDER, ["versions"]).ok();
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert!(lines[0].starts_with("VERSION  KIND       FROM"), "{}", lines[0]);
    assert!(
        lines[2].starts_with("v0.1.2   promotion  v0.1.1")
            && lines[2].ends_with("yanked by v0.1.3"),
        "{}",
        lines[2]
    );
}

#[test]
fn the_scores_of_a_list_are_of_one_tier_which_its_head_names() {
    let registry = Registry::new();
    registry.publish_with(
        Kind::Promotion,
        1,
        1,
        &[],
        &[CaseResult { outcome: Outcome::Failed, score: 0.25, ..CaseResult::passed("a") }],
    );
    let listed = |arguments: &[&str]| {
        registry.world.agent(FOLDER, [&["versions", "list"], arguments].concat()).ok().stdout
    };
    let scores = |listed: &str| {
        let at = listed.find("SCORE").unwrap();
        listed
            .lines()
            .map(|line| line[at..].split("  ").next().unwrap().trim().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(scores(&listed(&[])), ["SCORE (micro)", "0.250", "-"], "v0.1.0 was not measured");
    assert_eq!(scores(&listed(&["--tier", "full"])), ["SCORE (full)", "-", "-"]);
    assert_eq!(scores(&listed(&["--after", "0.1.1"])), ["SCORE", "-"], "no tier was measured");
}

#[test]
fn a_range_means_its_newest_version_in_service() {
    let registry = Registry::with_rollback();
    registry.check(&["versions", "resolve", "^0.1"], 0, "v0.1.3");
    registry.check(&["versions", "resolve", "<0.1.3"], 0, "v0.1.1");
    registry.check(&["versions", "resolve", "0.1.2"], 0, "v0.1.2");
    registry.check(&["versions", "resolve", "active"], 0, "v0.1.3");
    let missing = registry.world.agent(FOLDER, ["versions", "resolve", "^2"]).code(3);
    missing
        .stderr_has("no version in service matches `^2`")
        .stderr_has("the newest version is v0.1.3");
    registry
        .world
        .agent(FOLDER, ["versions", "show", "v0.1.9"])
        .code(3)
        .stderr_has("there is no v0.1.9");
    registry
        .world
        .agent(FOLDER, ["versions", "show", "main"])
        .code(3)
        .stderr_has("which is not a version");
}

#[test]
fn versions_are_shown_and_compared() {
    let registry = Registry::with_rollback();
    let shown = registry.world.agent(FOLDER, ["versions", "show", "v0.1.2", "--json"]).ok().json();
    assert_eq!(
        (&shown["schema"], &shown["version"], &shown["base"]),
        (&"agent/version@1".into(), &"0.1.2".into(), &"0.1.1".into())
    );
    assert_eq!(shown["evidence"]["undone_by"], "0.1.3");
    let contract = |range: &str| {
        format!("contract of {range} is not in the store: `agent semver {range}` creates it")
    };
    let changed = format!("M state/active.state.json\n  n: 0 -> 2\n{}", contract("v0.1.0..v0.1.2"));
    registry.check(&["versions", "diff", "v0.1.0", "v0.1.2"], 0, &changed);
    registry.check(&["versions", "diff", "v0.1.1", "v0.1.3"], 0, &contract("v0.1.1..v0.1.3"));
}

fn failed(id: &str, score: f64) -> CaseResult {
    CaseResult {
        outcome: Outcome::Failed,
        score,
        why: Some("$: expected 1, got 2".to_owned()),
        ..CaseResult::passed(id)
    }
}

#[test]
fn cases_of_two_versions_are_compared_from_what_is_stored() {
    let registry = Registry::new();
    let passed = CaseResult::passed;
    registry.publish_with(
        Kind::Promotion,
        1,
        1,
        &[],
        &[passed("kept"), passed("lost"), failed("won", 0.25)],
    );
    registry.publish_with(
        Kind::Promotion,
        2,
        2,
        &[],
        &[passed("kept"), failed("lost", 0.5), passed("won")],
    );
    let diff = |arguments: &[&str]| {
        registry.world.agent(FOLDER, ["versions", "diff"].iter().chain(arguments)).ok()
    };
    let ended = diff(&["v0.1.1", "v0.1.2"]);
    let ended = ended
        .stdout_has("micro score 0.750 -> 0.833, pass rate 0.667 -> 0.667")
        .stdout_has("1 better, 1 worse of 3 shared cases")
        .stdout_has(
            "  worse   lost  passed 1.000 -> failed 0.500\
            \n  better  won   failed 0.250 -> passed 1.000",
        );
    assert!(!ended.stdout.contains("kept"), "{}", ended.stdout);
    let document = diff(&["v0.1.1", "v0.1.2", "--json"]).json();
    assert_eq!(
        (&document["schema"], &document["to_version"]),
        (&"agent/diff@1".into(), &"0.1.2".into())
    );
    let cases = &document["tiers"][0]["cases"];
    assert_eq!(
        (cases["pairs"].as_u64(), cases["fixed"].as_u64(), cases["broken"].as_u64()),
        (Some(3), Some(1), Some(1))
    );
    assert_eq!(cases["flips"][0]["why"], "$: expected 1, got 2");
    assert_eq!(
        diff(&["v0.1.1", "v0.1.2", "--json", "--limit", "1"]).json()["tiers"][0]["cases"]["flips"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );

    // v0.1.0 has none, and results that were changed are none either
    diff(&["v0.1.0", "v0.1.1"]).stdout_has(
        "micro of v0.1.0 is not in the store: `agent test --at v0.1.0 --tier micro` creates it",
    );
    let commit = registry.git.expect("v0.1.2").unwrap();
    registry.world.write(
        format!("{FOLDER}/.agent/store/evals/{commit}/micro.jsonl"),
        Event::case_line(Tier::Micro, &passed("lost")),
    );
    diff(&["v0.1.1", "v0.1.2"]).stdout_has("micro of v0.1.2 is not in the store");
}

#[test]
fn a_pin_names_a_version_or_follows_a_range() {
    let registry = Registry::with_rollback();
    registry.check(&["pin", "stable", "v0.1.1"], 0, "stable = v0.1.1");
    registry.check(&["pin", "next", "^0.1"], 0, "next = ^0.1, now v0.1.3");
    registry.check(&["versions", "resolve", "stable"], 0, "v0.1.1");
    registry.publish(Kind::Promotion, 4, 4, &[]);
    registry.check(&["versions", "resolve", "next"], 0, "v0.1.4");
    registry.check(&["pin", "stable", "next", "--dry-run"], 0, "stable = v0.1.4 (was v0.1.1)");
    registry.check(&["pin"], 0, "next = ^0.1\nstable = v0.1.1");
    registry.check(&["unpin", "stable"], 0, "stable removed (was v0.1.1)");
    registry
        .world
        .agent(FOLDER, ["unpin", "stabel"])
        .code(3)
        .stderr_has("there is no pin `stabel`");
    registry
        .world
        .agent(FOLDER, ["pin", "active", "v0.1.1"])
        .code(2)
        .stderr_has("it already has a meaning");
    registry
        .world
        .agent(FOLDER, ["pin", "stable", "v9.0.0"])
        .code(3)
        .stderr_has("there is no v9.0.0");
}

#[test]
fn a_shallow_clone_without_tags_warns() {
    let registry = Registry::with_rollback();
    let url = format!("file://{}", registry.world.path(FOLDER).display());
    registry
        .world
        .git(".", ["clone", "-q", "--depth", "1", "--no-tags", "-b", "active", &url, "shallow"]);
    let ended = registry.world.agent("shallow", ["versions"]).ok();
    ended.stderr_has("git fetch --tags, or --unshallow --tags");
    registry
        .world
        .agent("shallow", ["versions", "resolve", "^0.1"])
        .code(3)
        .stderr_has("git fetch --unshallow --tags");
}

#[test]
fn without_git_the_error_names_git() {
    let registry = Registry::new();
    registry.world.write("empty/keep", "");
    let mut command = registry.world.command(crate::world::AGENT, FOLDER);
    let ended = World::finish(
        command.args(["pin", "stable", "v0.1.0"]).env("PATH", registry.world.path("empty")),
    )
    .code(6);
    ended.stderr_has("`git` cannot be started").stderr_has("on PATH?");
}

#[test]
fn outside_a_repository_the_message_says_where_one_is_made() {
    let world = World::new();
    world
        .agent(".", ["versions"])
        .code(3)
        .stderr_has("is in no git repository")
        .stderr_has("agent init DIR");
}

/// Versions as an `agent` made them that kept no record of the gate.
#[test]
fn evidence_of_versions_by_an_earlier_agent_is_checked_where_it_exists() {
    let registry = Registry::new();
    registry.publish_tested(Kind::Promotion, 1, 1, &[]);
    registry.publish_tested(Kind::Promotion, 2, 2, &[]);
    registry.publish_tested(Kind::Rollback, 3, 1, &[2]);
    let verify = |version: &str, code: i32| {
        let report = registry.world.agent(FOLDER, ["verify", version, "--json"]).code(code).json();
        assert_eq!(report["schema"], "agent/verify@1");
        let checks = report["versions"][0]["checks"].as_array().unwrap().clone();
        let told = checks.iter().filter(|check| check["status"] != "ok");
        told.map(|check| format!("{}: {}", check["check"], check["message"])).collect::<Vec<_>>()
    };
    let evaluation = r#""evaluation": "the evaluation it names is not in the object store""#;
    assert_eq!(verify("v0.1.0", 7), [evaluation]);
    let journal = r#""journal": "the Journal it names is not in the object store""#;
    assert_eq!(verify("v0.1.1", 7), [journal]);
    assert_eq!(verify("active", 0), Vec::<String>::new());

    let commit = registry.git.expect("v0.1.1").unwrap();
    registry.world.write(
        format!("{FOLDER}/.agent/store/evals/{commit}/summary.json"),
        Evaluation::new(None, None).to_bytes(),
    );
    let told = verify("v0.1.1", 1);
    assert!(
        told[0].starts_with(r#""evaluation": "the stored evaluation has the digest"#),
        "{told:?}"
    );

    registry.world.git(FOLDER, ["tag", "v0.5.0", "main"]);
    let told = verify("v0.5.0", 1);
    assert_eq!(told[0], r#""tag": "its commit does not declare a version""#);
    let ended = registry.world.agent(FOLDER, ["verify", "--all"]).code(1);
    assert_eq!(
        ended.stdout.lines().filter(|line| line.contains("  v0.")).count(),
        5,
        "{}",
        ended.stdout
    );
}

#[test]
fn gc_removes_unused_files_only() {
    let registry = Registry::with_rollback();
    let layout = registry.git.layout();
    let checkout = |commit: &ObjectId| {
        let code = registry.git.write_code_tree(commit).unwrap();
        Checkout::of(&registry.git, &layout, CheckoutPurpose::Code, &code, None, None)
            .unwrap()
            .path()
            .to_owned()
    };
    let old = registry.git.expect("v0.1.2").unwrap();
    let served = checkout(&registry.git.expect("active").unwrap());
    let tree = registry
        .git
        .edit_tree(
            Some(&old),
            &[TreeEdit::file("old.py", registry.git.write_blob(b"x = 1").unwrap())],
        )
        .unwrap();
    let unused = checkout(&tree);
    let state = layout.temporary().join("left");
    std::fs::write(&state, b"half").unwrap();
    let long_ago = std::fs::metadata(&unused).unwrap().modified().unwrap()
        - std::time::Duration::from_secs(8 * 24 * 3600);
    for path in [&record_of(&layout, &served), &record_of(&layout, &unused), &state] {
        std::fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
    }
    let told = registry.world.agent(FOLDER, ["gc", "--dry-run", "--json"]).ok().json();
    assert_eq!(
        (told["removed"].as_array().unwrap().len(), told["done"].as_bool()),
        (2, Some(false))
    );
    assert!(unused.exists() && state.exists());
    registry.world.agent(FOLDER, ["gc"]).ok().stderr_has("2 removed");
    assert_eq!([served.exists(), unused.exists(), state.exists()], [true, false, false]);
    assert_eq!(checkout(&tree), unused, "it can be made again");
}
