"""A real nginx in front of a server, in the usual configurations."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# In the order of WAYS.
_SERVERS = """
server {{ listen 127.0.0.1:{0}; location / {{ proxy_pass {to}; }} }}
server {{ listen 127.0.0.1:{1}; location /paddock/ {{ proxy_pass {to}/; proxy_set_header Host $host:$server_port; }} }}
server {{ listen 127.0.0.1:{2}; location / {{ proxy_pass {to}; proxy_http_version 1.1; proxy_buffering off;
  proxy_set_header Host $host; proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Forwarded-Proto https;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}
server {{ listen 127.0.0.1:{3}; location /deep/chat/ {{ proxy_pass {to}; }} }}
"""
WAYS = {"plain": "/", "path": "/paddock/", "forwarded": "/", "whole path": "/deep/chat/"}
_REST = """
worker_processes 1; pid n.pid; error_log e.log; events {{ worker_connections 128; }}
http {{ access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u;
scgi_temp_path s; client_max_body_size 100m; {servers} }}
"""


def nginx() -> str | None:
    """Return the path of nginx, or None."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def proxied(folder: Path, to: str) -> Iterator[dict[str, str]]:
    """Run nginx in front of the server `to` while the block runs, and yield the address for each of WAYS."""
    program = nginx()
    assert program is not None
    holders = [socket.create_server(("127.0.0.1", 0)) for _ in WAYS]
    ports = [holder.getsockname()[1] for holder in holders]
    for holder in holders:
        holder.close()
    folder.mkdir()
    (folder / "nginx.conf").write_text(_REST.format(servers=_SERVERS.format(*ports, to=to)))
    command = [program, "-p", str(folder), "-c", "nginx.conf"]
    # The command returns once nginx listens in the background.
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield {way: f"http://127.0.0.1:{port}{path}" for (way, path), port in zip(WAYS.items(), ports, strict=True)}
    finally:
        subprocess.run([*command, "-s", "quit"], check=True, capture_output=True)
