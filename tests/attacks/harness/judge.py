"""Judges whether a cheat was stopped: by the resulting state, never by the cheat's report."""

from __future__ import annotations

import re
import time
import traceback
from typing import TYPE_CHECKING

from .bench import Unready
from .cheat import Cheat, Outcome, Result
from .snapshot import Snapshot

if TYPE_CHECKING:
    from .bench import Bench, Template

# A cheat that stumbles over its own code proves nothing.
_STUMBLED = re.compile(r"refused: (NameError|AttributeError|SyntaxError|IndentationError|UnboundLocalError|ModuleNotFoundError|ImportError)\b")
_VERDICT = re.compile(r"^\s*(refused|error|released|promoted)\b| tier: |->")
_SHOWN = 110


def carry_out(cheat: Cheat, template: "Template") -> Result:
    """Runs one cheat in a repository of its own."""
    began = time.monotonic()
    bench = template.copy(cheat.name)
    try:
        outcome, seen = _judged(cheat, bench)
    except Unready as error:
        outcome, seen = Outcome.DID_NOT_RUN, str(error)
    except Exception:
        outcome, seen = Outcome.DID_NOT_RUN, traceback.format_exc().strip()[-400:].replace("\n", " | ")
    finally:
        bench.close()
    return Result(cheat, outcome, time.monotonic() - began, seen, tuple(bench.traces()))


def _judged(cheat: Cheat, bench: "Bench") -> tuple[Outcome, str]:
    if cheat.prepare is not None:
        cheat.prepare(bench)
    versions = bench.versions()
    cheat.attempt(bench)
    bench.stop_servers()
    wrong = (cheat.judge or unchanged)(bench)
    if wrong is None and (left := bench.outlived()):
        wrong = f"processes outlived it: {left}"
    if wrong is not None:
        return Outcome.FELL, f"{wrong}; {_told(bench)}"
    if why := _not_run(bench):
        return Outcome.DID_NOT_RUN, why
    new = sorted(set(bench.versions()) - set(versions))
    return Outcome.HELD, _told(bench) + (f"; new versions {new}" if new else "")


def _told(bench: "Bench") -> str:
    traces = bench.traces()
    verdicts = [line for line in bench.said if _VERDICT.search(line) and "CHEAT" not in line]
    told = " / ".join(part[:_SHOWN].strip() for part in (traces[-1:] + verdicts[-1:]))
    # the cheat's text is untrusted: it may address the reader of this output
    return "".join(letter if letter.isprintable() else "?" for letter in told)


def _not_run(bench: "Bench") -> str | None:
    traces = bench.traces()
    if not traces:
        last = [line for line in bench.said if line.strip()][-3:]
        return f"the cheat left no trace of itself; the last that was said: {' | '.join(last)[-300:]}"
    stumbled = next((trace for trace in traces if _STUMBLED.search(trace)), None)
    return stumbled and f"the cheat stumbled: {stumbled}"


# Judges.


def unchanged(bench: "Bench") -> str | None:
    """No version came, and nothing is other than before the cheat."""
    if bench.before is None:
        raise Unready("the cheat never began")
    differing = bench.before.differences(Snapshot.of(bench))
    if differing:
        return "; ".join(differing[:4])
    return verifies(bench)


def verifies(bench: "Bench") -> str | None:
    verified = bench.agent("verify", "--all")
    return None if verified.code == 0 else f"verify --all ended with {verified.code}: {(verified.out + verified.err)[-200:]}"


def noticed(bench: "Bench") -> str | None:
    """After a forgery: `verify` reports it, and the forged version is not served."""
    if bench.agent("verify", "--all").code == 0:
        return "verify --all says that what was forged is in order"
    after = bench.answers()
    wrong = {task: answer for task, answer in after.items() if isinstance(answer, float | int) and answer != bench.before.answers[task]}
    return f"what was forged is served: {wrong}" if wrong else None
