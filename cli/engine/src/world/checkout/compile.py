"""Compiles the Python files of a folder, for interpreters of this kind to load without a look at the source. Nothing of the folder is run.

To be started isolated, without `site`, in the folder. stdin: paths that each end with a NUL: where the folder will stand, then its files. Arguments: up to how
many files all are compiled, then words of command lines; of more files only those are compiled that these words and, from there, imports lead to.
"""

import marshal
import os
import resource
import sys

try:
    from _frozen_importlib_external import MAGIC_NUMBER, cache_from_source
except ImportError:
    from importlib.util import MAGIC_NUMBER, cache_from_source

SECONDS = 20
# importing these does something
LEFT_OUT = {"antigravity", "idlelib", "test", "this", "turtle", "turtledemo"}
LARGEST = 1 << 20
# what was compiled is compared by `agent`, so Python need not compare it with the source
HEADER = MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8)


def compiled(path, place):
    """The code of a file; none where there is none."""
    try:
        with open(path, "rb") as file:
            source = file.read(LARGEST + 1)
        return compile(source, os.path.join(place, path), "exec", dont_inherit=True) if len(source) <= LARGEST else None
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def write(path, code):
    target = cache_from_source(path)
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
    except OSError:
        return  # the folder has a file of this name of its own
    with open(file, "wb") as file:
        file.write(HEADER + marshal.dumps(code))


def named(code):
    """All names that a piece of code uses, those of modules among them."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, type(code)):
            yield from named(constant)


def candidates(name, folders):
    """The files that a module of this name, and the packages it is in, may be."""
    parts = name.split(".")
    for folder in folders:
        for count in range(1, len(parts) + 1):
            path = os.path.join(folder, *parts[:count])
            yield from (path + ".py", os.path.join(path, "__init__.py"), os.path.join(path, "__main__.py"))


def imported(path, code, files):
    """The files that code at this path may import; more than it does, since any name in it may be a module's."""
    folder = os.path.dirname(path)
    folders = ["", "src", folder, os.path.dirname(folder)]
    names = set(named(code))
    packages = [os.path.join(folder, *name.split(".")) for name in names for folder in folders]
    packages = [package for package in packages if os.path.join(package, "__init__.py") in files]
    for name in names:
        yield from candidates(name, folders + packages)


def reachable(files, words, place):
    """Each file that the words lead to, with its code."""
    files, done = set(files), set()
    waiting = [*words, *(path for word in words for path in candidates(word, ["", "src"]))]
    while waiting:
        path = waiting.pop()
        if path not in files or path in done:
            continue
        done.add(path)
        code = compiled(path, place)
        if code:
            yield path, code
            waiting += imported(path, code, files)


def compile_library(names):
    """Has a standard library that came without compiled files compiled as far as it is used, where it is and may be written."""
    example = os.path.join(os.path.dirname(os.__file__), "json", "decoder.py")
    if os.path.exists(cache_from_source(example)):
        return
    for name in sorted(names & sys.stdlib_module_names - LEFT_OUT):
        try:
            __import__(name)
        except Exception:
            pass  # such as a module of another system


def main():
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    few, *words = sys.argv[1:]
    place, *files = os.fsdecode(sys.stdin.buffer.read()).split("\0")[:-1]
    if len(files) > int(few):
        found = reachable(files, words, place)
    else:
        found = ((path, compiled(path, place)) for path in files)
    names = set()
    for path, code in found:
        if code:
            write(path, code)
            names.update(name.partition(".")[0] for name in named(code))
    compile_library(names)


main()
