"""Runs the README's programs."""

import re
import tempfile
import unittest
from pathlib import Path

from .harness import RUNTIME, Child


class Readme(unittest.TestCase):
    def test_its_programs_run(self):
        runner, tuner = re.findall(r"```python\n(.*?)```", (RUNTIME / "README.md").read_text(), re.DOTALL)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "state").mkdir()
            Path(folder, "state", "active.state.json").write_text('{"ranking":{"bm25":1,"exact":2}}')
            Path(folder, "runner.py").write_text(runner)
            Path(folder, "tuner.py").write_text(tuner)
            with Child("runner.py", folder=folder) as child:
                child.initialize()
                asked = child.call("ask", {"question": "q", "conversation_id": "c"})
                self.assertEqual(asked["structuredContent"], {"result": ["exact", "bm25"]})
                kept = asked["_meta"]["dev.agentvc/conversation"]
                self.assertEqual(kept, {"id": "c", "data": {"last": "q"}, "facts": {"strategy": "bm25"}})
            with Child("tuner.py", folder=folder) as child:
                child.initialize()
                session = {"dev.agentvc/conversation": {"id": "c", "turns": [{"facts": {"strategy": "bm25"}}]}}
                rewarded = child.call("reward", {"value": 0.5}, session)
                self.assertEqual(rewarded["structuredContent"], {"bm25": 1.5, "exact": 2})
                self.assertEqual(rewarded["_meta"]["dev.agentvc/state"]["value"]["ranking"]["bm25"], 1.5)


if __name__ == "__main__":
    unittest.main()
