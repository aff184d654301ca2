"""Adapter of the side-by-side proxy benchmark: Fairway with one worker, everything on by default."""
import base64
import json
import pathlib
import time

WORKLOADS = {"W1", "W2", "W2b", "W3", "W3b", "W4", "W5", "W6", "W7"}

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
    tls: {{mode: SIMPLE, credentialName: bench}}
  - port: {{number: {tcp}, name: tcp, protocol: TCP}}
    hosts: ["*"]
---
apiVersion: v1
kind: Service
metadata: {{name: backend, namespace: bench}}
spec:
  ports: [{{name: http, port: 80}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: backend, namespace: bench, labels: {{kubernetes.io/service-name: backend}}}}
addressType: IPv4
endpoints: [{{addresses: [127.0.0.1]}}]
ports: [{{name: http, port: {backend}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: l4, namespace: bench}}
spec:
  ports: [{{name: tcp, port: 80}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: l4, namespace: bench, labels: {{kubernetes.io/service-name: l4}}}}
addressType: IPv4
endpoints: [{{addresses: [127.0.0.1]}}]
ports: [{{name: tcp, port: {tcp_backend}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: l4, namespace: bench}}
spec:
  hosts: ["*"]
  gateways: [bench]
  tcp: [{{route: [{{destination: {{host: l4, port: {{number: 80}}}}}}]}}]
"""

SECRET = """
---
apiVersion: v1
kind: Secret
metadata: {{name: bench, namespace: istio-system}}
data: {{tls.crt: {cert}, tls.key: {key}}}
"""

VIRTUAL_SERVICE = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: bench}}
spec:
  hosts: [{host}]
  gateways: [bench]
  http:
"""

ROUTE = "  - {match}route: [{{destination: {{host: backend, port: {{number: 80}}}}}}]\n"


def virtual_services(c):
    if not c.vhosts:
        yield VIRTUAL_SERVICE.format(name="all", host=c.host) + ROUTE.format(match="")
    routes = "".join(
        ROUTE.format(match=f"match: [{{uri: {{prefix: /r{r}}}}}]\n    ") for r in range(c.routes)
    )
    for host in range(c.vhosts):
        yield VIRTUAL_SERVICE.format(name=f"h{host}", host=f"h{host}.test") + routes


def start(c):
    global instance
    folder = c.dir / "config"
    folder.mkdir()
    pair = {name: base64.b64encode(file.read_bytes()).decode()
            for name, file in (("cert", c.cert), ("key", c.key))}
    (folder / "all.yaml").write_text(OBJECTS.format(**vars(type(c))) + SECRET.format(**pair) +
                                     "".join(virtual_services(c)))
    instance = c.dir / "instance"
    return [c.bin("fairway"), "up", folder, "--workers", "1", "--quiet", "--instance-dir", instance,
            "--grpc-port", "0", "--debug-port", "0", "--monitoring-port", "0",
            "--admin-port", "0", "--status-port", "0", "--metrics-port", "0"]


def pids(root):
    """The data plane: supervisor and workers."""
    for _ in range(100):
        status = json.loads(pathlib.Path(instance, "instance.json").read_text())
        found = [status["supervisor"]["pid"], *(worker["pid"] for worker in status["workers"])]
        if all(found):
            return found
        time.sleep(0.05)
    raise RuntimeError("the data plane has no processes")
