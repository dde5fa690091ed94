"""Words of requests: which of them belong to a tool, as keywords that are read at a glance."""

import math
import re
from collections import defaultdict

MOST_KEYWORDS = 16
MOST_CHARACTERS = 160  # of all keywords of a tool, with the commas
MOST_WORDS = 2000  # that are counted for a tool; later ones are left out

# Words that stand in any request. What is left out here is cheap: a word that all tools share gets
# no weight.
COMMON = frozenset(
    """a about after again all also always am an and another any anything are around as ask at away
    be because been before being below but by can cannot could did do does doing done down each
    every everything few find for from get give gives go going got had has have having he her here
    him his how i if in into is it its just know let like look made make many may maybe me more
    most much must my need needs new no not now of off ok old on once one only or other our out
    over own please put say see set she should show so some something such take tell than that the
    their them then there these they thing things this those through to too try under until up us
    use using very want wants was way we well were what when where whether which while who why will
    with without would yes yet you your""".split()
)

# The share of a word in requests, before any was seen, and how many requests that is worth.
USUAL_SHARE = 0.05
USUAL_WEIGHT = 2.0


def words_of(request: str) -> set[str]:
    """The distinct words of a request that can say what it is about."""
    found = re.findall(r"[^\W\d_]+", request.lower().replace("’", "'").replace("'s", ""))
    return {word for word in found if len(word) > 1 and word not in COMMON}


def stem(word: str) -> str:
    """A word without its English ending: `converting`, `converts` and `convert` are one."""
    for ending, least in (("ies", 5), ("ing", 6), ("ed", 5), ("es", 5), ("s", 4), ("e", 4)):
        if word.endswith(ending) and len(word) >= least and not word.endswith("ss"):
            return word[: -len(ending)] + ("y" if ending == "ies" else "")
    return word


def count(learned: dict, tool: str, request: str) -> None:
    """Counts a request of a tool; the name "" stands for the tools of other servers."""
    requests = learned.setdefault("requests", {})
    requests[tool] = requests.get(tool, 0) + 1
    counts = learned.setdefault("words", {}).setdefault(tool, {})
    for word in sorted(words_of(request)):
        if word in counts or len(counts) < MOST_WORDS:
            counts[word] = counts.get(word, 0) + 1


def keywords(learned: dict, tool: str) -> list[str]:
    """The words by which requests of the tool differ from those of all others, the best first.

    A word weighs its count times the log ratio of its shares in the tool's requests and in others,
    the terms of their Kullback-Leibler divergence. One that belongs to another tool rather is left
    out.
    """
    stems, forms = _by_stem(learned)
    requests = learned["requests"]
    mine, others = requests.get(tool, 0), sum(requests.values()) - requests.get(tool, 0)
    weights = {}
    for one, by_tool in stems.items():
        here = by_tool.get(tool, 0)
        if here == 0 or any(
            seen / requests[other] > here / mine for other, seen in by_tool.items()
        ):
            continue
        elsewhere = sum(by_tool.values()) - here
        ratio = _share(here, mine) / _share(elsewhere, others)
        if ratio > 1:
            weights[one] = here * math.log(ratio)
    best = sorted(weights, key=lambda one: (-round(weights[one], 9), one))
    return _within(_readable(forms[one]) for one in best)


def with_own(learned: dict, tool: str, current: list[str], found: list[str]) -> list[str]:
    """The found keywords, behind the current ones that are no words of the tool's requests: a
    person wrote those."""
    counted = learned["words"].get(tool, {})
    own = [one for one in current if one.lower() not in counted]
    return own + [one for one in found if one not in own]


def _share(seen: int, requests: int) -> float:
    return (seen + USUAL_WEIGHT * USUAL_SHARE) / (requests + USUAL_WEIGHT)


def _by_stem(learned: dict) -> tuple[dict, dict]:
    """Counts by stem and tool, and by stem the counts of its forms."""
    stems = defaultdict(lambda: defaultdict(int))
    forms = defaultdict(lambda: defaultdict(int))
    for tool, counts in learned["words"].items():
        for word, seen in counts.items():
            stems[stem(word)][tool] += seen
            forms[stem(word)][word] += seen
    return stems, forms


def _readable(forms: dict) -> str:
    """The most frequent form, else the shortest."""
    return min(forms, key=lambda word: (-forms[word], len(word), word))


def _within(found) -> list[str]:
    kept, characters = [], 0
    for word in found:
        characters += len(word) + 2
        if len(kept) == MOST_KEYWORDS or characters > MOST_CHARACTERS:
            break
        kept.append(word)
    return kept
