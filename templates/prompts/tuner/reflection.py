"""One step of GEPA (Agrawal et al., 2025): a prompt is rewritten by a model that sees its mistakes.

Parent, request and answer are those of the package `gepa`: a parent from the Pareto set, its mistakes
on a few examples as feedback, and new instructions from the model. A child is scored on the tier only
if it does better than its parent on the same examples.
"""

import json
from random import Random
from typing import Any

from agent_runtime import effect
from gepa.gepa_utils import select_program_candidate_from_pareto_front
from gepa.strategies.instruction_proposal import InstructionProposalSignature

from model import chat
from tuner import candidates

EXAMPLES = 6


def step(state: dict[str, Any], tier: str) -> dict[str, Any]:
    """Proposes one child, and admits it where it does better; `done` when nothing is wrong."""
    chance = Random(effect.seed())
    candidates.score(state, state["served"], tier)
    parent_name = parent(state, chance)
    variant = state["variants"][parent_name]
    examples = chance.sample(state["examples"], min(EXAMPLES, len(state["examples"])))
    if len(examples) < EXAMPLES:
        raise ValueError(
            f"the state has {len(examples)} examples with a known label, and a reflection needs "
            f"{EXAMPLES}: give some with `corrected`"
        )
    answers = answered(state, variant, examples)
    mistakes = [one for one in map(feedback, examples, answers) if one is not None]
    if not mistakes:
        return {"done": False, "parent": parent_name, "outcome": "the parent makes no mistake here"}
    prompt = proposal(state, variant, mistakes)
    name, child = candidates.made(variant, parent_name, {"prompt": prompt})
    if name in state["variants"]:
        return {"done": False, "parent": parent_name, "outcome": "the proposal is known"}
    before, after = (right(examples, some) for some in (answers, answered(state, child, examples)))
    if after <= before:
        return {
            "done": False,
            "parent": parent_name,
            "outcome": f"{after} of {len(examples)} examples right, its parent {before}",
        }
    outcome = candidates.admit(state, name, child, candidates.scored(state, child, tier))
    return {"done": outcome["score"] == 1.0, "parent": parent_name, "outcome": "admitted", **outcome}


def parent(state: dict[str, Any], chance: Random) -> str:
    """A candidate, as often as it is among the best of a case, dominated ones left out."""
    names = sorted(state["variants"])
    numbers = {name: number for number, name in enumerate(names)}
    fronts = {
        case: {numbers[name] for name in best["variants"] if name in numbers}
        for case, best in sorted(state["pareto"]["cases"].items())
    }
    fronts = {case: front for case, front in fronts.items() if front}
    scores = [state["variants"][name]["score"] or 0.0 for name in names]
    return names[select_program_candidate_from_pareto_front(fronts, scores, chance)]


def answered(
    state: dict[str, Any], variant: dict[str, Any], examples: list[dict[str, str]]
) -> list[str]:
    """The labels that a variant gives the examples."""
    talks = [chat.messages(variant, example["question"]) for example in examples]
    return [chat.label(state, text) for text in completed(state, variant, talks)]


def completed(
    state: dict[str, Any], variant: dict[str, Any], talks: list[list[dict[str, str]]]
) -> list[str]:
    """The answers of the model: effects, but for the scripted one, which is a function."""
    contents = [chat.body(variant, talk) for talk in talks]
    if state["endpoint"]["url"] == chat.SCRIPTED:
        from scripted.model import complete

        return [chat.reply(state, complete(content)).text for content in contents]
    answers = effect.http_all([chat.http_request(state, content) for content in contents])
    return [chat.reply(state, opened(answer)).text for answer in answers]


def opened(answer: dict[str, Any]) -> dict[str, Any]:
    """The completion in an HTTP answer."""
    if answer["status"] != 200:
        raise RuntimeError(f"the model answered {answer['status']}: {answer['body'][:300]}")
    return json.loads(answer["body"])


def feedback(example: dict[str, str], got: str) -> dict[str, str] | None:
    """A mistake as GEPA shows it to the model."""
    if got == example["label"]:
        return None
    return {
        "Inputs": example["question"],
        "Generated Outputs": got,
        "Feedback": f"The right label is {example['label']}.",
    }


def proposal(
    state: dict[str, Any], variant: dict[str, Any], mistakes: list[dict[str, str]]
) -> str:
    """New instructions from the model."""
    asked = InstructionProposalSignature.prompt_renderer(
        {"current_instruction_doc": variant["prompt"], "dataset_with_feedback": mistakes}
    )
    [text] = completed(state, variant, [[{"role": "user", "content": asked}]])
    return InstructionProposalSignature.output_extractor(text)["new_instruction"]


def right(examples: list[dict[str, str]], answers: list[str]) -> int:
    return sum(example["label"] == got for example, got in zip(examples, answers, strict=True))
