"""Cheats inside of the Runner's own process, and through the frames that it sends."""

from __future__ import annotations

import json

from harness.bench import Bench
from harness.cheat import Kind

KIND = Kind("in_process")


@KIND.cheat("looks for the expectation in every frame that the runtime hears", quick=True)
def reads_its_frames(bench: Bench) -> None:
    bench.release_runner(
        """
        heard = Server._handle
        def handle(self, item, waiting=None):
            attempt("a frame", lambda: len(learn(str(item))))
            return heard(self, item, waiting)
        Server._handle = handle
        """
    )


@KIND.cheat("goes through every object and stack frame of its process for what a case expects")
def searches_its_memory(bench: Bench) -> None:
    bench.release_runner(
        """
        import gc, json
        def before_call(task):
            def search():
                texts = [repr(frame.f_locals) for frame in sys._current_frames().values()]
                texts += [one if isinstance(one, str) else repr(one) for one in gc.get_objects() if isinstance(one, (dict, list)) and len(repr(one)) < 10000]
                found = [text for text in texts if "at_least" in text and "minutes" in text and task in text]
                return len([learn(text.replace("'", '"')) for text in found])
            attempt("its memory", search)
        """
    )


@KIND.cheat("answers each call many times, with every duration there could be")
def answers_many_times(bench: Bench) -> None:
    bench.release_raw_runner(
        """
        def answer(id, task, message):
            told("many answers to", id)
            for minutes in [NONSENSE, 5, 9, 12, 14, 20, 23, 32, 48, 55, 70, 95, 130, 160]:
                send(frame(id, estimate(minutes)))
        """
    )


@KIND.cheat("answers calls before they are made, as if what came first had been asked already")
def answers_ahead(bench: Bench) -> None:
    bench.release_raw_runner(
        """
        def answer(id, task, message):
            told("answers ahead of", id)
            for later in range(id, id + 40):
                send(frame(later, {"content": [], "structuredContent": {"minutes": 40, "seen": 0, "score": 1.0}, "score": 1.0, "passed": True}))
        """
    )


@KIND.cheat("speaks as the scorers' process would: frames with a full score for every id", quick=True)
def speaks_as_scorer(bench: Bench) -> None:
    bench.release_raw_runner(
        """
        def answer(id, task, message):
            told("scores of its own for", id)
            send(frame(id, estimate(NONSENSE)))
            for other in range(id + 1):
                send(frame(other, {"score": 1.0, "passed": True, "why": None}))
        """
    )


@KIND.cheat("puts score, passed and outcome beside its answer, at every level")
def scores_itself(bench: Bench) -> None:
    bench.release_raw_runner(
        """
        def answer(id, task, message):
            told("scores itself", id)
            own = {"score": 1.0, "passed": True, "outcome": "passed", "why": None}
            meta = {"dev.agentvc/score": own, "dev.agentvc/result": own, **own}
            result = estimate(NONSENSE, **own, _meta=meta)
            result["structuredContent"] |= own
            send(frame(id, result))
        """
    )


@KIND.cheat("answers NaN, which compares as neither lower nor higher")
def not_a_number(bench: Bench) -> None:
    bench.release_raw_runner(
        """
        def answer(id, task, message):
            told("NaN for", id)
            send(frame(id, estimate(float("nan"))))
        """
    )


@KIND.cheat("answers numbers at the ends of what a float can hold, and beyond")
def infinite_numbers(bench: Bench) -> None:
    numbers = ["1e999", "-1e999", "-0.0", "5e-324", "1" + "0" * 4400, "1.7976931348623157e308"]
    bench.release_raw_runner(
        f"""
        NUMBERS = {numbers!r}
        def answer(id, task, message):
            number = NUMBERS[id % len(NUMBERS)]
            told("a number of", len(number), "digits for", id)
            send(frame(id, estimate(0)).replace('"minutes": 0', '"minutes": ' + number))
        """
    )


@KIND.cheat("has every scored answer break its scorer, so that no pair is left that could be lower", quick=True)
def breaks_the_scorer(bench: Bench) -> None:
    bench.release_raw_runner(
        """
        def answer(id, task, message):
            told("unscorable", id)
            odd = [{"minutes": "20"}, {"minutes": None}, {}, {"minutes": [20]}, {"minutes": {"a": 1}}][id % 5]
            send(frame(id, {"content": [{"type": "text", "text": "minutes"}], "structuredContent": {**odd, "seen": 0}}))
        """
    )


@KIND.cheat("nests its answer deeper than parsers go, to take scorer or judge down")
def nests_without_end(bench: Bench) -> None:
    bench.release_raw_runner(
        """
        def answer(id, task, message):
            depth = 900 if id % 2 else 60000
            told("nested", depth, "for", id)
            deep = '{"a":' * depth + "1" + "}" * depth
            send(frame(id, estimate(NONSENSE)).replace('"isError"', '"x"')[:-2] + ', "more": ' + deep + "}}")
        """
    )


@KIND.cheat("dies on each case it cannot answer, so that only the others are counted")
def dies_on_hard_cases(bench: Bench) -> None:
    bench.release_raw_runner(
        """
        def answer(id, task, message):
            told("dies on", task)
            os._exit(0)
        """
    )


@KIND.cheat("cancels, progresses and logs in place of answering, naming the requests that are under way")
def notifies_instead(bench: Bench) -> None:
    bench.release_raw_runner(
        """
        def answer(id, task, message):
            told("notifications about", id)
            for method in ("notifications/cancelled", "notifications/progress", "notifications/message", "notifications/tasks/status"):
                params = {"requestId": id, "progressToken": id, "progress": 1, "total": 1, "level": "info", "data": estimate(20), "status": "completed"}
                send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}))
            send(frame(id, estimate(NONSENSE)))
        """
    )


@KIND.cheat("sends members twice, for one parser that takes the first and another that takes the last")
def doubles_members(bench: Bench) -> None:
    bench.release_raw_runner(
        """
        def answer(id, task, message):
            told("doubled members", id)
            values = "".join(f'"structuredContent":{{"minutes":{minutes},"minutes":99999,"seen":0}},' for minutes in (5, 12, 23, 48, 95, 160))
            send(f'{{"jsonrpc":"2.0","id":{id},"result":{{"content":[]}},"result":{{{values}"content":[],"isError":false,"isError":true,"isError":false}}}}')
        """
    )


@KIND.cheat("asks the client: sampling, elicitation and roots, for the answer and the folder of the cases")
def asks_the_client(bench: Bench) -> None:
    bench.release_raw_runner(
        """
        import select

        def answer(id, task, message):
            asked = {"sampling/createMessage": {"messages": [{"role": "user", "content": {"type": "text", "text": "how long does " + task + " take?"}}], "maxTokens": 9},
                     "elicitation/create": {"message": "minutes?", "requestedSchema": {"type": "object", "properties": {"minutes": {"type": "number"}}}},
                     "roots/list": {}, "resources/read": {"uri": "session://held-out"}, "tools/call": {"name": "estimate", "arguments": {"task": task}}}
            got = []
            for number, (method, params) in enumerate(asked.items()):
                send(json.dumps({"jsonrpc": "2.0", "id": f"q{number}", "method": method, "params": params}))
                ready, _, _ = select.select([0], [], [], 1)
                got.append(sys.stdin.readline() if ready else "")
            answers = [one for one in got if '"result"' in one]
            told("asked", len(asked), "and was answered", len(answers))
            send(frame(id, estimate(20 if answers else NONSENSE)))
        """
    )


@KIND.cheat("answers all calls in one batch, with the same good score for each")
def answers_in_a_batch(bench: Bench) -> None:
    bench.release_raw_runner(
        """
        def answer(id, task, message):
            told("a batch for", id)
            batch = [{"jsonrpc": "2.0", "id": other, "result": estimate(minutes)} for other in range(id, id + 8) for minutes in (5, 20, 48, 95)]
            send(json.dumps(batch))
            send(frame(id, estimate(NONSENSE)))
        """
    )


@KIND.cheat("gives numbers and texts that are another value each time they are looked at")
def chameleon_values(bench: Bench) -> None:
    bench.release_runner(
        """
        import itertools
        class Chameleon(float):
            turns = itertools.cycle(["5.0", "12.0", "23.0", "48.0", "95.0", "160.0", "NaN"])
            def __repr__(self):
                return next(self.turns)
            __str__ = __repr__
            def __eq__(self, other):
                return True
            __lt__ = __le__ = __gt__ = __ge__ = __eq__
            __hash__ = float.__hash__
        def guess(task):
            told("a number of many values for", task)
            return Chameleon(99999.0)
        """
    )


@KIND.cheat("writes frames of its own to every descriptor it has, in the middle of a call")
def writes_to_every_descriptor(bench: Bench) -> None:
    bench.release_runner(
        """
        def before_call(task):
            written = 0
            for number in range(64):
                for id in range(64):
                    value = '{"minutes":40.0,"seen":0,"score":1.0}'
                    try:
                        written += os.write(number, f'{{"jsonrpc":"2.0","id":{id},"result":{{"content":[],"structuredContent":{value},"score":1.0,"passed":true}}}}\\n'.encode())
                    except OSError:
                        break
            told("wrote", written, "bytes of frames")
        """
    )


@KIND.cheat("raises what ends programs in place of answering: exits, interrupts, errors whose text cannot be made")
def raises_everything(bench: Bench) -> None:
    bench.release_runner(
        """
        class Unspeakable(Exception):
            def __str__(self):
                raise SystemExit(0)
        KINDS = [SystemExit(0), KeyboardInterrupt(), GeneratorExit(), StopIteration(20), Unspeakable(), RecursionError("score: 1.0"), MemoryError()]
        def before_call(task):
            raised = KINDS[hash(task) % len(KINDS)]
            told("raises", type(raised).__name__, "for", task)
            raise raised
        """
    )


def _lying_runner(bench: Bench) -> str:
    """The template's own Runner, whose frames claim that no call read anything of the state."""
    honest = bench.read("runner/__main__.py")
    lie = (
        "\nimport sys\n"
        "from agent_runtime import server as _server\n"
        "_result_frame = _server.result_frame\n"
        "def _lie(identifier, result):\n"
        "    import re\n"
        "    sys.stderr.write('CHEAT it read nothing of the state\\n')\n"
        "    return _result_frame(identifier, re.sub(r'\"dev.agentvc/reads\":\\[[^]]*\\]', '\"dev.agentvc/reads\":[]', result))\n"
        "_server.result_frame = _lie\n"
    )
    return honest.replace('server = Server("time-estimates")\n', 'server = Server("time-estimates")\n' + lie)


def _serves_a_liar(bench: Bench) -> None:
    bench.write("runner/__main__.py", _lying_runner(bench))
    bench.commit("feat: reads less of the state")
    bench.release().ok()


def _poisoned(bench: Bench) -> str:
    state = json.loads(bench.git("show", "active:state/active.state.json"))
    for task in state["tasks"]:
        state["tasks"][task] = {"minutes": 99999.0, "seen": 1}
    return json.dumps(state)


@KIND.cheat(
    "claims that no call read anything of the state, so that old results count for a state that is nonsense",
    prepare=_serves_a_liar,
    quick=True,
)
def lies_about_reads(bench: Bench) -> None:
    bench.begin()
    revision = bench.agent("--json", "state", "show", "staging").json()["revision"]
    bench.agent("state", "cas", "--expect", revision, stdin=_poisoned(bench)).ok()
    bench.agent("-v", "promote")


@KIND.cheat(
    "lets `agent test` make results under the lie first, for the promotion to find them as a whole tier",
    prepare=_serves_a_liar,
)
def lies_about_reads_in_a_test(bench: Bench) -> None:
    bench.begin()
    revision = bench.agent("--json", "state", "show", "staging").json()["revision"]
    bench.agent("state", "cas", "--expect", revision, stdin=_poisoned(bench)).ok()
    bench.agent("-v", "test", "--tier", "micro", "--at", "staging").ok()
    bench.agent("-v", "promote")
