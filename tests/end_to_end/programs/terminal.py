"""Runs a program on a terminal of its own: `terminal.py TEXT TIMES KEY PROGRAM...`.

Once the text was shown so many times, the key is typed (or, for `SIGTERM`, the signal is sent). How
it ended is one line of JSON: its exit code, all that it wrote, and the terminal's modes afterwards.
"""

import json
import os
import pty
import signal
import sys
import termios


def main() -> None:
    text, times, key, *command = sys.argv[1:]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    before = termios.tcgetattr(terminal)
    shown, is_sent = b"", False
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # the program has ended
            break
        if not chunk:
            break
        shown += chunk
        if not is_sent and shown.count(text.encode()) >= int(times):
            is_sent = True
            if key == "SIGTERM":
                os.kill(pid, signal.SIGTERM)
            else:
                os.write(terminal, key.encode())
    _, status = os.waitpid(pid, 0)
    restored = termios.tcgetattr(terminal) == before
    report = {
        "exit": os.waitstatus_to_exitcode(status),
        "shown": shown.decode(errors="replace"),
        "restored": restored,
    }
    print(json.dumps(report))


main()
