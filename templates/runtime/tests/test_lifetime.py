"""Blocking tools, cancellation, and the ways a process ends."""

import json
import os
import select
import signal
import subprocess
import sys
import time
import unittest

from .harness import DEADLINE_S, PROGRAMS, RUNTIME, ServerTest

# Starts a server that inherits its pipes, prints the process id, and waits to be killed.
_PARENT = """
import os, subprocess, sys
environment = {**os.environ, "AGENT_PARENT_PID": str(os.getpid())}
child = subprocess.Popen([sys.executable, sys.argv[1]], env=environment, stderr=subprocess.DEVNULL)
os.write(2, b"%d\\n" % child.pid)
child.wait()
"""


def cancelled(identifier):
    return {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": identifier, "reason": "test"},
    }


class WhileATool(ServerTest):
    def ping(self, identifier):
        self.child.send({"jsonrpc": "2.0", "id": identifier, "method": "ping"})
        return self.child.receive()["id"]

    def test_others_are_answered_while_a_tool_blocks(self):
        for tool, arguments in (("block", {"seconds": 60}), ("spin", {})):
            with self.subTest(tool):
                self.child.start_call("busy", tool, **arguments)
                self.assertEqual(self.ping("p1"), "p1")
                self.assertIn("tools", self.child.request("tools/list")["result"])
                self.child.start_call("napping", "nap", seconds=0)
                self.assertEqual(self.child.receive()["id"], "napping")
                self.assert_refused(self.child.request("no/such"), -32601, "no/such")
                self.child.send(cancelled("busy"))
                self.assertEqual(self.child.call("add", {"a": 1})["structuredContent"], {"result": 3})

    def test_a_cancelled_call_is_not_answered(self):
        for tool, arguments in (("block", {"seconds": 60}), ("spin", {}), ("nap", {"seconds": 60})):
            with self.subTest(tool):
                self.child.start_call("gone", tool, **arguments)
                self.assertEqual(self.ping("p"), "p")
                self.child.send(cancelled("gone"))
                self.child.start_call("next", "add", a=1)
                self.assertEqual(self.child.receive()["id"], "next")
        self.assertEqual(self.child.end(), 0)
        self.assertEqual([record["tool"] for record in self.child.logged()], ["block", "spin", "nap"])

    def test_a_waiting_call_can_be_cancelled(self):
        self.child.start_call("first", "block", seconds=60)
        self.child.start_call("second", "add", a=1)
        self.child.start_call("third", "add", a=2)
        self.child.send(cancelled("second"), cancelled("first"))
        self.assertEqual(self.child.receive()["id"], "third")

    def test_cancelling_what_is_not_there_harms_nobody(self):
        self.child.send(cancelled("nobody"), cancelled(None), cancelled([1]), cancelled(True))
        self.assertEqual(self.ping("p"), "p")

    def test_a_number_and_its_string_are_two_ids(self):
        self.child.start_call(1, "block", seconds=1)
        self.child.send(cancelled("1"))
        self.assertEqual(self.child.receive()["id"], 1)

    def test_answers_before_a_blocking_call_do_not_wait_for_it(self):
        frames = b"".join(
            b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%s","arguments":{%s}}}\n' % row
            for row in [(1, b"add", b'"a":1'), (2, b"block", b'"seconds":60'), (3, b"add", b'"a":1')]
        )
        self.child.send(frames)
        self.assertEqual(self.child.receive()["id"], 1)
        self.child.send(cancelled(2))
        self.assertEqual(self.child.receive()["id"], 3)

    def test_many_calls_keep_their_order_and_number(self):
        # Blocking calls among them make reading alternate between the threads.
        count = 400
        for number in range(count):
            if number % 100 == 50:
                self.child.start_call(number, "block", seconds=0.08)
            else:
                self.child.start_call(number, "add", a=number)
        self.assertEqual([self.child.receive()["id"] for _ in range(count)], list(range(count)))

    def test_a_batch_across_threads_is_one_answer(self):
        with self.start() as child:
            child.initialize("2025-03-26")
            calls = [("a", "nap", {"seconds": 0.2}), ("b", "block", {"seconds": 0.1}), ("c", "add", {"a": 1})]
            child.send(
                [
                    {
                        "jsonrpc": "2.0",
                        "id": identifier,
                        "method": "tools/call",
                        "params": {"name": name, "arguments": arguments},
                    }
                    for identifier, name, arguments in calls
                ]
            )
            self.assertEqual({answer["id"] for answer in child.receive()}, {"a", "b", "c"})

    def test_a_batch_is_answered_without_what_was_cancelled_in_it(self):
        with self.start() as child:
            child.initialize("2025-03-26")
            # The cancellation is in the same read as the batch, so it meets an async call that has not begun.
            params = {"name": "nap", "arguments": {"seconds": 60}}
            nap = {"jsonrpc": "2.0", "id": "nap", "method": "tools/call", "params": params}
            child.send([nap, {"jsonrpc": "2.0", "id": "ping", "method": "ping"}, cancelled("nap")])
            self.assertEqual(child.receive(), [{"jsonrpc": "2.0", "id": "ping", "result": {}}])


class Ends(ServerTest):
    def ended(self, child):
        return child.process.wait(DEADLINE_S)

    def test_at_the_end_of_input(self):
        self.assertEqual(self.child.end(), 0)

    def test_at_the_end_of_input_inside_a_tool_that_will_not_return(self):
        for tool, arguments in (("block", {"seconds": 600}), ("spin", {})):
            with self.subTest(tool), self.start() as child:
                child.start_call("busy", tool, **arguments)
                self.assertEqual(child.end(), 1)

    def test_at_the_end_of_input_with_async_tools_that_will_not_return(self):
        for tool in ("nap", "block_the_loop"):
            with self.subTest(tool), self.start() as child:
                child.start_call("busy", tool, seconds=600)
                self.assertEqual(child.end(), 0)

    def test_what_was_asked_before_the_end_of_input_is_answered(self):
        self.child.start_call(1, "block", seconds=0.3)
        self.child.start_call(2, "nap", seconds=0.3)
        self.child.start_call(3, "add", a=1)
        self.child.process.stdin.close()
        self.assertEqual(sorted(self.child.receive()["id"] for _ in range(3)), [1, 2, 3])
        self.assertEqual(self.ended(self.child), 0)

    def test_when_nobody_reads_its_answers(self):
        self.child.process.stdout.close()
        self.child.start_call(1, "add", a=1)
        self.assertEqual(self.ended(self.child), 1)

    def test_when_both_ends_are_gone_inside_a_blocking_tool(self):
        self.child.start_call(1, "block", seconds=600)
        self.child.process.stdout.close()
        began = time.monotonic()
        self.assertEqual(self.child.end(), 1)
        self.assertLess(time.monotonic() - began, 10)

    def test_on_an_interrupt(self):
        self.child.process.send_signal(signal.SIGINT)
        self.assertEqual(self.ended(self.child), 130)

    @unittest.skipUnless(hasattr(os, "pidfd_open"), "this test itself waits by pidfd, which this system has not")
    def test_with_its_parent_even_when_its_pipes_stay_open(self):
        for program, tool, arguments in [
            ("runner.py", "add", b'{"a":1}'),
            ("runner.py", "block", b'{"seconds":600}'),
            ("runner.py", "spin", b"{}"),
            ("no_pidfd.py", "block", b'{"seconds":600}'),
        ]:
            with self.subTest(program=program, tool=tool):
                self.check_end_with_parent(program, tool, arguments)

    def check_end_with_parent(self, program, tool, arguments):
        # The parent is a separate process that is killed; this test holds the pipes, so that the child
        # gets no end of input.
        with subprocess.Popen(
            [sys.executable, "-c", _PARENT, str(PROGRAMS / program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": str(RUNTIME)},
        ) as parent:
            child = os.pidfd_open(int(parent.stderr.readline()))
            self.addCleanup(os.close, child)
            parent.stdin.write(
                b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}\n'
                b'{"jsonrpc":"2.0","id":2,"method":"ping"}\n'
                b'{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"%s","arguments":%s}}\n'
                b'{"jsonrpc":"2.0","id":4,"method":"ping"}\n' % (tool.encode(), arguments)
            )
            answered = []
            while 4 not in answered:  # the ping behind the tool is answered when the tool runs or has run
                answered.append(json.loads(parent.stdout.readline())["id"])
            parent.kill()
            poll = select.poll()
            poll.register(child, select.POLLIN)
            self.assertTrue(poll.poll(DEADLINE_S * 1000), "the child outlived its parent")

    def test_at_once_when_its_parent_is_gone_already(self):
        gone = subprocess.Popen([sys.executable, "-c", "pass"])
        gone.wait()
        with self.subTest(), self.assertRaises((EOFError, BrokenPipeError)):
            self.start(environment={"AGENT_PARENT_PID": str(gone.pid)})


if __name__ == "__main__":
    unittest.main()
