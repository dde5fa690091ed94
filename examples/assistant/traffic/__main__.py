"""Sends customers' messages to the assistant, and rewards its Tuner for right answers some later.

    python3 -m traffic [--count 200] [--delay 20]

A message is a conversation. Users are right about most answers, not all; a fifth of them says
nothing. The quality of each prompt is known here, so the answers that were missed by not giving the
best prompt to all can be counted.
"""

import argparse
import json
from pathlib import Path
from random import Random

from scripted import model
from traffic.client import Client, LateRewards

ROOT = Path(__file__).resolve().parents[1]
MISTAKEN, SILENT = 0.05, 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="messages")
    parser.add_argument("--delay", type=int, default=20, help="messages between answer and reward")
    given = parser.parse_args()
    state = json.loads((ROOT / "state/active.state.json").read_text())
    quality = {name: model.quality(one["prompt"], 0) for name, one in state["variants"].items()}
    users, right, missed = Random(1), 0, 0.0
    with Client("runner", "--at", "staging") as runner, Client("tuner") as tuner:
        rewards = LateRewards(tuner, given.delay)
        for number, (message, label) in enumerate(messages(given.count)):
            talk = f"message-{number}"
            answer = runner.call("route", question=message, conversation_id=talk)
            is_right = answer["label"] == label
            right += is_right
            missed += max(quality.values()) - quality[answer["variant"]]
            if users.random() >= SILENT:
                rewards.add(talk, float(is_right != (users.random() < MISTAKEN)))
        rewards.finish()
    spread = given.count * (max(quality.values()) - sum(quality.values()) / len(quality))
    print(f"{right} of {given.count} right")
    against = "right answers missed against the best prompt"
    print(f"{missed:.0f} {against}; {spread:.0f} by prompts in turn")


def messages(count: int) -> list[tuple[str, str]]:
    """Messages with the right department: those of the signals, each about another order."""
    lines = (ROOT / "signals/feedback.jsonl").read_text().splitlines()
    known = [json.loads(line)["arguments"] for line in lines]
    chosen = Random(2).choices(known, k=count)
    return [(f"{one['question']} Order {at + 1}.", one["label"]) for at, one in enumerate(chosen)]


main()
