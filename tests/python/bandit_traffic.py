"""The requests of templates/bandit: how its signals and cases were made.

    python tests/python/bandit_traffic.py [REPOSITORY]

Requests come from a fixed seed. The mean reward of an arm is a function of the request that the
router is not shown; rewards have noise. The signals' arms were chosen uniformly.
"""

import json
import sys
from pathlib import Path
from random import Random

TEMPLATE = Path(__file__).resolve().parents[2] / "templates/bandit"
ARMS = ("faq", "small-model", "large-model", "person")
SIGNALS = 200
CASES = {"micro/requests": 10, "fast/requests": 25, "full/requests": 40}
HELD_OUT = 60
NOISE = 0.1


def request(random: Random) -> dict[str, float | str]:
    kind = random.choices(("howto", "billing", "bug"), (45, 30, 25))[0]
    code = random.random() < {"howto": 0.3, "billing": 0.0, "bug": 0.6}[kind]
    return {
        "kind": kind,
        "words": min(round(random.lognormvariate(3.4, 0.6)), 150),
        "has_code": int(code),
    }


def rewards(context: dict[str, float | str]) -> dict[str, float]:
    """The mean reward of each arm: how well the request is answered, less what the answer costs."""
    words, code = context["words"], context["has_code"]
    means = {
        "howto": (
            0.8 - words / 200 - 0.3 * code,
            0.65 - words / 500,
            0.6 - 0.05 * code,
            0.25 + words / 800,
        ),
        "billing": (0.5 - words / 250, 0.45 - words / 500, 0.4, 0.5 + words / 400),
        "bug": (0.1, 0.4 - 0.2 * code, 0.55 + 0.15 * code, 0.45),
    }[context["kind"]]
    return {arm: round(max(mean, 0.0), 3) for arm, mean in zip(ARMS, means, strict=True)}


def rewarded(random: Random, context: dict[str, float | str], arm: str) -> float:
    return round(min(max(random.gauss(rewards(context)[arm], NOISE), 0.0), 1.0), 3)


def signals() -> list[dict]:
    random, made = Random(1), []
    for number in range(1, SIGNALS + 1):
        context, arm = request(random), random.choice(ARMS)
        value = rewarded(random, context, arm)
        arguments = {"call": f"r-{number}", "arm": arm, "context": context, "value": value}
        made.append({"id": f"reward-{number}", "tool": "reward", "arguments": arguments})
    return made


def cases(name: str, number: int, random: Random) -> list[dict]:
    made = []
    for at in range(1, number + 1):
        context = request(random)
        scorer = {"name": "nearness", "at_least": 0.3, "rewards": rewards(context)}
        case_id = f"{name.replace('/', '-')}-{at}"
        arguments = {"context": context}
        made.append(
            {"id": case_id, "tool": "choose", "arguments": arguments, "expect": {"scorer": scorer}}
        )
    return made


def write(path: Path, lines: list[dict]) -> None:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def main() -> None:
    repository = Path(sys.argv[1]) if len(sys.argv) > 1 else TEMPLATE
    write(repository / "signals/feedback.jsonl", signals())
    random = Random(2)
    for name, number in {**CASES, "full/heldout/requests": HELD_OUT}.items():
        write(repository / f"tests/{name}.jsonl", cases(name, number, random))


if __name__ == "__main__":
    main()
