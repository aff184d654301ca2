"""HAProxy with one thread; splice(2) allowed for TCP."""
WORKLOADS = {"W1", "W2", "W2b", "W3", "W3l", "W3b", "W4", "W5", "W6", "W6s", "W7"}

CONF = """
global
  nbthread 1
  maxconn 15000
  no strict-limits
  tune.ssl.cachesize 0
  ssl-default-bind-options no-tls-tickets ssl-min-ver TLSv1.2
defaults
  mode http
  http-reuse always
  timeout connect 5s
  timeout client 600s
  timeout server 600s
frontend web
  bind 127.0.0.1:{c.http} backlog 4096
  bind 127.0.0.1:{c.https} ssl crt {c.pem} alpn h2,http/1.1 backlog 4096
  bind 127.0.0.1:{c.h2c} proto h2
  {rule}
backend origin
  server one 127.0.0.1:{c.backend}
listen opaque
  mode tcp
  option splice-request
  option splice-response
  bind 127.0.0.1:{c.tcp}
  server one 127.0.0.1:{c.tcp_backend}
"""


def start(c):
    rule = f"use_backend origin if {{ hdr(host),field(1,:) -i {c.host} }}"
    if c.vhosts:
        keys = (f"h{host}.test/r{route} origin\n"
                for host in range(c.vhosts) for route in range(c.routes))
        rule = f"use_backend %[base,map_beg({c.write('routes.map', ''.join(keys))})]"
    return [c.bin("haproxy"), "-db", "-f", c.write("haproxy.cfg", CONF.format(c=c, rule=rule))]
