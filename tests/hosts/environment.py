"""What the recipes about hosts need besides `agent`: Node, packages of npm and PyPI, the everything-server of MCP's Python SDK. Made once, under target/hosts."""

import contextlib
import hashlib
import os
import pathlib
import shlex
import shutil
import socket
import subprocess
import sys
import tarfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "target" / "hosts"

MCP = "mcp==2.3.0"
# the suite needs a newer Node than many systems have
NODE = "node@22"


class NotServed(Exception):
    """A server did not come up."""


def run(command, folder=None, **environment):
    """Runs a command to its end; prints its output when it fails."""
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def python(name, *packages):
    """The interpreter of an environment with these packages."""
    folder = FOLDER / "python" / name
    wanted = "\n".join(packages)
    stamp = folder / "packages.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", folder])
        run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
        stamp.write_text(wanted)
    return folder / "bin" / "python"


def node(*packages):
    """The folder of the programs of these packages; Node itself is among them."""
    wanted = "\n".join((NODE, *packages))
    folder = FOLDER / "node" / hashlib.sha256(wanted.encode()).hexdigest()[:12]
    if not (folder / "packages.txt").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text("{}")
        run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", NODE, *packages], folder)
        (folder / "packages.txt").write_text(wanted)
    return folder / "node_modules" / ".bin"


def node_environment(programs):
    return {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


def everything_server():
    """The command of the official everything-server over stdio, from the source distribution of the SDK."""
    interpreter = python("everything", MCP, "click>=8.2")
    folder = FOLDER / "everything-server"
    if not (folder / "stdio.py").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        run([interpreter, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "mcp", "--dest", folder, MCP])
        (archive,) = folder.glob("mcp-*.tar.gz")
        with tarfile.open(archive) as files:
            for member in files:
                _, _, inside = member.name.partition("/examples/servers/everything-server/")
                if inside.endswith(".py"):
                    target = folder / inside
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(files.extractfile(member).read())
        (folder / "stdio.py").write_text("from mcp_everything_server.server import mcp\n\nmcp.run(transport='stdio')\n")
    return [str(interpreter), str(folder / "stdio.py")]


def with_code(command, folder):
    """The command, with its script's folder copied into the repository.
    
    Code outside of the repository cannot be read while it is tested."""
    script = next((pathlib.Path(word) for word in command[1:] if word.endswith(".py")), None)
    if script is None:
        return command
    shutil.copytree(script.parent, folder / "server", ignore=shutil.ignore_patterns("__pycache__", "*.tar.gz"))
    return [f"server/{script.name}" if word == str(script) else word for word in command]


def repository(agent, name, command, *packages):
    """The arguments of `agent` that serve a stdio server, adopted as it is: its first version, or the commit where its cases do not make it one."""
    folder = FOLDER / "repositories" / name
    # written when all went well
    made = folder / ".git" / "adopted"
    if not made.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        run(["git", "init", "--quiet", "--initial-branch=main"], folder)
        run(["git", "config", "user.name", "recipe"], folder)
        run(["git", "config", "user.email", "recipe@example.org"], folder)
        run([agent, "adopt", "--command", shlex.join(with_code(command, folder)), *(f"--package={package}" for package in packages)], folder)
        run(["git", "add", "--all"], folder)
        run(["git", "commit", "--quiet", "-m", "a server, adopted"], folder, AGENT_SKIP_HOOKS="1")
        # some have no tool that can be called without knowing more, or one that takes too long
        subprocess.run([agent, "release"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        made.touch()
    released = (folder / ".git" / "refs" / "tags" / "v0.1.0").exists()
    return ["-C", folder, "mcp", "runner", "--at", "active" if released else "main"]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def started(command, folder=None, log=None, **environment):
    """A process group that is ended with the block."""
    log = open(log, "w") if log else subprocess.DEVNULL
    process = subprocess.Popen(
        [str(part) for part in command], cwd=folder, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


@contextlib.contextmanager
def served(command, port, folder=None, log=None, **environment):
    """A server that takes connections at a port; its process."""
    with started(command, folder, log, **environment) as process:
        until = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > until:
                raise NotServed(f"{' '.join(map(str, command))}: no server at port {port}" + (f"; see {log}" if log else ""))
            time.sleep(0.05)
        yield process
