"""Forged objects: git's, the store's, the records'. The forger has the user's rights; `verify` has to detect it, and forged data must not be served."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import zlib
from pathlib import Path

from harness.bench import Bench, Unready
from harness.cheat import Kind
from harness.judge import noticed

KIND = Kind("objects")

STATE = "state/active.state.json"
NONSENSE = {"review": 99999.0, "bug": 99999.0, "planning": 99999.0, "deploy": 99999.0}


def _state() -> str:
    tasks = {task: {"minutes": minutes, "seen": 1} for task, minutes in NONSENSE.items()}
    return json.dumps({"schema_version": 1, "tasks": tasks, "usual_minutes": 99999.0}, indent=2) + "\n"


def _told(bench: Bench, what: str) -> None:
    """The forged object exists, as the forger's output shows."""
    bench.said.append(f"CHEAT forged {what}")


def _with(bench: Bench, *words: str, stdin: str = "") -> str:
    index = bench.root / "index"
    return bench.run(["env", f"GIT_INDEX_FILE={index}", "git", *words], stdin=stdin).ok().out.strip()


def _tree(bench: Bench, path: str, text: str, mode: str = "100644") -> str:
    """The tree of `active` with another file at `path`."""
    _with(bench, "read-tree", "active")
    blob = bench.git("hash-object", "-w", "--stdin", stdin=text)
    _with(bench, "update-index", "--add", "--cacheinfo", f"{mode},{blob},{path}")
    return _with(bench, "write-tree")


def _message(bench: Bench, commit: str = "active") -> str:
    return bench.git("log", "-1", "--format=%B", commit)


def _serve(bench: Bench, tree: str, message: str, *parents: str, tag: str | None = None) -> None:
    """Makes a commit the tip of `active`."""
    words = [word for parent in parents for word in ("-p", parent)]
    commit = bench.git("commit-tree", tree, *words, "-F", "-", stdin=message + "\n")
    bench.git("update-ref", "refs/heads/active", commit)
    if tag:
        bench.git("tag", "--force", tag, commit)
    _told(bench, f"a version at {commit[:9]}")


def _evals(bench: Bench, commit: str) -> Path:
    return bench.path(f".agent/store/evals/{bench.git('rev-parse', commit)}")


def _loose(bench: Bench, object_id: str) -> Path:
    path = bench.path(f".git/objects/{object_id[:2]}/{object_id[2:]}")
    if not path.exists():
        raise Unready(f"{object_id} is no loose object")
    return path


def _put(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


@KIND.cheat("puts another state under the object id of the one that is served", judge=noticed)
def loose_object_with_other_content(bench: Bench) -> None:
    bench.begin()
    blob = bench.git("rev-parse", f"active:{STATE}")
    text = _state().encode()
    _put(_loose(bench, blob), zlib.compress(b"blob %d\0" % len(text) + text))
    shutil.rmtree(bench.path(".agent/states"), ignore_errors=True)
    _told(bench, f"the object {blob[:9]}")


@KIND.cheat("takes the state's object away and has an alternate give another one", judge=noticed)
def object_from_an_alternate(bench: Bench) -> None:
    bench.begin()
    blob = bench.git("rev-parse", f"active:{STATE}")
    _loose(bench, blob).unlink()
    text = _state().encode()
    place = bench.root / "alternate" / blob[:2]
    place.mkdir(parents=True)
    (place / blob[2:]).write_bytes(zlib.compress(b"blob %d\0" % len(text) + text))
    bench.write(".git/objects/info/alternates", f"{bench.root}/alternate\n")
    shutil.rmtree(bench.path(".agent/states"), ignore_errors=True)
    _told(bench, f"the object {blob[:9]} in an alternate")


@KIND.cheat("packs everything and flips a byte of the served state in the pack", judge=noticed)
def byte_of_a_pack(bench: Bench) -> None:
    bench.begin()
    blob = bench.git("rev-parse", f"active:{STATE}")
    bench.git("-c", "gc.reflogExpire=now", "repack", "-a", "-d", "-q")
    bench.git("prune-packed")
    pack = next(bench.path(".git/objects/pack").glob("*.pack"))
    listed = bench.git("verify-pack", "-v", str(pack.with_suffix(".idx")))
    offset = next(int(line.split()[4]) for line in listed.splitlines() if line.startswith(blob))
    data = bytearray(pack.read_bytes())
    data[offset + 12] ^= 0xFF
    _put(pack, bytes(data))
    shutil.rmtree(bench.path(".agent/states"), ignore_errors=True)
    _told(bench, f"a byte at {offset + 12} of the pack")


@KIND.cheat("has git replace the served state by another blob", judge=noticed)
def replaced_blob(bench: Bench) -> None:
    bench.begin()
    blob = bench.git("rev-parse", f"active:{STATE}")
    other = bench.git("hash-object", "-w", "--stdin", stdin=_state())
    bench.git("replace", blob, other)
    # a replacement changes what git shows, never what is served or named: it has to be without effect, and said
    _told(bench, f"a replacement of {blob[:9]}")


@KIND.cheat("serves a commit with the trailers of the version before, one number on", judge=noticed)
def trailers_of_the_version_before(bench: Bench) -> None:
    bench.begin()
    message = _message(bench).replace("0.2.1", "0.2.2")
    _serve(bench, _tree(bench, STATE, _state()), message, "active", tag="v0.2.2")


@KIND.cheat("serves a commit that has each trailer twice, the true one and its own", judge=noticed)
def trailers_twice(bench: Bench) -> None:
    bench.begin()
    tree = _tree(bench, STATE, _state())
    state = bench.git("rev-parse", f"{tree}:{STATE}")
    message = _message(bench).rstrip()
    doubled = re.sub(r"^Agent-State: .*$", lambda found: f"{found[0]}\nAgent-State: {state}", message, flags=re.M)
    _serve(bench, tree, doubled.replace("0.2.1", "0.2.2"), "active", tag="v0.2.2")


@KIND.cheat("serves a version without history: the same tree and message, and no parent", judge=noticed)
def version_without_history(bench: Bench) -> None:
    bench.begin()
    _serve(bench, "active^{tree}", _message(bench), tag="v0.2.1")


@KIND.cheat("serves a version that leaves numbers out", judge=noticed)
def version_that_skips(bench: Bench) -> None:
    bench.begin()
    _serve(bench, "active^{tree}", _message(bench).replace("0.2.1", "0.9.0"), "active", tag="v0.9.0")


@KIND.cheat("makes `active` a symbolic ref to the branch that people work on", judge=noticed)
def symbolic_active(bench: Bench) -> None:
    bench.write("runner/__main__.py", bench.runner('told("served from main")'))
    bench.commit()
    bench.begin()
    bench.git("symbolic-ref", "refs/heads/active", "refs/heads/main")
    _told(bench, "a symbolic ref")


@KIND.cheat("moves a version's tag to another commit, as an annotated tag", judge=noticed)
def annotated_tag_elsewhere(bench: Bench) -> None:
    bench.begin()
    bench.git("tag", "--force", "--annotate", "--message", "v0.2.0", "v0.2.0", "main")
    _told(bench, "the tag v0.2.0")


@KIND.cheat("has a state that is a link to a file of the machine", judge=noticed)
def state_as_a_link(bench: Bench) -> None:
    bench.begin()
    (bench.outside / "state.json").write_text(_state())
    tree = _tree(bench, STATE, str(bench.outside / "state.json"), mode="120000")
    _serve(bench, tree, _message(bench).replace("0.2.1", "0.2.2"), "active", tag="v0.2.2")


@KIND.cheat("gives a version the evaluation, results and gate record of the one before", judge=noticed)
def evidence_of_another_version(bench: Bench) -> None:
    bench.begin()
    own, other = _evals(bench, "v0.2.1"), _evals(bench, "v0.2.0")
    commit = own.name
    shutil.rmtree(own)
    shutil.copytree(other, own)
    summary = json.loads((own / "summary.json").read_text())
    (own / "summary.json").write_text(json.dumps(summary | {"commit": commit}, indent=2, sort_keys=True) + "\n")
    _told(bench, "the evaluation of v0.2.1")


@KIND.cheat("raises scores in stored results and the figures that are folded from them, digests and all", judge=noticed)
def raised_scores(bench: Bench) -> None:
    bench.begin()
    folder = _evals(bench, "v0.2.1")
    lines = folder / "micro.jsonl"
    old = lines.read_bytes()
    new = re.sub(rb'"score":0\.\d+', b'"score":1.0', old)
    if new == old:
        new = old.replace(b'"ms":', b'"ms":1', 1)
    lines.write_bytes(new)
    digests = [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in (old, new)]
    summary = (folder / "summary.json").read_text()
    (folder / "summary.json").write_text(summary.replace(*digests))
    _told(bench, "results of micro")


@KIND.cheat("changes what a sealed Journal says that was signalled, with all before and after it as it was", judge=noticed)
def rewritten_journal(bench: Bench) -> None:
    bench.begin()
    journals = [path for path in bench.path(".agent/store/journal").rglob("*") if path.is_file() and b'"minutes"' in path.read_bytes()]
    if not journals:
        raise Unready("there is no sealed Journal")
    text = journals[0].read_text()
    journals[0].write_text(text.replace('"minutes":23', '"minutes":24'))
    _told(bench, "a sealed Journal")


@KIND.cheat("gives the gate's record other pairs, in which everything became better", judge=noticed)
def rewritten_gate_record(bench: Bench) -> None:
    bench.begin()
    record = _evals(bench, "v0.2.1") / "gate.jsonl"
    text = record.read_text()
    record.write_text(re.sub(r'"score":0\.\d+', '"score":0.1', text, count=1) if '"score":0.' in text else text.replace("1.0", "0.5", 1))
    if record.read_text() == text:
        raise Unready("the record has nothing to change")
    _told(bench, "the gate's record")


def _served_as_before(bench: Bench) -> str | None:
    answers = bench.answers()
    return None if answers == bench.before.answers else f"served otherwise: {answers}"


@KIND.cheat("writes a commit-graph in which the served commit has another tree", judge=_served_as_before)
def commit_graph_with_another_tree(bench: Bench) -> None:
    bench.begin()
    true, forged = (bytes.fromhex(bench.git("rev-parse", name)) for name in ("active^{tree}", _tree(bench, STATE, _state())))
    bench.git("commit-graph", "write", "--reachable")
    graph = bench.path(".git/objects/info/commit-graph")
    body = graph.read_bytes()[:-20]
    if true not in body:
        raise Unready("the commit-graph does not name the tree")
    body = body.replace(true, forged)
    _put(graph, body + hashlib.sha1(body).digest())
    shutil.rmtree(bench.path(".agent/states"), ignore_errors=True)
    bench.git("config", "core.commitGraph", "true")
    _told(bench, "a commit-graph")


@KIND.cheat("ends history below the served version with a shallow boundary and a graft", judge=noticed)
def history_cut_off(bench: Bench) -> None:
    bench.begin()
    bench.git("update-ref", "-d", "refs/tags/v0.1.0")
    bench.write(".git/shallow", bench.git("rev-parse", "active") + "\n")
    _told(bench, "a shallow boundary")


def _no_judgement(bench: Bench) -> str | None:
    versions = bench.versions()
    return None if versions[-1] == "v0.2.1" else f"a version came at a fresh level: {versions[-1]}"


def _spends_the_ledger(bench: Bench) -> None:
    bench.agent("tune", "took", "task=review", "minutes=60").ok()
    bench.agent("promote")
    bench.agent("state", "reset").ok()


@KIND.cheat("deletes the ledger, so that the next attempts are judged at the level of the first", prepare=_spends_the_ledger, judge=_no_judgement)
def ledger_that_is_gone(bench: Bench) -> None:
    bench.begin()
    refs = [ref for ref in bench.git("for-each-ref", "--format=%(refname)").split() if "ledger" in ref]
    if not refs:
        raise Unready("no attempt was charged")
    for ref in refs:
        bench.git("update-ref", "-d", ref)
    bench.agent("tune", "took", "task=review", "minutes=21").ok()
    bench.agent("-v", "promote")
    _told(bench, f"the absence of {len(refs)} refs")


def _seen_by_run(bench: Bench) -> str | None:
    tip = bench.git("rev-parse", "active")
    if bench.before is not None and bench.before.refs["refs/heads/active"] == tip:
        return None
    again = bench.agent("verify", "--run")
    return "verify --run says that forged results are in order" if again.code == 0 else None


@KIND.cheat("writes results into the store that a release takes for its own: `verify --run` has to see them", judge=_seen_by_run)
def results_that_were_never_run(bench: Bench) -> None:
    bench.write("runner/__main__.py", bench.runner('told("a Runner that answers nonsense")'))
    bench.commit()
    bench.begin()
    bench.agent("-v", "test", "--tier", "full", "--at", "HEAD")
    bench.agent("-v", "release")
    for summary in bench.path(".agent/store/results").rglob("*.json"):
        lines = summary.with_suffix(".jsonl")
        text = re.sub(r'"outcome":"failed","score":[0-9.e-]+', '"outcome":"passed","score":1.0', lines.read_text())
        text = re.sub(r',"why":"(?:[^"\\]|\\.)*"', "", text)
        cached = json.loads(summary.read_text())
        count = cached["summary"]["cases"]
        cached["summary"] |= {"passed": count, "failed": 0, "errored": 0, "score": 1.0, "verdict": "pass", "results": "sha256:" + hashlib.sha256(text.encode()).hexdigest()}
        cached["summary"].pop("reasons", None)
        if "heldout" in cached["summary"]:
            cached["summary"]["heldout"] |= {"passed": cached["summary"]["heldout"]["cases"], "score": 1.0}
        lines.write_text(text)
        summary.write_text(json.dumps(cached))
    _told(bench, "results of a tier")
    bench.agent("-v", "release")
