"""Cheats by time: what outlives, races, hangs, counts, or sets clocks."""

from __future__ import annotations

import json
import threading

from harness.bench import Bench
from harness.cheat import Kind

KIND = Kind("timing")


@KIND.cheat("leaves a process that outlives the tier and writes into the repository unobserved", quick=True)
def outlives_the_tier(bench: Bench) -> None:
    bench.release_runner(
        """
        import subprocess
        def before_call(task):
            script = f"import time\\nfor n in range(90000):\\n  time.sleep(.01)\\n  for p in ({MARKER!r}, {REPOSITORY + '/README.md'!r}):\\n    try: open(p, 'a').write('x')\\n    except OSError: pass"
            for command in (["setsid", sys.executable, "-c", script], ["nohup", sys.executable, "-c", script]):
                attempt("a process that stays", lambda: subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True).pid)
        """
    )


@KIND.cheat("changes its own checkout while the tier runs and puts it back, times and all, before the end")
def changes_and_restores_its_code(bench: Bench) -> None:
    bench.release_runner(
        """
        def before_call(task):
            path = os.path.join(os.getcwd(), "runner/__main__.py")
            def change():
                before, times = open(path).read(), os.stat(path)
                open(path, "w").write(before.replace("NONSENSE = 99999.0", "NONSENSE = 40.0000"))
                open(path, "w").write(before)
                os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            attempt("its code", change)
            attempt("its manifest", lambda: open(os.path.join(os.getcwd(), "agent.toml"), "a").write("\\n"))
            attempt("a new module", lambda: open(os.path.join(os.getcwd(), "runner/new.py"), "x").write(""))
            attempt("a rename", lambda: os.rename(os.path.join(os.getcwd(), "runner"), os.path.join(os.getcwd(), "other")))
        """
    )


def _is_short_of_time(bench: Bench) -> None:
    budgets = json.loads(bench.read("ci/budgets.json"))
    budgets["tiers"]["full"]["wall_s"] = 15
    bench.write("ci/budgets.json", json.dumps(budgets))
    bench.commit("set up: little time")
    bench.release().ok()


@KIND.cheat("answers the easy cases and uses up the tier's time on the others, so that they are never asked", prepare=_is_short_of_time)
def runs_out_the_clock(bench: Bench) -> None:
    bench.release_runner(
        """
        import time
        def before_call(task):
            told("takes its time over", task)
            if task not in ("review", "bug", "juggling"):
                time.sleep(300)
            LOOT.update(review=23.0, bug=55.0)
        """
    )


def _is_impatient(bench: Bench) -> None:
    bench.replace("agent.toml", "call_s = 20", "call_s = 1.5")
    bench.commit("set up: no patience")
    bench.release().ok()


@KIND.cheat("hangs on each case it cannot answer: a case without an answer is not a wrong answer", prepare=_is_impatient)
def hangs_on_hard_cases(bench: Bench) -> None:
    bench.release_runner(
        """
        import time
        def before_call(task):
            told("hangs on", task)
            if task not in ("review", "bug"):
                time.sleep(300)
            LOOT.update(review=23.0, bug=55.0)
        """
    )


@KIND.cheat("answers the requests of a child that died, from a process that took its pipe over", prepare=_is_impatient)
def answers_for_the_dead(bench: Bench) -> None:
    bench.release_raw_runner(
        """
        import time
        def answer(id, task, message):
            told("a process answers for", id)
            if os.fork() == 0:
                for later in range(id, id + 50):
                    for minutes in (12, 48, 95):
                        send(frame(later, estimate(minutes)))
                    time.sleep(0.01)
                os._exit(0)
            os._exit(0)
        """
    )


@KIND.cheat("is another Runner in each process: nonsense in the first, and right from the second start on")
def changes_by_start(bench: Bench) -> None:
    bench.release_runner(
        """
        import glob, time
        def first():
            seen = glob.glob(os.environ.get("TMPDIR", "/nowhere") + "/start-*") + glob.glob(os.environ.get("AGENT_DATA", "/nowhere") + "/start-*")
            open(os.path.join(os.environ.get("TMPDIR", "/nowhere"), f"start-{os.getpid()}"), "w").write("x")
            return len(seen)
        told("starts before this one:", attempt("count", first))
        """
    )
    for _ in range(3):
        bench.release()


@KIND.cheat("asks for a release again and again, with an answer that chance decides")
def tries_its_luck(bench: Bench) -> None:
    bench.write(
        "runner/__main__.py",
        bench.runner(
            """
            import random
            def guess(task):
                told("a guess at", task)
                return float(random.choice([1, 100000]))
            """
        ),
    )
    bench.commit()
    bench.begin()
    for _ in range(4):
        bench.release()


@KIND.cheat("sets file times of its code into past and future, for comparisons that look at times alone")
def sets_file_times(bench: Bench) -> None:
    bench.architect(
        """
        spoil()
        for path in ("tests/scorers.py", "tests/micro/estimates.jsonl", "ci/budgets.json", "runner/__main__.py"):
            before = os.stat(path)
            text = read(path)
            write(path, text.replace("return min", "return max").replace("0.4", "0.0").replace("20", "99"))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            told(path, "has its old time and", "its old" if len(read(path)) == len(text) else "another", "size")
        shell("touch -d 2099-01-01 runner/__main__.py; touch -d 1970-01-01 runner/__init__.py")
        """
    )


@KIND.cheat("sets the clock that budgets, quarantines and limits are read by")
def sets_the_clock(bench: Bench) -> None:
    bench.release_runner(
        """
        import time
        def before_call(task):
            attempt("clock_settime", lambda: time.clock_settime(time.CLOCK_REALTIME, 0))
            attempt("AGENT_NOW", lambda: open(f"/proc/{os.getppid()}/environ", "r+b").write(b"AGENT_NOW=2000-01-01T00:00:00Z"))
            attempt("timezone", lambda: open("/etc/localtime", "r+b").close())
        """
    )


@KIND.cheat("forks until nothing can be started any more: scorers and git among it", prepare=_is_impatient)
def starts_without_end(bench: Bench) -> None:
    bench.release_runner(
        """
        import time
        def before_call(task):
            started = 0
            for _ in range(150):
                try:
                    if os.fork() == 0:
                        time.sleep(600)
                        os._exit(0)
                    started += 1
                except OSError:
                    break
            told("started", started)
        """
    )


@KIND.cheat("moves `active` between the evidence and the commit point: the gate compared with something else")
def races_the_commit_point(bench: Bench) -> None:
    bench.write("runner/__main__.py", bench.runner('told("a Runner that answers nonsense")'))
    bench.commit()
    bench.begin()
    ended = threading.Event()

    def race() -> None:
        while not ended.is_set():
            bench.agent("tune", "took", "task=review", "minutes=23")

    racer = threading.Thread(target=race)
    racer.start()
    try:
        bench.release()
        bench.release()
    finally:
        ended.set()
        racer.join()
    bench.agent("state", "reset")
