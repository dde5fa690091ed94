//! The object store is not there, or answers a byte at a time: what it is only nice to have of it
//! is left out, and what is needed is waited for within a bound.

use crate::rest::Api;
use crate::served::{FOLDER, Served};
use crate::world::{Ended, World, source_root};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

/// A second version, with evidence in the store.
fn promoted() -> Served {
    let served = Served::new();
    served.agent(["tune", "took", "task=tea", "minutes=3"]).ok();
    served.agent(["promote"]).ok();
    served
}

fn tiers(listing: &Value) -> &Value {
    assert_eq!(listing["versions"][0]["version"], "0.1.1");
    &listing["versions"][0]["eval"]["tiers"]
}

#[track_caller]
fn warns(ended: &Ended, said: &str) {
    assert!(
        ended.json()["warnings"][0].as_str().is_some_and(|warning| warning.contains(said)),
        "{said:?} in {}",
        ended.stdout
    );
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
}

#[test]
fn versions_are_listed_without_evaluations_and_a_warning() {
    let served = promoted();
    assert!(tiers(&served.agent(["versions", "--json"]).ok().json())["micro"].is_object());
    let (store, kept) = (served.path(".agent/store"), served.path(".agent/kept"));
    std::fs::rename(&store, &kept).unwrap();
    let listing = served.agent(["versions", "list", "--json"]).ok();
    assert_eq!(*tiers(&listing.json()), json!({}));
    warns(&listing, "are not in the object store");
    // and where it cannot be reached
    std::fs::write(&store, "in the way").unwrap();
    let listing = served.agent(["versions", "list", "--json"]).ok();
    assert_eq!(*tiers(&listing.json()), Value::Null);
    warns(&listing, "the tiers of versions are not shown");
    warns(
        &served.agent(["versions", "show", "--json"]).ok(),
        "the tiers of versions are not shown",
    );
    assert!(!served.agent(["versions", "resolve", "^0.1"]).ok().stderr.contains("warning"));
    served.agent(["run", "estimate", "task=tea"]).ok();
    warns(&served.agent(["log", "--json"]).ok(), "records in the object store are not included");
    served.agent(["log"]).ok().stdout_has("agent run");
    served.agent(["verify"]).code(6);
    std::fs::remove_file(&store).unwrap();
    std::fs::rename(&kept, &store).unwrap();
    assert!(tiers(&served.agent(["versions", "--json"]).ok().json())["micro"].is_object());
}

#[test]
fn the_versions_api_has_null_where_the_store_is_away() {
    let served = promoted();
    let store = served.path(".agent/store");
    std::fs::rename(&store, served.path(".agent/kept")).unwrap();
    std::fs::write(&store, "in the way").unwrap();
    let api = Api::versions(&served.world, FOLDER);
    let listing = api.get("/v1/versions");
    assert_eq!(*tiers(&listing), Value::Null);
    assert!(
        listing["warnings"][0].as_str().unwrap().contains("the tiers of versions are not shown"),
        "{listing}"
    );
    assert_eq!(api.get("/v1/versions/0.1.1")["eval"]["tiers"], Value::Null);
    assert_eq!(api.get("/v1/versions/0.1.1/evaluations")["tiers"], Value::Null);
    assert_eq!(api.get("/v1/versions/0.1.1/provenance")["journal"]["kept"], Value::Null);
    assert!(api.get("/v1/kpi")["versions"].is_array());
    assert_eq!(api.get("/v1/resolve?range=^0.1")["version"], "0.1.1");
    // what the store alone knows is not there now, and may be later
    assert_eq!(api.ask("GET", "/v1/versions/0.1.1/evaluations/micro", "").status, 503);
}

/// A server that takes every request and gives a byte now and then.
fn dripping() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = client.read(&mut [0; 16 << 10]);
                let _ = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
                // until the other side has enough
                while client.write_all(b"x").is_ok() {
                    std::thread::sleep(Duration::from_millis(200));
                }
            });
        }
    });
    address
}

#[test]
fn a_store_that_sends_single_bytes_delays_a_command_only_to_the_limit() {
    const BOUND: Duration = Duration::from_secs(3);
    let manifest =
        std::fs::read_to_string(source_root().join("templates/minimal/agent.toml")).unwrap();
    let store = "url = \"s3://bucket/pre\"\ntimeout_s = 3";
    let served =
        Served::with(&[("agent.toml", &manifest.replace("url = \"file:.agent/store\"", store))]);
    let at = dripping();
    let timed = |arguments: &[&str]| {
        let mut command = served.command();
        command
            .args(arguments)
            .env("AWS_ENDPOINT_URL", format!("http://{at}"))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1");
        let began = Instant::now();
        let ended = World::finish(
            command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret"),
        );
        // one wait for what is nice to have, one for what is needed, and one at the end; the rest
        // is a machine that does much else
        assert!(
            began.elapsed() < 3 * BOUND + Duration::from_secs(10),
            "{:?}: {}",
            began.elapsed(),
            ended.stderr
        );
        ended
    };
    let listing = timed(&["versions", "list", "--json"]).ok();
    assert_eq!(listing.json()["versions"][0]["eval"]["tiers"], Value::Null);
    warns(&listing, "did not answer within 2 s");
    timed(&["run", "estimate", "task=tea"]).ok();
    timed(&["tune", "took", "task=tea", "minutes=3"]).ok();
    timed(&["verify"])
        .code(6)
        .stderr_has("waiting for the object store s3://bucket/pre to read")
        .stderr_has("did not answer within 3 s");
    timed(&["test"]).ok().stderr_has("cannot read earlier results");
    timed(&["promote"]).code(6);
    assert_eq!(
        served.git(["tag", "--points-at", "active"]),
        "v0.1.0",
        "no version without its evidence"
    );
}
