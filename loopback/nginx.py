"""nginx as an HTTPS server on loopback: its configuration, and the command that starts it."""

import os
from collections.abc import Iterable
from pathlib import Path

CONFIGURATION = """
daemon off; worker_processes {workers}; pid {folder}/pid; error_log stderr {log_level}; {user}
events {{ worker_connections 1024; }}
http {{
    access_log off; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2;
    fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    ssl_protocols TLSv1.2 TLSv1.3; {settings}
    {hosts}
}}
"""
HOST = """
    server {{
        listen 127.0.0.1:{port} ssl {options}; server_name {name}; {settings}
        ssl_certificate {certificate}; ssl_certificate_key {certificate};
        location / {{ return 200 "{answer}"; }}
    }}
"""


def host(port: int, name: str, certificate: str, *, answer: str, settings: str = "", options: str = "") -> str:
    """Return the configuration of one server name. `certificate` is a PEM file with key; `options` are for listen."""
    return HOST.format(port=port, name=name, certificate=certificate, answer=answer, settings=settings,
                       options=options)


def command(program: str, folder: Path, hosts: Iterable[str], *, workers: int = 4, settings: str = "",
            log_level: str = "error") -> list[str]:
    """Write nginx.conf to `folder`, and return the command that starts nginx there."""
    user = "user root;" if os.geteuid() == 0 else ""  # the user nobody cannot read a private folder of root's
    path = folder / "nginx.conf"
    path.write_text(CONFIGURATION.format(workers=workers, folder=folder, log_level=log_level, user=user,
                                         settings=settings, hosts="".join(hosts)))
    return [program, "-p", str(folder), "-c", str(path)]
