"""MCP Inspector's command line in each era, over stdio: what it shows of a server is the same through `agent mcp runner` as directly.

    python3 tests/hosts/inspector.py [--agent target/release/agent]

Exits 1 when something differs. Members of JSON objects may come in another order; everything else is compared as it is printed.
"""

import argparse
import json
import pathlib
import subprocess
import os
import sys

import environment

INSPECTOR = "@modelcontextprotocol/inspector@2.12.0"
ERAS = ["legacy", "auto", "modern"]
QUESTIONS = [
    ["tools/list"],
    ["tools/call", "--tool-name", "test_simple_text"],
    ["tools/call", "--tool-name", "test_multiple_content_types"],
    ["tools/call", "--tool-name", "test_image_content"],
    ["tools/call", "--tool-name", "test_audio_content"],
    ["tools/call", "--tool-name", "test_error_handling"],
    ["resources/list"],
    ["resources/templates/list"],
    ["resources/read", "--uri", "test://static-binary"],
    ["prompts/list"],
    ["prompts/get", "--prompt-name", "test_prompt_with_arguments", "--prompt-args", "arg1=a", "arg2=ö"],
]


def ask(programs, era, question, server):
    """What the Inspector prints, and its exit code."""
    command = [programs / "mcp-inspector", "--cli", "--protocol-era", era, "--format", "json", "--method", *question, "--", *server]
    done = subprocess.run(
        [str(part) for part in command], env={**os.environ, **environment.node_environment(programs)}, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


def same(direct, shimmed):
    """`yes`, `order` when only the order of members differs, or `no`."""
    if direct[:2] == shimmed[:2]:
        return "yes"
    try:
        return "order" if direct[0] == shimmed[0] and json.loads(direct[1]) == json.loads(shimmed[1]) else "no"
    except ValueError:
        return "no"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", type=pathlib.Path, default=environment.ROOT / "target/release/agent")
    agent = parser.parse_args().agent.resolve()
    programs = environment.node(INSPECTOR)
    server = environment.everything_server()
    shim = [agent, *environment.repository(agent, "everything", server)]
    good = True
    for era in ERAS:
        for question in QUESTIONS:
            direct, shimmed = ask(programs, era, question, server), ask(programs, era, question, shim)
            verdict = same(direct, shimmed)
            answered = direct[0] == 0 or question[-1] == "test_error_handling"
            good = good and verdict != "no" and answered
            print(f"{era:8}{' '.join(question)[:64]:66}{len(direct[1]):>7} bytes  {'same' if verdict == 'yes' else verdict}", flush=True)
            if verdict == "no" or not answered:
                print(f"--- directly: exit {direct[0]}\n{direct[1]}{direct[2]}--- through agent: exit {shimmed[0]}\n{shimmed[1]}{shimmed[2]}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
