"""Each inspiration with a folder `test` is applied to the faulty agent there: cases that fail on it
pass afterwards. Runner and Tuner are real processes."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from inspirations import INSPIRATIONS, ROOT, Unfit, apply, names, read, suggested
from repositories import lines

RUNTIME = ROOT / "templates/runtime"
MINIMAL = ROOT / "templates/minimal"
WHOLE = sorted(path.parent for path in ROOT.glob("*/*/agent.toml"))
OVERLAY = {
    "runner.py": "runner/__main__.py",
    "tuner.py": "tuner/__main__.py",
    "schema.json": "state/schema.json",
    "state.json": "state/active.state.json",
}
FOR_ALL_TOOLS = [
    "retry-backoff",
    "stale-answer",
    "answer-cache",
    "argument-limit",
    "clean-arguments",
    "helpful-errors",
    "redact-secrets",
    "about-tool",
]
PREFIX = "dev.agentvc/"
FAULTY = [name for name in names() if (INSPIRATIONS / name / "test").is_dir()]


class Server:
    """A Runner or a Tuner over stdio."""

    def __init__(self, repository: Path, package: str):
        paths = f"{RUNTIME}{os.pathsep}{repository}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", package],
            cwd=repository,
            env=os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        client = {"name": "tests", "version": "1"}
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
        self.request("initialize", hello)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()

    def send(self, frame: dict):
        self.process.stdin.write(json.dumps(frame) + "\n")
        self.process.stdin.flush()

    def request(self, method: str, params: dict) -> dict:
        self.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        for line in self.process.stdout:
            answer = json.loads(line)
            if answer.get("id") == 1:
                return answer
        raise AssertionError(f"{self.process.args}: ended without an answer to {method}")

    def call(self, step: dict, meta: dict | None = None) -> dict:
        params = {"name": step["tool"], "arguments": step["arguments"], "_meta": meta or {}}
        answer = self.request("tools/call", params)
        failed = {"isError": True, "content": [{"text": str(answer.get("error"))}]}
        return answer.get("result", failed)


def faulty(name: str, folder: Path) -> Path:
    """The minimal template with the files of the inspiration's test in place of its own."""
    ignored = shutil.ignore_patterns("__pycache__", "*.jsonl")
    repository = Path(shutil.copytree(MINIMAL, folder, ignore=ignored))
    for source, target in OVERLAY.items():
        given = INSPIRATIONS / name / "test" / source
        if given.is_file():
            shutil.copyfile(given, repository / target)
    return repository


def migrate(repository: Path):
    path = repository / "state/active.state.json"
    state = json.loads(path.read_text(encoding="utf-8"))
    for step in sorted((repository / "state/migrations").glob("*.py")):
        module = {}
        exec(step.read_text(encoding="utf-8"), module)
        state = module["migrate"](state)
    path.write_text(json.dumps(state), encoding="utf-8")


def tune(name: str, repository: Path):
    """The signals of the test through the Tuner; a refused one counts for nothing."""
    path = INSPIRATIONS / name / "test/signals.jsonl"
    signals = lines(path) if path.is_file() else []
    active = repository / "state/active.state.json"
    state = json.loads(active.read_text(encoding="utf-8"))
    with Server(repository, "runner") as runner, Server(repository, "tuner") as tuner:
        for signal in signals:
            talk = signal["arguments"].get("conversation_id")
            turns = [turn(runner, signal["call"], talk)] if "call" in signal else []
            meta = {
                PREFIX + "state": {"revision": "0" * 40, "value": state},
                PREFIX + "signal": {"id": signal["id"]},
            }
            if talk is not None:
                meta[PREFIX + "conversation"] = {"id": talk, "turns": turns}
            answer = tuner.call(signal, meta)
            if not answer.get("isError"):
                state = answer["_meta"].get(PREFIX + "state", {"value": state})["value"]
    active.write_text(json.dumps(state), encoding="utf-8")


def turn(runner: Server, step: dict, talk: str) -> dict:
    """A call of a conversation, as its turn is handed to the Tuner."""
    meta = {PREFIX + "conversation": {"id": talk, "turn": 1, "data": {}}}
    facts = runner.call(step, meta)["_meta"][PREFIX + "conversation"].get("facts", {})
    return step | {"facts": facts, "version": "v0.1.0", "revision": "0" * 40}


def passing(name: str, repository: Path) -> dict[str, bool]:
    with Server(repository, "runner") as runner:
        cases = lines(INSPIRATIONS / name / "test/cases.jsonl")
        return {case["id"]: all(map(runs(runner), case.get("turns", [case]))) for case in cases}


def runs(runner: Server):
    def run(step: dict) -> bool:
        result = runner.call(step)
        expect = step.get("expect", {})
        if "error" in expect:
            text = result["content"][0]["text"]
            return result.get("isError", False) and bool(re.search(expect["error"], text))
        return not result.get("isError") and meets(result.get("structuredContent"), expect)

    return run


def meets(answer: dict, expect: dict) -> bool:
    """The expectations of tests/README.md that the tests of inspirations use."""
    value = answer["result"] if set(answer) == {"result"} else answer
    match expect:
        case {"equals": wanted}:
            return value == wanted
        case {"subset": wanted}:
            return wanted.items() <= value.items()
        case {"regex": pattern}:
            return bool(re.search(pattern, str(value)))
        case {"approx": {"value": dict(wanted), "abs": within}}:
            return all(abs(value[key] - number) <= within for key, number in wanted.items())
        case {"approx": {"value": wanted, "abs": within}}:
            return abs(value - wanted) <= within
    return not expect


class Shelf(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def before_and_after(self, name: str) -> tuple[dict[str, bool], dict[str, bool]]:
        """Which cases pass on the faulty agent, and with the inspiration."""
        repository = faulty(name, self.folder / name)
        changed = Path(shutil.copytree(repository, self.folder / f"{name}-changed"))
        apply(name, changed)
        migrate(changed)
        for one in (repository, changed):
            tune(name, one)
        return passing(name, repository), passing(name, changed)

    def test_each_mends_the_fault_of_its_test(self):
        with ThreadPoolExecutor() as threads:
            results = zip(FAULTY, threads.map(self.before_and_after, FAULTY), strict=True)
        for name, (before, after) in results:
            with self.subTest(name):
                self.assertFalse(all(before.values()), f"nothing fails before: {before}")
                self.assertTrue(all(after.values()), f"before {before}, after {after}")
                with self.assertRaises(Unfit):
                    apply(name, self.folder / f"{name}-changed")

    def starts(self, name: str, whole: Path) -> bool:
        """Whether it fits a whole agent; its servers then have to start."""
        target = self.folder / f"{name}-{whole.name}"
        shutil.copytree(whole, target, ignore=shutil.ignore_patterns("__pycache__"))
        try:
            apply(name, target)
        except Unfit:
            return False
        for package in ("runner", "tuner"):
            with Server(target, package) as server:
                tools = server.request("tools/list", {})["result"]["tools"]
                assert tools, f"{name} leaves {whole.name} without tools"
        return True

    def test_what_fits_a_whole_agent_leaves_servers_that_start(self):
        pairs = [(name, whole) for name in FAULTY for whole in WHOLE]
        with ThreadPoolExecutor() as threads:
            fits = sum(threads.map(self.starts, *zip(*pairs, strict=True)))
        self.assertGreater(fits, len(FAULTY))

    def test_those_for_all_tools_apply_one_after_the_other(self):
        target = self.folder / "minimal"
        shutil.copytree(MINIMAL, target, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FOR_ALL_TOOLS:
            apply(name, target)
        with Server(target, "runner") as runner:
            step = {"tool": "estimate", "arguments": {"task": " review\u200b "}}
            answer = runner.call(step)["structuredContent"]
            self.assertEqual({"minutes": 30.0, "seen": 0}, answer)
            step = {"tool": "estimate", "arguments": {"task": "x" * 5000}}
            self.assertIn("4000 at most", runner.call(step)["content"][0]["text"])

    def test_none_changes_a_runner_of_another_sdk(self):
        for name in names():
            target = self.folder / name
            (target / "runner").mkdir(parents=True)
            text = 'mcp = FastMCP("x")\n\n\n@mcp.tool()\ndef f(k: int) -> int:\n    return k\n'
            (target / "runner/__main__.py").write_text(text, encoding="utf-8")
            with self.subTest(name), self.assertRaises(Unfit):
                apply(name, target)


class Choice(unittest.TestCase):
    def test_the_feedback_of_each_suggests_it_before_all_others(self):
        for name in FAULTY:
            feedback = (INSPIRATIONS / name / "test/feedback.txt").read_text(encoding="utf-8")
            with self.subTest(name):
                (most, first), *others = suggested(feedback)
                self.assertEqual(name, first)
                self.assertTrue(all(hits < most for hits, _ in others), others)

    def test_the_cases_of_each_have_one_of_its_keywords(self):
        for name in FAULTY:
            cases = (INSPIRATIONS / name / "test/cases.jsonl").read_text(encoding="utf-8").lower()
            with self.subTest(name):
                self.assertTrue(any(word in cases for word in read(name)["when"]["cases"]))


if __name__ == "__main__":
    unittest.main()
