//! Parts of a tier on many machines, and their merge into the result of one machine.

use crate::tiers::{Shop, tea};
use crate::world::Ended;
use serde_json::{Value, json};
use std::fs::{File, FileTimes};
use std::path::Path;
use std::time::Duration;

fn shop() -> Shop {
    let shop = Shop::new();
    let mut cases: Vec<_> =
        (0..20).map(|number| tea(&format!("c{number}"), json!({"subset": {"price": 3}}))).collect();
    cases.push(tea("dear", json!({"subset": {"price": 30}})));
    cases.push(tea("near", json!({"scorer": {"name": "near", "price": 4, "at_least": 0.2}})));
    shop.cases(&cases);
    shop.commit();
    shop
}

fn part(shop: &Shop, number: u32) -> Ended {
    shop.test(&[
        "--at",
        "HEAD",
        "--shard",
        &format!("{number}/3"),
        "--events",
        &format!("p{number}.jsonl"),
    ])
}

fn merge(shop: &Shop, arguments: &[&str]) -> Ended {
    shop.test(&[&["merge", "--json"], arguments].concat())
}

/// The tier's summary without times and cache hits.
fn micro(ended: &Ended) -> Value {
    let mut micro = ended.json()["tiers"]["micro"].clone();
    for member in ["wall_s", "cached"] {
        micro.as_object_mut().unwrap().remove(member);
    }
    micro
}

#[test]
fn merged_parts_are_one_run() {
    let shop = shop();
    for number in 1..=3 {
        part(&shop, number).ok();
    }
    let merged = merge(
        &shop,
        &["p3.jsonl", "p1.jsonl", "p2.jsonl", "p1.jsonl", "--report", "junit=junit.xml"],
    )
    .code(1);
    assert_eq!(merged.json()["failures"][0]["id"], "dear");
    assert!(shop.world.read("shop/junit.xml").contains("dear"));

    let commit = shop.world.git("shop", ["rev-parse", "HEAD"]);
    let stored = |name: &str| shop.world.read(format!("shop/.agent/store/evals/{commit}/{name}"));
    let (summary, lines) = (stored("summary.json"), stored("micro.jsonl"));
    assert_eq!(serde_json::from_str::<Value>(&summary).unwrap()["tiers"], merged.json()["tiers"]);
    assert_eq!(lines.lines().count(), 22);

    // what the parts learned is known, down to the milliseconds
    let whole = shop.test(&["--at", "HEAD", "--json"]).code(1);
    assert_eq!(whole.json()["tiers"]["micro"]["cached"], 22);
    assert_eq!(micro(&merged), micro(&whole));
    for member in ["schema", "commit", "tree", "state", "definitions", "failures"] {
        assert_eq!(merged.json()[member], whole.json()[member], "{member}");
    }

    let from_store = merge(&shop, &[]).code(1);
    assert_eq!(from_store.json(), merged.json());
    let compared = merge(&shop, &["--against", "HEAD"]).code(1);
    assert_eq!(compared.json()["against"]["incomparable"], json!({}));
}

#[test]
fn missing_evidence_is_not_enough_evidence() {
    let shop = shop();
    merge(&shop, &[])
        .code(7)
        .stderr_has("no part of micro at")
        .stderr_has("--shard I/N` stores part I of N");
    shop.cases(&[tea("c1", json!({"subset": {"price": 3}}))]);
    shop.commit();
    let holding = (1..=3)
        .find(|number| part(&shop, *number).ok().stdout.contains(" 1 "))
        .expect("some part has the case");
    let others: Vec<String> = (1..=3)
        .filter(|number| *number != holding)
        .map(|number| format!("p{number}.jsonl"))
        .collect();
    let ended = merge(&shop, &[&others[0], &others[1]]).code(7);
    assert_eq!(
        ended.json()["tiers"]["micro"]["reasons"][0],
        format!("part {holding} of 3 is missing")
    );
    ended.stderr_has("no result is stored for the commit");
    let commit = shop.world.git("shop", ["rev-parse", "HEAD"]);
    assert!(!shop.world.path(format!("shop/.agent/store/evals/{commit}")).exists());
    merge(&shop, &[&others[0], &format!("p{holding}.jsonl")]).ok();
    // a part that nothing fell to is no failure
    shop.test(&["--at", "HEAD", "--shard", &format!("{}/3", holding % 3 + 1)]).ok();
}

#[test]
fn parts_of_something_else_are_refused() {
    let shop = shop();
    part(&shop, 1).ok();
    shop.write("state/active.state.json", "{\n  \"prices\": {\n    \"tea\": 4\n  }\n}\n");
    shop.commit();
    part(&shop, 2).ok();
    let refused = merge(&shop, &["p1.jsonl", "p2.jsonl"]).code(3);
    refused
        .stderr_has("p2.jsonl: of micro it has another tree (")
        .stderr_has("another state (")
        .stderr_has("than p1.jsonl");
    merge(&shop, &["p1.jsonl", "none.jsonl"]).code(3).stderr_has("there is no file none.jsonl");
    shop.write("rubbish.jsonl", "{\"event\": \"?\"}\n");
    merge(&shop, &["rubbish.jsonl"])
        .code(3)
        .stderr_has("rubbish.jsonl:1: this line is not an event");
}

#[test]
fn events_can_be_read_as_they_come() {
    let shop = shop();
    let streamed = shop.test(&["--at", "HEAD", "--shard", "2/3", "--events", "-"]).ok();
    shop.write("streamed.jsonl", &streamed.stdout);
    let again = shop.test(&["--at", "HEAD", "--shard", "2/3", "--events", "again.jsonl"]).ok();
    assert!(again.stdout.contains("micro"), "what is for people is on stdout then");
    assert!(
        streamed.stdout.lines().all(|line| line.starts_with("{\"schema\":\"agent/event@1\",")),
        "{}",
        streamed.stdout
    );
    let [one, other] =
        ["streamed.jsonl", "again.jsonl"].map(|file| micro(&merge(&shop, &[file]).code(7)));
    assert_eq!(one, other, "what was run and what was known");
    shop.test(&["--json", "--events", "-"]).code(2).stderr_has("write to stdout");
}

/// Sets the times of a folder's files and folders to eight days ago.
fn age(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().flatten().filter(|entry| entry.path().is_dir())
    {
        age(&entry.path());
    }
    let long_ago =
        folder.metadata().unwrap().modified().unwrap() - Duration::from_secs(8 * 24 * 3600);
    let times = FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
    for path in std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .chain([folder.to_owned()])
    {
        File::open(path).unwrap().set_times(times).unwrap();
    }
}

#[test]
fn gc_removes_unused_results_and_keeps_evidence() {
    let shop = shop();
    shop.test(&["--at", "HEAD"]).code(1);
    part(&shop, 1).ok();
    let store = shop.world.path("shop/.agent/store");
    let left = |name: &str| store.join(name).read_dir().map_or(0, Iterator::count);
    shop.world.agent("shop", ["gc"]).ok().stderr_has("0 removed");
    age(&store);
    shop.world.agent("shop", ["gc", "--dry-run"]).ok().stdout_has("result");
    assert!(left("traces") > 0 && left("parts") > 0 && left("results") > 0);
    shop.world.agent("shop", ["gc"]).ok();
    assert_eq!(["traces", "parts", "results", "evals"].map(left), [0, 0, 0, 1]);
    let again = shop.test(&["--at", "HEAD", "--json"]).code(1);
    assert_eq!(again.json()["tiers"]["micro"]["cached"], 0);
    assert_eq!(left("evals"), 1);
}

#[test]
fn results_are_stored_beside_their_evaluation() {
    let shop = shop();
    shop.test(&["--at", "HEAD"]).code(1);
    let commit = shop.world.git("shop", ["rev-parse", "HEAD"]);
    let lines = format!("shop/.agent/store/evals/{commit}/micro.jsonl");
    let first = shop.world.read(&lines);
    // another run took other milliseconds: its results are not those that were kept
    shop.test(&["--at", "HEAD", "--no-cache"]).code(1);
    assert_eq!(shop.world.read(&lines), first);
    // as a kill between the two leaves it
    std::fs::remove_file(shop.world.path(&lines)).unwrap();
    shop.test(&["--at", "HEAD", "--no-cache"]).code(1);
    assert!(
        !shop.world.path(&lines).exists(),
        "others than those that are named are no results of it"
    );
    std::fs::remove_dir_all(shop.world.path("shop/.agent/store/evals")).unwrap();
    shop.test(&["--at", "HEAD"]).code(1);
    std::fs::remove_file(shop.world.path(&lines)).unwrap();
    let kept = shop.test(&["--at", "HEAD", "--json"]).code(1);
    let digest = kept.json()["tiers"]["micro"]["results"].as_str().unwrap().to_owned();
    assert_eq!(agent_core::formats::object_id::digest(shop.world.read(&lines).as_bytes()), digest);
}
