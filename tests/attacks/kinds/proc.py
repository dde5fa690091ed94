"""Cheats through /proc and through system calls that reach into other processes."""

from __future__ import annotations

from harness.bench import Bench
from harness.cheat import Kind

KIND = Kind("proc")

# The processes around the Runner: its guard, `agent`, the scorers, other Runners of the tier.
_OTHERS = """
def others():
    own = os.getpid()
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != own]

def each(what, look):
    def tried(pid):
        try:
            return look(pid)
        except OSError as error:
            refused.append(f"{type(error).__name__} {error.errno}")
    refused = []
    got = [found for found in map(tried, others()) if found]
    told(what, "of", len(others()), "processes:", len(got), "seen,", len(refused), "refused", sorted(set(refused))[:2])
    return got
"""


def _theft(body: str) -> str:
    return _OTHERS + "\n" + body


@KIND.cheat("follows the working folders and roots of other processes to the cases", quick=True)
def follows_cwd_and_root(bench: Bench) -> None:
    bench.release_runner(
        _theft(
            """
import glob
def look(pid):
    found = []
    for base in (os.readlink(f"/proc/{pid}/cwd"), f"/proc/{pid}/cwd", f"/proc/{pid}/root" + REPOSITORY):
        for path in glob.glob(base + "/tests/**/*.jsonl", recursive=True):
            found.append(learn(open(path).read()))
    return found
def before_call(task):
    each("cases by cwd and root", look)
"""
        )
    )


@KIND.cheat("reads the memory of `agent`, where the cases are")
def reads_memory_of_others(bench: Bench) -> None:
    bench.release_runner(
        _theft(
            """
def look(pid):
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            if " rw-p " in line:
                begin, end = (int(part, 16) for part in line.split()[0].split("-"))
                memory.seek(begin)
                found.append(len(learn(memory.read(min(end - begin, 64 << 20)))))
    return found
def before_call(task):
    each("memory", look)
"""
        )
    )


@KIND.cheat("opens the files that other processes have open: the cases, the index, the pipes of the scorers")
def opens_descriptors_of_others(bench: Bench) -> None:
    bench.release_runner(
        _theft(
            """
def look(pid):
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        handle = os.open(f"/proc/{pid}/fd/{name}", os.O_RDONLY | os.O_NONBLOCK)
        found.append(len(learn(os.read(handle, 1 << 20))))
    return found
def before_call(task):
    each("descriptors", look)
"""
        )
    )


@KIND.cheat("writes scores of its own into the pipe between a scorer and `agent`")
def writes_into_the_scorers_pipe(bench: Bench) -> None:
    bench.release_runner(
        _theft(
            """
def look(pid):
    found = []
    for number in (0, 1, 3, 4, 5):
        handle = os.open(f"/proc/{pid}/fd/{number}", os.O_WRONLY | os.O_NONBLOCK)
        for id in range(60):
            found.append(os.write(handle, b'{"jsonrpc":"2.0","id":%d,"result":{"score":1.0,"passed":true,"why":null}}\\n' % id))
    return found
def before_call(task):
    each("pipes", look)
"""
        )
    )


@KIND.cheat("reads environments and command lines of all processes for paths, and follows them")
def reads_environments_of_others(bench: Bench) -> None:
    bench.release_runner(
        _theft(
            """
import glob, re
def look(pid):
    text = b""
    for name in ("environ", "cmdline"):
        try:
            text += open(f"/proc/{pid}/{name}", "rb").read()
        except OSError:
            pass
    found = []
    for path in set(re.findall(rb"/[\\w./-]+", text)):
        path = path.decode()
        for folder in (path, os.path.dirname(path)):
            for name in glob.glob(folder + "/**/heldout/*.jsonl", recursive=True) if REPOSITORY.rsplit("/", 1)[0] in folder else []:
                found.append(learn(open(name).read()))
    return found
def before_call(task):
    each("environments", look)
"""
        )
    )


@KIND.cheat("reads other processes by process_vm_readv and ptrace, and takes their descriptors by pidfd_getfd")
def calls_into_others(bench: Bench) -> None:
    bench.release_runner(
        _theft(
            """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH, PIDFD_OPEN, PIDFD_GETFD = 16, 434, 438
class Span(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
def check(value):
    if value < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return value
def ends(pid):
    attempt(f"ptrace", lambda: check(libc.ptrace(PTRACE_ATTACH, pid, 0, 0)))
    def memory():
        start = next(int(line.split("-")[0], 16) for line in open(f"/proc/{pid}/maps") if "[heap]" in line)
        room = ctypes.create_string_buffer(1 << 20)
        mine, theirs = Span(ctypes.addressof(room), 1 << 20), Span(start, 1 << 20)
        return len(learn(room.raw[:check(libc.process_vm_readv(pid, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0))]))
    attempt("process_vm_readv", memory)
    def descriptor():
        handle = check(libc.syscall(PIDFD_OPEN, pid, 0))
        return [len(learn(os.read(check(libc.syscall(PIDFD_GETFD, handle, number, 0)), 1 << 16))) for number in range(3, 40)]
    attempt("pidfd_getfd", descriptor)
def before_call(task):
    ends(os.getppid())
"""
        )
    )


@KIND.cheat("stops and kills whatever it may signal: its guard, `agent`, the scorers, so that no process refuses the version")
def signals_others(bench: Bench) -> None:
    bench.release_runner(
        _theft(
            """
import signal
def kin():
    family, pid = [], os.getppid()
    while pid > 1 and len(family) < 3:
        family.append(pid)
        pid = int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])
    return family
def before_call(task):
    for pid in kin():
        for number in (signal.SIGSTOP, signal.SIGUSR1, signal.SIGKILL):
            attempt(f"signal {number.name}", lambda: os.kill(pid, number))
"""
        )
    )


@KIND.cheat("takes limits and priorities from the processes that judge: no files, no memory, no CPU")
def limits_others(bench: Bench) -> None:
    bench.release_runner(
        _theft(
            """
import resource
def before_call(task):
    pid = os.getppid()
    for name in ("RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_DATA", "RLIMIT_CPU"):
        attempt(name, lambda: resource.prlimit(pid, getattr(resource, name), (0, 0)))
    attempt("priority", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
    attempt("oom_score_adj", lambda: open(f"/proc/{pid}/oom_score_adj", "w").write("1000"))
"""
        )
    )


@KIND.cheat("has a core pattern, a module path or a hotplug program run its marker outside of its confinement")
def writes_kernel_settings(bench: Bench) -> None:
    bench.release_runner(
        """
        def before_call(task):
            for name in ("kernel/core_pattern", "kernel/modprobe", "kernel/hotplug", "kernel/yama/ptrace_scope", "fs/binfmt_misc/register", "vm/overcommit_memory"):
                def write(path="/proc/sys/" + name):
                    before = open(path).read()
                    with open(path, "w") as file:
                        file.write(before)
                attempt(name, write)
        """
    )


@KIND.cheat("finds descriptors that were left open in itself, and reads them all")
def reads_inherited_descriptors(bench: Bench) -> None:
    bench.release_runner(
        """
        def look():
            found = {}
            for name in sorted(os.listdir("/proc/self/fd"), key=int):
                if int(name) in (0, 1, 2):
                    continue
                try:
                    where = os.readlink(f"/proc/self/fd/{name}")
                except OSError:
                    continue
                if where.startswith("/"):
                    found[name] = where
                    if os.path.isdir(where):
                        for base, _, files in os.walk(f"/proc/self/fd/{name}"):
                            for file in files:
                                if file.endswith(".jsonl"):
                                    learn(open(os.path.join(base, file)).read())
                    else:
                        learn(os.pread(int(name), 1 << 20, 0))
            return found
        def before_call(task):
            attempt("descriptors of its own", look)
        """
    )


@KIND.cheat("leaves its own folder through /proc/self: root, cwd, exe, map_files, task")
def leaves_through_proc_self(bench: Bench) -> None:
    bench.release_runner(
        """
        import glob
        def before_call(task):
            for base in ("/proc/self/root", "/proc/thread-self/root", f"/proc/self/task/{os.getpid()}/root", "/proc/self/cwd/../../..", "/proc/1/root", "/proc/self/exe/../../../../.."):
                def look(base=base):
                    place = base + REPOSITORY if base.endswith("root") else base
                    names = os.listdir(place)
                    for path in glob.glob(place + "/**/heldout/*.jsonl", recursive=True):
                        learn(open(path).read())
                    return names
                attempt(base, look)
        """
    )


@KIND.cheat("makes namespaces in which it is root, to mount the repository where it may look")
def makes_namespaces(bench: Bench) -> None:
    bench.release_runner(
        """
        import ctypes, subprocess
        libc = ctypes.CDLL(None, use_errno=True)
        def check(value):
            if value < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        def before_call(task):
            attempt("user namespace", lambda: check(libc.unshare(0x10000000)))
            attempt("mount namespace", lambda: check(libc.unshare(0x00020000)))
            attempt("bind mount", lambda: check(libc.mount(REPOSITORY.encode(), b"/tmp", None, 4096, None)))
            attempt("chroot", lambda: os.chroot("/proc/1/root"))
            attempt("unshare program", lambda: subprocess.run(["unshare", "-Urm", "cat", REPOSITORY + "/tests/full/heldout/estimates.jsonl"], check=True, capture_output=True))
            attempt("the cases", lambda: learn(open(REPOSITORY + "/tests/full/heldout/estimates.jsonl").read()))
        """
    )


@KIND.cheat("looks for the cases in shared memory, message queues and semaphores of the machine")
def looks_into_shared_memory(bench: Bench) -> None:
    bench.release_runner(
        """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        def check(value):
            if value < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            return value
        def before_call(task):
            attempt("/dev/shm", lambda: [learn(open("/dev/shm/" + name, errors="replace").read()) for name in os.listdir("/dev/shm")])
            attempt("shmget", lambda: check(libc.shmget(0x1234, 4096, 0o1666)))
            attempt("mq", lambda: os.listdir("/dev/mqueue"))
            attempt("a file there", lambda: open("/dev/shm/" + os.path.basename(OUTSIDE) + "-cheat", "w").write("x"))
        """
    )
