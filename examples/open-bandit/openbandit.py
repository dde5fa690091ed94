"""The Open Bandit sample: logs of a shop that showed fashion items, by two policies.

    python3 openbandit.py fetch  # data/{bts,random}-{all,men,women}.csv, from obp's wheel
    python3 openbandit.py arms   # what the first half of random-men.csv teaches, as `arms`
    python3 openbandit.py log    # data/learned.csv: its second half, with the policy of staging

`bts` is the log of Thompson sampling and `random` that of items by chance, with 10,000 rows each
(Saito, Aihara, Matsutani and Narita, 2021). A row has the item, the probability it was shown with,
and whether it was clicked.
"""

import argparse
import csv
import json
import subprocess
import sys
import zipfile
from pathlib import Path

DATA = Path(__file__).resolve().parent / "data"
MILLIONTHS = 1_000_000
LOG = DATA / "random-men.csv"


def fetch() -> None:
    DATA.mkdir(exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "obp==0.4.1"]
    subprocess.run([*pip, "--dest", DATA], check=True)
    with zipfile.ZipFile(next(DATA.glob("obp-0.4.1-*.whl"))) as wheel:
        for policy in ("bts", "random"):
            for campaign in ("all", "men", "women"):
                rows = wheel.read(f"obp/dataset/obd/{policy}/{campaign}/{campaign}.csv")
                (DATA / f"{policy}-{campaign}.csv").write_bytes(rows)


def halves() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The rows of the log that teach, and those that judge."""
    with LOG.open(newline="") as file:
        rows = list(csv.DictReader(file))
    middle = len(rows) // 2
    return rows[:middle], rows[middle:]


def arms() -> None:
    """Prints the sums of each item's rewards: those of the Tuner after one signal a row."""
    sums = {str(item): {"n": 0, "sum": 0, "squares": 0} for item in range(34)}
    for row in halves()[0]:
        one = sums[row["item_id"]]
        one["n"] += 1
        clicked = int(row["click"]) * MILLIONTHS
        one["sum"] += clicked
        one["squares"] += clicked
    print(json.dumps(sums))


def log() -> None:
    """Writes the second half with the probability that staging gives the item that was shown."""
    run = ["agent", "run", "choose", "--at", "staging"]
    answer = json.loads(subprocess.run(run, check=True, stdout=subprocess.PIPE).stdout)
    with (DATA / "learned.csv").open("w", newline="") as file:
        names = ["item_id", "click", "propensity_score", "policy"]
        rows = csv.DictWriter(file, names, extrasaction="ignore")
        rows.writeheader()
        for row in halves()[1]:
            rows.writerow({**row, "policy": answer["propensities"][row["item_id"]]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    does = {"fetch": fetch, "arms": arms, "log": log}
    parser.add_argument("do", choices=does)
    does[parser.parse_args().do]()


main()
