"""The Tuner's tool `exemplar`: good answers, kept as examples."""

from agent_runtime import state

MOST_KEPT = 8


def exemplar(question: str, answer: str) -> int:
    """Keeps a question with a good answer as an example. Gives how many are kept.

    Args:
        question: the question as it was asked
        answer: the answer that was praised
    """
    others = [one for one in state()["examples"] if one["question"] != question]
    state()["examples"] = [*others, {"question": question, "answer": answer}][-MOST_KEPT:]
    return len(state()["examples"])
