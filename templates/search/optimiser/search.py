"""A search: runs of CMA-ES, restarted with twice the population, as ask and tell over JSON.

A search is a dict of plain JSON; each function changes it in place. A higher value is better.

    space         the space it searches, as declared when it began
    settings      see state/schema.json
    drawn         how many blocks of random numbers have been used
    restart       number of the run, from 0
    generation    number of the generation in the run, from 0
    population    number of candidates of a generation
    distribution  see distribution.py
    asked         how often each candidate of the generation was given out
    told          [count, sum, last] of the values of each candidate
    again         the same of those that are evaluated again, for the uncertainty of ranks
    each          how many values each candidate takes
    noise         the smoothed uncertainty of ranks, above 0 where noise rules them
    recent        the best cost of the last generations; a cost is a value with its sign changed
    lowest        the lowest cost of the run; improved: the generation it was found in
    best_before   the best value before this run
    fruitless     how many runs in a row found nothing better
    evaluations   how many values were told
    best          {id, value, parameters}; start: the same for the parameters it began with
    done          why the search has ended, or null
"""

from collections.abc import Mapping
from math import ceil, fsum, isfinite
from typing import Any

from optimiser import criteria, distribution, generator, integers, noise
from optimiser import space as spaces
from optimiser.portable import exp
from optimiser.strategy import strategy, usual_population

START = "start"  # the id of the parameters that the search begins with

Search = dict[str, Any]


def begin(
    space: spaces.Space, given: Mapping[str, float], settings: Mapping[str, Any]
) -> Search:
    """A search from the given parameters. ValueError where the space cannot be searched."""
    spaces.check(space)
    search = {
        "space": {name: dict(parameter) for name, parameter in space.items()},
        "settings": dict(settings),
        "drawn": 0,
        "restart": 0,
        "each": settings["evaluations"],
        "noise": 0.0,
        "fruitless": 0,
        "evaluations": 0,
        "start": {"id": START, "value": None, "parameters": dict(sorted(given.items()))},
        "best": None,
        "done": None,
    }
    _start_run(search, spaces.point(space, given), usual_population(len(space)))
    return search


def ask(search: Search) -> tuple[str, spaces.Values]:
    """The next candidate, as its id and parameters: the one least often given out.

    The first one is what the search began with. Where each has been given out, one that still
    waits for a value is given out again.
    """
    if search["done"]:
        raise ValueError(f"the search has ended ({search['done']}): `begin` starts another")
    if not search["asked"]:
        search["asked"] = [0] * search["population"]
        return START, dict(search["start"]["parameters"])
    waiting = [k for k in range(search["population"]) if _is_waiting(search, k)]
    number = min(waiting, key=lambda k: (search["asked"][k], k))
    search["asked"][number] += 1
    return identifier(search, number), candidate(search, number)


def tell(search: Search, name: str, value: float) -> str | None:
    """Counts the value of a candidate; None, or why it is not counted.

    A value beyond those that the candidate takes corrects its last one. When each candidate has
    its values, the distribution moves and the next generation begins.
    """
    if not isfinite(value):
        raise ValueError(f"value is {value}: a value is a finite number, the higher the better")
    if name == START:
        return _tell_start(search, value)
    number, why = _number(search, name)
    if why:
        _correct_best(search, name, value)
        return why
    if _is_waiting(search, number):
        _add(_batch(search, number), value)
        search["evaluations"] += 1
    else:
        _replace(_batch(search, number), value)
    _after_value(search, number)
    return None


def reward(search: Search, name: str, value: float) -> str | None:
    """As `tell`, for values that come by themselves: one beyond those needed is averaged in."""
    if not isfinite(value):
        raise ValueError(f"value is {value}: a reward is a finite number, the higher the better")
    number, why = _number(search, name)
    if why is None:
        _add(_batch(search, number), value)
        search["evaluations"] += 1
        _after_value(search, number)
    return why


def candidate(search: Search, number: int) -> spaces.Values:
    """The parameters of a candidate of this generation."""
    factors = distribution.factors(search["distribution"])
    z = _normals(search, number)
    point = distribution.sample(search["distribution"], factors, z)
    return spaces.values(search["space"], point)


def for_conversation(search: Search, conversation: str) -> int:
    """The number of the candidate that serves a conversation: a hash of its id decides."""
    return int(generator.of_text(conversation) * search["population"])


def identifier(search: Search, number: int) -> str:
    """The id of a candidate of this generation: RESTART.GENERATION.NUMBER."""
    return f"{search['restart']}.{search['generation']}.{number}"


def recommended(search: Search) -> spaces.Values:
    """The best parameters so far: those with the best value, or with noise the distribution's mean,
    since the best of many noisy values is the luckiest."""
    if _is_noisy(search):
        return spaces.values(search["space"], search["distribution"]["mean"])
    return dict((search["best"] or search["start"])["parameters"])


def _start_run(search: Search, mean: list[float], size: int) -> None:
    search |= {
        "generation": 0,
        "population": size,
        "distribution": distribution.new(mean, search["settings"]["sigma"]),
        "recent": [],
        "lowest": None,
        "improved": 0,
        "best_before": search["best"] and search["best"]["value"],
    }
    _start_generation(search)
    if search["restart"] == 0:
        search["asked"] = []  # the start is given out first


def _start_generation(search: Search) -> None:
    size = search["population"]
    search["asked"] = [0] * size
    search["told"] = [[0, 0.0, 0.0] for _ in range(size)]
    again = noise.evaluated_again(size) if search["settings"]["noise"] == "adaptive" else 0
    search["again"] = [[0, 0.0, 0.0] for _ in range(again)]


def _number(search: Search, name: str) -> tuple[int, str | None]:
    """The number of a candidate by its id, and why its value is not counted, if so."""
    parts = name.split(".")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        raise ValueError(f"id is {name!r}: an id is {START!r} or as in '0.12.3', as ask gives it")
    restart, generation, number = map(int, parts)
    there = search["restart"], search["generation"]
    if (restart, generation) > there or number >= search["population"] and (
        (restart, generation) == there
    ):
        raise ValueError(f"id is {name!r}: no candidate of that id was given out")
    if search["done"]:
        return number, f"the search has ended ({search['done']})"
    if (restart, generation) < there:
        return number, f"the generation of {name} has ended"
    return number, None


def _is_waiting(search: Search, number: int) -> bool:
    each = round(search["each"])
    again = search["again"]
    if search["told"][number][0] < each:
        return True
    return number < len(again) and again[number][0] < each


def _batch(search: Search, number: int) -> list[float]:
    """The values that the candidate's next value belongs to: its first ones or the repeated."""
    first, again = search["told"][number], search["again"]
    if number >= len(again) or first[0] < round(search["each"]):
        return first
    return again[number]


def _add(batch: list[float], value: float) -> None:
    batch[:] = [batch[0] + 1, batch[1] + value, value]


def _replace(batch: list[float], value: float) -> None:
    batch[1:] = [value if batch[0] == 1 else batch[1] - batch[2] + value, value]


def _mean(*batches: list[float]) -> float:
    count = fsum(batch[0] for batch in batches)
    return fsum(batch[1] for batch in batches) / count


def _is_noisy(search: Search) -> bool:
    settings = search["settings"]
    return settings["noise"] == "adaptive" or settings["evaluations"] > 1


def _tell_start(search: Search, value: float) -> str | None:
    start = search["start"]
    if start["value"] is None:
        search["evaluations"] += 1
    start["value"] = value
    best = search["best"]
    if best is None or best["id"] == START or value > best["value"]:
        _found(search, START, value, start["parameters"])
    return None


def _found(search: Search, name: str, value: float, parameters: spaces.Values) -> None:
    search["best"] = {"id": name, "value": value, "parameters": dict(parameters)}
    target = search["settings"]["target"]
    if target is not None and value >= target and not _is_noisy(search):
        search["done"] = f"the target {target} is reached"


def _correct_best(search: Search, name: str, value: float) -> None:
    """A late correction of the best candidate's value."""
    if search["best"] and search["best"]["id"] == name and not _is_noisy(search):
        search["best"]["value"] = value


def _after_value(search: Search, number: int) -> None:
    best = search["best"]
    if not _is_noisy(search):
        value = search["told"][number][1]
        if best is None or value > best["value"] or best["id"] == identifier(search, number):
            _found(search, identifier(search, number), value, candidate(search, number))
    if not any(_is_waiting(search, k) for k in range(search["population"])):
        _end_generation(search)


def _end_generation(search: Search) -> None:
    again = search["again"]
    size = search["population"]
    costs = [-_mean(told, *again[k : k + 1]) for k, told in enumerate(search["told"])]
    ranked = sorted(range(size), key=lambda k: costs[k])
    if _is_noisy(search):
        best = search["best"]
        if best is None or -costs[ranked[0]] > best["value"]:
            name = identifier(search, ranked[0])
            _found(search, name, -costs[ranked[0]], candidate(search, ranked[0]))
    _move(search, [costs[k] for k in ranked], [_normals(search, k) for k in ranked])
    _measure_noise(search)
    search["drawn"] += size * _pairs(search)
    _note_costs(search, costs[ranked[0]])
    search["generation"] += 1
    why = criteria.stop(search, costs)
    if why is None:
        _start_generation(search)
    else:
        _restart(search)


def _move(search: Search, costs: list[float], sampled: list[list[float]]) -> None:
    """Updates the distribution; `costs` and `sampled` are in the order of the ranks."""
    space, size = search["space"], search["population"]
    constants = strategy(len(space), size)
    moved = search["distribution"]
    distribution.update(moved, sampled, search["generation"], constants)
    if costs[0] == costs[ceil(0.7 * size) - 1]:
        # flat: equation (B.2) of the tutorial
        moved["sigma"] *= exp(0.2 + constants.c_sigma / constants.d_sigma)
    integers.widen(moved, space, size)


def _measure_noise(search: Search) -> None:
    again = search["again"]
    if not again:
        return
    first = [-_mean(batch) for batch in search["told"]]
    measured = noise.uncertainty(first, [-_mean(batch) for batch in again])
    most = search["settings"]["most_evaluations"]
    search["noise"], search["each"], grow = noise.adapted(
        search["noise"], search["each"], most, measured
    )
    if grow:
        search["distribution"]["sigma"] *= 1.0 + 2.0 / (len(search["space"]) + 10)


def _note_costs(search: Search, lowest: float) -> None:
    kept = criteria.kept_generations(len(search["space"]), search["population"])
    search["recent"] = [*search["recent"], lowest][-kept:]
    if search["lowest"] is None or lowest < search["lowest"]:
        search["lowest"], search["improved"] = lowest, search["generation"]


def _restart(search: Search) -> None:
    """The next run, with twice the population; or the end of the search."""
    settings, before = search["settings"], search["best_before"]
    better = before is None or search["best"]["value"] > before + settings["tolerance"]
    search["fruitless"] = 0 if better else search["fruitless"] + 1
    if search["fruitless"] >= settings["patience"]:
        search["done"] = f"{search['fruitless']} restarts in a row found nothing better"
        return
    search["restart"] += 1
    _start_run(search, _restart_mean(search), 2 * search["population"])


def _restart_mean(search: Search) -> list[float]:
    """Where a run after the first starts: as `restarts` of the settings says."""
    settings, space = search["settings"], search["space"]
    if settings["restarts"] == "start":
        return spaces.point(space, search["start"]["parameters"])
    mean = generator.uniforms(settings["seed"], search["drawn"], len(space))
    search["drawn"] += generator.blocks(len(space))
    return mean


def _normals(search: Search, number: int) -> list[float]:
    n = len(search["space"])
    return generator.normals(
        search["settings"]["seed"], search["drawn"] + number * _pairs(search), n
    )


def _pairs(search: Search) -> int:
    """How many pairs of normal numbers a candidate uses."""
    return (len(search["space"]) + 1) // 2
