"""The cheats there are, a module for each kind."""

from __future__ import annotations

from harness.cheat import Cheat

from . import controls, environment, in_process, proc

CHEATS: list[Cheat] = [cheat for module in (controls, in_process, environment, proc) for cheat in module.KIND.cheats]
