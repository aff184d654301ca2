"""What was measured, as a document and a plot."""
import datetime
import pathlib
import platform
import statistics
import subprocess

import work

# A ratio of figures that vary more than this between rounds says nothing.
SPREAD_MAX = 0.4
OURS = "fairway-all"
HEAD = """# Performance

Written by `integration/bench/run` on {date}; what it says holds for this machine only:
{machine}.

One worker or thread of each proxy on CPU 0, load and origin on CPU 1, everything on loopback.
**The figure is the CPU time of all data-plane processes for each request**; medians of {rounds}
rounds of {seconds} s in which the proxies take turns. The ratio is Fairway's figure
with everything on to the peer's, within the same round. Where errors occurred, or rounds differ by
more than {spread:.0%}, there is no ratio.

`fairway` is Fairway as it comes; `fairway-all` adds tracing of 1 %, retries, outlier
detection and limits of connections and requests; `fairway-log` adds an access log in a file.
Throughput is not the figure because load and origin share one CPU and are the first to be busy.

![CPU time beside that of the other proxies](performance.svg)
"""


def _median(rounds, key):
    return statistics.median(one[key] for one in rounds)


def _is_sound(rounds):
    values = [one.get("figure") for one in rounds]
    if None in values or any(one["errors"] for one in rounds):
        return False
    return max(values) - min(values) <= SPREAD_MAX * statistics.median(values)


def ratio(ours, theirs):
    """Median over the rounds of ours to theirs; `None` where that would mean nothing."""
    if not (ours and theirs and _is_sound(ours) and _is_sound(theirs)):
        return None
    return statistics.median(a["figure"] / b["figure"] for a, b in zip(ours, theirs))


COLUMNS = {  # name of a figure -> head, digits, factor
    "figure": ("figure", 2, 1), "per_cpu_second": ("a CPU second", 0, 1),
    "user": ("user", 2, 1), "system": ("system", 2, 1),
    "per_second": ("a second", 0, 1), "p50": ("p50 ms", 2, 1e3), "p99": ("p99 ms", 2, 1e3),
    "load": ("CPU 0", 2, 1), "ready": ("ready after s", 2, 1), "memory": ("MiB", 0, 1),
}


def _table(name, rows):
    workload = work.WORKLOADS[name]
    done = {peer: rounds for peer, rounds in rows.items() if all("figure" in r for r in rounds)}
    keys = [key for key in COLUMNS if all(key in r for rounds in done.values() for r in rounds)]
    bytes_head = " | GiB a CPU second" if workload.body_kib else ""
    goal = f" Goal: {workload.goal}." if workload.goal else ""
    lines = [f"\n## {name}: {workload.title}\n", f"Figure: {workload.unit}.{goal}\n",
             "| | " + " | ".join(COLUMNS[key][0] for key in keys) + f"{bytes_head} | spread | "
             "errors | ratio |", "| --- |" + " --: |" * (len(keys) + bool(bytes_head) + 3)]
    for peer, rounds in sorted(done.items(), key=lambda row: _median(row[1], "figure")):
        cells = [f"{_median(rounds, key) * COLUMNS[key][2]:,.{COLUMNS[key][1]}f}" for key in keys]
        if bytes_head:
            gib = _median(rounds, "per_cpu_second") * workload.body_kib / 2**20
            cells.append(f"{gib:,.2f}")
        values = [one["figure"] for one in rounds]
        spread = (max(values) - min(values)) / max(statistics.median(values), 1e-9)
        found = ratio(rows.get(OURS), rounds) if peer != OURS else None
        cells += [f"{spread:.0%}", str(sum(one["errors"] for one in rounds)),
                  f"{found:.2f}" if found else ""]
        lines.append(f"| {peer} | " + " | ".join(cells) + " |")
    lines += [f"\n{peer} failed: {next(r['failed'] for r in rounds if 'failed' in r)}"
              for peer, rounds in rows.items() if peer not in done]
    return "\n".join(lines) + "\n"


def _first_line(argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True)
        # Envoy begins with the path it was called by.
        words = (done.stdout + done.stderr).strip().splitlines()[0].split()
        return " ".join(word for word in words if not word.startswith("/"))
    except (OSError, IndexError):
        return f"{argv[0]}: not found"


def _versions(peers):
    argvs = (["nginx", "-v"], ["haproxy", "-v"], ["envoy", "--version"], ["traefik", "version"],
             ["caddy", "version"], ["wrk", "-v"], ["h2load", "--version"], ["iperf3", "-v"])
    used = {*peers, "nginx", "wrk", "h2load", "iperf3"}  # nginx is the origin, too
    lines = [f"| {argv[0]} | {_first_line(argv)} |" for argv in argvs if argv[0] in used]
    return "\n## Versions\n\n| | |\n| --- | --- |\n" + "\n".join(lines) + "\n"


def _machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    models = [line.split(": ")[1] for line in text.splitlines() if line.startswith("model name")]
    return f"{len(models)} CPUs {models[0] if models else '?'}, Linux {platform.release()}"


def document(figures, options):
    """The whole of docs/performance.md."""
    head = HEAD.format(date=datetime.date.today(), machine=_machine(), rounds=options.rounds,
                       seconds=options.seconds, spread=SPREAD_MAX)
    return head + "".join(_table(*row) for row in figures.items() if row[1]) + \
        _versions(options.peers)


def plot(figures):
    """Bars: the median of each peer to that of Fairway with everything on, as SVG."""
    bar, left, unit = 14, 150, 160
    lines, y = [], 30
    for name, rows in figures.items():
        lines.append(f'<text x="8" y="{y}" font-weight="bold">{name}: '
                     f'{work.WORKLOADS[name].title}</text>')
        y += 8
        for peer, rounds in rows.items():
            found = ratio(rows.get(OURS), rounds) if peer != OURS else 1.0
            if not found:
                continue
            width = min(unit / found, 700)
            colour = "#2a7" if peer.startswith("fairway") else "#89a"
            lines.append(f'<text x="{left - 8}" y="{y + 11}" text-anchor="end">{peer}</text>'
                         f'<rect x="{left}" y="{y}" width="{width:.0f}" height="{bar - 2}" '
                         f'fill="{colour}"/><text x="{left + width + 6:.0f}" y="{y + 11}">'
                         f'{1 / found:.2f}</text>')
            y += bar
        y += 26
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="920" height="{y}" '
            f'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" '
            f'fill="white"/>{"".join(lines)}</svg>\n')
