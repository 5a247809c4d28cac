"""ftplib by the documentation's recipe, with vsftpd and ProFTPD, which demand that data connections resume."""

import contextlib
import ftplib
import io
import ssl
import tempfile
from pathlib import Path

import pytest
from machine import program
from recipes import HOST, WAYS, client_context, recipe, seeing

from loopback.processes import free_port, start, stop, wait_until

pytestmark = pytest.mark.one_python

TRANSFERS = 20
CONTENT = bytes(range(256)) * 300

# Anonymous users need no account; the folder for uploads is the only one that may be written to.
VSFTPD = """
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
local_enable=NO
anonymous_enable=YES
anon_root={folder}/served
no_anon_password=YES
write_enable=YES
anon_upload_enable=YES
anon_world_readable_only=NO
anon_umask=022
secure_chroot_dir={folder}/empty
seccomp_sandbox=NO
ssl_enable=YES
allow_anon_ssl=YES
force_anon_data_ssl=YES
force_anon_logins_ssl=YES
require_ssl_reuse=YES
ssl_ciphers=HIGH
rsa_cert_file={folder}/server.pem
rsa_private_key_file={folder}/server.pem
"""

PROFTPD = """
ModulePath {modules}
LoadModule mod_tls.c
ServerType standalone
DefaultAddress 127.0.0.1
SocketBindTight on
Port {port}
User ftp
Group nogroup
PidFile {folder}/pid
ScoreboardFile {folder}/scoreboard
DelayEngine off
UseReverseDNS off
WtmpLog off
TransferLog none
SystemLog {folder}/system-log
TLSEngine on
TLSRequired on
TLSProtocol TLSv1.2 TLSv1.3
TLSRSACertificateFile {folder}/server.pem
TLSRSACertificateKeyFile {folder}/server.pem
TLSVerifyClient off
TLSLog {folder}/tls-log
AllowOverwrite on
<Anonymous {folder}/served>
  User ftp
  Group nogroup
  UserAlias anonymous ftp
  RequireValidShell off
</Anonymous>
"""


def vsftpd(folder, port):
    (folder / "vsftpd.conf").write_text(VSFTPD.format(folder=folder, port=port))
    (folder / "vsftpd.conf").chmod(0o600)
    return [program("vsftpd", "vsftpd"), folder / "vsftpd.conf"]


def proftpd(folder, port):
    found = program("proftpd", "proftpd-core")
    modules = Path(found).resolve().parent.parent / "lib" / "proftpd"
    (folder / "proftpd.conf").write_text(PROFTPD.format(folder=folder, port=port, modules=modules))
    return [found, "--nodaemon", "--config", folder / "proftpd.conf"]


SERVERS = {"vsftpd": vsftpd, "ProFTPD": proftpd}


@pytest.fixture(scope="module")
def folder():
    """Where the user ftp gets to."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="module", params=SERVERS)
def server(request):
    return request.param


@pytest.fixture(scope="module")
def port(server, folder, ca):
    uploads = folder / "served" / "uploads"
    for made in (uploads, folder / "empty"):
        made.mkdir(parents=True, exist_ok=True)
    uploads.chmod(0o777)
    (folder / "served" / "file").write_bytes(CONTENT)
    ca.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    (folder / "server.pem").chmod(0o600)
    port = free_port()
    process = start(SERVERS[server](folder, port), folder)

    def greet():
        with contextlib.closing(ftplib.FTP()) as ftp:
            ftp.connect("127.0.0.1", port)

    try:
        wait_until(greet, process, folder)
        yield port
    finally:
        stop(process)


@pytest.fixture(params=["TLS 1.2, ticket", "TLS 1.3"])
def way(request):
    return request.param


@pytest.fixture
def resumed(monkeypatch):
    seen = seeing()
    monkeypatch.setattr(ssl.SSLContext, "sslsocket_class", seen.sslsocket_class)
    return seen.resumed


@pytest.fixture
def log_in(port):
    return lambda ctx: recipe("log_in_to_ftp")(ctx, HOST, port, "anonymous", "user@a.test")


@pytest.fixture
def make_ctx(pem_files):
    return lambda way: client_context(pem_files[1], way, single_use=False)


def download(ftp):
    received = []
    ftp.retrbinary("RETR file", received.append)
    assert b"".join(received) == CONTENT


def test_without_sessions_the_server_refuses(log_in, way, tmp_path, ca):
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    ctx = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    ctx.minimum_version = ctx.maximum_version = WAYS[way][0]
    with contextlib.closing(log_in(ctx)) as ftp, pytest.raises((*ftplib.all_errors, ssl.SSLError)):
        download(ftp)


def test_transfers(log_in, way, make_ctx, resumed):
    with log_in(make_ctx(way)) as ftp:
        for number in range(TRANSFERS):
            if number % 2:
                ftp.storbinary(f"STOR uploads/{way}{number}", io.BytesIO(CONTENT))
            else:
                download(ftp)
    assert resumed == [False] + TRANSFERS * [True]


def test_one_connection_after_the_other(log_in, way, make_ctx, resumed):
    ctx = make_ctx(way)
    for _ in range(3):
        with log_in(ctx) as ftp:
            download(ftp)
    assert resumed == [False] + 5 * [True]


def test_two_control_connections_at_once(log_in, server, way, make_ctx, resumed):
    """ProFTPD knows a control connection by its tickets of TLS 1.3, which need a context of their own then."""
    own = server == "ProFTPD" and way == "TLS 1.3"
    ctx = make_ctx(way)
    with log_in(ctx) as first, log_in(make_ctx(way) if own else ctx) as second:
        for _ in range(TRANSFERS // 2):
            download(first)
            download(second)
    assert resumed == [False, not own] + TRANSFERS * [True]


@pytest.mark.parametrize("server, way", [("ProFTPD", "TLS 1.3")], indirect=True)
def test_why_they_need_it(log_in, way, make_ctx):
    ctx = make_ctx(way)
    with log_in(ctx) as first, log_in(ctx), pytest.raises(ftplib.error_temp, match="425"):
        download(first)
