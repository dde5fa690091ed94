"""The cheats there are, a module for each kind."""

from __future__ import annotations

from harness.cheat import Cheat

from . import coder, controls, environment, in_process, network, objects, proc, riders, several_runs, timing

_MODULES = (controls, in_process, environment, objects, proc, timing, network, several_runs, riders, coder)
CHEATS: list[Cheat] = [cheat for module in _MODULES for cheat in module.KIND.cheats]
