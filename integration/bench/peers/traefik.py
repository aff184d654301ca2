"""Traefik on one CPU."""
WORKLOADS = {"W1", "W2", "W2b", "W3", "W3l", "W3b", "W4", "W5", "W7"}
ENV = {"GOMAXPROCS": "1"}


def start(c):
    certificate = {"certFile": str(c.cert), "keyFile": str(c.key)}
    plain = {"rule": f"Host(`{c.host}`)", "service": "origin", "entryPoints": ["http", "h2c"]}
    # wrk names the host that it connects to.
    secure = {"rule": "PathPrefix(`/`)", "service": "origin", "entryPoints": ["https"], "tls": {}}
    origin = {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{c.backend}"}]}}
    opaque = {"loadBalancer": {"servers": [{"address": f"127.0.0.1:{c.tcp_backend}"}]}}
    every = {"rule": "HostSNI(`*`)", "service": "opaque", "entryPoints": ["tcp"]}
    dynamic = c.write("dynamic.json", {
        "http": {"routers": {"plain": plain, "secure": secure}, "services": {"origin": origin}},
        "tcp": {"routers": {"every": every}, "services": {"opaque": opaque}},
        "tls": {"certificates": [certificate],
                "stores": {"default": {"defaultCertificate": certificate}},
                "options": {"default": {"disableSessionTickets": True}}},
    })
    ports = {name: {"address": f"127.0.0.1:{getattr(c, name)}"}
             for name in ("http", "https", "h2c", "tcp")}
    static = c.write("traefik.json", {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "ERROR"}, "serversTransport": {"maxIdleConnsPerHost": 512},
        "entryPoints": ports, "providers": {"file": {"filename": dynamic, "watch": False}},
    })
    return [c.bin("traefik"), f"--configFile={static}"]
