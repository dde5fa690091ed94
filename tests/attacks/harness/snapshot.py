"""What no cheat may change: versions, refs, git's configuration, the user's files, evidence, files outside."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .bench import Bench

# A run adds to these by design: its feedback, its ledger, its branch.
GROWING_REFS = ("refs/agent/", "refs/agent-own/", "refs/heads/architect/")
# What git and `agent` make anew whenever they like.
PASSING = ("state/staging.state.json",)


@dataclass(frozen=True)
class Snapshot:
    refs: dict[str, str]
    files: dict[str, str]
    evidence: dict[str, str]
    answers: dict[str, object]

    @classmethod
    def of(cls, bench: "Bench") -> "Snapshot":
        return cls(_refs(bench), _files(bench), _evidence(bench), bench.answers())

    def differences(self, later: "Snapshot") -> list[str]:
        found = [f"ref {name}: {said}" for name, said in _differing(self.refs, later.refs)]
        found += [f"file {name}: {said}" for name, said in _differing(self.files, later.files)]
        # evidence is only ever added
        found += [f"evidence {name}: {said}" for name, said in _differing(self.evidence, later.evidence) if said != "new"]
        found += [f"the answer to {name}: {said}" for name, said in _differing(self.answers, later.answers)]
        return found


def _differing(before: dict, after: dict) -> list[tuple[str, str]]:
    def said(name: str) -> str:
        if name not in before:
            return "new"
        return "gone" if name not in after else f"{str(before[name])[:16]} -> {str(after[name])[:16]}"

    names = sorted({*before, *after})
    return [(name, said(name)) for name in names if before.get(name) != after.get(name)]


def _refs(bench: "Bench") -> dict[str, str]:
    lines = bench.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    refs = dict(line.split(" ", 1) for line in lines)
    refs["HEAD"] = (bench.repository / ".git/HEAD").read_text()
    return {name: value for name, value in refs.items() if not name.startswith(GROWING_REFS)}


def _files(bench: "Bench") -> dict[str, str]:
    """The user's files and home, git's configuration and hooks, the marker and its neighbours."""
    found = _below(bench.repository, bench.repository, skipped={".git", ".agent"})
    found = {name: value for name, value in found.items() if name not in PASSING}
    git = bench.repository / ".git"
    for place in (git / "config", git / "config.worktree", git / "hooks", git / "info", git / "objects/info/alternates", bench.home):
        found |= _below(place, bench.root)
    return found | _below(bench.outside, bench.root)


def _evidence(bench: "Bench") -> dict[str, str]:
    store = bench.repository / ".agent/store"
    folders = [store / name for name in ("evals", "journal", "calibration", "results", "traces", "judgements", "discovery")]
    return {name: value for folder in folders for name, value in _below(folder, bench.root).items()}


def _below(place: Path, root: Path, skipped: set[str] = frozenset()) -> dict[str, str]:
    if not place.is_dir() or place.is_symlink():
        return {str(place.relative_to(root)): _digest(place)} if os.path.lexists(place) else {}
    found = {}
    for folder, folders, files in os.walk(place):
        folders[:] = [name for name in folders if not (Path(folder) == place and name in skipped)]
        for name in files + [name for name in folders if (Path(folder) / name).is_symlink()]:
            path = Path(folder) / name
            found[str(path.relative_to(root))] = _digest(path)
    return found


def _digest(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"link to {os.readlink(path)}"
    if not stat.S_ISREG(mode):
        return f"mode {mode:o}"
    return f"{mode & 0o777:o} {hashlib.sha256(path.read_bytes()).hexdigest()[:24]}"
