//! The object store in a bucket: on a real S3-compatible server, through a proxy that injects
//! faults.

use crate::proxy::{Fault, Proxy};
use crate::tiers::{RUNNER, Shop, tea};
use crate::world::{AGENT, Ended, World, source_root};
use agent_core::formats::manifest::Python;
use agent_engine::world::layout::Layout;
use agent_engine::world::python;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// In an environment that `agent` itself makes from the lock, once.
fn moto() -> PathBuf {
    let layout = Layout::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("object_store"));
    std::fs::create_dir_all(layout.root()).expect("a folder under target/");
    let locked = Python { lock: Some("requirements.lock".to_owned()), ..Python::default() };
    python::interpreter(&layout, &source_root().join("tests/object_store"), &locked, &|_| {})
        .unwrap_or_else(|error| {
            let cause =
                std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            panic!(
                "the S3 server could not be installed; this test needs a package index (PyPI, or \
                one named in pip's configuration)\n\
                {error}: {cause}"
            )
        })
}

struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    /// With one bucket, `results`.
    #[expect(clippy::disallowed_methods, reason = "the test starts its own server")]
    fn start() -> Self {
        let mut command = Command::new(moto());
        command
            .args(["-c", "from moto.server import main; main(['-H', '127.0.0.1', '-p', '0'])"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = command.spawn().expect("the server starts");
        let mut lines =
            BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut said = Vec::new();
        let address = lines.find_map(|line| {
            let found = line.split("http://").nth(1).and_then(|rest| rest.trim().parse().ok());
            said.push(line);
            found
        });
        // it writes a line for each request
        std::thread::spawn(move || lines.for_each(drop));
        let address = address.unwrap_or_else(|| panic!("the server said\n{}", said.join("\n")));
        let server = Self { process, address };
        assert!(server.ask("PUT", "/results").starts_with("HTTP/1.1 200"));
        server
    }

    fn ask(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\n\
            host: {}\r\n\
            content-length: 0\r\n\
            connection: close\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The keys in the bucket, sorted.
    fn keys(&self) -> Vec<String> {
        let listing = self.ask("GET", "/results?list-type=2");
        listing
            .split("<Key>")
            .skip(1)
            .map(|rest| rest.split("</Key>").next().unwrap().to_owned())
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn shop() -> Shop {
    let shop = Shop::with_runner(RUNNER);
    let manifest = shop.world.read("shop/agent.toml");
    shop.write("agent.toml", &format!("{manifest}[store]\nurl = \"s3://results/team/shop\"\n"));
    shop.cases(
        &(0..6)
            .map(|number| tea(&format!("c{number}"), json!({"subset": {"price": 3}})))
            .collect::<Vec<_>>(),
    );
    shop.commit();
    shop
}

fn agent(shop: &Shop, at: SocketAddr, arguments: &[&str]) -> Ended {
    let mut command = shop.world.command(AGENT, "shop");
    command
        .args(arguments)
        .env("AWS_ENDPOINT_URL", format!("http://{at}"))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "us-east-1");
    World::finish(command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret"))
}

/// A colleague's clone: with the repository and the bucket only.
fn forget(shop: &Shop) {
    std::fs::remove_dir_all(shop.world.path("shop/.agent")).unwrap();
}

fn cached(ended: &Ended) -> Value {
    ended.json()["tiers"]["micro"]["cached"].clone()
}

#[test]
fn colleagues_share_results_and_parts_in_a_bucket() {
    let (server, shop) = (Server::start(), shop());
    let first = agent(&shop, server.address, &["test", "--at", "HEAD", "--json"]).ok();
    assert_eq!(cached(&first), 0);
    let commit = shop.world.git("shop", ["rev-parse", "HEAD"]);
    for name in ["summary.json", "micro.jsonl"] {
        let key = format!("team/shop/evals/{commit}/{name}");
        assert!(server.keys().contains(&key), "{key} of {:?}", server.keys());
    }
    forget(&shop);
    assert_eq!(cached(&agent(&shop, server.address, &["test", "--at", "HEAD", "--json"]).ok()), 6);
    shop.write("tests/micro/notes.txt", "Another commit, the same code and cases.\n");
    shop.commit();
    for part in ["1/2", "2/2"] {
        forget(&shop);
        agent(&shop, server.address, &["test", "--at", "HEAD", "--shard", part]).ok();
    }
    forget(&shop);
    let merged = agent(&shop, server.address, &["test", "merge", "--json"]).ok();
    assert_eq!((&merged.json()["tiers"]["micro"]["cases"], cached(&merged)), (&json!(6), json!(6)));
    assert!(agent(&shop, server.address, &["doctor"]).stdout.contains("ok   store"));
}

#[test]
fn errors_timeouts_and_lost_answers_of_the_store_lose_nothing() {
    let (server, shop) = (Server::start(), shop());
    let proxy = Proxy::before(server.address);
    let commit = shop.world.git("shop", ["rev-parse", "HEAD"]);
    proxy.spoil("PUT", "/traces/", Fault::Error, 2);
    proxy.spoil("GET", "/results/", Fault::Error, 1);
    proxy.spoil("GET", "summary.json", Fault::Silence, 1);
    proxy.spoil("PUT", "micro.jsonl", Fault::LostAnswer, 1);
    proxy.spoil("PUT", "summary.json", Fault::LostAnswer, 1);
    let ended = agent(&shop, proxy.address, &["-v", "test", "--at", "HEAD"]).ok();
    proxy.is_done();
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    assert!(
        !ended.stderr.contains("keeps the evaluation that it was published with"),
        "what was written was this run's own\n{}",
        ended.stderr
    );
    assert!(server.keys().contains(&format!("team/shop/evals/{commit}/summary.json")));

    // another's stays, with and without an answer to the first try
    proxy.spoil("PUT", "summary.json", Fault::LostAnswer, 1);
    let other =
        agent(&shop, proxy.address, &["-v", "test", "--at", "HEAD", "--no-cache", "--json"]).ok();
    other.stderr_has("keeps the evaluation that it was published with");
    proxy.spoil("PUT", "/probe/", Fault::Unconditional, 2);
    agent(&shop, proxy.address, &["doctor"])
        .code(6)
        .stdout_has("overwrites an object despite If-None-Match");
}

#[test]
fn an_unreachable_store_is_reported_soon_and_loses_nothing() {
    let (server, shop) = (Server::start(), shop());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let began = Instant::now();
    let alone = agent(&shop, free, &["test"]).ok();
    alone.stderr_has("cannot read earlier results").stderr_has("and the next run puts them there");
    assert!(began.elapsed() < Duration::from_secs(30), "it was waited for more than once");
    agent(&shop, free, &["test", "--at", "HEAD"]).code(6).stderr_has("AWS_ENDPOINT_URL");
    // the working tree is the commit: what was learned without the store is put there now
    assert_eq!(cached(&agent(&shop, server.address, &["test", "--json"]).ok()), 6);
    assert!(
        server.keys().iter().any(|key| key.starts_with("team/shop/traces/")),
        "{:?}",
        server.keys()
    );
}
