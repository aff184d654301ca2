"""nginx with one worker."""
WORKLOADS = {"W1", "W2", "W2b", "W3", "W3l", "W3b", "W4", "W5", "W6", "W6s", "W7"}

CONF = """
load_module modules/ngx_stream_module.so;
daemon off; pid {dir}/pid; error_log stderr crit; worker_processes 1;
events {{ worker_connections 16000; }}
http {{
  access_log off; client_max_body_size 0; keepalive_timeout 600s; keepalive_requests 1000000000;
  server_names_hash_max_size 65536; server_names_hash_bucket_size 128;
  client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir};
  uwsgi_temp_path {dir}; scgi_temp_path {dir};
  proxy_http_version 1.1; proxy_set_header Host $host; proxy_set_header Connection "";
  proxy_request_buffering off; proxy_max_temp_file_size 0;
  proxy_buffer_size 16k; proxy_buffers 8 16k; proxy_busy_buffers_size 64k;
  ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
  ssl_session_cache off; ssl_session_tickets off;
  upstream origin {{
    server 127.0.0.1:{backend}; keepalive 512; keepalive_requests 1000000000;
  }}
  {servers}
}}
stream {{
  server {{ listen 127.0.0.1:{tcp}; proxy_pass 127.0.0.1:{tcp_backend}; proxy_buffer_size 64k; }}
}}
"""
ONE = """server {{
  listen 127.0.0.1:{http} backlog=4096; listen 127.0.0.1:{https} ssl http2 backlog=4096;
  listen 127.0.0.1:{h2c} http2; server_name {host};
  location / {{ proxy_pass http://origin; }}
}}"""


def start(c):
    routes = "".join(f"location /r{n} {{ proxy_pass http://origin; }} " for n in range(c.routes))
    servers = "\n".join(f"server {{ listen 127.0.0.1:{c.http}; server_name h{n}.test; {routes}}}"
                        for n in range(c.vhosts))
    names = {name: getattr(c, name) for name in
             ("dir", "cert", "key", "http", "https", "h2c", "tcp", "backend", "tcp_backend", "host")}
    servers = servers or ONE.format(**names)
    return [c.bin("nginx"), "-c", c.write("nginx.conf", CONF.format(**names, servers=servers))]
