"""ADWIN of `river` over the streams of the benchmark `triggers`: the mean of errors and of rewards by minute.

    cargo bench -p agent-core --bench triggers -- 100 streams.csv
    python tests/bench/triggers_adwin.py streams.csv

It wants `pip install river`. ADWIN's confidence is river's default (delta 0.002); two detectors, as the
other columns of the benchmark watch errors and rewards.
"""

import csv
import sys

from river.drift import ADWIN

BEGINS = {"model at midnight": 2 * 24 * 60}
NOON = 2 * 24 * 60 + 12 * 60


def alarms(rows):
    """The minutes in which either detector reports a change."""
    errors, rewards = ADWIN(), ADWIN()
    found = []
    for minute, calls, failed, rewarded, good in rows:
        changed = False
        if calls:
            errors.update(failed / calls)
            changed = errors.drift_detected
        if rewarded:
            rewards.update(good / rewarded)
            changed = changed or rewards.drift_detected
        if changed:
            found.append(minute)
    return found


def main():
    streams = {}
    with open(sys.argv[1], newline="") as file:
        for name, *numbers in csv.reader(file):
            streams.setdefault(name, []).append(tuple(map(int, numbers)))
    for name, rows in streams.items():
        found = alarms(rows)
        if name == "quiet":
            print(f"{name:<18} {len(found)} alarms in {len(rows) // 1440} days")
            continue
        begins = BEGINS.get(name, NOON)
        after = [minute - begins for minute in found if minute >= begins]
        before = len(found) - len(after)
        print(f"{name:<18} {f'{after[0]} min' if after else '-':<12} {before} alarms before it began")


main()
