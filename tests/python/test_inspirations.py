"""Inspirations: each fits the repository it is for, exactly once, and leaves a Runner that answers."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
INSPIRATIONS = ROOT / "templates/inspirations"
RUNTIME = ROOT / "templates/runtime"
EXAMPLE = ROOT / "examples/docs-search"
MINIMAL = ROOT / "templates/minimal"

# The repositories of each inspiration, with a call that shows its effect and text of the answer.
EXPECTED = {
    "word-forms": {EXAMPLE: ("search", {"query": "dictonaries", "k": 3}, "typesmapping|dict")},
    "symbols": {EXAMPLE: ("search", {"query": "<<", "strategy": "bm25"}, "shifting")},
    "synonyms": {EXAMPLE: ("search", {"query": "falsy", "strategy": "bm25"}, "truth")},
    "filler-words": {EXAMPLE: ("search", {"query": "how do I use lambda please", "k": 1}, "lambda")},
    "followup-topic": {EXAMPLE: ("ask", {"question": "lambda expressions"}, "lambda")},
    "did-you-mean": {EXAMPLE: ("ask", {"question": "lamda expresions"}, '"did_you_mean":.*lambda')},
    "related-topics": {EXAMPLE: ("related", {"topic": "while", "k": 5}, "break")},
    "length-limit": {EXAMPLE: ("search", {"query": "long " * 500}, "ask it in 2000 at most")},
    "typical-duration": {MINIMAL: ("estimate", {"task": "juggling"}, "30")},
    "about-tool": {EXAMPLE: ("about", {}, "schema_version"), MINIMAL: ("about", {}, "schema_version")},
}
TOGETHER = [name for name, targets in EXPECTED.items() if EXAMPLE in targets]


class Unfit(Exception):
    """An inspiration does not fit a repository."""


def read(name):
    return tomllib.loads((INSPIRATIONS / name / "inspiration.toml").read_text(encoding="utf-8"))


def holds(condition, repository):
    path = repository / condition["path"]
    if condition.get("absent"):
        return not path.exists()
    return path.is_file() and condition.get("contains", "") in path.read_text(encoding="utf-8")


def apply(name, repository):
    """The rules of README.md, as a reference for the coder: conditions, edits, then new files."""
    inspiration = read(name)
    for condition in inspiration["applies"]:
        if not holds(condition, repository):
            raise Unfit(f"{name}: {condition} does not hold")
    changed = {}
    for edit in inspiration.get("edit", []):
        text = changed.get(edit["path"]) or (repository / edit["path"]).read_text(encoding="utf-8")
        if text.count(edit["find"]) != 1:
            raise Unfit(f"{name}: {edit['path']} has {text.count(edit['find'])} times: {edit['find']}")
        changed[edit["path"]] = text.replace(edit["find"], edit["replace"])
    for file in inspiration.get("file", []):
        changed[file["path"]] = (INSPIRATIONS / name / file["content"]).read_text(encoding="utf-8")
    for path, text in changed.items():
        (repository / path).write_text(text, encoding="utf-8")


def call(repository, tool, arguments):
    """One call of a Runner tool over stdio; the answer as text, error or not."""
    environment = os.environ | {"PYTHONPATH": f"{RUNTIME}{os.pathsep}{repository}", "PYTHONDONTWRITEBYTECODE": "1"}
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}
    requests = [
        {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}},
    ]
    ended = subprocess.run(
        [sys.executable, "-m", "runner"],
        cwd=repository,
        env=environment,
        input="".join(json.dumps(request) + "\n" for request in requests),
        capture_output=True,
        text=True,
        timeout=60,
    )
    answers = {answer["id"]: answer for answer in map(json.loads, ended.stdout.splitlines())}
    if "result" not in answers.get(1, {}):
        raise AssertionError(f"{tool}: {ended.stdout}\n{ended.stderr}")
    return answers[1]["result"]["content"][0]["text"]


class Repositories(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def copy(self, target, name="repository"):
        return Path(shutil.copytree(target, Path(self.folder.name, name), ignore=shutil.ignore_patterns("__pycache__")))


class Format(unittest.TestCase):
    def test_every_folder_is_expected(self):
        self.assertEqual(set(EXPECTED), {path.parent.name for path in INSPIRATIONS.glob("*/inspiration.toml")})

    def test_every_inspiration_is_well_formed(self):
        keys = {"schema", "id", "title", "about", "commit", "bump", "when", "applies", "edit", "file"}
        for name in EXPECTED:
            with self.subTest(name):
                inspiration = read(name)
                self.assertLessEqual(set(inspiration), keys)
                self.assertEqual(("agent/inspiration@1", name), (inspiration["schema"], inspiration["id"]))
                self.assertRegex(inspiration["commit"], r"^(feat|fix)(\(\w+\))?: \S.*[^.]$")
                self.assertIn(inspiration["bump"], ("patch", "minor", "major"))
                self.assertTrue(inspiration["when"]["feedback"] and inspiration["when"]["cases"])
                self.assertTrue(inspiration["title"] and inspiration["about"])

    def test_paths_stay_in_the_repository_and_off_the_evaluators(self):
        for name in EXPECTED:
            for change in read(name).get("edit", []) + read(name).get("file", []):
                path = PurePosixPath(change["path"])
                self.assertFalse(path.is_absolute() or ".." in path.parts, name)
                self.assertNotIn(path.parts[0], ("tests", "ci", "state"), name)


class Application(Repositories):
    def test_each_fits_its_repositories_once_and_the_runner_answers(self):
        for name, targets in EXPECTED.items():
            for target, (tool, arguments, answer) in targets.items():
                with self.subTest(inspiration=name, repository=target.name):
                    repository = self.copy(target, f"{name}-{target.name}")
                    apply(name, repository)
                    self.assertTrue(re.search(answer, call(repository, tool, arguments), re.DOTALL))
                    with self.assertRaises(Unfit):
                        apply(name, repository)

    def test_none_fits_where_it_does_not_belong(self):
        for name, targets in EXPECTED.items():
            for target in {EXAMPLE, MINIMAL} - set(targets):
                with self.subTest(inspiration=name, repository=target.name), self.assertRaises(Unfit):
                    apply(name, self.copy(target, f"{name}-{target.name}"))

    def test_all_for_the_example_apply_one_after_the_other(self):
        repository = self.copy(EXAMPLE)
        for name in TOGETHER:
            apply(name, repository)
        self.assertIn("for", call(repository, "search", {"query": "lopp over a list"}))


class Gain(Repositories):
    def measure(self, name):
        repository = self.copy(EXAMPLE, name)
        apply(name, repository)
        program = [sys.executable, str(ROOT / "tests/python/heldout.py")]
        with_it, without = (
            json.loads(subprocess.run([*program, *map(str, given)], check=True, capture_output=True, text=True).stdout)["tuned"]
            for given in ([repository, EXAMPLE], [EXAMPLE])
        )
        return with_it - without

    def test_word_forms_help_after_tuning(self):
        self.assertGreaterEqual(self.measure("word-forms"), 0.04)

    def test_symbols_and_synonyms_help_after_tuning(self):
        for name in ("symbols", "synonyms"):
            with self.subTest(name):
                self.assertGreater(self.measure(name), 0.0)


if __name__ == "__main__":
    unittest.main()
