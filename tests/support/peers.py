"""TLS servers that others wrote, with two hosts, started on loopback for the tests; and their client."""

import re
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import trustme
from machine import program
from server_programs import free_port, stop
from servers import TIMEOUT

A, B = "a.test", "b.test"
FLAGS = {"TLS 1.2": ["-tls1_2"], "TLS 1.2 without tickets": ["-tls1_2", "-no_ticket"],
         "TLS 1.3": ["-tls1_3"]}
REQUEST = b"GET / HTTP/1.0\r\n\r\n"

NGINX = """
daemon off; worker_processes 4; pid {folder}/pid; error_log stderr; {user}
events {{}}
http {{
    access_log off; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2;
    fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    ssl_protocols TLSv1.2 TLSv1.3; {settings}
    {servers}
}}
"""
NGINX_SERVER = """
    server {{
        listen 127.0.0.1:{port} ssl; server_name {name}; {settings}
        ssl_certificate {name}.pem; ssl_certificate_key {name}.pem;
        location / {{ return 200 "{name}"; }}
    }}
"""
HAPROXY = """
global
    nbthread 2
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend both
    bind 127.0.0.1:{port} ssl crt {folder}/a.test.pem crt {folder}/b.test.pem {settings}
    http-request return status 200 content-type text/plain string hello
"""


def write_certificates(folder):
    """One for each host, one for both, one for clients, and the CA of them all."""
    ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
    ca.cert_pem.write_to_path(folder / "ca.pem")
    for name, names in {"a.test": [A], "b.test": [B], "both": [A, B], "client": ["client@a.test"]}.items():
        ca.issue_cert(*names, key_type=trustme.KeyType.ECDSA).private_key_and_cert_chain_pem.write_to_path(
            folder / f"{name}.pem")


def nginx(folder, port, *, settings="", names=(A,), host_settings=None):
    host_settings = host_settings or {}
    servers = "".join(NGINX_SERVER.format(port=port, name=name, settings=host_settings.get(name, ""))
                      for name in names)
    user = "user root;" if Path("/proc/self").stat().st_uid == 0 else ""
    (folder / "nginx.conf").write_text(
        NGINX.format(folder=folder, user=user, settings=settings, servers=servers))
    return [program("nginx", "nginx-light"), "-p", folder, "-c", folder / "nginx.conf"]


def haproxy(folder, port, *, settings=""):
    (folder / "haproxy.cfg").write_text(HAPROXY.format(folder=folder, port=port, settings=settings))
    return [program("haproxy", "haproxy"), "-db", "-f", folder / "haproxy.cfg"]


def s_server(folder, port, *options):
    return [program("openssl", "openssl"), "s_server", "-accept", str(port), "-quiet", "-www", "-cert",
            folder / "a.test.pem", *options]


class Peer:
    """A program that serves on a port, as a context manager."""

    def __init__(self, make, folder, *arguments, **options):
        self.folder, self.port = folder, free_port()
        self.command = make(folder, self.port, *arguments, **options)

    def __enter__(self):
        with open(self.folder / "log", "ab") as output:
            self.process = subprocess.Popen(
                [*map(str, self.command)], cwd=self.folder, stdout=output, stderr=output,
                stdin=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT):
                return self
            time.sleep(0.05)
        stop(self.process)
        raise AssertionError(f"{self.command} do not answer:\n{(self.folder / 'log').read_text()}")

    def __exit__(self, *error):
        self.process.send_signal(signal.SIGTERM)
        stop(self.process)


def s_client(port, way, name, *options):
    """What `openssl s_client` says of a connection: New or Reused."""
    said = subprocess.run(
        [program("openssl", "openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name,
         "-ign_eof", *FLAGS[way], *options],
        input=REQUEST, capture_output=True, timeout=TIMEOUT).stdout
    found = re.search(rb"^(New|Reused), TLS", said, re.MULTILINE)
    return found.group(1).decode() if found else "refused"


def resumed_elsewhere(folder, port, way, made, offered, tries):
    """Whether one of so many offers of a session to another name is taken, says `openssl s_client`."""
    file = folder / "session.pem"
    file.unlink(missing_ok=True)
    s_client(port, way, made, "-sess_out", file)
    return file.exists() and any(
        s_client(port, way, offered, "-sess_in", file) == "Reused" for _ in range(tries))
