"""Sends the wines of wines.csv to the Runner, and rewards the Tuner for each some wines later.

    python3 -m traffic [--delay 5]

A wine is a conversation. The Runner chooses by what staging has learned so far; the reward is 1 for
the right cultivar and 0 for a wrong one, whose right one is not said.
"""

import argparse
import csv
from pathlib import Path

from traffic.client import Client, LateRewards

WINES = Path(__file__).resolve().parents[1] / "wines.csv"
SHOWN = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--delay", type=int, default=5, help="wines from choice to reward")
    given = parser.parse_args()
    right: list[int] = []
    with Client("runner", "--at", "staging") as runner, Client("tuner") as tuner:
        rewards = LateRewards(tuner, given.delay)
        for wine in csv.DictReader(WINES.read_text().splitlines()):
            talk, cultivar = f"wine-{wine.pop('wine')}", wine.pop("cultivar")
            context = {name: float(value) for name, value in wine.items()}
            choice = runner.call("choose", context=context, conversation_id=talk)
            right.append(int(choice["arm"] == cultivar))
            rewards.add(talk, right[-1])
            if len(right) % SHOWN == 0:
                print(f"{sum(right[-SHOWN:])} of {SHOWN} right")
        rewards.finish()
    print(f"{sum(right)} of {len(right)} right, loss {1 - sum(right) / len(right):.3f}")


main()
