"""Inspirations: each fits the repository it is for, exactly once, and leaves a Runner that answers."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path, PurePosixPath

from inspirations import INSPIRATIONS, ROOT, Unfit, apply, names, read

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
    def test_every_folder_has_a_test(self):
        with_fault = {name for name in names() if (INSPIRATIONS / name / "test").is_dir()}
        self.assertEqual(set(names()), set(EXPECTED) | with_fault)
        self.assertGreaterEqual(len(names()), 25)

    def test_every_inspiration_is_well_formed(self):
        required = {"schema", "id", "title", "about", "not_for", "source", "commit", "bump", "when", "applies"}
        optional = {"bind", "state", "edit", "file"}
        for name in names():
            with self.subTest(name):
                inspiration = read(name)
                self.assertLessEqual(required, set(inspiration))
                self.assertLessEqual(set(inspiration), required | optional)
                self.assertEqual(("agent/inspiration@1", name), (inspiration["schema"], inspiration["id"]))
                self.assertRegex(inspiration["commit"], r"^(feat|fix)(\(\w+\))?: \S.*[^.]$")
                self.assertIn(inspiration["bump"], ("patch", "minor", "major"))
                self.assertTrue(inspiration["when"]["feedback"] and inspiration["when"]["cases"])
                self.assertTrue(all(inspiration[key].strip() for key in ("title", "about", "not_for", "source")))

    def test_paths_stay_in_the_repository_and_off_the_evaluators(self):
        for name in names():
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
