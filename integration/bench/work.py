"""The workloads: what is asked of a proxy, and what is read off it meanwhile."""
import json
import os
import re
import socket
import time
from dataclasses import dataclass
from typing import Callable

import machine

HOST = "bench.test"
IDLE_CONNECTIONS = 10_000


@dataclass(frozen=True)
class Workload:
    """One row of the report. `run` returns figures, `figure` among them; less is better."""
    title: str
    unit: str
    run: Callable
    hosts: int = 0
    goal: str = ""
    body_kib: int = 0


def _seconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[unit]


def _wrk(site, url, seconds, *more):
    out = machine.output(
        ["wrk", "-t1", "-c64", f"-d{seconds}s", "--latency", *more, url],
        {"OPENSSL_CONF": str(site.client_conf)})
    found = re.search(r"(\d+) requests in", out)
    if not found:
        raise RuntimeError(f"wrk: {out.strip()}")
    errors = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", out)))
    broken = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    if broken:
        connect, read, write, late = map(int, broken.groups())
        # wrk takes the close that it asked for, where it comes before the last byte is read, as
        # a failed read.
        errors += connect + write + late + (0 if "Connection: close" in more else read)
    p50, p99 = (_seconds(re.search(rf"{n}% +(\S+)", out)[1]) for n in (50, 99))
    return {"requests": int(found[1]), "errors": errors, "p50": p50, "p99": p99}


def _h2load(site, url, seconds):
    out = machine.output(["h2load", "-t1", "-c8", "-m32", f"-D{seconds}",
                          "-H", f":authority: {site.host}", url])
    found = re.search(r"(\d+) done, (\d+) succeeded", out)
    if not found:
        raise RuntimeError(f"h2load: {out.strip()}")
    done, well = map(int, found.groups())
    return {"requests": well, "errors": done - well}


def _loaded(proxy, seconds, load):
    """CPU time a request, after a second of warming up."""
    load(1)
    begun, cpu, busy = time.monotonic(), machine.cpu_seconds(proxy.pids), machine.cpu_busy(0)
    figures = load(seconds)
    wall = time.monotonic() - begun
    user, system = (b - a for a, b in zip(cpu, machine.cpu_seconds(proxy.pids)))
    others = machine.cpu_busy(0) - busy - user - system
    requests = max(figures["requests"], 1)
    return figures | {
        "figure": 1e6 * (user + system) / requests,
        "per_cpu_second": requests / max(user + system, 1e-9), "user": 1e6 * user / requests,
        "system": 1e6 * system / requests, "per_second": requests / wall,
        "load": (user + system) / wall, "disturbed": max(0, others) / wall,
    }


def _http(scheme, path, more=lambda site: ()):
    def run(proxy, seconds):
        site = proxy.site
        port = site.https if scheme == "https" else site.http
        host, prefix = (f"h{site.vhosts - 1}.test", "/r9") if site.vhosts else (site.host, "")
        # A name, because an address is no server name in TLS.
        url = f"{scheme}://localhost:{port}{prefix}{path}"
        figures = _loaded(proxy, seconds,
                          lambda s: _wrk(site, url, s, "-H", f"Host: {host}", *more(site)))
        return figures | {"ready": proxy.ready, "memory": machine.memory_kib(proxy.pids) / 1024}
    return run


def _http2(proxy, seconds):
    url = f"http://127.0.0.1:{proxy.site.h2c}/1k"
    return _loaded(proxy, seconds, lambda s: _h2load(proxy.site, url, s))


def _get(port, host, path="/1k", connection=None):
    """One request on a connection that stays open."""
    connection = connection or socket.create_connection(("127.0.0.1", port), 60)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    got = b""
    while b"\r\n\r\n" not in got:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("closed")
        got += more
    head, _, body = got.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    while length and len(body) < int(length[1]):
        body += connection.recv(65536)
    return int(head.split()[1]), connection


def answers(site):
    """Does the proxy route the last request it was configured for?"""
    host, path = (f"h{site.vhosts - 1}.test", "/r9/1k") if site.vhosts else (site.host, "/1k")
    try:
        status, connection = _get(site.http, host, path)
        connection.close()
        return status == 200
    except (OSError, ValueError):
        return False


def _idle(proxy, _):
    site = proxy.site
    for _ in range(50):
        _get(site.http, site.host)[1].close()
    time.sleep(1)
    before = machine.memory_kib(proxy.pids)
    open_ones = [_get(site.http, site.host)[1] for _ in range(IDLE_CONNECTIONS)]
    time.sleep(2)
    after = machine.memory_kib(proxy.pids)
    sample = open_ones[::100]
    errors = sum(_get(0, site.host, connection=one)[0] != 200 for one in sample)
    for one in open_ones:
        one.close()
    return {"figure": (after - before) / IDLE_CONNECTIONS, "errors": errors}


def _bulk(proxy, seconds):
    def move(span):
        out = json.loads(machine.output(
            ["iperf3", "-c", "127.0.0.1", "-p", proxy.site.tcp, "-t", span, "-J"]))
        if "error" in out:
            raise RuntimeError(f"iperf3: {out['error']}")
        return out["end"]["sum_received"]["bytes"]
    move(1)
    time.sleep(1)  # the server takes one test at a time and needs a moment after each
    cpu = machine.cpu_seconds(proxy.pids)
    gib = move(seconds) / 2**30
    spent = sum(machine.cpu_seconds(proxy.pids)) - sum(cpu)
    return {"figure": spent / gib, "errors": 0, "per_second": gib * 8.59 / seconds}


def _post(site):
    script = site.write("post.lua", 'wrk.method = "POST"\nwrk.body = string.rep("x", 65536)\n')
    return "-s", script


def _close(_):
    return "-H", "Connection: close"


PER_REQUEST = "CPU µs a request"
WORKLOADS = {
    "W1": Workload("GET 1 KiB, 64 kept-alive connections", PER_REQUEST, _http("http", "/1k"),
                   goal="≤ 1.0 × the better of nginx and HAProxy"),
    "W2": Workload("GET 64 KiB", PER_REQUEST, _http("http", "/64k"), goal="≤ 0.95 × the best peer",
                   body_kib=64),
    "W2b": Workload("POST 64 KiB", PER_REQUEST, _http("http", "/up", _post),
                    goal="≤ 0.95 × the best peer", body_kib=64),
    "W3": Workload("GET 1 KiB over TLS 1.3, kept alive", PER_REQUEST, _http("https", "/1k"),
                   goal="≤ 0.85 × the best peer"),
    "W3l": Workload("GET 64 KiB over TLS 1.3, kept alive", PER_REQUEST, _http("https", "/64k"),
                    body_kib=64),
    "W3b": Workload("TLS 1.3 handshake, one GET, close", PER_REQUEST,
                    _http("https", "/1k", _close), goal="≤ 0.7 × the best peer"),
    "W4": Workload("HTTP/2 GET 1 KiB, 8 connections with 32 streams", PER_REQUEST, _http2,
                   goal="≤ 1.0 × HAProxy"),
    "W5": Workload(f"{IDLE_CONNECTIONS:,} idle connections after one request each",
                   "KiB a connection", _idle, goal="≤ 4 KiB"),
    "W6": Workload("10,000 hosts with 10 routes each", PER_REQUEST, _http("http", "/1k"),
                   hosts=10_000, goal="≤ 1.03 × W6s; ready in ≤ 1 s; ≤ 60 MiB"),
    "W6s": Workload("10 hosts with 10 routes each", PER_REQUEST, _http("http", "/1k"), hosts=10),
    "W7": Workload("TCP, one bulk connection", "CPU s a GiB", _bulk,
                   goal="≤ 1.05 × HAProxy with splice"),
}
