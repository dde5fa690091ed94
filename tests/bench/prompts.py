"""The template `prompts` over its scripted model, whose prompts have known qualities.

    python tests/bench/prompts.py [--conversations 2000] [--seeds 5] [--trials 20] [--agent PATH]

1. Regret against the best of 12 prompts, with the Runner's choice and the Tuner's `reward`, beside
   UCB1 (Auer et al., 2002), epsilon-greedy and a choice at random. Rewards are wrong in one of
   twenty cases; with delay they come 200 conversations later, and every fifth never.
2. Promotions of a prompt that is not better: under a model to which all prompts are equal, `agent
   tune reflect` and `agent promote` in fresh copies of a repository, beside GEPA alone on the same
   examples, with the number of model calls that ours made. GEPA's is a prompt other than the given
   one that it returns as the best.

Needs gepa 0.1.4 (`just bench-prompts` installs it), and the binary of `agent` for the second part.
"""

import argparse
import json
import math
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path

import gepa

from peers_in_python import add_json, write_json

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "templates/prompts"
sys.path[:0] = [str(ROOT / "tests/python"), str(TEMPLATE)]

from in_process import Tools  # noqa: E402
from scripted import model as scripted  # noqa: E402

TASK = "Name the department for the customer's message."
WRONG_REWARDS = 0.05
DELAY, NEVER = 200, 0.2
STEPS = 12
ALPHA = 0.05


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def fresh_state():
    return json.loads((TEMPLATE / "state/active.state.json").read_text(encoding="utf-8"))


def twelve_prompts():
    """Name to prompt: the task with one to three clauses, good and bad ones."""
    clauses = list(scripted.CLAUSES)
    chance = random.Random(3)
    prompts = {"p00": TASK}
    for number in range(1, 12):
        chosen = chance.sample(clauses, 1 + number % 3)
        prompts[f"p{number:02}"] = " ".join([TASK, *(f"{clause}." for clause in chosen)])
    return prompts


class Ours:
    """The Runner's choice and the Tuner's rewards, as they are."""

    name = "prompts (Thompson)"

    def __init__(self, names, seed):
        from runner import serving
        from tuner import rewards

        self.serving, self.rewards, self.seed = serving, rewards, seed
        self.state = fresh_state()
        plain = self.state["variants"]["plain"]
        self.state["variants"] = {name: dict(plain) for name in names}
        self.state["served"] = names[0]
        self.chances = None

    def choose(self, number):
        if self.chances is None:
            self.chances = self.serving.shares(self.state)
        return self.serving.assigned(self.chances, f"{self.seed}-{number}")

    def learn(self, number, name, value):
        self.rewards.count(self.state, f"{self.seed}-{number}", name, value)
        self.rewards.serve_the_best(self.state)
        self.chances = None


class Peer:
    """A policy over counts and sums."""

    def __init__(self, names, seed):
        self.names, self.chance = names, random.Random(seed)
        self.n, self.sum = dict.fromkeys(names, 0), dict.fromkeys(names, 0.0)

    def learn(self, number, name, value):
        self.n[name] += 1
        self.sum[name] += value


class Ucb1(Peer):
    name = "UCB1"

    def choose(self, number):
        total = sum(self.n.values())

        def bound(name):
            if not self.n[name]:
                return math.inf
            return self.sum[name] / self.n[name] + math.sqrt(2 * math.log(total) / self.n[name])

        return max(self.names, key=bound)


class EpsilonGreedy(Peer):
    name = "epsilon-greedy 0.1"

    def choose(self, number):
        if self.chance.random() < 0.1:
            return self.chance.choice(self.names)
        return max(self.names, key=lambda name: self.sum[name] / max(1, self.n[name]))


class AtRandom(Peer):
    name = "at random"

    def choose(self, number):
        return self.chance.choice(self.names)


def regret(policy_of, conversations, seed, delayed):
    """The sum of the qualities that were missed, in right answers."""
    prompts = twelve_prompts()
    quality = {name: scripted.quality(prompt, 0) for name, prompt in prompts.items()}
    policy, chance = policy_of(list(prompts), seed), random.Random(1000 + seed)
    waiting, missed, best = deque(), 0.0, max(quality.values())
    for number in range(conversations):
        while waiting and waiting[0][0] <= number:
            policy.learn(*waiting.popleft()[1:])
        name = policy.choose(number)
        missed += best - quality[name]
        value = float(chance.random() < quality[name])
        if chance.random() < WRONG_REWARDS:
            value = 1 - value
        if delayed and chance.random() < NEVER:
            continue
        waiting.append((number + 1 + (DELAY if delayed else 0), number, name, value))
    return missed


def print_regret(conversations, seeds):
    """Gives the mean regret of each policy, with rewards at once and delayed."""
    means = {}
    print(f"regret over {conversations} conversations in right answers, mean of {seeds} (s.d.)")
    for policy_of in (Ours, Ucb1, EpsilonGreedy, AtRandom):
        cells = []
        for delayed in (False, True):
            found = [regret(policy_of, conversations, seed, delayed) for seed in range(seeds)]
            spread = statistics.stdev(found) if seeds > 1 else 0.0
            cells.append(f"{statistics.mean(found):7.1f} ({spread:.1f})")
            means.setdefault(policy_of.name, []).append(statistics.mean(found))
        print(f"  {policy_of.name:20} at once {cells[0]}   delayed {cells[1]}")
    return means


def agent(binary, folder, *arguments, may_fail=False):
    ended = subprocess.run(
        [binary, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if ended.returncode and not may_fail:
        sys.exit(f"agent {' '.join(arguments)} ended with {ended.returncode}: {ended.stderr}")
    return ended.returncode


def null_repository(binary, folder):
    """One whose model gives every prompt the same quality, with examples to reflect on."""
    agent(binary, folder, "init", "a", "--template", "prompts")
    made = folder / "a"
    agent(binary, made, "state", "set", f"variants.plain.model={scripted.NULL}")
    agent(binary, made, "tune", "--signals", "signals/feedback.jsonl")
    return made


def promotes(binary, made, trial):
    """Whether a prompt is promoted in a copy of the repository, and how many model calls it took."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "a")
        shutil.copytree(made, copy, symlinks=True)
        agent(binary, copy, "state", "set", f"variants.plain.prompt={TASK} Case {trial}.")
        agent(binary, copy, "tune", "reflect", "--tier", "fast", "--budget", str(STEPS))
        staged = subprocess.run(
            [binary, "state", "show", "--json"], cwd=copy, capture_output=True, text=True, check=True
        )
        state = json.loads(staged.stdout)["state"]
        scored = sum(one["score"] is not None for one in state["variants"].values())
        calls = scored * len(lines(TEMPLATE / "tests/fast/messages.jsonl")) + STEPS * 13
        if state["served"] == "plain":
            return False, calls
        return agent(binary, copy, "promote", may_fail=True) == 0, calls


def gepa_alone(trial, calls):
    """Whether GEPA returns another prompt than the given one."""

    def completed(talk):
        content = {"model": scripted.NULL, "temperature": 0, "messages": talk}
        return scripted.complete(content)["choices"][0]["message"]["content"]

    def judged(data, response):
        right = response == data["answer"]
        feedback = "right" if right else f"The right label is {data['answer']}."
        return float(right), feedback

    def case(question, label):
        return {"input": question, "additional_context": {}, "answer": label}

    examples = [one["arguments"] for one in lines(TEMPLATE / "signals/feedback.jsonl")]
    tier = lines(TEMPLATE / "tests/fast/messages.jsonl")
    seed_prompt = {"prompt": f"{TASK} Case {trial}."}
    result = gepa.optimize(
        seed_prompt,
        trainset=[case(one["question"], one["label"]) for one in examples],
        valset=[
            case(one["arguments"]["question"], one["expect"]["subset"]["label"]) for one in tier
        ],
        task_lm=completed,
        evaluator=Judge(judged),
        reflection_lm=lambda prompt: completed([{"role": "user", "content": prompt}]),
        reflection_minibatch_size=6,
        max_metric_calls=calls,
        seed=trial,
        logger=Silent(),
    )
    return result.best_candidate != seed_prompt


class Judge:
    """An evaluator of GEPA: a score and feedback."""

    def __init__(self, judged):
        self.judged = judged

    def __call__(self, data, response):
        from gepa.adapters.default_adapter.default_adapter import EvaluationResult

        return EvaluationResult(*self.judged(data, response))


class Silent:
    """GEPA's log, left out."""

    def log(self, _message):
        pass


def print_false_promotions(binary, trials):
    """Gives how many of the trials took a prompt that is not better, ours and GEPA's."""
    with tempfile.TemporaryDirectory() as folder:
        made = null_repository(binary, Path(folder))
        ours = [promotes(binary, made, trial) for trial in range(trials)]
    alone = [gepa_alone(trial, calls) for trial, (_, calls) in enumerate(ours)]
    promoted = sum(done for done, _ in ours)
    print(f"prompts taken that are not better, in {trials} trials (alpha {ALPHA}):")
    print(f"  agent tune reflect, promote  {promoted}   (~{ours[0][1]} model calls each)")
    print(f"  GEPA alone                   {sum(alone)}")
    return {"ours": promoted, "gepa": sum(alone), "trials": trials, "alpha": ALPHA}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conversations", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=20, help="0 leaves the second part out")
    parser.add_argument("--agent", default=str(ROOT / "target/release/agent"))
    add_json(parser)
    given = parser.parse_args()
    Tools(TEMPLATE)  # the template's programs import and have their tools
    figures = {"conversations": given.conversations}
    figures["regret"] = print_regret(given.conversations, given.seeds)
    if given.trials:
        figures["false_promotions"] = print_false_promotions(given.agent, given.trials)
    write_json(given.json, figures)


if __name__ == "__main__":
    main()
