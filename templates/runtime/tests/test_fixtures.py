"""The frames in tests/protocol, which the Rust tests read too, played to the real programs.

`BLESS_FIXTURES=1` writes what the programs answer now into the fixtures; look at the diff.
"""

import json
import os
import unittest

from .harness import FIXTURES, PROGRAMS, Child

_COMMANDS = {
    "runner": [PROGRAMS / "runner.py"],
    "tuner": [PROGRAMS / "tuner.py"],
    "scorers": ["-m", "agent_runtime.scorers", PROGRAMS / "scorers.py"],
}


def _located(text):
    return text.replace("${FIXTURES}", str(FIXTURES))


def _play(path):
    """The fixture's lines, with the program's answer in place of each `out`."""
    header, *lines = map(json.loads, path.read_text().splitlines())
    played = [header]
    with Child(*_COMMANDS[header["program"]]) as child:
        for line in lines:
            if "out" in line:
                answer = json.dumps(child.receive(), ensure_ascii=False)
                line = {"out": json.loads(answer.replace(str(FIXTURES), "${FIXTURES}"))}
            elif "in_text" in line:
                child.send(line["in_text"].encode() + b"\n")
            else:
                child.send(_located(json.dumps(line["in"])).encode() + b"\n")
            played.append(line)
        code = child.end()
        rest = child.line()
    return played, code, rest


class Fixtures(unittest.TestCase):
    maxDiff = None

    def test_every_fixture(self):
        paths = sorted(FIXTURES.glob("*.jsonl"))
        self.assertGreater(len(paths), 10)
        for path in paths:
            with self.subTest(path.name):
                played, code, rest = _play(path)
                self.assertEqual((code, rest), (0, None), "more frames than the fixture has, or a bad exit")
                text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in played)
                if os.environ.get("BLESS_FIXTURES"):
                    path.write_text(text)
                self.assertEqual(text.splitlines(), path.read_text().splitlines())


if __name__ == "__main__":
    unittest.main()
