"""Async tools: one event loop in a thread of its own, imported when the first async tool is called."""

import asyncio
import contextlib
import threading
from _collections import deque

from .watch import EOF_GRACE_S


class Loop:
    """Runs coroutines beside the main thread, each in its call's own context; wakes and writes are coalesced."""

    def __init__(self, server):
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._tasks = {}
        self._orders = deque()
        self._woken = False
        self._flushing = False
        threading.Thread(target=self._loop.run_forever, name="agent-async-tools", daemon=True).start()

    def submit(self, call, arguments):
        self._order(self._start, call, arguments)

    def cancel(self, identifier):
        self._order(self._cancel, identifier)

    def finish(self):
        """Gives what still runs a last few seconds, and no more to what blocks the loop itself; after the end of input."""
        waiting = asyncio.run_coroutine_threadsafe(self._finish(), self._loop)
        with contextlib.suppress(TimeoutError):
            waiting.result(None if self._server.answers_to_file else EOF_GRACE_S + 1)

    async def _finish(self):
        self._obey()
        if self._tasks:
            tasks = [task for _, task in self._tasks.values()]
            await asyncio.wait(tasks, timeout=None if self._server.answers_to_file else EOF_GRACE_S)

    def _order(self, *order):
        # Append before looking at the flag, as `_obey` clears the flag before it empties the queue: no order is left behind.
        self._orders.append(order)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._obey)

    def _obey(self):
        self._woken = False
        while self._orders:
            function, *arguments = self._orders.popleft()
            function(*arguments)

    def _start(self, call, arguments):
        task = self._loop.create_task(self._run(call, arguments), context=call.context)
        self._tasks[call.id] = call, task
        task.add_done_callback(lambda task: self._ended(call, task))

    def _ended(self, call, task):
        if task.cancelled():
            # Cancelled before its first step: `_run` never began, so it could not say so.
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
