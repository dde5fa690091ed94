"""The draw of an arm: a function of the state, the conversation and the turn.

So a test case is reproducible, and live traffic, in which each conversation has its own id,
explores. Propensities are whole millionths that sum to 1, and the arm is drawn with exactly these.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

PARTS = 1_000_000


def shares(chances: Sequence[float]) -> list[int]:
    """The chances in whole millionths; the rest goes to the largest."""
    parts = [round(chance * PARTS) for chance in chances]
    parts[parts.index(max(parts))] += PARTS - sum(parts)
    return parts


def arm(parts: Mapping[str, int], seed: Sequence[Any]) -> str:
    """The arm that falls to the seed: JSON values that say which choice this is."""
    text = json.dumps(seed, separators=(",", ":"), ensure_ascii=True)
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big") % PARTS
    ends = zip(parts, accumulate(parts.values()), strict=True)
    return next(name for name, end in ends if number < end)
