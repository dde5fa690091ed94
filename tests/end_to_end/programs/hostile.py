"""Attempts to get out of a confinement. Each undoes what it did, so that it can be made by a process that is not confined as well.

`attempts(aims)` gives, for each attempt by name, what it came to: "done: ..." where it succeeded, and the error otherwise.
"""

import ctypes
import errno
import json
import mmap
import os
import platform
import shutil
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
NUMBERS = {
    "x86_64": {
        "acct": 163, "add_key": 248, "bpf": 321, "clone3": 435, "fanotify_init": 300, "fsopen": 430, "io_uring_setup": 425,
        "kcmp": 312, "keyctl": 250, "memfd_create": 319, "mount": 165, "move_pages": 279, "mq_open": 240, "msgget": 68, "name_to_handle_at": 303,
        "open_by_handle_at": 304, "open_tree": 428, "perf_event_open": 298, "pidfd_getfd": 438, "pidfd_open": 434, "pidfd_send_signal": 424,
        "process_vm_readv": 310, "process_vm_writev": 311, "ptrace": 101, "quotactl": 179, "renameat2": 316, "rt_tgsigqueueinfo": 297, "semget": 64,
        "setns": 308, "shmget": 29, "syslog": 103, "tgkill": 234, "unshare": 272, "userfaultfd": 323, "utimensat": 280,
    },
    "aarch64": {
        "acct": 89, "add_key": 217, "bpf": 280, "clone3": 435, "fanotify_init": 262, "fsopen": 430, "io_uring_setup": 425,
        "kcmp": 272, "keyctl": 219, "memfd_create": 279, "mount": 40, "move_pages": 239, "mq_open": 180, "msgget": 186, "name_to_handle_at": 264,
        "open_by_handle_at": 265, "open_tree": 428, "perf_event_open": 241, "pidfd_getfd": 438, "pidfd_open": 434, "pidfd_send_signal": 424,
        "process_vm_readv": 270, "process_vm_writev": 271, "ptrace": 117, "quotactl": 60, "renameat2": 276, "rt_tgsigqueueinfo": 240, "semget": 190,
        "setns": 268, "shmget": 194, "syslog": 116, "tgkill": 131, "unshare": 97, "userfaultfd": 282, "utimensat": 88,
    },
}.get(platform.machine(), {})


def call(name: str, *arguments) -> int:
    """A system call by its name."""
    if name not in NUMBERS:
        raise NotImplementedError(f"no number of {name} for {platform.machine()}")
    converted = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    found = libc.syscall(ctypes.c_long(NUMBERS[name]), *converted)
    if found == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return found


def close_after(descriptor: int) -> str:
    os.close(descriptor)
    return "a descriptor"


def in_child(work) -> str:
    """What `work` gives in a process of its own, which may be left in any condition."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = b"done " + str(work()).encode()
        except BaseException as error:
            said = b"fail " + f"{type(error).__name__}: {error}".encode()
        os.write(writing, said[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        said = file.read().decode()
    os.waitpid(child, 0)
    if not said.startswith("done "):
        raise PermissionError(said[5:] or "its process was ended")
    return said[5:]


def changed(path: str, change, looked_at) -> str:
    """Whether `change` has an effect: some calls report success and have none."""
    before = looked_at(os.stat(path))
    change()
    if looked_at(os.stat(path)) == before:
        raise PermissionError("it reported success and had no effect")
    return "it is another"


def opened(path: str, flags: int) -> str:
    return close_after(os.open(path, flags | os.O_CLOEXEC))


def created(path: str) -> str:
    opened(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.unlink(path)
    return "it was there"


def read(path: str) -> str:
    with open(path, "rb") as file:
        return f"{len(file.read(100))} bytes"


def listed(path: str) -> str:
    return f"{len(os.listdir(path))} entries"


def moved(old: str, new: str) -> str:
    os.rename(old, new)
    os.rename(new, old)
    return "there and back"


def linked(old: str, new: str) -> str:
    os.link(old, new)
    os.unlink(new)
    return "a second name"


def ran(*command: str) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20)
    if ended.returncode != 0:
        raise PermissionError(ended.stderr.strip()[-100:])
    return ended.stdout[:40]


def sent(family, kind, address) -> str:
    with socket.socket(family, kind) as made:
        made.settimeout(2)
        made.connect(address)
        made.send(b"x")
    return "sent"


def bound(family, address) -> str:
    with socket.socket(family, socket.SOCK_STREAM) as made:
        made.bind(address)
    if family == socket.AF_UNIX and isinstance(address, str) and os.path.exists(address):
        os.unlink(address)
    return "bound"


def made(family, kind=socket.SOCK_RAW, protocol=0) -> str:
    socket.socket(family, kind, protocol).close()
    return "a socket"


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def memory_of(process: int, write: bool) -> str:
    with open(f"/proc/{process}/maps") as maps:
        line = next(line for line in maps if line.split()[1].startswith("rw"))
    with open(f"/proc/{process}/mem", "r+b" if write else "rb", buffering=0) as memory:
        memory.seek(int(line.split("-")[0], 16))
        return f"{len(memory.read(8))} bytes"


class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def vectored(name: str, process: int) -> str:
    """The kernel checks the permission before it looks for an address, so none has to exist."""
    buffer = ctypes.create_string_buffer(8)
    own, other = Vector(ctypes.addressof(buffer), 8), Vector(8, 8)
    try:
        return f"{call(name, process, ctypes.byref(own), 1, ctypes.byref(other), 1, 0)} bytes"
    except OSError as error:
        if error.errno != errno.EFAULT:
            raise
        return "looked for"


def files_of(process: int) -> str:
    return os.readlink(f"/proc/{process}/fd/0")


def traced(process: int) -> str:
    seize, detach, interrupt = 0x4206, 17, 0x4207

    def attach():
        call("ptrace", seize, process, 0, 0)
        call("ptrace", interrupt, process, 0, 0)
        os.waitpid(process, 0x40000000)
        call("ptrace", detach, process, 0, 0)
        return "traced"

    return in_child(attach)


def taken_over(process: int) -> str:
    pidfd = os.pidfd_open(process)
    try:
        return close_after(call("pidfd_getfd", pidfd, 0, 0))
    finally:
        os.close(pidfd)


def signalled_by_descriptor(process: int) -> str:
    pidfd = os.pidfd_open(process)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGCONT)
    finally:
        os.close(pidfd)
    return "signalled"


def signalled_by_file(process: int) -> str:
    """The kernel signals the owner of a pipe when there is something to read. The process has the signal blocked, so that it stays to be seen."""
    import fcntl

    reading, writing = os.pipe()
    try:
        fcntl.fcntl(reading, fcntl.F_SETOWN, process)
        fcntl.fcntl(reading, 10, signal.SIGUSR1)
        fcntl.fcntl(reading, fcntl.F_SETFL, os.O_ASYNC)
        os.write(writing, b"x")
    finally:
        os.close(reading)
        os.close(writing)
    pending = next(line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("ShdPnd"))
    if not int(pending.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1:
        raise PermissionError("no signal has come")
    return "signalled"


def scheduled(process: int) -> str:
    os.sched_setaffinity(process, os.sched_getaffinity(process))
    return "moved"


def policed(process: int) -> str:
    os.sched_setscheduler(process, os.sched_getscheduler(process), os.sched_param(0))
    return "scheduled"


def renewed(process: int) -> str:
    import resource

    resource.prlimit(process, resource.RLIMIT_CORE, resource.prlimit(process, resource.RLIMIT_CORE))
    return "limited"


def reniced(process: int) -> str:
    os.setpriority(os.PRIO_PROCESS, process, os.getpriority(os.PRIO_PROCESS, process))
    return "reniced"


def unlimited() -> str:
    import resource

    for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_DATA):
        resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return "unlimited"


def handled(path: str) -> str:
    """Opens a file by a handle, which asks for no right to any folder."""
    handle = ctypes.create_string_buffer(136)
    ctypes.c_uint32.from_buffer(handle).value = 128
    mount = ctypes.c_int()
    call("name_to_handle_at", -100, path.encode(), handle, ctypes.byref(mount), 0)
    folder = os.open(os.path.dirname(path), os.O_PATH)
    try:
        # a folder that can be opened for reading represents the mount
        at = os.open("/proc/self/cwd", os.O_RDONLY)
        try:
            return close_after(call("open_by_handle_at", at, handle, os.O_RDONLY))
        finally:
            os.close(at)
    finally:
        os.close(folder)


def watched(path: str) -> str:
    descriptor = libc.inotify_init1(0)
    try:
        if libc.inotify_add_watch(descriptor, path.encode(), 0xFFF) == -1:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)
    return "watched"


def flagged(path: str) -> str:
    import fcntl

    get, set_ = 0x80086601, 0x40086602
    descriptor = os.open(path, os.O_RDONLY)
    try:
        flags = fcntl.ioctl(descriptor, get, b"\0" * 8)
        fcntl.ioctl(descriptor, set_, flags)
    finally:
        os.close(descriptor)
    return "flagged"


def attributed(path: str) -> str:
    os.setxattr(path, "user.tried", b"x")
    os.removexattr(path, "user.tried")
    return "attributed"


def timed_by_descriptor(path: str) -> str:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return changed(path, lambda: os.utime(descriptor, (1, os.stat(path).st_mtime + 7)), lambda found: found.st_mtime_ns)
    finally:
        os.close(descriptor)


def exchanged(one: str, other: str) -> str:
    for _ in range(2):
        call("renameat2", -100, one.encode(), -100, other.encode(), 2)
    return "exchanged"


def nameless(folder: str) -> str:
    return opened(folder, os.O_TMPFILE | os.O_WRONLY)


def from_memory(path: str) -> str:
    """A program without a path (memfd), which reads a file."""
    program = os.memfd_create("cat")
    with open(shutil.which("cat"), "rb") as file:
        os.write(program, file.read())
    return ran(f"/proc/{os.getpid()}/fd/{program}", path)


def mapped(path: str) -> str:
    descriptor = os.open(path, os.O_RDWR)
    try:
        mmap.mmap(descriptor, 1).close()
    finally:
        os.close(descriptor)
    return "mapped"


def namespaced() -> str:
    new_user = 0x10000000
    arguments = (ctypes.c_uint64 * 11)(new_user, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)

    def start():
        process = call("clone3", ctypes.byref(arguments), 88)
        if process == 0:
            os._exit(0)
        os.waitpid(process, 0)
        return "a namespace"

    return in_child(start)


def shared(name: str, *arguments) -> str:
    found = call(name, *arguments)
    control = {"shmget": "shmctl", "msgget": "msgctl"}.get(name)
    if control:
        getattr(libc, control)(found, 0, None)
    else:
        libc.semctl(found, 0, 0)
    return "shared"


def queued() -> str:
    name = b"agent-tried-%d" % os.getpid()
    descriptor = call("mq_open", name, os.O_CREAT | os.O_RDWR, 0o600, 0)
    os.close(descriptor)
    libc.mq_unlink(b"/" + name)
    return "queued"


def mounted(folder: str) -> str:
    def mount():
        call("unshare", 0x00020000)
        call("mount", b"none", folder.encode(), b"tmpfs", 0, 0)
        return "mounted"

    return in_child(mount)


def joined(process: int) -> str:
    def join():
        call("setns", os.open(f"/proc/{process}/ns/ipc", os.O_RDONLY), 0)
        return "joined"

    return in_child(join)


def rooted(folder: str) -> str:
    def root():
        os.chroot(folder)
        return "rooted"

    return in_child(root)


def cheaper(process: int) -> str:
    path = f"/proc/{process}/oom_score_adj"
    with open(path, "r+") as file:
        value = file.read()
        file.seek(0)
        file.write(value)
    return "written"


def inherited(secret: str) -> str:
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and os.path.realpath(f"/proc/self/fd/{name}") == os.path.realpath(secret):
            return f"{len(os.pread(int(name), 10, 0))} bytes"
    raise PermissionError("no such descriptor")


def told(name: str) -> str:
    if name not in os.environ:
        raise PermissionError("no such variable")
    return "a secret"


def audited() -> str:
    return f"{call('syslog', 3, ctypes.create_string_buffer(64), 64)} bytes"


def disk_of(path: str) -> str:
    device = os.stat(path).st_dev
    for place in (f"/dev/block/{os.major(device)}:{os.minor(device)}", *(f"/dev/{name}" for name in os.listdir("/dev"))):
        try:
            found = os.stat(place)
        except OSError:
            continue
        if stat.S_ISBLK(found.st_mode) and found.st_rdev == device:
            return read(place)
    raise NotImplementedError("no block device of this file system")


def devices(path: str) -> str:
    os.mknod(path, 0o600 | stat.S_IFBLK, os.stat("/").st_dev)
    try:
        return read(path)
    finally:
        os.unlink(path)


def attempts(aims: dict) -> dict:
    outside, repository, victim = aims["outside"], aims["repository"], aims["victim"]
    guard = os.getppid()
    scratch = tempfile.mkdtemp()
    file, folder, secret = f"{outside}/file", f"{outside}/folder", f"{outside}/secret"
    own = str(Path(__file__).resolve())
    home = os.environ.get("HOME", "/root")
    heldout = f"{repository}/tests/micro/heldout/cases.jsonl"
    objects = aims["object"]
    write = os.O_RDWR
    Path(scratch, "file").write_text("x")
    os.symlink(file, f"{scratch}/link")
    os.symlink(heldout, f"{scratch}/cases")
    all_of_them = {
        # writing
        "write a file": lambda: opened(file, write),
        "append to a file": lambda: opened(file, os.O_WRONLY | os.O_APPEND),
        "truncate a file": lambda: os.truncate(file, os.stat(file).st_size),
        "map a file": lambda: mapped(file),
        "create a file": lambda: created(f"{outside}/new"),
        "create a nameless file": lambda: nameless(outside),
        "create in /tmp": lambda: created(f"/tmp/agent-tried-{os.getpid()}"),
        "create in HOME": lambda: created(f"{home}/tried"),
        "write through a link": lambda: opened(f"{scratch}/link", write),
        "write through /proc/self/root": lambda: opened(f"/proc/self/root{file}", write),
        "write from the working directory": lambda: opened(os.path.relpath(file), write),
        "remove a file": lambda: (os.unlink(f"{outside}/extra"), Path(outside, "extra").write_text("x")),
        "remove a folder": lambda: (os.rmdir(folder), os.mkdir(folder)),
        "create a folder": lambda: (os.mkdir(f"{outside}/made"), os.rmdir(f"{outside}/made")),
        "rename a file": lambda: moved(file, f"{outside}/renamed"),
        "take a file": lambda: moved(file, f"{scratch}/taken"),
        "put a file": lambda: moved(f"{scratch}/file", f"{outside}/put"),
        "exchange files": lambda: exchanged(f"{scratch}/file", file),
        "link to a file": lambda: linked(file, f"{scratch}/hard"),
        "link from a file": lambda: linked(f"{scratch}/file", f"{outside}/hard"),
        "create a symbolic link": lambda: (os.symlink("x", f"{outside}/symbolic"), os.unlink(f"{outside}/symbolic")),
        "create a pipe": lambda: (os.mkfifo(f"{outside}/pipe"), os.unlink(f"{outside}/pipe")),
        "create a device": lambda: devices(f"{scratch}/device"),
        "bind a socket in a folder": lambda: bound(socket.AF_UNIX, f"{outside}/bound"),
        "write the user's folder": lambda: opened(f"{repository}/README.md", write),
        "write a ref": lambda: created(f"{repository}/.git/refs/heads/tried"),
        "write HEAD": lambda: opened(f"{repository}/.git/HEAD", write),
        "write a hook": lambda: created(f"{repository}/.git/hooks/post-tried"),
        "write an object": lambda: created(f"{repository}/.git/objects/tried"),
        "write the store": lambda: created(f"{repository}/.agent/store/tried"),
        "write .agent": lambda: created(f"{repository}/.agent/tried"),
        "write a record of checkouts": lambda: created(f"{repository}/.agent/records/tried"),
        "write its own code": lambda: opened(own, write),
        "create beside its own code": lambda: created(f"{os.path.dirname(own)}/tried.py"),
        "write its state": lambda: opened(os.environ.get("AGENT_STATE_FILE", f"{repository}/state/active.state.json"), write),
        "write packages": lambda: created(f"{sysconfig.get_path('purelib')}/tried.py"),
        "write the standard library": lambda: created(f"{sysconfig.get_path('stdlib')}/tried.py"),
        "create beside the interpreter": lambda: created(f"{os.path.dirname(os.path.realpath(sys.executable))}/tried"),
        "write by another program": lambda: ran("sh", "-c", f": >> {file}"),
        "write in a session of its own": lambda: ran("setsid", "sh", "-c", f": >> {file}"),
        "write a control group": lambda: (os.mkdir("/sys/fs/cgroup/tried"), os.rmdir("/sys/fs/cgroup/tried")),
        "write a setting of the kernel": lambda: opened("/proc/sys/kernel/hostname", os.O_WRONLY),
        # modes, owners, times, attributes
        "change a mode": lambda: changed(file, lambda: os.chmod(file, stat.S_IMODE(os.stat(file).st_mode) ^ 0o20), lambda found: found.st_mode),
        "change its code's mode": lambda: changed(own, lambda: os.chmod(own, stat.S_IMODE(os.stat(own).st_mode) ^ 0o20), lambda found: found.st_mode),
        "change an owner": lambda: changed(file, lambda: os.chown(file, -1, os.stat(file).st_gid ^ 1), lambda found: found.st_gid),
        "change a time": lambda: changed(file, lambda: os.utime(file, (1, os.stat(file).st_mtime + 7)), lambda found: found.st_mtime_ns),
        "change a time by a descriptor": lambda: timed_by_descriptor(own),
        "set an attribute": lambda: attributed(file),
        "set an attribute of its code": lambda: attributed(own),
        "set flags": lambda: flagged(own),
        # reading
        "read held-out cases": lambda: read(heldout),
        "read held-out cases through a link": lambda: read(f"{scratch}/cases"),
        "read held-out cases by another program": lambda: ran("cat", heldout),
        "read held-out cases by git": lambda: ran("git", "-c", "safe.directory=*", "-C", repository, "show", "HEAD:tests/micro/heldout/cases.jsonl"),
        "read held-out cases from memory": lambda: from_memory(heldout),
        "read held-out cases by a handle": lambda: handled(heldout),
        "read cases": lambda: read(f"{repository}/tests/micro/estimates.jsonl"),
        "read budgets": lambda: read(f"{repository}/ci/budgets.json"),
        "read an object": lambda: read(objects),
        "read git's configuration": lambda: read(f"{repository}/.git/config"),
        "list the repository": lambda: listed(repository),
        "list the store": lambda: listed(f"{repository}/.agent/store"),
        "list .agent": lambda: listed(f"{repository}/.agent"),
        "list other checkouts": lambda: listed(f"{repository}/.agent/checkouts"),
        "list what is under way": lambda: listed(f"{repository}/.agent/tmp"),
        "read a file of the user's": lambda: read(secret),
        "list HOME": lambda: listed(home),
        "list /tmp": lambda: listed("/tmp"),
        "read the disk": lambda: disk_of(file),
        "read the memory of the machine": lambda: read("/dev/mem"),
        "watch the repository": lambda: watched(repository),
        "watch its code": lambda: watched(os.path.dirname(own)),
        "read an inherited file": lambda: inherited(secret),
        "find a token": lambda: told("AGENT_TOKEN"),
        "find keys of the store": lambda: told("AWS_SECRET_ACCESS_KEY"),
        "find the agent of ssh": lambda: told("SSH_AUTH_SOCK"),
        "find what git tells a hook": lambda: told("GIT_AUTHOR_NAME"),
        # other processes
        "read the environment of a process": lambda: read(f"/proc/{victim}/environ"),
        "read the memory of a process": lambda: memory_of(victim, False),
        "write the memory of a process": lambda: memory_of(victim, True),
        "enter the working directory of a process": lambda: listed(f"/proc/{victim}/cwd"),
        "enter the root of a process": lambda: listed(f"/proc/{victim}/root"),
        "see the files of a process": lambda: files_of(victim),
        "open the files of a process": lambda: opened(f"/proc/{victim}/fd/0", os.O_RDONLY),
        "read the environment of its parent": lambda: read(f"/proc/{guard}/environ"),
        "read the memory of its parent": lambda: memory_of(guard, False),
        "see the files of its parent": lambda: files_of(guard),
        "read the environment of its parent's parent": lambda: read(f"/proc/{parent_of(guard)}/environ"),
        "read the memory of its parent's parent": lambda: memory_of(parent_of(guard), False),
        "see the files of its parent's parent": lambda: files_of(parent_of(guard)),
        "enter the working directory of its parent's parent": lambda: listed(f"/proc/{parent_of(guard)}/cwd"),
        "signal a process": lambda: os.kill(victim, signal.SIGCONT),
        "signal its parent": lambda: os.kill(guard, 0),
        "signal its parent's parent": lambda: os.kill(parent_of(guard), 0),
        "signal a group": lambda: os.killpg(os.getpgid(victim), signal.SIGCONT),
        "signal by a descriptor": lambda: signalled_by_descriptor(victim),
        "signal a thread": lambda: call("tgkill", victim, victim, signal.SIGCONT),
        "signal by a file": lambda: signalled_by_file(victim),
        "trace a process": lambda: traced(victim),
        "read a process by vectors": lambda: vectored("process_vm_readv", victim),
        "write a process by vectors": lambda: vectored("process_vm_writev", victim),
        "take a file of a process": lambda: taken_over(victim),
        "compare with a process": lambda: call("kcmp", os.getpid(), victim, 1, 0, 0),
        "move pages of a process": lambda: call("move_pages", victim, 0, 0, 0, 0, 0),
        "limit a process": lambda: renewed(victim),
        "renice a process": lambda: reniced(victim),
        "place a process": lambda: scheduled(victim),
        "schedule a process": lambda: policed(victim),
        "have a process killed first": lambda: cheaper(victim),
        "raise its own limits": unlimited,
        # sockets
        "connect over TCP": lambda: sent(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", aims["tcp"])),
        "listen over TCP": lambda: bound(socket.AF_INET, ("127.0.0.1", 0)),
        "send over UDP": lambda: sent(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", aims["udp"])),
        "listen over IPv6": lambda: bound(socket.AF_INET6, ("::1", 0)),
        "connect to a socket in a folder": lambda: sent(socket.AF_UNIX, socket.SOCK_STREAM, aims["socket"]),
        "connect to an abstract socket": lambda: sent(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + aims["abstract"]),
        "bind an abstract socket": lambda: bound(socket.AF_UNIX, f"\0agent-tried-{os.getpid()}"),
        "ask the kernel over netlink": lambda: made(socket.AF_NETLINK),
        "capture packets": lambda: made(socket.AF_PACKET),
        "use the kernel's ciphers": lambda: made(socket.AF_ALG, socket.SOCK_SEQPACKET),
        "reach the host of a machine": lambda: made(socket.AF_VSOCK, socket.SOCK_STREAM),
        # the kernel
        "mount": lambda: mounted(folder),
        "mount by a file system": lambda: close_after(call("fsopen", b"tmpfs", 0)),
        "open a tree": lambda: close_after(call("open_tree", -100, b"/", 1)),
        "leave its namespace": lambda: in_child(lambda: call("unshare", 0x10000000)),
        "start in a namespace": namespaced,
        "join a namespace": lambda: joined(victim),
        "change its root": lambda: rooted(outside),
        "use io_uring": lambda: close_after(call("io_uring_setup", 1, ctypes.create_string_buffer(120))),
        "add a key": lambda: call("add_key", b"user", b"tried", b"x", 1, -2),
        "join a keyring": lambda: call("keyctl", 0, -3, 0),
        "load a program into the kernel": lambda: close_after(call("bpf", 0, (ctypes.c_uint32 * 12)(2, 4, 4, 1), 48)),
        "handle page faults": lambda: close_after(call("userfaultfd", 0)),
        "measure the machine": lambda: close_after(call("perf_event_open", (ctypes.c_uint32 * 32)(1, 128), victim, -1, -1, 0)),
        "watch all files": lambda: close_after(call("fanotify_init", 0, 0)),
        "read the log of the kernel": audited,
        "account for processes": lambda: call("acct", 0),
        "share memory in /dev/shm": lambda: created(f"/dev/shm/agent-tried-{os.getpid()}"),
        "share memory": lambda: shared("shmget", 0, 4096, 0o1600),
        "share semaphores": lambda: shared("semget", 0, 1, 0o1600),
        "share a queue": lambda: shared("msgget", 0, 0o1600),
        "share a named queue": queued,
    }
    outcomes = {name: outcome(attempt) for name, attempt in all_of_them.items()}
    shutil.rmtree(scratch, ignore_errors=True)
    return outcomes


def outcome(attempt) -> str:
    try:
        return f"done: {attempt()}"
    except NotImplementedError as error:
        return f"lacking: {error}"
    except OSError as error:
        name = errno.errorcode.get(error.errno, type(error).__name__) if error.errno else type(error).__name__
        return f"{name}: {error}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"


def left_behind() -> int:
    """A process in a session of its own, whose parent has ended."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        child = os.fork()
        if child == 0:
            for descriptor in range(3):
                os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
            os.closerange(3, 1024)
            signal.pause()
        os.write(writing, str(child).encode())
        os._exit(0)
    os.wait()
    os.close(writing)
    with os.fdopen(reading) as file:
        return int(file.read())


if __name__ == "__main__":
    print(json.dumps({"attempts": attempts(json.loads(sys.argv[1])), "left": left_behind()}))
