"""Many hosts on one port of four workers, as the example starts them."""

import ssl
import time

import pytest
import trustme
from handshakes import VERSIONS
from readme import EXAMPLES
from server_programs import PROGRAMS, VISITS, PythonClient, is_resumed_by_another, visits

SHOP, BANK = "shop.example", "bank.example"


@pytest.fixture
def client_file(tmp_path, client_certificate):
    path = tmp_path / "client.pem"
    client_certificate.private_key_and_cert_chain_pem.write_to_path(path)
    return path


@pytest.fixture(scope="module", params=["gunicorn", "uvicorn"])
def start_hosts(start_lasting, lasting_secret, request):
    """The example, and uvicorn with the same hook."""
    if request.param == "gunicorn":
        return lambda **options: start_lasting("gunicorn hosts", **options)
    (name, code), = PROGRAMS["uvicorn"].files.items()
    own = code.replace("from pysidctx.servers import ssl_context_factory", "from hook import ssl_context")
    own = own.replace("ssl_context_factory=ssl_context_factory", "ssl_context_factory=ssl_context")
    assert own.count("ssl_context_factory") == 1
    files = {"hook.py": EXAMPLES["gunicorn_hosts.conf.py"], name: own}
    return lambda **options: start_lasting("uvicorn", found=PROGRAMS["uvicorn"]._replace(files=files),
                                           secret=lasting_secret, **options)


@pytest.fixture(scope="module")
def hosts(start_hosts):
    with start_hosts() as server:
        yield server


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_sessions_stay_with_their_host_on_all_workers(hosts, pem_files, client_file, version):
    known = {name: PythonClient(pem_files[1], version, client_file, name=name) for name in (SHOP, BANK, "a.test")}
    for client in known.values():
        resumed, processes = visits(client, [hosts.port])
        assert resumed == VISITS - 1
        assert len(processes) > 1 or is_resumed_by_another(client, hosts.port, processes)
    for client in known.values():
        session = client.session
        for name in known.keys() - {client.name}:
            other = PythonClient(pem_files[1], version, client_file, name=name)
            other.context, other.session = client.context, session
            assert not other.visit(hosts.port)[0]
    stranger = PythonClient(pem_files[1], version, name=SHOP)
    stranger.visit(hosts.port)
    stranger.name = BANK
    with pytest.raises(OSError):  # asyncio, and so uvicorn, discards the alert
        stranger.visit(hosts.port)
    assert known[BANK].visit(hosts.port)[0]


def test_a_renewed_certificate_of_a_host(start_hosts, pem_files, tmp_path):
    """Which the server's own configuration does not name."""
    ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
    ca.cert_pem.write_to_path(tmp_path / "renewed.pem")
    former, renewed = (PythonClient(path, ssl.TLSVersion.TLSv1_3, name=SHOP)
                       for path in (pem_files[1], tmp_path / "renewed.pem"))
    with start_hosts(two_workers=True) as server:
        visits(former, [server.port], 20)
        ca.issue_cert(SHOP, key_type=trustme.KeyType.ECDSA).private_key_and_cert_chain_pem.write_to_path(
            server.folder / "shop.pem")
        deadline, accepted = time.monotonic() + 30, 0
        while accepted < 20:  # by all workers
            assert time.monotonic() < deadline, "the former certificate stays"
            renewed.session = None
            try:
                renewed.visit(server.port)
                accepted += 1
            except ssl.SSLCertVerificationError:
                accepted = 0
            time.sleep(0.02)
        assert visits(renewed, [server.port], first=True)[0] == VISITS
        with pytest.raises(ssl.SSLCertVerificationError):  # no worker resumes the session of the former one
            former.visit(server.port)
