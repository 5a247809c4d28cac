"""`doctor`: the certificate, its key and the CAs that gunicorn is told to use."""

import pytest
from cryptography.hazmat.primitives import serialization
from doctors import Diagnosed
from machine import module

from pysidctx.__main__ import main
from pysidctx.cli.doctor.certificate_files import certificates


@pytest.fixture
def files(tmp_path, monkeypatch, ca):
    """The files of a certificate, and the key of another one, in the working directory."""
    monkeypatch.chdir(tmp_path)
    issued = ca.issue_cert("a.test")
    issued.private_key_pem.write_to_path("key.pem")
    issued.cert_chain_pems[0].write_to_path("chain.pem")
    issued.private_key_and_cert_chain_pem.write_to_path("both.pem")
    ca.issue_cert("b.test").private_key_pem.write_to_path("other.pem")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    (tmp_path / "locked.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")))


def judged(hook="default", cert_reqs=0, **files):
    return {each.check: each for each in certificates(
        {"files": files, "tls": True, "cert_reqs": cert_reqs, "hook": {"kind": hook}}, True)}


@pytest.mark.parametrize("named, grade, seen", [
    ({"certfile": "both.pem"}, "ok", ""), ({"certfile": "chain.pem", "keyfile": "key.pem"}, "ok", ""),
    ({"certfile": "chain.pem"}, "fault", "it has no private key"),
    ({"certfile": "chain.pem", "keyfile": "chain.pem"}, "fault", "it has no private key"),
    ({"certfile": "chain.pem", "keyfile": "other.pem"}, "fault", "its private key does not match"),
    ({"certfile": "chain.pem", "keyfile": "locked.pem"}, "fault", "its key has a pass phrase"),
    ({"certfile": "key.pem"}, "fault", "it contains no certificate"),
    ({"keyfile": "key.pem"}, "fault", "certfile is not set"),
])
def test_a_certificate_that_cannot_be_loaded(files, named, grade, seen):
    found = judged(**named)["certificate"]
    assert found.grade == grade and seen in found.seen and bool(found.do) == (grade != "ok")


def test_a_function_of_the_user_may_load_others(files):
    found = judged("other", 2, certfile="chain.pem")
    assert {check: each.grade for check, each in found.items()} == {"certificate": "note"}


@pytest.mark.parametrize("cert_reqs, named, told", [
    (0, {}, False), (1, {}, True), (2, {}, True), (2, {"ca_certs": "chain.pem"}, False)])
def test_clients_are_asked_for_certificates_and_there_is_no_ca(files, cert_reqs, named, told):
    found = judged(cert_reqs=cert_reqs, certfile="both.pem", **named)
    assert ("client-certificates" in found) == told
    assert not told or "ca_certs is not set" in found["client-certificates"].seen


def test_by_the_command(files, capsys, monkeypatch):
    module("gunicorn", "gunicorn")
    monkeypatch.delenv("GUNICORN_CMD_ARGS", raising=False)
    assert main(["doctor", "--json", "--gunicorn", "--certfile chain.pem --cert-reqs 2 app"]) == 1
    found = Diagnosed(capsys.readouterr().out, 1)
    assert found.grades("gunicorn", "certificate") == found.grades("gunicorn", "client-certificates") == ["fault"]
