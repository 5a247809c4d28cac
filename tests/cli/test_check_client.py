"""`check` does not blame the server for what its own client, or openssl.cnf, refuses."""

import base64
import contextlib
import datetime
import json
import os
import ssl
import subprocess
import sys
import threading

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from machine import program
from peers import A, Peer, nginx, s_client, write_certificates
from servers import TIMEOUT, accepting

from pysidctx.cli.check import client
from pysidctx.cli.check.client_limits import lift_limits
from pysidctx.cli.check.messages import ALERTS

WAYS = {"TLS 1.2, ticket": "TLS 1.2", "TLS 1.3": "TLS 1.3"}


@contextlib.contextmanager
def tls_server(ctx):
    """Which greets, in a thread for each connection."""
    def serve(plain):
        with contextlib.suppress(OSError), plain:
            plain.settimeout(TIMEOUT)
            with ctx.wrap_socket(plain, server_side=True) as made:
                made.sendall(b"hello")
                made.unwrap()

    with accepting(lambda plain: threading.Thread(target=serve, args=(plain,)).start()) as (host, port):
        yield port


def told(said, check):
    return {each["where"]: (each["grade"], each["seen"]) for each in said["findings"] if each["check"] == check}


def gnutls_serv(folder, port, priority, *options):
    return [program("gnutls-serv", "gnutls-bin"), "--http", "--port", port, "--x509certfile", "a.test.pem",
            "--x509keyfile", "a.test.pem", "--priority", priority, *options]


@pytest.mark.one_python
@pytest.mark.parametrize("safe", [True, False])
def test_a_server_without_secure_renegotiation(tmp_path, said, safe):
    write_certificates(tmp_path)
    priority = "NORMAL:-VERS-TLS1.3" + ("" if safe else ":%DISABLE_SAFE_RENEGOTIATION")
    with Peer(gnutls_serv, tmp_path, priority) as peer:
        assert s_client(peer.port, "TLS 1.2", A, "-legacy_server_connect") == "New"
        found = said(peer.port, "--name", A)
    assert told(found, "resumption")["TLS 1.2, ticket"] == ("ok", "9 of 9 returning connections were resumed")
    # By whatever alert.
    grade, seen = told(found, "version")["TLS 1.3"]
    assert grade == "info" and seen.startswith("not offered (alert ")
    assert told(found, "handshake") == {}
    assert told(found, "renegotiation") == ({} if safe else {
        "TLS 1.2": ("note", "no secure renegotiation (RFC 5746)")})


# Of 768 bits, RFC 2409, section 6.1, as PKCS #3 has it: for OpenSSL too short in any configuration.
GROUP_1 = bytes.fromhex(
    "3066026100FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A63A3620FFFFFFFFFFFFFFFF020102")


@pytest.mark.one_python
def test_a_key_that_is_too_short_for_the_client(tmp_path, said, ca):
    """The server accepts it, and other clients may accept it too."""
    certificate = ca.issue_cert(A, key_type=trustme.KeyType.RSA)
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "a.test.pem")
    encoded = base64.encodebytes(GROUP_1).decode()
    (tmp_path / "dh.pem").write_text(f"-----BEGIN DH PARAMETERS-----\n{encoded}-----END DH PARAMETERS-----\n")
    priority = "NORMAL:-VERS-TLS1.3:-KX-ALL:+DHE-RSA:-GROUP-ALL"
    with Peer(gnutls_serv, tmp_path, priority, "--dhparams", "dh.pem") as peer:
        found = said(peer.port, "--name", A)
    assert told(found, "handshake")["TLS 1.2"] == (
        "note", f"{A} cannot be looked at: this client breaks off (dh key too small)")


CONFIGURATION = """
openssl_conf = all
[all]
ssl_conf = commands
[commands]
system_default = limits
[limits]
"""
LIMITS = ["Options = -SessionTicket", "Options = -ExtendedMasterSecret,-EncryptThenMac", "MinProtocol = TLSv1.3",
          "MaxProtocol = TLSv1.2", "CipherString = AES128-GCM-SHA256:@SECLEVEL=5",
          "Ciphersuites = TLS_CHACHA20_POLY1305_SHA256", "Groups = P-521", "SignatureAlgorithms = RSA+SHA512",
          "Protocol = -TLSv1.2"]


@pytest.mark.parametrize("limit", LIMITS)
def test_openssl_cnf_does_not_count(server_ctx, tmp_path, limit):
    """Of a server that wants what the machine's configuration takes from its clients."""
    server_ctx.set_ecdh_curve("prime256v1")
    (tmp_path / "openssl.cnf").write_text(CONFIGURATION + limit + "\n")
    with tls_server(server_ctx) as port:
        ran = subprocess.run(
            [sys.executable, "-m", "pysidctx", "check", f"127.0.0.1:{port}", "--name", A, "--json"],
            env=dict(os.environ, OPENSSL_CONF=str(tmp_path / "openssl.cnf")), capture_output=True, text=True,
            timeout=TIMEOUT)
    assert (ran.returncode, ran.stderr) == (0, "")
    found = told(json.loads(ran.stdout), "resumption")
    assert {way: found.get(way) for way in WAYS} == {
        way: ("ok", "9 of 9 returning connections were resumed") for way in WAYS}


def test_what_openssl_cnf_limits_all_the_same_is_told(said, server_ctx, monkeypatch):
    monkeypatch.setattr(client, "lift_limits", lambda ctx: ["Groups"])
    with tls_server(server_ctx) as port:
        found = said(port, "--name", A, "--most-connections", 3)
    assert told(found, "client") == {"": ("note", "openssl.cnf limits what this client offers: Groups")}


def test_limits_are_lifted_from_contexts_alone():
    assert lift_limits(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) == []
    with pytest.raises(TypeError):
        lift_limits(object())


def test_a_long_chain(said, ca, certificate, tmp_path):
    """A chain that is longer than OpenSSL's clients accept by default."""
    chain = certificate.private_key_and_cert_chain_pem.bytes() + 400 * ca.cert_pem.bytes()
    (tmp_path / "chain.pem").write_bytes(chain)
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(tmp_path / "chain.pem")
    assert 400 * len(ssl.PEM_cert_to_DER_cert(ca.cert_pem.bytes().decode())) > 102400
    with tls_server(ctx) as port:
        found = said(port, "--name", A)
    assert {way: told(found, "resumption")[way][0] for way in WAYS} == dict.fromkeys(WAYS, "ok")


NO_SUCH_CIPHER = b"\2\0\0\x26\3\3" + bytes(32) + b"\0" + b"\x13\x37" + b"\0"


def test_what_the_client_does_not_take_is_its_own(said):
    """A ServerHello that no OpenSSL accepts."""
    def serve(plain):
        with plain:
            plain.recv(1 << 16)
            plain.sendall(b"\x16\3\3" + len(NO_SUCH_CIPHER).to_bytes(2, "big") + NO_SUCH_CIPHER)
            plain.recv(1 << 16)

    with accepting(serve) as (host, port):
        found = said(port, "--name", A)
    assert found["code"] == 2
    assert "TLS 1.2: this client breaks off (" in found["error"] and "Does the server serve" not in found["error"]


@pytest.mark.one_python
@pytest.mark.parametrize("protocols, reasons", [
    ("TLSv1.2", "TLS 1.2: alert unrecognized_name; TLS 1.3: alert protocol_version"),
    ("TLSv1.3", "TLS 1.2: alert protocol_version; TLS 1.3: alert unrecognized_name"),
    ("TLSv1.2 TLSv1.3", "TLS 1.2 and TLS 1.3: alert unrecognized_name"),
])
def test_each_version_has_its_own_reason(tmp_path, said, protocols, reasons):
    write_certificates(tmp_path)
    with Peer(nginx, tmp_path, host_settings={A: f"ssl_reject_handshake on; ssl_protocols {protocols};"}) as peer:
        found = said(peer.port, "--name", A)
    assert found["code"] == 2
    assert f"completes no TLS handshake ({reasons}). Does the server serve this name?" in found["error"]


def test_certificates_that_cannot_be_used(said, ca, client_certificate, certificate, tmp_path):
    """The error says what is wrong with the file, where OpenSSL's own does not."""
    chain, key = client_certificate.cert_chain_pems[0].bytes(), client_certificate.private_key_pem.bytes()
    broken = chain[:100] + b"!" + chain[101:]
    for name, text, why in (
        ("--client-cert", chain, "it has no private key: put the key into the same file as its certificate"),
        ("--client-cert", key, "it contains no certificate in PEM format"),
        ("--client-cert", b"", "it contains no certificate in PEM format"),
        ("--client-cert", chain + certificate.private_key_pem.bytes(),
         "its private key does not match its first certificate"),
        ("--client-cert", broken + key, "OpenSSL does not take it: "),
        ("--ca-file", key, "it contains no certificate in PEM format"),
        ("--ca-file", broken, "OpenSSL does not take it: "),
    ):
        (tmp_path / "file.pem").write_bytes(text)
        found = said(9, name, tmp_path / "file.pem")
        assert found["code"] == 2 and f"cannot be used: {why}" in found["error"], found


def test_alerts_have_the_names_that_ssl_gives_them():
    for each in ssl.AlertDescription:
        assert each.name == f"ALERT_DESCRIPTION_{ALERTS[each].upper()}"
    assert ALERTS[116] == "certificate_required" and ALERTS[120] == "no_application_protocol"


def test_a_weak_certificate_is_measured_by_the_client(said, tmp_path):
    """As OpenSSL does by itself: level 2 takes no keys of RSA below 2048 bits."""
    key = rsa.generate_private_key(65537, 1024)
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, A)]), datetime.datetime.now()
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now,
                                   now + datetime.timedelta(days=9)).add_extension(
        x509.SubjectAlternativeName([x509.DNSName(A)]), False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    (tmp_path / "chain.pem").write_bytes(made.public_bytes(pem) + key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.set_ciphers("DEFAULT:@SECLEVEL=0")
    ctx.load_cert_chain(tmp_path / "chain.pem")
    with tls_server(ctx) as port:
        found = said(port, "--name", A, "--ca-file", tmp_path / "chain.pem")
    (finding,) = [each for each in found["findings"] if each["check"] == "certificate"]
    assert "too weak" in finding["seen"] and "security level 2" in finding["why"]
    assert told(found, "resumption")["TLS 1.3"][0] == "ok"
