"""Processes on chosen CPUs, and what they cost."""
import os
import signal
import subprocess
import time

PROXY_CPU, LOAD_CPU = 0, 1
TICKS = os.sysconf("SC_CLK_TCK")


def spawn(argv, cpu, log, env=None):
    """Starts a process in a session of its own, on one CPU."""
    argv = ["taskset", "-c", str(cpu), *map(str, argv)]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                            start_new_session=True, env={**os.environ, **(env or {})})


def output(argv, env=None):
    """What a load generator prints."""
    argv = ["taskset", "-c", str(LOAD_CPU), *map(str, argv)]
    done = subprocess.run(argv, text=True, capture_output=True, env={**os.environ, **(env or {})})
    return done.stdout + done.stderr


def _stat(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()


def family(pid):
    """A process and all its descendants."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[int(name)] = int(_stat(name)[1])
        except OSError:
            pass  # it has ended meanwhile
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def cpu_seconds(pids):
    """User and system time that processes have used."""
    spent = [_stat(pid)[11:13] for pid in pids]
    return tuple(sum(int(times[at]) for times in spent) / TICKS for at in (0, 1))


def memory_kib(pids):
    """Proportional set size, so that pages that processes share count once."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return total


def cpu_busy(cpu):
    """Seconds that a CPU was busy since boot, whoever used it."""
    with open("/proc/stat") as file:
        line = next(line for line in file if line.startswith(f"cpu{cpu} "))
    user, nice, system, _, _, irq, soft = map(int, line.split()[1:8])
    return (user + nice + system + irq + soft) / TICKS


def stop(process):
    """Ends a process and its descendants."""
    pids = family(process.pid)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        pass
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()


def wait_until(is_true, seconds, what):
    """Polls a condition until it holds; returns how long that took."""
    begun = time.monotonic()
    while not is_true():
        if time.monotonic() - begun > seconds:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.01)
    return time.monotonic() - begun
