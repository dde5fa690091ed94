"""The Runner's tools: search, ask and explain."""

from typing import TypedDict

from agent_runtime import Server, conversation, note, state

from runner.answers import passage, shortened
from runner.followups import is_followup, remember, with_memory
from runner.ranking import STRATEGIES, Hit, distinct, rank
from runner.strategies import choose
from runner.topics import load, sources

server = Server("docs-search")

MOST_HITS = 50
CANDIDATES = 3


class Found(TypedDict):
    """One topic that was found."""

    topic: str
    title: str
    score: float


class Search(TypedDict):
    """The topics found, best first, and the strategy that ranked them."""

    strategy: str
    hits: list[Found]


class Answer(TypedDict):
    """The best topic, the passage of it that answers, and what else may help. Without a hit, topic and answer are empty."""

    topic: str
    title: str
    answer: str
    followup: bool
    others: list[str]


class Explanation(TypedDict):
    """A topic at a glance."""

    topic: str
    title: str
    summary: str
    headings: list[str]
    characters: int


def found(hit: Hit) -> Found:
    """A hit as the tools show it."""
    return {"topic": hit.topic, "title": load(hit.topic).title, "score": hit.score}


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
def search(query: str, k: int = 5, strategy: str = "") -> Search:
    """Ranks Python's help topics by how well they answer a query.

    Args:
        query: what to look for, in your own words
        k: how many topics to give back, 1 to 50
        strategy: words, frequency, bm25 or fields; left empty, the one that has earned the best rewards
    """
    if not 1 <= k <= MOST_HITS:
        raise ValueError(f"k is {k}: give a number from 1 to {MOST_HITS}")
    if strategy and strategy not in STRATEGIES:
        raise ValueError(f"strategy is {strategy!r}: give one of {', '.join(STRATEGIES)}")
    chosen = strategy or choose(state()["strategies"])
    note(strategy=chosen)
    return {"strategy": chosen, "hits": [found(hit) for hit in rank(distinct(query), chosen, state(), k)]}


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
def ask(question: str, conversation_id: str | None = None) -> Answer:
    """Answers a question about Python from its help topics. A follow-up question uses the conversation.

    Args:
        question: the question, as you would ask a person
        conversation_id: names the conversation; the same name on the next question makes it a follow-up
    """
    query = distinct(question)
    if not query:
        raise ValueError("the question has no words: ask it in English")
    talk = conversation()
    followup = bool(talk.data) and is_followup(question)
    if followup:
        query = with_memory(query, talk.data, state()["ranking"]["memory"])
    chosen = choose(state()["strategies"])
    hits = rank(query, chosen, state(), CANDIDATES)
    note(strategy=chosen, topics=[hit.topic for hit in hits])
    if not hits:
        return {"topic": "", "title": "", "answer": "", "followup": followup, "others": []}
    best = hits[0].topic
    talk.data.update(remember(query, best))
    return {
        "topic": best,
        "title": load(best).title,
        "answer": passage(best, query),
        "followup": followup,
        "others": [hit.topic for hit in hits[1:]],
    }


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
def explain(topic: str) -> Explanation:
    """Shows a help topic at a glance: its first paragraph and its headings.

    Args:
        topic: the topic's name, such as "for" or "string-methods"
    """
    if topic not in sources():
        raise ValueError(f"there is no topic {topic!r}; the topics are: {', '.join(sources())}")
    page = load(topic)
    return {
        "topic": topic,
        "title": page.title,
        "summary": shortened(next(iter(page.paragraphs()), "")),
        "headings": list(page.headings),
        "characters": len(page.text),
    }


if __name__ == "__main__":
    server.run()
