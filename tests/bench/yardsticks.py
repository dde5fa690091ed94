"""Every yardstick in one table: ours, the peers of the same run, the bar, and whether it is met.

    just bench-yardsticks [--quick] [--only NAME,...] [--folder DIR] [--agent FILE] [--json FILE]

Each yardstick is a benchmark of its own in this folder, which compares ours with other libraries,
or with an independent way to the same answer. Here they run one after another, each with its
packages from PyPI in an environment below --folder, where its full output is kept as NAME.log.
--quick runs a small version of each in minutes, with coarser figures. What cannot be run, as its
packages cannot be had, is a row that says why. The table is printed as Markdown.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from peers_in_python import (
    QUICK_S,
    ROOT,
    add_json,
    environment,
    first_tune,
    import_costs,
    write_json,
)

HERE = pathlib.Path(__file__).resolve().parent
OFF_POLICY = {"all": (0.002334, 340.0), "men": (0.003189, 656.0), "women": (0.002373, 2.1)}
REFUSED = "women"
REPLAY_S, AGREEING = 60, 0.95
ADOPTED_S, FEWER_WRONG = 5, 0.30
WITHDRAWN_S = 1
SAME_TO = 1e-6
SIGNALS = {
    "bandit": ["reward", "value=1", "arm=person", 'context={"kind":"bug","words":80,"has_code":1}'],
    "preferences": ["prefer", "winner=chain", "loser=short"],
    "presentation": ["picked", "request=What is the time in Oslo?", "right_tool=at"],
    "prompts": ["corrected", "question=My account is locked.", "label=login"],
    "rules": ["labelled", '{"features":{"plan":"free","amount":3},"label":"sales"}'],
    "search": ["ask"],
}


class Row(NamedTuple):
    yardstick: str
    data: str
    ours: str
    peers: str
    bar: str
    result: str


TITLES = ("yardstick", "data", "ours", "peers", "bar", "result")


class NotRun(Exception):
    """A yardstick that cannot be run, with the reason."""


def at_most(value: float, bar: float, show: str) -> str:
    return "met" if value <= bar else f"short by {value - bar:{show}}"


def at_least(value: float, bar: float, show: str) -> str:
    return "met" if value >= bar else f"short by {bar - value:{show}}"


def bandits(found: dict[str, Any]) -> Iterator[Row]:
    ours = found["ours"][found["default"]]
    for name, loss in ours.items():
        peers = {peer: losses[name] for peer, losses in found["peers"].items()}
        shown = ", ".join(f"{peer} {value:.3f}" for peer, value in peers.items())
        best = min(peers.values())
        text = f"loss {loss:.3f} ({found['default']})"
        yield Row("contextual bandit", name, text, shown, f"{best:.3f}", at_most(loss, best, ".3f"))


def off_policy(found: dict[str, Any]) -> Iterator[Row]:
    for name, (value, size) in OFF_POLICY.items():
        one = found[name]
        refused = ", refused" if one["is_refused"] else ""
        ours = f"{one['snips']:.6f}, sample {one['effective_sample_size']:.1f}{refused}"
        is_same = f"{one['snips']:.6f}" == f"{value:.6f}"
        is_same &= abs(one["effective_sample_size"] - size) < (0.5 if size > 100 else 0.05)
        is_same &= one["is_refused"] == (name == REFUSED)
        bar = f"{value:.6f}, {size:g}{', refused' if name == REFUSED else ''}"
        result = "met" if is_same else "another value"
        peer = f"obp {one['peer_snips']:.6f}"
        yield Row("off-policy SNIPS", f"Open Bandit, {name}", ours, peer, bar, result)


def search(found: dict[str, Any]) -> Iterator[Row]:
    ours, pycma = found["ours"], found["pycma"]

    def shown(one: dict[str, Any]) -> str:
        return f"{one['solved']} of {one['runs']} solved, {one['targets']:.1f} targets"

    result = at_least(ours["solved"], pycma["solved"], ".0f")
    peer, bar = f"pycma IPOP {shown(pycma)}", f"{pycma['solved']}, the same path from JSON"
    yield Row("CMA-ES, one step a call", "BBOB, D = 5", shown(ours), peer, bar, result)


def preferences(found: dict[str, Any]) -> Iterator[Row]:
    gap, same = found["largest_difference"], found["same_rankings"]
    rankings = "same rankings" if same else "OTHER RANKINGS"
    result = at_most(gap, SAME_TO, ".0e") if same else "another ranking"
    ours = f"largest difference {gap:.0e}, {rankings}"
    data = "choix's and synthetic sets"
    yield Row("preferences", data, ours, "choix opt, mm, ilsr", f"{SAME_TO:.0e}", result)


def rules(found: dict[str, Any]) -> Iterator[Row]:
    for name, one in found.items():
        accuracy, conditions, _ = one["ours"]
        peer, best, others = one["best_peer"]
        bar = f"{best - 0.01:.3f} with fewer than {others:.1f}"
        short = [f"{best - 0.01 - accuracy:.3f}"] if accuracy < best - 0.01 else []
        short += [f"{conditions - others:.1f} conditions"] if conditions >= others else []
        result = f"short by {', '.join(short)}" if short else "met"
        ours = f"{accuracy:.3f}, {conditions:.1f} conditions"
        yield Row("rules", name, ours, f"{peer} {best:.3f}, {others:.1f}", bar, result)


def prompts(found: dict[str, Any]) -> Iterator[Row]:
    (_, ours), *peers = found["regret"].items()
    data = f"12 prompts, {found['conversations']} conversations"
    for at, when in enumerate(("at once", "delayed")):
        # choosing at random is no peer
        values = {name: means[at] for name, means in peers if name != "at random"}
        shown = ", ".join(f"{name} {value:.0f}" for name, value in values.items())
        best = min(values.values())
        result = at_most(ours[at], best, ".0f")
        yield Row(f"prompts, regret {when}", data, f"{ours[at]:.0f}", shown, f"{best:.0f}", result)
    taken = found["false_promotions"]
    trials, alpha = taken["trials"], taken["alpha"]
    shown = f"GEPA alone {taken['gepa']} of {trials}"
    result = at_most(taken["ours"] / trials, alpha, ".2f")
    ours_taken, bar = f"{taken['ours']} of {trials}", f"at most {alpha:.0%}"
    yield Row("prompts, none is better", "scripted model", ours_taken, shown, bar, result)


def adopt(found: dict[str, Any]) -> Iterator[Row]:
    servers = found["servers"]
    middle = statistics.median(one["adopted and serving"] for one in servers.values())
    install = statistics.median(one["install"] for one in servers.values())
    data = f"{len(servers)} of {len(servers) + len(found['failed'])} public servers"
    result = at_most(middle, ADOPTED_S, ".1f")
    ours, peer = f"{middle:.1f} s adopted and serving", f"installation alone {install:.1f} s"
    yield Row("any server", data, ours, peer, f"{ADOPTED_S} s", result)


def overlay(found: dict[str, Any]) -> Iterator[Row]:
    asked, before, after = (
        sum(len(part) for part in parts)
        for parts in (
            [counts[0] for counts in found["before"].values()],
            [counts[1] for counts in found["before"].values()],
            [counts[1] for counts in found["after"].values()],
        )
    )
    fewer = 1 - after / before
    data = f"{asked} held-out requests, {len(found['before'])} servers"
    ours = f"{after} wrong picks, {fewer:.0%} fewer"
    result = at_least(fewer, FEWER_WRONG, ".0%")
    peer = f"as adopted {before} wrong picks"
    yield Row("presentation", data, ours, peer, f"{FEWER_WRONG:.0%} fewer", result)


def replay(found: dict[str, Any]) -> Iterator[Row]:
    data = f"{found['calls']} recorded calls"
    ours = f"median {found['median_s']:.1f} s, slowest {found['slowest_s']:.1f} s"
    result = at_most(found["slowest_s"], REPLAY_S, ".0f")
    if found["side_effects"]:
        result = f"{found['side_effects']} side effects"
    ours += f", {found['side_effects']} side effects"
    yield Row("replay", data, ours, "-", f"{REPLAY_S} s, no side effect", result)
    agreed, tried = found["agreed"], found["candidates"]
    result = at_least(agreed / tried, AGREEING, ".2f")
    shown = f"{agreed} of {tried} verdicts agree"
    data, bar = f"{tried} planted candidates", f"{AGREEING:.0%}"
    yield Row("replay, verdict", data, shown, "a live comparison", bar, result)


def withdraw(found: dict[str, Any]) -> Iterator[Row]:
    same = found["same_bytes"]
    for place, seconds in found["seconds"].items():
        data = f"{place} of {found['signals']} signals"
        ours = f"{seconds:.2f} s, {'the same bytes' if same else 'OTHER BYTES'}"
        result = at_most(seconds, WITHDRAWN_S, ".1f") if same else "other bytes"
        yield Row("withdraw", data, ours, "-", f"{WITHDRAWN_S} s", result)


@dataclass
class Yardstick:
    """A benchmark: its rows, its packages where it does not install them, and its options."""

    rows: Callable[[dict[str, Any]], Iterator[Row]]
    full: list[str]
    quick: list[str]
    agent: str | None = None
    packages: tuple[str, ...] = ()
    has_folder: bool = False


YARDSTICKS = {
    "bandits": Yardstick(
        bandits,
        [],
        ["--sets", "iris,wine", "--shuffles", "2"],
        packages=("--requirement", str(HERE / "bandits.requirements.txt")),
    ),
    "off_policy": Yardstick(off_policy, ["--peer"], ["--peer"], "--agent", has_folder=True),
    "search": Yardstick(search, [], ["--instances", "1", "--functions", "1-8"], has_folder=True),
    "preferences": Yardstick(
        preferences, ["--trials", "50"], ["--trials", "2"], has_folder=True
    ),
    "rules": Yardstick(rules, [], ["--splits", "1"], has_folder=True),
    "prompts": Yardstick(
        prompts,
        [],
        ["--conversations", "500", "--seeds", "2", "--trials", "2"],
        "--agent",
        ("gepa==0.1.4",),
    ),
    "adopt": Yardstick(adopt, [], ["mcp-server-time", "server-memory"], "--binary", ("uv",)),
    "overlay": Yardstick(
        overlay,
        [],
        ["mcp-server-time", "mcp-server-git", "server-memory"],
        "--binary",
    ),
    "replay": Yardstick(
        replay, [], ["--calls", "1000", "--candidates", "5", "--rounds", "1"], "--agent"
    ),
    "withdraw": Yardstick(withdraw, [], ["--signals", "2000"], "--agent"),
}


def measured(name: str, options: argparse.Namespace) -> list[Row]:
    """The rows of a yardstick, or one that says why it was not run."""
    try:
        if name == "start":
            return list(starts(options))
        return list(YARDSTICKS[name].rows(figures(name, options)))
    except NotRun as problem:
        return [Row(name, "-", "-", "-", "-", f"not run: {problem}")]


def figures(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Runs a benchmark, its output to a log, and reads the figures that it wrote."""
    yardstick, folder = YARDSTICKS[name], options.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    written, log = folder / "figures.json", options.folder / f"{name}.log"
    written.unlink(missing_ok=True)
    python = sys.executable
    if yardstick.packages:
        try:
            python = environment(list(yardstick.packages), folder)
        except subprocess.CalledProcessError:
            raise NotRun(f"pip does not install {' '.join(yardstick.packages)}") from None
    command = [python, HERE / f"{name}.py", "--json", written]
    command += [yardstick.agent, options.agent] if yardstick.agent else []
    command += ["--folder", folder] if yardstick.has_folder else []
    if "uv" in yardstick.packages:
        command += ["--uv", python.with_name("uv")]
    command += yardstick.quick if options.quick else yardstick.full
    with log.open("w") as output:
        subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, check=False)
    if not written.exists():
        lines = [line for line in log.read_text().splitlines() if line.strip()]
        # pip's own error is followed by the trace of the program that started it
        errors = [line for line in lines if line.startswith("ERROR: ")]
        raise NotRun(f"{(errors or lines or ['no output'])[-1]} (all of it: {log})")
    return json.loads(written.read_text())


def starts(options: argparse.Namespace) -> Iterator[Row]:
    """What each Tuner costs to import, and its first signal through `agent tune`."""
    for template, words in SIGNALS.items():
        folder = ROOT / "templates" / template
        try:
            seconds, memory = import_costs(folder, ["tuner.__main__"])["tuner.__main__"]
            took = first_tune(str(options.agent), template, words)
        except subprocess.CalledProcessError as problem:
            reason = (problem.stderr or "").strip().splitlines()
            yield Row("first signal", template, "-", "-", "-", f"not run: {(reason or [''])[-1]}")
            continue
        ours = f"{took:.2f} s; import {1000 * seconds:.0f} ms, {memory:.0f} MiB"
        result = at_most(took, QUICK_S, ".2f")
        yield Row("first signal", template, ours, "-", f"{QUICK_S} s", result)


def main() -> None:
    names = [*YARDSTICKS, "start"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small version of each")
    parser.add_argument("--only", default=",".join(names), help="the yardsticks to run")
    parser.add_argument("--agent", default=ROOT / "target/release/agent", type=pathlib.Path)
    folder = pathlib.Path(tempfile.gettempdir()) / "agent-yardsticks"
    parser.add_argument("--folder", default=folder, type=pathlib.Path)
    add_json(parser)
    options = parser.parse_args()
    options.agent, options.folder = options.agent.resolve(), options.folder.resolve()
    unknown = set(options.only.split(",")) - set(names)
    if unknown:
        parser.error(f"--only has {', '.join(unknown)}: the yardsticks are {', '.join(names)}")
    rows: list[Row] = []
    for name in options.only.split(","):
        began = time.perf_counter()
        rows += measured(name, options)
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    write_json(options.json, {"quick": options.quick, "rows": [row._asdict() for row in rows]})
    for cells in (TITLES, ["---"] * len(TITLES), *rows):
        print("|", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
