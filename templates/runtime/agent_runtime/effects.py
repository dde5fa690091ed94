"""Effects that a Tuner's tool requests: chance, the time, HTTP, the score of a state.

A tool stays a function of its inputs. A request whose result is not known yet ends the call with
`Pending`; `agent` carries it out, records the result with the signal, and calls the tool again from
its start. So what a tool does before a request is done again, with the same outcome.
"""

from .call import EFFECTS, running
from .wire import Unserializable, encode

_MASK = (1 << 64) - 1
_GOLDEN_GAMMA = 0x9E3779B97F4A7C15


class Pending(BaseException):
    """Raised inside a tool whose effects have no result yet; `except Exception` does not catch it."""

    def __init__(self, requests):
        super().__init__("the tool waits for effects")
        self.requests = requests


class EffectsOfCall:
    """The effects of one call: what was offered, the results, and what the tool used."""

    __slots__ = ("_now", "_position", "_random", "_results", "_stream", "is_served", "used")

    def __init__(self, given):
        self.is_served = given is not None
        given = given or {}
        self._random = given.get("random")
        self._now = given.get("now")
        self._results = given.get("results") or ()
        self._position = 0
        self._stream = None
        self.used = []

    def results(self, requests):
        """The results of requests, in their order; raises Pending for those without one."""
        first = self._position
        self._position = min(first + len(requests), len(self._results))
        known = list(self._results[first : self._position])
        if len(known) < len(requests):
            raise Pending(requests[len(known) :])
        return known

    def seed(self):
        if self._random is None:
            self._random = self._missing("random", _system_seed)
        self._use("random")
        return int(self._random, 16)

    def now(self):
        if self._now is None:
            self._now = self._missing("now", _current_time)
        self._use("now")
        return self._now

    def random(self):
        """The next number of SplitMix64 (Steele, Lea, Flood 2014), as a double in [0, 1)."""
        if self._stream is None:
            self._stream = self.seed() & _MASK
        self._stream = (self._stream + _GOLDEN_GAMMA) & _MASK
        mixed = self._stream
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((mixed ^ (mixed >> 31)) >> 11) / (1 << 53)

    def _missing(self, kind, make):
        """A value that was not offered: in a replay it was not recorded."""
        if self.is_served:
            raise Pending([{"kind": kind}])
        return make()

    def _use(self, name):
        if name not in self.used:
            self.used.append(name)


def _system_seed():
    import os

    return os.urandom(16).hex()


def _current_time():
    from datetime import datetime, timezone

    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _requested(requests):
    call = running("effect")
    if not call.server.tunes:
        raise RuntimeError("effects are for the tools of a Tuner; a Runner has access of its own")
    effects = effects_of(call)
    if not effects.is_served:
        raise RuntimeError("this effect is carried out by `agent`, and the call came without it")
    return effects.results(requests)


def effects_of(call):
    if call.effects is None:
        call.effects = EffectsOfCall(call.meta.get(EFFECTS))
    return call.effects


class Effect:
    """`effect`: the requests that a tool can make."""

    def random(self):
        """A random number in [0, 1); further calls continue the same stream."""
        return effects_of(running("effect")).random()

    def seed(self):
        """A random integer of 128 bits, the same throughout the call, to seed a generator."""
        return effects_of(running("effect")).seed()

    def now(self):
        """The time of the signal: RFC 3339 in UTC, as text."""
        return effects_of(running("effect")).now()

    def http(self, request):
        """The answer to a request over HTTP: a dict of `status`, `type` and `body` (text).

        The request is a dict of `url`, and where wanted `method`, `headers`, `body` (text) and `usd`
        (what it costs at most). A header's value is text, or `{"env": NAME, "prefix": "Bearer "}`.
        """
        return self.http_all([request])[0]

    def http_all(self, requests):
        """The answers to several requests, which are sent at the same time."""
        return _requested([{"kind": "http", **request} for request in requests])

    def evaluate(self, state, tier):
        """The results of a state on a tier's cases, except held-out ones.

        A dict of `score` (0 to 1), `cases`, `passed`, `failed`, `errored`, `usd`, and `by_case`: each
        case's score by its id.
        """
        # the state may be changed after this call, and the request may not
        try:
            encode(state)
        except Unserializable as error:
            raise ValueError(f"the state to be scored: {error}") from None
        return _requested([{"kind": "evaluate", "state": state, "tier": tier}])[0]


effect = Effect()
