"""Runs the parts of a tier as tasks on a Ray cluster.

`agent test --executor ray` starts it: what to run comes as one JSON object on stdin, the events of all parts go to stdout as they come. A task that
is lost with its node is run again by Ray; an event that comes twice counts once when parts are joined.
"""

import hashlib
import json
import os
import sys

SURROUNDINGS = 6


def run_part(pack: bytes, binary: bytes, asked: dict, part: str, events) -> tuple[int, str]:
    """One part, on a worker: its exit code and the end of what it said. All it needs comes with it."""
    import fcntl
    import pathlib
    import shutil
    import subprocess
    import tempfile
    import time

    # once for all tasks of a node; what a killed task left is made again
    home = pathlib.Path(tempfile.gettempdir()) / f"agent-ray-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    agent = home / f"agent-{hashlib.sha256(binary).hexdigest()[:16]}"
    repository = home / asked["commit"]
    with open(home / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for old in home.iterdir():
            if time.time() - old.stat().st_mtime > 7 * 24 * 3600 and old not in (agent, repository):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        if not agent.exists():
            under_way = agent.with_suffix(".new")
            under_way.write_bytes(binary)
            under_way.chmod(0o700)
            under_way.rename(agent)
        git = ["git", "-C", str(repository)]
        if not (repository / "whole").exists():
            subprocess.run(["git", "init", "--quiet", str(repository)], check=True, capture_output=True)
            subprocess.run([*git, "index-pack", "--stdin", "--fix-thin"], input=pack, check=True, capture_output=True)
            # a branch that is checked out nowhere keeps it
            subprocess.run([*git, "update-ref", "refs/heads/candidate", asked["commit"]], check=True, capture_output=True)
            (repository / "whole").touch()
        for used in (agent, repository):
            os.utime(used)

    test = [str(agent), "-C", str(repository), "test", "--at", asked["commit"], "--shard", part, "--shards", "1", "--events", "-"]
    # `launch` ends it when this process ends, as it does when the task is cancelled
    environment = dict(os.environ, AGENT_PARENT_PID=str(os.getpid()))
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [str(agent), "launch", "--", *test, *asked["arguments"]],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, text=True, env=environment,
        )
        try:
            batch, sent = [], time.monotonic()
            for line in process.stdout:
                batch.append(line)
                if time.monotonic() - sent > 0.2:
                    events.put("".join(batch))
                    batch, sent = [], time.monotonic()
            events.put("".join(batch))
            code = process.wait()
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        return code, said.read()[-4000:].decode(errors="replace")


def main() -> int:
    asked = json.load(sys.stdin)
    try:
        import ray
        from ray.util.queue import Empty, Queue
    except ImportError as error:
        print(f"ray cannot be imported: {error}", file=sys.stderr)
        return SURROUNDINGS
    address = os.environ.get("RAY_ADDRESS") or "auto"
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except Exception as error:  # whatever a cluster that is not there raises
        print(f"no Ray cluster at {address}: {error}", file=sys.stderr)
        return SURROUNDINGS
    with open(asked["binary"], "rb") as file:
        binary = ray.put(file.read())
    with open(asked["pack"], "rb") as file:
        pack = ray.put(file.read())
    of = asked["parts"] or max(1, int(ray.cluster_resources().get("CPU", 1)))
    events = Queue(actor_options={"num_cpus": 0})
    task = ray.remote(num_cpus=1, max_retries=3)(run_part)
    running = {task.remote(pack, binary, asked, f"{part}/{of}", events): part for part in range(1, of + 1)}
    worst = 0

    def pass_on(seconds: float) -> None:
        try:
            sys.stdout.write(events.get(timeout=seconds))
            while not events.empty():
                sys.stdout.write(events.get_nowait())
        except Empty:
            pass
        sys.stdout.flush()

    while running:
        pass_on(0.05)
        done, _ = ray.wait(list(running), timeout=0)
        for reference in done:
            part = running.pop(reference)
            try:
                code, said = ray.get(reference)
            except ray.exceptions.RayError as error:
                code, said = SURROUNDINGS, str(error)
            if code != 0:
                worst = worst or code
                print(f"part {part} of {of} ended with {code}:\n{said}", file=sys.stderr)
    pass_on(0.05)
    return worst


if __name__ == "__main__":
    sys.exit(main())
