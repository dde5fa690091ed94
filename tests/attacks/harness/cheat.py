"""A cheat as data, and what can come of it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .bench import Bench

Step = Callable[["Bench"], object]
# Says what is wrong, or nothing.
Judge = Callable[["Bench"], "str | None"]


class Outcome(enum.StrEnum):
    """How a cheat ended. Only HELD is good."""

    HELD = "HELD"
    FELL = "FELL"
    DID_NOT_RUN = "DID NOT RUN"


@dataclass(frozen=True)
class Cheat:
    """One way to get a version that honest evidence would not give."""

    name: str
    kind: str
    tries: str
    attempt: Step
    prepare: Step | None = None
    judge: Judge | None = None
    quick: bool = False
    # What the control cheats have to end with; a cheat has to be HELD.
    expected: Outcome = Outcome.HELD


@dataclass(frozen=True)
class Result:
    """What came of a cheat, and what was seen."""

    cheat: Cheat
    outcome: Outcome
    seconds: float
    seen: str
    # The reports of the cheat, in order.
    traces: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        return self.outcome is self.cheat.expected

    def line(self) -> str:
        control = "" if self.cheat.expected is Outcome.HELD else f" (a control: {self.cheat.expected} is right)"
        return f"{self.cheat.name:<42} {self.outcome}{control}  {self.seconds:.1f} s  {self.seen}"


@dataclass
class Kind:
    """The cheats of one module, in the order they are written."""

    name: str
    cheats: list[Cheat] = field(default_factory=list)

    def cheat(
        self,
        tries: str,
        *,
        prepare: Step | None = None,
        judge: Judge | None = None,
        quick: bool = False,
        expected: Outcome = Outcome.HELD,
    ) -> Callable[[Step], Step]:
        """Adds the decorated function, whose name is the cheat's; it carries the cheat out."""

        def add(attempt: Step) -> Step:
            name = f"{self.name}.{attempt.__name__}"
            self.cheats.append(Cheat(name, self.name, tries, attempt, prepare, judge, quick, expected))
            return attempt

        return add
