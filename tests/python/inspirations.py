"""Inspirations as templates/inspirations/README.md has them: a reference for the builtin coder."""

import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INSPIRATIONS = ROOT / "templates/inspirations"
SCHEMA = "state/schema.json"


class Unfit(Exception):
    """An inspiration does not fit a repository."""


def names() -> list[str]:
    return sorted(path.parent.name for path in INSPIRATIONS.glob("*/inspiration.toml"))


def read(name: str) -> dict:
    return tomllib.loads((INSPIRATIONS / name / "inspiration.toml").read_text(encoding="utf-8"))


def apply(name: str, repository: Path) -> None:
    """Conditions, bindings, keys of the state, edits, then new files. Unfit where one fails."""
    inspiration = read(name)
    for condition in inspiration["applies"]:
        if not holds(condition, repository):
            raise Unfit(f"{name}: {condition} does not hold")
    bound = bindings(inspiration.get("bind", []), repository)
    changed = state_keys(inspiration.get("state", []), bound, repository)
    for edit in inspiration.get("edit", []):
        path = edit["path"]
        if path not in changed and not (repository / path).is_file():
            raise Unfit(f"{name}: there is no {path}")
        text = changed[path] if path in changed else content(repository, path)
        changed[path] = edited(edit, text, bound)
    for file in inspiration.get("file", []):
        changed[file["path"]] = filled(content(INSPIRATIONS / name, file["content"]), bound)
    for path, text in changed.items():
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(text, encoding="utf-8")


def content(folder: Path, path: str) -> str:
    return (folder / path).read_text(encoding="utf-8")


def holds(condition: dict, repository: Path) -> bool:
    path = repository / condition["path"]
    if condition.get("absent"):
        return not path.exists()
    return path.is_file() and condition.get("contains", "") in path.read_text(encoding="utf-8")


def bindings(binds: list[dict], repository: Path) -> dict[str, str]:
    bound = {}
    for bind in binds:
        places = list(re.finditer(bind["pattern"], content(repository, bind["path"])))
        if len(places) != 1:
            raise Unfit(f"{bind['path']} has {len(places)} places of {bind['pattern']}")
        bound |= places[0].groupdict()
    return bound


def filled(text: str, bound: dict[str, str], form=str) -> str:
    for name, value in bound.items():
        text = text.replace("{{%s}}" % name, form(value))
        text = text.replace("{{%s:lower}}" % name, form(value.lower()))
    return text


def edited(edit: dict, text: str, bound: dict[str, str]) -> str:
    if "find" in edit:
        pattern = re.escape(filled(edit["find"], bound))
    else:
        pattern = filled(edit["pattern"], bound, re.escape)
    times, occurs = len(re.findall(pattern, text)), edit.get("occurs", "once")
    if times == 0 or (times > 1 and occurs == "once"):
        raise Unfit(f"{edit['path']} has {times} places of {pattern}")

    def replacement(match: re.Match) -> str:
        replace = filled(edit["replace"], bound)
        if "find" in edit:
            return replace
        return re.sub(r"\$\{(\w+)\}", lambda group: match[as_group(group[1])] or "", replace)

    return re.sub(pattern, replacement, text, count=0 if occurs == "every" else 1)


def as_group(name: str) -> int | str:
    return int(name) if name.isdigit() else name


def state_keys(keys: list[dict], bound: dict[str, str], repository: Path) -> dict[str, str]:
    if not keys:
        return {}
    schema = json.loads(content(repository, SCHEMA))
    if "x-schema-version" not in schema:
        raise Unfit(f"{SCHEMA} has no x-schema-version")
    version = schema["x-schema-version"] + 1
    defaults = {}
    for one in keys:
        key, default = filled(one["key"], bound), one["default"]
        if isinstance(default, str) and default.startswith("{{"):
            default = json.loads(filled(default, bound))
        if key in schema["properties"]:
            raise Unfit(f"the state already has the key {key}")
        spread = one.get("spread")
        bounds = {"minimum": default / spread, "maximum": default * spread} if spread else {}
        shape = json.loads(filled(json.dumps(one["schema"]), bound))
        schema["properties"][key] = shape | bounds
        schema["required"].append(key)
        defaults[key] = default
    schema["x-schema-version"] = version
    schema["properties"]["schema_version"]["const"] = version
    step = "".join(f"    state.setdefault({key!r}, {value!r})\n" for key, value in defaults.items())
    step = f"def migrate(state):\n{step}    state['schema_version'] = {version}\n    return state\n"
    return {SCHEMA: json.dumps(schema, indent=2), f"state/migrations/{version}.py": step}


def suggested(feedback: str) -> list[tuple[int, str]]:
    """The inspirations with a keyword in the feedback, by number of keywords, most first."""
    text = feedback.lower()
    found = [
        (sum(word.lower() in text for word in read(name)["when"]["feedback"]), name)
        for name in names()
    ]
    return sorted((one for one in found if one[0]), key=lambda one: (-one[0], one[1]))
