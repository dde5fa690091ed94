# The commands of the project's development, as recipes.

# list the recipes
default:
    @just --list

# what CI runs
ci:
    .ci/run

# the main job, narrated
demo:
    cargo run -- demo

# every test, Rust and Python
test:
    cargo test --workspace

# the same by nextest, with shorter output
nextest *ARGS:
    cargo nextest run --workspace {{ARGS}}

# fuzzes the parser of a child's frames, without end: just fuzz [TARGET] [libFuzzer's options]; needs nightly and `cargo install cargo-fuzz`
fuzz TARGET="frames" *ARGS:
    cargo +nightly fuzz run --fuzz-dir tests/fuzz {{TARGET}} -- {{ARGS}}

fmt:
    cargo fmt --all

lint:
    cargo clippy --workspace --all-targets -- -D warnings

# the golden files of `--help`, written anew
bless-help:
    AGENT_BLESS=1 cargo test -p agent --test end_to_end help::the_help

# a rule of the bump with its fixture pair: just new-rule ID LEVEL WHY MESSAGE
new-rule id level why message:
    tests/contract_rules/new-rule {{quote(id)}} {{quote(level)}} {{quote(why)}} {{quote(message)}}

# the fixtures of the rules, judged anew
bless-rules:
    BLESS=1 cargo test -p agent-core --test contract_rules

# the cost of a promotion's git operations, and of the newest of 100,000 tags, as ratios to git itself
bench-git:
    cargo bench --bench git

# false promotions of identical candidates by noise, and the cases a real gain takes: just bench-gate [HISTORIES] [TRIES]
bench-gate *ARGS:
    cargo bench -p agent-core --bench gate -- {{ARGS}}

# how soon triggers fire at ten planted incidents, and how often on quiet days, beside thresholds and Page-Hinkley: just bench-triggers [QUIET_DAYS [FILE]]; FILE is for tests/bench/triggers_adwin.py
bench-triggers *ARGS:
    cargo bench -p agent-core --bench triggers -- {{ARGS}}

# how canaries end that are better, worse or identical, and after how many conversations: just bench-canary [CANARIES]
bench-canary *ARGS:
    cargo bench -p agent-core --bench canary -- {{ARGS}}

# off-policy evaluation of the Open Bandit sample (fetched with pip); --peer has obp's estimators beside it
bench-off-policy *ARGS:
    cargo build --release
    python3 tests/bench/off_policy.py {{ARGS}}

# `agent replay` over 10,000 recorded calls: time, side effects, and agreement with a live comparison over 100 planted candidates: just bench-replay [--candidates 20] [--sealed]
bench-replay *ARGS:
    cargo build --release
    python3 tests/bench/replay.py {{ARGS}}

# `agent trigger check` over a million recorded calls, the first and one after it, beside DuckDB's same query (--duckdb PYTHON, which has it)
bench-trigger-check *ARGS:
    cargo build --release
    python3 tests/bench/trigger_check.py {{ARGS}}

# the cost of a call and of a signal with 20 triggers against none, in one run
bench-watched *ARGS:
    cargo build --release
    python3 tests/bench/watched.py {{ARGS}}

# power loss, simulated on an ext4 file system of its own (root only: it mounts)
power-loss trials="12":
    tests/power_loss/run.sh {{trials}}

# public MCP servers from PyPI and npm, adopted as they are and compared with themselves: just adopt-servers [NAME...]
adopt-servers *ARGS:
    cargo build
    AGENT={{justfile_directory()}}/target/debug/agent python3 tests/servers/adopt.py {{ARGS}}

# seconds that 20 public servers of PyPI and npm take to be adopted and served, with empty and warm caches, beside the installation of their packages alone: just bench-adopt [--without-uv] [NAME...]
bench-adopt *ARGS:
    cargo build --release
    [ -e target/bench-adopt/bin/uv ] || python3 -m venv target/bench-adopt
    target/bench-adopt/bin/python -m pip install --quiet uv
    python3 tests/bench/adopt.py --uv target/bench-adopt/bin/uv {{ARGS}}

# 10,000 trivial cases against a bare JSON-RPC loop over the same child
bench-tiers *ARGS:
    cargo build --release
    python3 tests/bench/tier_throughput.py {{ARGS}}

# durable staging updates against SQLite, one writer and eight; a batch against one at a time
bench-staging *ARGS:
    cargo bench -p agent --bench staging_updates -- {{ARGS}}

# the kill tests, with 10,000 kills
kills COUNT="10000":
    AGENT_TEST_KILLS={{COUNT}} cargo test -p agent --test end_to_end kill::

# one byte flipped in each kind of evidence, at COUNT places of each: `agent verify --all` finds every one
flips COUNT="150":
    AGENT_TEST_FLIPS={{COUNT}} cargo test -p agent --test end_to_end one_flipped_byte -- --nocapture

# one promotion, killed and out of disk at every single write, rename, sync and open (needs strace)
faults:
    AGENT_TEST_FAULTS=all cargo test -p agent --test end_to_end faults -- --nocapture

# a commit with our hook and a known result, against one whose hook is an empty script
bench-hook-commit:
    cargo build --release
    python3 tests/bench/hook_commit.py

# `versions diff` and `bisect` over 1,000 versions with 1,000,000 stored results, against `git log`
bench-history *ARGS:
    cargo build --release
    python3 tests/bench/history.py {{ARGS}}

# `verify --all` over up to 1,000 versions with 1,000,000 case results: time and peak memory, against reading all of it once
bench-verify *ARGS:
    cargo build --release
    python3 tests/bench/verify.py {{ARGS}}

# 1,000 trivial cases through `agent test`, promptfoo, Inspect, DSPy's Evaluate and pytest (installs them, once)
bench-peers *ARGS:
    cargo build --release
    python3 tests/bench/peers.py {{ARGS}}

# an unchanged tier of 10,000 cases run again beside `git status`; one key of the state changed
bench-unchanged *ARGS:
    cargo build --release
    python3 tests/bench/unchanged.py {{ARGS}}

# init, first call, a signal, a promotion and an unchanged tier beside another build of `agent`, in one run: just bench-cost BASELINE_BINARY
bench-cost BASELINE *ARGS:
    cargo build --release
    python3 tests/bench/cost.py {{quote(BASELINE)}} {{ARGS}}

# progressive validation loss of templates/bandit on scikit-learn's digits, iris, wine and breast cancer beside Vowpal Wabbit and MABWiser (installs them, once), and with drifts; import, memory and a first signal: just bench-bandits [--sets iris,wine]
bench-bandits *ARGS:
    cargo build --release
    [ -e target/bench-bandits/bin/python ] || python3 -m venv target/bench-bandits
    target/bench-bandits/bin/python -m pip install --quiet --requirement tests/bench/bandits.requirements.txt
    target/bench-bandits/bin/python tests/bench/bandits.py --drift iris,wine,cancer --agent target/release/agent {{ARGS}}

# templates/prompts over a model of known qualities: regret against the best of 12 prompts, and promotions of prompts that are not better, beside GEPA alone (installs it, once)
bench-prompts *ARGS:
    cargo build --release
    [ -e target/bench-prompts/bin/python ] || python3 -m venv target/bench-prompts
    target/bench-prompts/bin/python -m pip install --quiet gepa==0.1.4
    target/bench-prompts/bin/python tests/bench/prompts.py {{ARGS}}

# withdraws one of 100,000 signals: the last, one of the middle, the first: just bench-withdraw [--signals N]
bench-withdraw *ARGS:
    cargo build --release
    python3 tests/bench/withdraw.py {{ARGS}}

# `agent mcp runner` over stdio beside the server itself: the first list, a call, 16 in flight, memory over a day's calls; --peer has FastMCP's proxy as well
bench-shim *ARGS:
    cargo build --release
    python3 tests/bench/shim.py {{ARGS}}

# the official conformance suite of MCP over HTTP, both eras; with --peers the gateways people use today as well (installs them, once)
conformance *ARGS:
    cargo build --release
    python3 tests/hosts/conformance.py {{ARGS}}

# Claude Code, Codex, Gemini CLI and opencode (from npm, with a scripted model) through a promotion, a release with a new tool, a killed Runner and a killed shim: just hosts [HOST...]
hosts *ARGS:
    cargo build
    python3 tests/hosts/hosts.py {{ARGS}}

# MCP Inspector's command line in the eras legacy, auto and modern: the same through `agent mcp runner` as directly
inspector *ARGS:
    cargo build --release
    python3 tests/hosts/inspector.py {{ARGS}}

# servers of PyPI and npm as the Runner, unchanged; each answer compared with the server's own
servers *ARGS:
    cargo build --release
    python3 tests/hosts/servers.py {{ARGS}}

# real Phoenix as the collector (installs it, once): what it shows of calls, a failed call, a signal and a tier
phoenix:
    cargo build
    AGENT={{justfile_directory()}}/target/debug/agent python3 tests/hosts/phoenix.py

# a call over HTTP through agent, supergateway, FastMCP's proxy and mcp-proxy, in one run
bench-http *ARGS:
    cargo build --release
    python3 tests/bench/http_gateways.py {{ARGS}}
# a page of the Versions API among 10,000 versions, and well-formed requests beside idle, slow and malformed ones
bench-rest *ARGS:
    cargo build --release
    python3 tests/bench/rest.py {{ARGS}}

# CMA-ES of the template `search` beside pycma with IPOP restarts on BBOB (installs both, once); --seeds N searches the template's own tier instead
bench-search *ARGS:
    python3 tests/bench/search.py {{ARGS}}

# cheats that must not lead to a version, each with its observed outcome: just cheats [--quick | --list] [NAME...]
cheats *ARGS:
    cargo build --release
    PATH="$PWD/target/release:$PATH" python3 tests/attacks/cheats.py {{ARGS}}

# wrong picks of a scripted host among the tools of 20 public MCP servers, before and after the template `presentation` learned (needs PyPI, npm, Node)
bench-overlay *ARGS:
    python3 tests/bench/overlay.py {{ARGS}}

# the template `preferences` beside choix and scipy: strengths, rankings, coverage of intervals, costs (installs them, once)
bench-preferences *ARGS:
    python3 tests/bench/preferences.py {{ARGS}}

# the template `rules` beside imodels and wittgenstein on three data sets: accuracy, conditions, costs (installs them, once)
bench-rules *ARGS:
    python3 tests/bench/rules.py {{ARGS}}

# every yardstick of the learners in one table, with their peers (their packages are installed, once); --quick runs a small version of each in minutes: just bench-yardsticks [--quick] [--only bandits,rules]
bench-yardsticks *ARGS:
    cargo build --release
    python3 tests/bench/yardsticks.py {{ARGS}}
