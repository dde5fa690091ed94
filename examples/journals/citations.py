"""Citations among four journals of statistics as judgements: the cited one wins against the citing.

    python3 citations.py --count 300     # so many signals for the Tuner's `prefer`
    python3 citations.py --counts        # all of the table, as `pairs` of the state

The counts are those of Stigler (1994), as in Agresti (2002, p. 448). The order of the citations is
not known: it is drawn here. The first 170 are the cases in tests/, the others the signals.
"""

import argparse
import json
import random
from itertools import combinations

CITED_BY = {
    "biometrika": {"comm-statist": 730, "jasa": 498, "jrss-b": 221},
    "comm-statist": {"biometrika": 33, "jasa": 68, "jrss-b": 17},
    "jasa": {"biometrika": 320, "comm-statist": 813, "jrss-b": 142},
    "jrss-b": {"biometrika": 284, "comm-statist": 276, "jasa": 325},
}
CASES = 170


def in_order() -> list[tuple[str, str]]:
    """(cited, citing) of every citation."""
    table = [
        (cited, citing)
        for cited, counts in CITED_BY.items()
        for citing, count in counts.items()
        for _ in range(count)
    ]
    random.Random(1994).shuffle(table)
    return table


def pairs() -> dict[str, dict[str, dict[str, int]]]:
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for first, second in combinations(CITED_BY, 2):
        row = {"wins": CITED_BY[first][second], "losses": CITED_BY[second][first], "ties": 0}
        counts.setdefault(first, {})[second] = row
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--counts", action="store_true")
    given = parser.parse_args()
    if given.counts:
        print(json.dumps(pairs()))
        return
    for number, (cited, citing) in enumerate(in_order()[CASES : CASES + given.count], CASES + 1):
        arguments = {"winner": cited, "loser": citing, "judgement_id": f"c{number}"}
        print(json.dumps({"id": f"citation-{number}", "tool": "prefer", "arguments": arguments}))


if __name__ == "__main__":
    main()
