"""What the suites need to know and undo of the machine: namespaces, cgroups, mounts, processes."""

import ctypes
import glob
import os
import signal
import subprocess
import time

CLONE_NEWNET = 0x40000000


# Where a suite came from, while it is in a network namespace of its own; a descriptor.
outside = None


def run(*command, check=True, timeout=60, stdin=None):
    """Runs a command and returns what it printed; a failure carries what it said."""
    result = subprocess.run([str(c) for c in command], input=stdin, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, timeout=timeout, check=False)
    if check and result.returncode != 0:
        raise CommandError(command, result.returncode, result.stdout, result.stderr)
    return result.stdout


class CommandError(AssertionError):
    """A command that should have succeeded."""

    def __init__(self, command, status, stdout, stderr):
        self.status, self.stdout, self.stderr = status, stdout, stderr
        text = " ".join(str(c) for c in command)
        super().__init__(f"{text}: status {status}: {(stderr or stdout).strip()[-1500:]}")


def until(condition, timeout=10.0, what="condition"):
    """Waits for what sends no event (files, processes); returns the condition's true value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.02)


class NetworkNamespace:
    """A network namespace with a name, entered by the calling process and all its children."""

    def __init__(self, name):
        self.name = name
        self.path = f"/run/netns/{name}"
        # The way back, for removing the namespace from outside.
        self.outside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        global outside  # pylint: disable=global-statement
        outside = self.outside
        run("ip", "netns", "add", name)

    def enter(self):
        """Unlike `ip netns exec` this leaves /sys, and so the cgroups, as they are."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            set_namespace(fd)
        finally:
            os.close(fd)

    def inode(self):
        return os.stat(self.path).st_ino

    def remove(self):
        set_namespace(self.outside)
        run("ip", "netns", "del", self.name, check=False)


def set_namespace(fd):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"setns: {os.strerror(error)}")


def cgroup_roots():
    """Mount points of all cgroup hierarchies."""
    roots = []
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            fields = line.split()
            if fields[2] in ("cgroup", "cgroup2"):
                roots.append(fields[1])
    return roots


def cgroup_folders(path):
    """All folders of a cgroup (given as in cgroupRoot) in every hierarchy, deepest first."""
    found = []
    for root in cgroup_roots():
        top = root + path
        for folder, _, _ in os.walk(top, topdown=False):
            found.append(folder)
    return found


def cgroup_processes(path):
    """Processes of a cgroup and those below it."""
    pids = set()
    for folder in cgroup_folders(path):
        for name in ("cgroup.procs", "tasks"):
            try:
                with open(os.path.join(folder, name), encoding="ascii") as source:
                    pids.update(int(line) for line in source)
                break
            except OSError:
                continue
    return pids


def remove_cgroups(path):
    for folder in cgroup_folders(path):
        try:
            os.rmdir(folder)
        except OSError:
            pass


def mounts_below(folder):
    """Mount points below a folder, in the order in which they can be unmounted."""
    found = []
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            point = line.split()[1].replace("\\040", " ")
            if point == folder or point.startswith(folder + "/"):
                found.append(point)
    return list(reversed(found))


def processes(condition):
    """Pids (zombies left out) for which condition(pid, folder below /proc) holds."""
    found = []
    for folder in glob.glob("/proc/[0-9]*"):
        pid = int(folder[6:])
        try:
            with open(f"{folder}/stat", encoding="utf-8", errors="replace") as source:
                state = source.read().rsplit(")", 1)[1].split()[0]
            if state != "Z" and pid != os.getpid() and condition(pid, folder):
                found.append(pid)
        except (OSError, IndexError):
            continue
    return found


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as source:
            return source.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def in_namespace(inode):
    return lambda pid, folder: os.stat(f"{folder}/ns/net").st_ino == inode


def kill_all(find, timeout=10.0):
    """Kills what find() returns until it returns nothing."""
    deadline = time.monotonic() + timeout
    while True:
        pids = find()
        if not pids:
            return
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if time.monotonic() > deadline:
            lines = ", ".join(f"{pid} {command_line(pid)[:80]}" for pid in pids)
            raise AssertionError(f"could not be killed: {lines}")
        time.sleep(0.02)
