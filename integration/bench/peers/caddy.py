"""Caddy on one CPU."""
WORKLOADS = {"W1", "W2", "W2b", "W3", "W3l", "W3b", "W4", "W5"}
ENV = {"GOMAXPROCS": "1"}


def start(c):
    proxy = {
        "handler": "reverse_proxy", "upstreams": [{"dial": f"127.0.0.1:{c.backend}"}],
        "transport": {"protocol": "http", "keep_alive": {"max_idle_conns_per_host": 512}},
    }

    def server(port, **more):
        return {"listen": [f"127.0.0.1:{port}"], "routes": [{"handle": [proxy]}],
                "automatic_https": {"disable": True}, **more}

    servers = {
        "http": server(c.http, protocols=["h1"]),
        "h2c": server(c.h2c, protocols=["h1", "h2c"]),
        "https": server(c.https, protocols=["h1", "h2"], tls_connection_policies=[{}]),
    }
    files = {"load_files": [{"certificate": str(c.cert), "key": str(c.key)}]}
    conf = c.write("caddy.json", {
        "admin": {"disabled": True, "config": {"persist": False}},
        "logging": {"logs": {"default": {"level": "ERROR"}}},
        "apps": {"http": {"servers": servers},
                 "tls": {"certificates": files, "session_tickets": {"disabled": True}}},
    })
    return [c.bin("caddy"), "run", "--config", conf]
