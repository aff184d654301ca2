"""Fairway beside other proxies: one worker on one CPU, load and origin on another.

Peers take turns, round by round, each measurement with a fresh process. The figure is the CPU time
of all data-plane processes of a proxy for each request."""
import argparse
import importlib.util
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

import machine
import report
import work

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FEATURES = "fairway-all", "fairway-log", "fairway"


class Site:
    """What the configuration of a proxy is made from."""
    http, https, h2c, tcp = 18080, 18443, 18081, 18090
    backend, tcp_backend = 19000, 19100
    host = work.HOST

    def __init__(self, folder, hosts):
        self.dir = folder
        self.vhosts, self.routes = hosts, 10 if hosts else 0
        top = folder.parent
        self.cert, self.key, self.pem = (top / name for name in ("cert.pem", "key.pem", "pem"))
        self.client_conf = top / "client.cnf"

    def write(self, name, content):
        """A file of the proxy's."""
        path = self.dir / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    def bin(self, name):
        """A program: `$NAME`, or from PATH."""
        found = os.environ.get(name.upper()) or shutil.which(name)
        if not found:
            raise FileNotFoundError(f"{name} is not installed")
        return found


class Proxy:
    """One peer, running for one measurement."""

    def __init__(self, name, folder, hosts):
        path = HERE / "fairway.py" if name in FEATURES else HERE / "peers" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name.replace("-", "_"), path)
        self.adapter = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.adapter)
        self.name = name
        if name in FEATURES:
            self.adapter.FEATURES = name
        self.folder, self.hosts = folder / name, hosts

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.site = Site(self.folder, self.hosts)
        argv = self.adapter.start(self.site)
        log = open(self.folder / "log", "w")
        env = getattr(self.adapter, "ENV", None)
        self.process = machine.spawn(argv, machine.PROXY_CPU, log, env)
        try:
            self.ready = machine.wait_until(self._is_ready, 120, self.name)
            time.sleep(0.3)
            find = getattr(self.adapter, "pids", machine.family)
            self.pids = find(self.process.pid)
        except BaseException:
            machine.stop(self.process)
            raise
        return self

    def _is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended: {(self.folder / 'log').read_text()[-800:]}")
        return work.answers(self.site)

    def __exit__(self, *_):
        machine.stop(self.process)


ORIGIN = """
daemon off; pid {dir}/origin.pid; error_log {dir}/origin.log crit; worker_processes 1;
events {{ worker_connections 16000; }}
http {{
  access_log off; keepalive_timeout 600s; keepalive_requests 1000000000; client_max_body_size 0;
  client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir};
  uwsgi_temp_path {dir}; scgi_temp_path {dir};
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    # Made of parts, because one string of the configuration holds 4 KiB at most.
    location ~ 64k$ {{ set $part "{part}"; set $all "{parts}"; return 200 $all; }}
    location ~ up$ {{ return 200 "ok"; }}
    location / {{ return 200 "{small}"; }}
  }}
}}
"""

CLIENT_CONF = """openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = defaults
[defaults]
MinProtocol = TLSv1.3
Ciphersuites = TLS_AES_128_GCM_SHA256
Groups = X25519
"""


def prepare(folder):
    """Certificate, the clients' settings, and the origins."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", f"/CN={work.HOST}", "-addext",
         f"subjectAltName=DNS:{work.HOST},DNS:localhost", "-keyout", folder / "key.pem",
         "-out", folder / "cert.pem"], check=True, capture_output=True)
    both = (folder / "cert.pem").read_text() + (folder / "key.pem").read_text()
    (folder / "pem").write_text(both)
    (folder / "client.cnf").write_text(CLIENT_CONF)
    # nginx gives the folder to its worker's user.
    own = folder / "origin"
    own.mkdir()
    conf = ORIGIN.format(dir=own, port=Site.backend, small="x" * 1024, part="x" * 2048,
                         parts="$part" * 32)
    (own / "conf").write_text(conf)
    log = open(own / "log", "w")
    return [
        machine.spawn(["nginx", "-c", own / "conf"], machine.LOAD_CPU, log),
        machine.spawn(["iperf3", "-s", "-p", Site.tcp_backend], machine.LOAD_CPU, log),
    ]


def measure(options, folder):
    """All figures: workload -> peer -> a list with one entry a round."""
    figures = {}
    for name in options.only:
        workload, rows = work.WORKLOADS[name], figures.setdefault(name, {})
        for turn in range(1 if name == "W5" else options.rounds):
            for peer in options.peers:
                proxy = Proxy(peer, folder, workload.hosts)
                if name not in proxy.adapter.WORKLOADS:
                    continue
                try:
                    with proxy:
                        got = workload.run(proxy, options.seconds)
                except Exception as error:  # one failing peer must not end the comparison
                    print(f"{name} {peer}: {type(error).__name__}: {error}", file=sys.stderr)
                    rows.setdefault(peer, []).append({"failed": str(error)})
                    continue
                rows.setdefault(peer, []).append(got)
                print(f"{name} round {turn + 1} {peer}: {got['figure']:.2f} {workload.unit}, "
                      f"{got['errors']} errors", file=sys.stderr, flush=True)
    return figures


def main():
    peers = sorted(path.stem for path in (HERE / "peers").glob("*.py"))
    listed = lambda text: text.split(",")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=listed, default=list(work.WORKLOADS), help="W1,W4")
    parser.add_argument("--peers", type=listed, default=[*FEATURES, *peers],
                        help=f"of {', '.join([*FEATURES, *peers])}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("--print", action="store_true", help="and leave the document alone")
    options = parser.parse_args()
    for name, known in [(o, work.WORKLOADS) for o in options.only] + \
            [(p, [*FEATURES, *peers]) for p in options.peers]:
        if name not in known:
            parser.error(f"{name}: not one of {', '.join(known)}")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="fairway-bench-"))
    origins = prepare(folder)
    try:
        figures = measure(options, folder)
    finally:
        for origin in origins:
            machine.stop(origin)
        shutil.rmtree(folder, ignore_errors=True)
    text = report.document(figures, options)
    print(text)
    if not options.print:
        (ROOT / "docs" / "performance.md").write_text(text)
        (ROOT / "docs" / "performance.svg").write_text(report.plot(figures))


if __name__ == "__main__":
    main()
