"""context_fingerprint(): equal for equal settings, and different where anything that authenticates differs."""

import ctypes
import datetime
import hashlib
import ssl
import subprocess
import sys
import threading

import libssl
import pytest
import trustme
from handshakes import connect
from machine import SUPPORT

from pysidctx import context_fingerprint, derive_session_id_context

X509_V_FLAG_CRL_CHECK = 4


@pytest.fixture(scope="module")
def another_ca():
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture(scope="module")
def rsa_certificate(ca):
    return ca.issue_cert("a.test", key_type=trustme.KeyType.RSA)


@pytest.fixture(scope="module")
def revocation_list(ca):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    key = serialization.load_pem_private_key(ca.private_key_pem.bytes(), None)
    issuer = x509.load_pem_x509_certificate(ca.cert_pem.bytes()).subject
    now = datetime.datetime(2026, 1, 1)
    return (
        x509.CertificateRevocationListBuilder().issuer_name(issuer).last_update(now)
        .next_update(now + datetime.timedelta(days=36500)).sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


@pytest.fixture
def base(make_server_ctx):
    """Makes contexts with the same settings."""
    return lambda: make_server_ctx(verify=ssl.CERT_REQUIRED)


def raw(name, *arguments):
    return ctypes.CFUNCTYPE(ctypes.c_void_p)(libssl.address_of(name))(*arguments)


def trusted_with_settings(ca, tmp_path):
    """The CA's certificate with trust settings filed behind it, which refuse it for clients."""
    plain, trusted = tmp_path / "plain.pem", tmp_path / "trusted.pem"
    ca.cert_pem.write_to_path(plain)
    subprocess.run(["openssl", "x509", "-in", plain, "-trustout", "-addreject", "clientAuth",
                    "-out", trusted], check=True)
    return trusted


def change_certificate(ctx, ca, **_):
    ca.issue_cert("a.test", key_type=trustme.KeyType.ECDSA).configure_cert(ctx)


def add_a_second_certificate(ctx, rsa_certificate, **_):
    rsa_certificate.configure_cert(ctx)


def add_a_chain(ctx, certificate, another_ca, tmp_path, **_):
    path = tmp_path / "chain.pem"
    path.write_bytes(certificate.private_key_and_cert_chain_pem.bytes()
                     + another_ca.cert_pem.bytes())
    ctx.load_cert_chain(path)


def trust_another_ca(ctx, another_ca, **_):
    another_ca.configure_trust(ctx)


def trust_with_other_settings(ctx, another_ca, tmp_path, **_):
    ctx.load_verify_locations(trusted_with_settings(another_ca, tmp_path))


def add_a_revocation_list(ctx, revocation_list, tmp_path, **_):
    path = tmp_path / "crl.pem"
    path.write_bytes(revocation_list)
    ctx.load_verify_locations(path)


def name_cas_to_clients(ctx, ca, tmp_path, **_):
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(path)
    names = raw("SSL_load_client_CA_file", str(path).encode())
    raw("SSL_CTX_set_client_CA_list", ctypes.c_void_p(libssl.pointer(ctx)), ctypes.c_void_p(names))


def verify_optionally(ctx, **_):
    ctx.verify_mode = ssl.CERT_OPTIONAL


def verify_nobody(ctx, **_):
    ctx.verify_mode = ssl.CERT_NONE


def check_revocation(ctx, **_):
    ctx.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def verify_to_a_depth(ctx, **_):
    raw("SSL_CTX_set_verify_depth", ctypes.c_void_p(libssl.pointer(ctx)), 3)


def allow_weaker_keys(ctx, **_):
    ctx.set_ciphers("DEFAULT:@SECLEVEL=0")


def allow_pre_shared_keys(ctx, **_):
    ctx.set_ciphers("PSK")


def ask_after_the_handshake(ctx, **_):
    ctx.post_handshake_auth = True


CHANGES = [
    change_certificate, add_a_second_certificate, add_a_chain, trust_another_ca,
    trust_with_other_settings, add_a_revocation_list, name_cas_to_clients, verify_optionally,
    verify_nobody, check_revocation, verify_to_a_depth, allow_weaker_keys,
    allow_pre_shared_keys, ask_after_the_handshake,
]


@pytest.fixture
def fixtures(ca, another_ca, certificate, rsa_certificate, revocation_list, tmp_path):
    return dict(ca=ca, another_ca=another_ca, certificate=certificate,
                rsa_certificate=rsa_certificate, revocation_list=revocation_list,
                tmp_path=tmp_path)


@pytest.mark.parametrize("change", CHANGES)
def test_each_setting_changes_it(base, fixtures, change):
    ctx = base()
    before = context_fingerprint(ctx)
    change(ctx, **fixtures)
    assert context_fingerprint(ctx) != before


def test_all_changes_differ_from_each_other(base, fixtures):
    seen = set()
    for change in CHANGES:
        ctx = base()
        change(ctx, **fixtures)
        seen.add(context_fingerprint(ctx))
    assert len(seen) == len(CHANGES)


def test_equal_settings_make_equal_fingerprints(base, rsa_certificate, another_ca, certificate):
    one, other = base(), base()
    rsa_certificate.configure_cert(one)
    another_ca.configure_trust(one)
    # Another order, and the same twice.
    another_ca.configure_trust(other)
    another_ca.configure_trust(other)
    rsa_certificate.configure_cert(other)
    certificate.configure_cert(other)
    assert context_fingerprint(one) == context_fingerprint(other)
    assert len(context_fingerprint(one)) == 32


def test_an_id_context_is_not_part_of_it(base):
    from pysidctx import set_session_id_context

    ctx = base()
    before = context_fingerprint(ctx)
    set_session_id_context(ctx, before)
    assert context_fingerprint(ctx) == before


def test_a_client_that_checks_the_host_name_differs():
    checking, not_checking = (ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) for _ in range(2))
    not_checking.check_hostname = False
    assert context_fingerprint(checking) != context_fingerprint(not_checking)


def test_it_is_what_the_documentation_says(base, ca, certificate, another_ca):
    ctx = base()
    another_ca.configure_trust(ctx)

    def der(pem):
        return ssl.PEM_cert_to_DER_cert(pem.bytes().decode())

    def as_set(*members):
        return b"".join(sorted({hashlib.sha256(member).digest() for member in members}))

    pointer = ctypes.c_void_p(libssl.pointer(ctx))
    store = ctypes.c_void_p(raw("SSL_CTX_get_cert_store", pointer))
    param = ctypes.c_void_p(raw("SSL_CTX_get0_param", pointer))
    store_param = ctypes.c_void_p(raw("X509_STORE_get0_param", store))

    def number(name, argument):
        return ctypes.c_int(raw(name, argument) or 0).value

    settings = ",".join(f"{name}={value}" for name, value in (
        ("verify_mode", 3),
        ("verify_depth", number("SSL_CTX_get_verify_depth", pointer)),
        ("verify_flags", int(ctx.verify_flags)),
        ("host_flags", number("X509_VERIFY_PARAM_get_hostflags", param)),
        ("auth_level", number("X509_VERIFY_PARAM_get_auth_level", param)),
        ("security_level", ctx.security_level if sys.version_info >= (3, 10)
         else number("SSL_CTX_get_security_level", pointer)),
        ("store_flags", number("X509_VERIFY_PARAM_get_flags", store_param)),
        ("store_depth", number("X509_VERIFY_PARAM_get_depth", store_param)),
        ("store_auth_level", number("X509_VERIFY_PARAM_get_auth_level", store_param)),
        ("check_hostname", 0),
        ("post_handshake_auth", 0),
    ))
    (leaf,) = certificate.cert_chain_pems
    assert context_fingerprint(ctx) == derive_session_id_context(
        "pysidctx context fingerprint 1",
        as_set(derive_session_id_context(der(leaf))),
        b"",
        as_set(der(ca.cert_pem), der(another_ca.cert_pem)),
        b"",
        b"",
        settings,
        as_set(*(cipher["name"].encode() for cipher in ctx.get_ciphers()
                 if cipher["auth"] in ("auth-null", "auth-psk", "auth-srp"))),
    )


def test_it_stays_the_same_between_releases():
    """The expected value is a constant: every setting of the context is explicit, so that no default matters."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.verify_flags = ssl.VERIFY_X509_TRUSTED_FIRST
    ctx.set_ciphers("ECDHE+AESGCM:@SECLEVEL=2")
    assert context_fingerprint(ctx).hex() == (
        "e81e5014719119e720c122616a8ef17808c8713966c643f051945930d70f38d9")


@pytest.mark.parametrize("verify_mode", [ssl.CERT_NONE, ssl.CERT_REQUIRED])
def test_cas_from_a_directory_are_refused(base, tmp_path, verify_mode):
    ctx = base()
    ctx.verify_mode = verify_mode
    ctx.load_verify_locations(capath=tmp_path)
    with pytest.raises(ValueError, match="cafile or cadata"):
        context_fingerprint(ctx)


def test_the_system_s_cas_are_refused():
    with pytest.raises(ValueError, match="cafile or cadata"):
        context_fingerprint(ssl.create_default_context())


@pytest.mark.parametrize("call", [
    "context_fingerprint(ctx)", "HostMap({'a.test': ctx})", "resumable(ctx, TicketKeys())"])
def test_an_openssl_that_does_not_show_its_cas_is_refused(call):
    """Where an id context is given, its CAs need not be listed."""
    code = f"""
import ssl, sys
from pysidctx import *
sys.path.append({str(SUPPORT)!r})
import overwritten
overwritten.make_return("X509_STORE_get0_param", 0)
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
try:
    {call}
except ValueError as error:
    print(error)
HostMap({{"a.test": Host(ctx, b"a/v1")}})
"""
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"{ssl.OPENSSL_VERSION} does not reveal whether" in ran.stdout
    assert "choose an id context yourself" in ran.stdout


@pytest.mark.parametrize("ctx", [None, "ctx", ssl.SSLContext, object()])
def test_other_objects_are_refused(ctx):
    with pytest.raises(TypeError, match=r"ssl\.SSLContext"):
        context_fingerprint(ctx)


def test_threads_may_take_it_while_others_shake_hands(base, make_client_ctx):
    ctx = base()
    fingerprints, errors = set(), []

    def work(step):
        try:
            for _ in range(40):
                step()
        except Exception as error:
            errors.append(error)

    client_ctx = make_client_ctx()
    threads = [
        threading.Thread(target=work, args=(step,))
        for step in 3 * (lambda: fingerprints.add(context_fingerprint(ctx)),
                         lambda: connect(ctx, client_ctx))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(fingerprints) == 1
