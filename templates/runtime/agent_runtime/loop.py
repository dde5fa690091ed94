"""Async tools: one event loop in its own thread, imported when the first async tool is called."""

import asyncio
import contextlib
import threading
from _collections import deque

from .watch import EOF_GRACE_S


class Loop:
    """Runs coroutines, each in its call's context; wake-ups and writes are coalesced."""

    def __init__(self, server):
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._tasks = {}
        self._commands = deque()
        self._woken = False
        self._flushing = False
        threading.Thread(
            target=self._loop.run_forever, name="agent-async-tools", daemon=True
        ).start()

    def submit(self, call, arguments):
        self._send(self._start, call, arguments)

    def cancel(self, identifier):
        self._send(self._cancel, identifier)

    def finish(self):
        """After the end of input: waits a few seconds for calls in flight."""
        waiting = asyncio.run_coroutine_threadsafe(self._finish(), self._loop)
        with contextlib.suppress(TimeoutError):
            waiting.result(None if self._server.answers_to_file else EOF_GRACE_S + 1)

    async def _finish(self):
        self._drain()
        if self._tasks:
            tasks = [task for _, task in self._tasks.values()]
            await asyncio.wait(tasks, timeout=None if self._server.answers_to_file else EOF_GRACE_S)

    def _send(self, *command):
        # Append before reading the flag; `_drain` clears the flag before it empties the queue. So
        # no command is left in the queue.
        self._commands.append(command)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self):
        self._woken = False
        while self._commands:
            function, *arguments = self._commands.popleft()
            function(*arguments)

    def _start(self, call, arguments):
        task = self._loop.create_task(self._run(call, arguments), context=call.context)
        self._tasks[call.id] = call, task
        task.add_done_callback(lambda task: self._ended(call, task))

    def _ended(self, call, task):
        if task.cancelled():
            # Cancelled before its first step: `_run` did not start, so the call is finished here.
            self._finish_call(call, None, None)
        if self._tasks.get(call.id, (None,))[0] is call:
            del self._tasks[call.id]

    def _cancel(self, identifier):
        if identifier in self._tasks:
            call, task = self._tasks[identifier]
            call.cancelled = True
            task.cancel()

    async def _run(self, call, arguments):
        value = error = None
        try:
            value = await call.tool.function(**arguments)
        except BaseException as caught:
            error = caught
        self._finish_call(call, value, error)

    def _finish_call(self, call, value, error):
        self._server.finish(call, value, error)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self):
        self._flushing = False
        self._server.writer.flush()
