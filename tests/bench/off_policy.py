"""Off-policy evaluation of the uniform policy from the Open Bandit sample's BTS logs.

    python3 tests/bench/off_policy.py [--agent target/release/agent] [--folder DIR] [--peer]
                                      [--json FILE]

The sample is in the wheel of obp 0.4.1, which is fetched with pip: six files of 10,000 rows, three
campaigns logged by Bernoulli Thompson sampling (bts) and by a uniform policy (random). The random
logs' mean is what the uniform policy is worth. Each row is a decision of its own, whatever its
position, as its propensity is for that position. With --peer, obp's own estimators run beside ours,
in an environment with numpy, pandas and scikit-learn that is made in DIR.
"""

import argparse
import csv
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import zipfile

from peers_in_python import add_json, environment, write_json

CAMPAIGNS = ("all", "men", "women")
PEER = """
import csv, importlib, json, sys, types

# the estimators take tensors of torch as well, and name their type in annotations alone
sys.modules["torch"] = types.SimpleNamespace(Tensor=type("Tensor", (), {}))
for name in ("obp", "obp.ope"):
    package = types.ModuleType(name)
    package.__path__ = [f"{sys.argv[1]}/{name.replace('.', '/')}"]
    sys.modules[name] = package
estimators = importlib.import_module("obp.ope.estimators")

import numpy as np

with open(sys.argv[2], newline="") as file:
    rows = list(csv.DictReader(file))
column = lambda name, kind: np.array([kind(row[name]) for row in rows])
action = column("item_id", int)
arms = len(set(action))
given = dict(
    reward=column("click", float),
    action=action,
    pscore=column("propensity_score", float),
    action_dist=np.full((len(rows), arms, 1), 1 / arms),
    position=np.zeros(len(rows), dtype=int),
)
values = {
    "ips": estimators.InverseProbabilityWeighting(),
    "snips": estimators.SelfNormalizedInverseProbabilityWeighting(),
}
print(json.dumps({name: float(one.estimate_policy_value(**given)) for name, one in values.items()}))
"""


def sample(folder):
    """The folder of the unpacked wheel."""
    unpacked = folder / "obp-0.4.1"
    if not unpacked.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "obp==0.4.1"]
        subprocess.run([*pip, "--dest", folder], check=True)
        with zipfile.ZipFile(next(folder.glob("obp-0.4.1-*.whl"))) as wheel:
            wheel.extractall(unpacked)
    return unpacked


def clicks(file):
    """The mean reward of a log."""
    with file.open(newline="") as rows:
        clicked = [float(row["click"]) for row in csv.DictReader(rows)]
    return sum(clicked) / len(clicked)


def evaluated(agent, file):
    """What `agent` reports, its exit code, and the seconds that it took."""
    command = [agent, "evaluate", "--off-policy", "--log", file, "--json"]
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    took = time.perf_counter() - began
    if done.returncode not in (0, 7):
        sys.exit(f"agent evaluate ended with {done.returncode}")
    return json.loads(done.stdout), done.returncode, took


def contains(interval, value):
    return "holds it" if interval[0] <= value <= interval[1] else "misses it"


def row(arguments, data, campaign, python):
    """The cells of a campaign, and its figures."""
    file = data / "bts" / campaign / f"{campaign}.csv"
    report, code, took = evaluated(arguments.agent, file)
    policy = report["candidate"]
    by_name = {one["estimator"]: one for one in policy["estimates"]}
    truth = clicks(data / "random" / campaign / f"{campaign}.csv")
    cells = [
        campaign,
        *(f"{by_name[name]['value']:.6f}" for name in ("ips", "snips", "doubly-robust")),
        f"{policy['effective_sample_size']:.1f}",
        f"{truth:.6f}",
        contains(by_name["snips"]["normal"], truth),
        contains(policy["anytime"], truth),
        {0: "estimated", 7: "refused (7)"}[code],
        f"{took:.2f} s",
    ]
    if python:
        command = [python, "-c", PEER, str(data.parent.parent.parent), str(file)]
        peer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        cells += [f"{peer['ips']:.6f}", f"{peer['snips']:.6f}"]
    figures = {
        "snips": by_name["snips"]["value"],
        "effective_sample_size": policy["effective_sample_size"],
        "is_refused": code == 7,
        "peer_snips": peer["snips"] if python else None,
    }
    return cells, figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", default="target/release/agent", type=pathlib.Path)
    parser.add_argument("--folder", type=pathlib.Path, help="where the wheel is kept")
    parser.add_argument("--peer", action="store_true", help="run obp's estimators as well")
    add_json(parser)
    arguments = parser.parse_args()
    arguments.agent = arguments.agent.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        data = sample(folder) / "obp" / "dataset" / "obd"
        packages = ["numpy", "pandas", "scikit-learn"]
        python = environment(packages, folder / "peer") if arguments.peer else None
        titles = ["campaign", "ips", "snips", "dr", "ess", "truth", "normal", "anytime", "verdict"]
        titles += ["took", *(["obp ips", "obp snips"] if python else [])]
        found = {name: row(arguments, data, name, python) for name in CAMPAIGNS}
    table = [titles, *(cells for cells, _ in found.values())]
    write_json(arguments.json, {name: figures for name, (_, figures) in found.items()})
    widths = [max(map(len, column)) for column in zip(*table)]
    for cells in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip())


main()
