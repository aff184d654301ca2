"""Adapter of the side-by-side benchmark: Fairway with one worker."""
import json
import pathlib
import time

WORKLOADS = {"W1", "W2", "W2b", "W3", "W3l", "W3b", "W4", "W5", "W6", "W6s", "W7"}
# "fairway": as it comes. "fairway-all": tracing of 1 %, retries, outlier detection and limits too.
# "fairway-log": and an access log in a file.
FEATURES = "fairway"

OBJECTS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: bench, namespace: bench}}
spec:
  servers:
  - port: {{number: {http}, name: http, protocol: HTTP}}
    hosts: ["*"]
  - port: {{number: {h2c}, name: h2c, protocol: HTTP2}}
    hosts: ["*"]
  - port: {{number: {https}, name: https, protocol: HTTPS}}
    hosts: ["*"]
    tls: {{mode: SIMPLE, serverCertificate: {cert}, privateKey: {key}}}
  - port: {{number: {tcp}, name: tcp, protocol: TCP}}
    hosts: ["*"]
---
apiVersion: v1
kind: Service
metadata: {{name: backend, namespace: bench}}
spec:
  ports: [{{name: http, port: 80}}, {{name: tcp, port: 90}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: backend, namespace: bench, labels: {{kubernetes.io/service-name: backend}}}}
addressType: IPv4
endpoints: [{{addresses: [127.0.0.1]}}]
ports: [{{name: http, port: {backend}}}, {{name: tcp, port: {tcp_backend}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: tcp, namespace: bench}}
spec:
  hosts: ["*"]
  gateways: [bench]
  tcp: [{{route: [{{destination: {{host: backend, port: {{number: 90}}}}}}]}}]
"""

POLICY = """
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: backend, namespace: bench}
spec:
  host: backend
  trafficPolicy:
    connectionPool:
      tcp: {maxConnections: 10000}
      http: {http1MaxPendingRequests: 10000, http2MaxRequests: 10000, maxRetries: 100}
    outlierDetection: {consecutive5xxErrors: 5, interval: 1s}
"""

VIRTUAL_SERVICE = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: bench}}
spec:
  hosts: ["{host}"]
  gateways: [bench]
  http:
"""

ROUTE = "  - {match}route: [{{destination: {{host: backend, port: {{number: 80}}}}}}]{more}\n"
RETRIES = "\n    retries: {attempts: 2, retryOn: 'connect-failure,refused-stream,503'}"

MESH = """
enableTracing: true
defaultConfig: {tracing: {sampling: 1, zipkin: {address: "127.0.0.1:9"}}}
"""


def virtual_services(c):
    more = RETRIES if FEATURES != "fairway" else ""
    if not c.vhosts:
        yield VIRTUAL_SERVICE.format(name="all", host="*") + ROUTE.format(match="", more=more)
    match = "match: [{{uri: {{prefix: /r{}}}}}]\n    "
    routes = "".join(ROUTE.format(match=match.format(r), more=more) for r in range(c.routes))
    for host in range(c.vhosts):
        yield VIRTUAL_SERVICE.format(name=f"h{host}", host=f"h{host}.test") + routes


def start(c):
    global instance
    folder = c.dir / "config"
    folder.mkdir()
    objects = OBJECTS.format(**vars(type(c)), cert=c.cert, key=c.key)
    policy = POLICY if FEATURES != "fairway" else ""
    (folder / "all.yaml").write_text(objects + policy + "".join(virtual_services(c)))
    instance = c.dir / "instance"
    argv = [c.bin("fairway"), "up", folder, "--workers", "1", "--quiet", "--instance-dir", instance,
            "--grpc-port", "0", "--debug-port", "0", "--monitoring-port", "0",
            "--admin-port", "0", "--status-port", "0", "--metrics-port", "0"]
    if FEATURES != "fairway":
        argv += ["--mesh-config", c.write("mesh.yaml", MESH)]
    if FEATURES == "fairway-log":
        argv += ["--access-log", c.dir / "access.log"]
    return argv


def pids(root):
    """The data plane: supervisor and workers."""
    for _ in range(100):
        status = json.loads(pathlib.Path(instance, "instance.json").read_text())
        found = [status["supervisor"]["pid"], *(worker["pid"] for worker in status["workers"])]
        if all(found):
            return found
        time.sleep(0.05)
    raise RuntimeError("the data plane has no processes")
