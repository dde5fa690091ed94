"""Background threads: one watches the parent, one reads stdin while a sync tool runs."""

import os
from _thread import allocate_lock, start_new_thread
from time import monotonic, sleep

TICK_S = 0.02
_POLL_MS = 50
_PARENT_POLL_S = 0.25
_IDLE_TICKS = 50
EOF_GRACE_S = 2.0


def parent_id():
    """The process to end with: AGENT_PARENT_PID, which grandchildren must not inherit."""
    text = os.environ.pop("AGENT_PARENT_PID", "")
    return int(text) if text.isdigit() and int(text) > 0 else None


def end_with(pid):
    """Ends this process when process `pid` ends, even during a tool."""
    try:
        start_new_thread(_wait_for_end, (os.pidfd_open(pid),))
    except ProcessLookupError:
        os._exit(1)
    except (AttributeError, OSError):
        start_new_thread(_poll_for_end, (pid,))


def _wait_for_end(descriptor):
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while not poll.poll():
        pass
    os._exit(1)


def _poll_for_end(pid):
    """For systems without pidfd (macOS, old kernels)."""
    is_parent = os.getppid() == pid
    while _is_running(pid, is_parent):
        sleep(_PARENT_POLL_S)
    os._exit(1)


def _is_running(pid, is_parent):
    if is_parent:
        # Once the parent has ended, even unreaped, this process has another parent.
        return os.getppid() == pid
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Watchdog:
    """Reads stdin while a tool occupies the main thread for longer than a tick.
    
    Two flags synchronise the threads; each thread writes its own before it reads the other:
    `server.running` (main) and `reading` (this thread). While both are set, the inbox and the
    reader are used under `lock` only.
    """

    def __init__(self, server):
        self.server = server
        self.lock = allocate_lock()
        self.reading = False
        self.parked = False
        self._bell = allocate_lock()
        self._bell.acquire()
        self._started = False

    def wake(self):
        """Called by the main thread before a tool, when `parked`."""
        self.parked = False
        if self._bell.locked():
            self._bell.release()

    def start(self):
        if not self._started:
            self._started = True
            start_new_thread(self._run, ())

    def _run(self):
        last, idle = None, 0
        while True:
            sleep(TICK_S)
            running = self.server.running
            if running is None:
                idle += 1
                if idle >= _IDLE_TICKS:
                    idle = self._park()
            elif running is last:
                idle = 0
                self._read_during(running)
            last = running

    def _park(self):
        self.parked = True
        if self.server.running is None:
            self._bell.acquire()
        self.parked = False
        return 0

    def _read_during(self, call):
        self.reading = True
        if self.server.running is call:
            self._serve(call)
        self.reading = False

    def _serve(self, call):
        import select

        server = self.server
        poll = select.poll()
        poll.register(server.frames.fd, select.POLLIN)
        server.sort_inbox_during(call, self.lock)
        while server.running is call:
            if not poll.poll(_POLL_MS):
                continue
            with self.lock:
                if server.running is not call:
                    return
                ended = not server.receive()
            if ended:
                return self._outlive_input(call, select)
            server.sort_inbox_during(call, self.lock)

    def _outlive_input(self, call, select):
        """After the end of input: exits if the client is gone, else waits a little for the tool."""
        server = self.server
        poll = select.poll()
        poll.register(server.writer.fd, 0)
        deadline = monotonic() + EOF_GRACE_S
        while server.running is call:
            if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
                os._exit(1)
            if monotonic() > deadline and not server.answers_to_file:
                os._exit(1)
            sleep(TICK_S)
