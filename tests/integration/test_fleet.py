"""The server of a fleet with client certificates: its devices are resumed, and refused as soon as they are revoked."""

import json
import re
import ssl
import time
from pathlib import Path

import pytest
from authorities import revocation_list
from certified_app import __file__ as app
from handshakes import VERSIONS
from server_programs import EVERYTHING, FLEET, PythonClient, visits

pytestmark = pytest.mark.one_python


@pytest.mark.parametrize("version", VERSIONS)
def test_a_device_is_resumed_until_it_is_revoked(start, ca, client_certificate, pem_files, tmp_path, version):
    chain, other = tmp_path / "device.pem", tmp_path / "other.pem"
    client_certificate.private_key_and_cert_chain_pem.write_to_path(chain)
    ca.issue_cert("other@a.test").private_key_and_cert_chain_pem.write_to_path(other)
    files = {**FLEET.files, "app.py": Path(app).read_text(), "revoked.pem": revocation_list(ca).decode()}
    with start("gunicorn", found=FLEET, files=files) as server:
        device, another = (PythonClient(pem_files[1], version, each) for each in (chain, other))
        for client in device, another:
            assert visits(client, [server.port], 8)[0] == 7
        (server.folder / "revoked.pem").write_bytes(revocation_list(ca, client_certificate))
        time.sleep(1.1)  # the workers look once a second
        with pytest.raises((ssl.SSLError, ConnectionError)):
            device.visit(server.port)
        assert not another.visit(server.port)[0]
        assert visits(another, [server.port], 8)[0] == 7


def counts(client):
    return json.loads(re.search(rb"^counts (.*)$", client.said, re.MULTILINE).group(1))


@pytest.mark.parametrize("version", VERSIONS)
def test_hosts_keys_and_a_cache_together(start, client_certificate, pem_files, tmp_path, version):
    """The host that demands certificates stores its sessions; the other one issues tickets."""
    chain = tmp_path / "client.pem"
    client_certificate.private_key_and_cert_chain_pem.write_to_path(chain)
    files = {**EVERYTHING.files, "app.py": Path(app).read_text()}
    arguments = tuple("1" if before == "--workers" else argument for before, argument in
                      zip(("", *EVERYTHING.arguments), EVERYTHING.arguments))
    with start("gunicorn", found=EVERYTHING, files=files, arguments=arguments) as server:
        shop = PythonClient(pem_files[1], version, name="shop.example")
        assert visits(shop, [server.port], 4)[0] == 3
        assert counts(shop)["stored"] == 0
        bank = PythonClient(pem_files[1], version, chain, name="bank.example")
        assert visits(bank, [server.port], 4)[0] == 3
        assert counts(bank)["stored"] > 0 and counts(bank)["hits"] == 3
        shop.name = "bank.example"
        with pytest.raises(OSError):
            shop.visit(server.port)
