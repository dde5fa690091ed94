"""Agent repositories for tests: their modules, which all have the same names, and their cases."""

import contextlib
import importlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("runner", "tuner")


def modules(repository: Path, *names: str):
    """Imports modules of a repository."""
    with alone(repository):
        return [importlib.import_module(name) for name in names]


@contextlib.contextmanager
def alone(repository: Path):
    """Imports are those of one repository. Modules of others that are imported stay as they are."""
    others = {name: sys.modules.pop(name) for name in list(sys.modules) if is_theirs(name)}
    sys.path.insert(0, str(repository))
    try:
        yield
    finally:
        sys.path.remove(str(repository))
        for name in [name for name in sys.modules if is_theirs(name)]:
            del sys.modules[name]
        sys.modules.update(others)


def is_theirs(name: str) -> bool:
    return name.partition(".")[0] in PACKAGES


def state(repository: Path) -> dict:
    return json.loads((repository / "state/active.state.json").read_text(encoding="utf-8"))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
