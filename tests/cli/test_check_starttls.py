"""`check` of servers that begin in plain text, beside `openssl s_client -starttls`."""

import contextlib
import grp
import os
import pwd
import re
import socket
import subprocess
import sys
import threading
import time

import pytest
from machine import module, program
from peers import A, Peer, write_certificates
from server_programs import free_port
from servers import TIMEOUT, accepting

from pysidctx.cli.check import starttls

SMTP = """
import asyncio, ssl, sys
from aiosmtpd.smtp import SMTP
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
ctx.load_cert_chain("a.test.pem")
async def serve():
    await asyncio.get_running_loop().create_server(
        lambda: SMTP(None, tls_context=ctx, hostname="mail.test"), "127.0.0.1", int(sys.argv[1]))
    await asyncio.Event().wait()
asyncio.run(serve())
"""
FTP = """
import sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import TLS_FTPHandler
from pyftpdlib.servers import FTPServer
TLS_FTPHandler.certfile, TLS_FTPHandler.authorizer = "a.test.pem", DummyAuthorizer()
FTPServer(("127.0.0.1", int(sys.argv[1])), TLS_FTPHandler).serve_forever()
"""
DOVECOT = """
{version}
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/dovecot.log
protocols = imap pop3
listen = 127.0.0.1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
ssl = required
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""
# What is said otherwise from 2.4 on, first and last.
DOVECOT_2_3 = "", """
ssl_cert = <{folder}/a.test.pem
ssl_key = <{folder}/a.test.pem
passdb {{
  driver = static
  args = nopassword=y
}}
"""
DOVECOT_2_4 = "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0", """
ssl_server_cert_file = {folder}/a.test.pem
ssl_server_key_file = {folder}/a.test.pem
passdb static {{
  fields {{
    nopassword = yes
  }}
}}
"""


def script(code, **packages):
    def make(folder, port):
        for name, package in packages.items():
            module(name, package)
        (folder / "server.py").write_text(code)
        return [sys.executable, "server.py", port]
    return make


def dovecot(protocol):
    def make(folder, port):
        path = program("dovecot", "dovecot-imapd")
        old = subprocess.run([path, "--version"], capture_output=True, text=True).stdout.startswith("2.3")
        first, last = DOVECOT_2_3 if old else DOVECOT_2_4
        user = pwd.getpwuid(os.getuid())
        name = "nobody" if user.pw_uid == 0 else user.pw_name
        ports = {"imap": free_port(), "pop3": free_port(), protocol: port}
        (folder / "dovecot.conf").write_text((DOVECOT + last).format(
            version=first, folder=folder, user=name, group=grp.getgrgid(pwd.getpwnam(name).pw_gid).gr_name, **ports))
        return [path, "-F", "-c", folder / "dovecot.conf"]
    return make


PEERS = {"smtp": script(SMTP, aiosmtpd="aiosmtpd"), "ftp": script(FTP, pyftpdlib="pyftpdlib", OpenSSL="pyOpenSSL"),
         "imap": dovecot("imap"), "pop3": dovecot("pop3")}


def s_client(port, protocol, *options):
    with subprocess.Popen(
        [program("openssl", "openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-starttls", protocol,
         "-tls1_2", "-servername", A, *options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as client:
        time.sleep(0.3)
        said = client.communicate(b"Q\n", timeout=TIMEOUT)[0].decode(errors="replace")
    (kind,) = re.findall("^(New|Reused), TLS", said, re.MULTILINE)
    return kind


def resumes(port, protocol, folder):
    session = folder / "session.pem"
    kinds = s_client(port, protocol, "-sess_out", session), s_client(port, protocol, "-sess_in", session)
    return kinds == ("New", "Reused")


def ways_that_resume(said):
    return {each["where"] for each in said["findings"]
            if each["check"] == "resumption" and re.match(r"(\d+) of \1 ", each["seen"])}


@pytest.mark.one_python
@pytest.mark.parametrize("protocol", PEERS)
def test_real_servers(said, tmp_path, protocol):
    write_certificates(tmp_path)
    with Peer(PEERS[protocol], tmp_path) as peer:
        found = said(peer.port, "--name", A, "--starttls", protocol, "--connections", 4)
        by_s_client = resumes(peer.port, protocol, tmp_path)
        without = said(peer.port, "--name", A)
    assert found["code"] == 0
    assert ("TLS 1.2, ticket" in ways_that_resume(found)) == by_s_client
    assert without["code"] == 2
    assert "does not speak TLS" in without["error"] and without["error"].endswith(f"try --starttls {protocol}.")


def serve_postgres(plain):
    assert plain.recv(8) == b"\0\0\0\x08" + (80877103).to_bytes(4, "big")
    plain.sendall(b"S")


def serve_ldap(plain):
    assert b"1.3.6.1.4.1.1466.20037" in plain.recv(1000)
    plain.sendall(bytes.fromhex("300c02010178070a010004000400"))


def serve_xmpp(plain):
    read_until(plain, b"version='1.0'", b'version="1.0"', b"jabber:client")
    plain.sendall(b"<?xml version='1.0'?><stream:stream id='1' xmlns='jabber:client' version='1.0' "
                  b"xmlns:stream='http://etherx.jabber.org/streams'><stream:features><starttls "
                  b"xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>")
    read_until(plain, b"xmpp-tls")
    plain.sendall(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")


def read_until(plain, *words):
    text = b""
    while not any(word in text for word in words) or not text.endswith(b">"):
        text += plain.recv(1)


SMALL = {"postgres": serve_postgres, "ldap": serve_ldap, "xmpp": serve_xmpp}


@contextlib.contextmanager
def server(turn, ctx):
    def serve(plain):
        with contextlib.suppress(OSError), plain:
            plain.settimeout(TIMEOUT)
            turn(plain)
            with ctx.wrap_socket(plain, server_side=True) as made:
                made.recv(10)
                made.unwrap()

    with accepting(lambda plain: threading.Thread(target=serve, args=(plain,)).start()) as (host, port):
        yield port


@pytest.mark.parametrize("protocol", SMALL)
def test_other_protocols(said, server_ctx, tmp_path, protocol):
    with server(SMALL[protocol], server_ctx) as port:
        found = said(port, "--name", A, "--starttls", protocol, "--connections", 3)
        assert resumes(port, protocol, tmp_path)
    assert ways_that_resume(found) >= {"TLS 1.2, ticket", "TLS 1.3"}


@contextlib.contextmanager
def answering(*answers):
    """A server in plain text: what it says first, and to each that it hears; None: nothing, for long."""
    held = []

    def serve(plain):
        held.append(plain)
        with contextlib.suppress(OSError):
            plain.settimeout(TIMEOUT)
            for number, answer in enumerate(answers):
                if number:
                    plain.recv(1000)
                if answer is None:
                    return
                plain.sendall(answer)
            plain.shutdown(socket.SHUT_WR)

    with accepting(lambda plain: threading.Thread(target=serve, args=(plain,)).start()) as (host, port):
        yield port
    for plain in held:
        plain.close()


LDAP_REFUSES = bytes.fromhex("300c02010178070a013504000400")
XMPP_BEGINS = b"<?xml version='1.0'?><stream:stream>"


@pytest.mark.parametrize("protocol, answers, why", [
    ("smtp", [b"220 a\r\n", b"250-a\r\n250 PIPELINING\r\n", b"502 no\r\n"], "the server sent '502 no'"),
    ("smtp", [b"421 busy\r\n"], "the server sent '421 busy'"),
    ("smtp", [b"220-a\r\n"], "the server closed the connection"),
    ("ftp", [b"220 a\r\n", b"500 what?\x1b[31m\r\n"], r"the server sent '500 what?\x1b[31m'"),
    ("imap", [b"* PREAUTH hello\r\n"], "the server sent '* PREAUTH hello'"),
    ("imap", [b"* OK\r\n", b"* CAPABILITY\r\n1 BAD no\r\n"], "the server sent '1 BAD no'"),
    ("pop3", [b"+OK\r\n", b"-ERR no\r\n"], "the server sent '-ERR no'"),
    ("postgres", [b"", b"N"], "the server sent 'N'"),
    ("ldap", [b"", LDAP_REFUSES], "the server sent"),
    ("ldap", [b"", b"\x30\x84\xff\xff\xff\xff"], "the server sent more than"),
    ("xmpp", [b"", XMPP_BEGINS + b"<stream:features></stream:features>"], "the server does not offer STARTTLS"),
    ("xmpp", [b"", XMPP_BEGINS + b"<stream:features>xmpp-tls</stream:features>", b"<failure/>"],
     "the server sent '<failure/>'"),
    ("pop3", [b"+" * 70000], "the server sent more than 65536 bytes"),
    ("imap", [None], "the server sent nothing in time. If it speaks TLS from the beginning, omit --starttls"),
    ("imap", [b"* OK\r\n", None], "the server sent no more data in time"),
], ids=lambda value: value if isinstance(value, str) and " " not in value else "")
def test_servers_that_do_not_turn_to_tls(said, protocol, answers, why):
    with answering(*answers) as port:
        found = said(port, "--starttls", protocol, "--timeout", "0.5")
    assert found["code"] == 2
    assert f"does not switch to TLS with the command of {protocol}: {why}" in found["error"]
    assert "\x1b" not in found["error"]


@pytest.mark.parametrize("greeting, advice", [
    (b"220 mail.test ESMTP Postfix\r\n", "It seems to speak smtp: try --starttls smtp."),
    (b"220 (vsFTPd 3.0.3)\r\n", "It seems to speak ftp: try --starttls ftp."),
    (b"220 welcome\r\n", "It seems to speak smtp or ftp: try --starttls smtp or --starttls ftp."),
    (b"* OK ready\r\n", "It seems to speak imap: try --starttls imap."),
    (b"+OK ready\r\n", "It seems to speak pop3: try --starttls pop3."),
    (b"<?xml version='1.0'?><stream:stream>", "It seems to speak xmpp: try --starttls xmpp."),
    (b"\x30\x24\x02\x01\x00\x78\x1f\x8a\x161.3.6.1.4.1.1466.20036", "It seems to speak ldap: try --starttls ldap."),
    (b"E\0\0\0\x40SFATAL\0VFATAL\0", "It seems to speak postgres: try --starttls postgres."),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "It sent 'SSH-2.0-OpenSSH_9.2'."),
    (b"", "If it begins in plain text, pass its protocol: --starttls smtp|imap|pop3|ftp|ldap|postgres|xmpp."),
])
def test_what_is_said_instead_of_tls(said, greeting, advice):
    with answering(greeting) as port:
        found = said(port, "--name", A)
    assert found["code"] == 2 and found["error"].endswith(advice)


def test_no_page_is_asked_for_of_a_mail_server(said):
    found = said(9, "--starttls", "imap", "--request")
    assert found["code"] == 2 and "omit --request" in found["error"]


def test_every_protocol_is_tried_here():
    assert {*PEERS, *SMALL} == {*starttls.PROTOCOLS}
