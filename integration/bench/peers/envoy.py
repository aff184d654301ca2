"""Envoy with one worker, set up as its own advice for benchmarks has it: no request ids, no
dynamic statistics, no headers of its own, high circuit breakers."""
WORKLOADS = {"W1", "W2", "W2b", "W3", "W3l", "W3b", "W4", "W5", "W6", "W6s", "W7"}
TYPES = "type.googleapis.com/envoy.extensions."
NETWORK = "filters.network"


def _address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _typed(kind, version_path, **fields):
    return {"name": "envoy." + kind, "typed_config": {"@type": TYPES + version_path, **fields}}


def _cluster(name, port):
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": name, "type": "STATIC", "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [{limit: 1_000_000 for limit in limits}]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _virtual_hosts(c):
    to = lambda prefix: {"match": {"prefix": prefix}, "route": {"cluster": "origin"}}
    if not c.vhosts:
        return [{"name": "all", "domains": ["*"], "routes": [to("/")]}]
    routes = [to(f"/r{n}") for n in range(c.routes)]
    return [{"name": f"h{n}", "domains": [f"h{n}.test"], "routes": routes}
            for n in range(c.vhosts)]


def _listener(name, port, filters, tls=None):
    chain = {"filters": [filters]} | ({"transport_socket": tls} if tls else {})
    return {"name": name, "address": _address(port), "filter_chains": [chain]}


def _tls(c):
    file = lambda path: {"filename": str(path)}
    return _typed(
        "transport_sockets.tls", "transport_sockets.tls.v3.DownstreamTlsContext",
        disable_stateless_session_resumption=True, disable_stateful_session_resumption=True,
        common_tls_context={
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [{"certificate_chain": file(c.cert), "private_key": file(c.key)}],
        })


def start(c):
    router = _typed("filters.http.router", "filters.http.router.v3.Router",
                    dynamic_stats=False, suppress_envoy_headers=True)
    http = _typed(f"{NETWORK}.http_connection_manager",
                  f"{NETWORK}.http_connection_manager.v3.HttpConnectionManager",
                  stat_prefix="http", generate_request_id=False, strip_any_host_port=True,
                  stream_idle_timeout="600s", http_filters=[router],
                  route_config={"virtual_hosts": _virtual_hosts(c)})
    tcp = _typed(f"{NETWORK}.tcp_proxy", f"{NETWORK}.tcp_proxy.v3.TcpProxy",
                 stat_prefix="tcp", cluster="opaque")
    listeners = [_listener("http", c.http, http)]
    if not c.vhosts:
        listeners += [_listener("https", c.https, http, _tls(c)), _listener("h2c", c.h2c, http),
                      _listener("tcp", c.tcp, tcp)]
    clusters = [_cluster("origin", c.backend), _cluster("opaque", c.tcp_backend)]
    conf = c.write("envoy.json",
                   {"static_resources": {"listeners": listeners, "clusters": clusters}})
    return [c.bin("envoy"), "-c", conf, "--concurrency", "1", "--disable-hot-restart",
            "-l", "error"]
