"""Certificates, contexts, a source tree and an environment for the tests."""

import _ssl
import gc
import os
import random
import shutil
import signal
import ssl
import subprocess
import sys

import handshakes
import libssl
import pytest
import trustme
from hypothesis import HealthCheck, settings
from machine import ROOT, lack, program

# How long an example takes says how busy the machine is.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

# Several workers share whole files among them, and none is to wait in the end for one that began late. So what takes
# the most of a processor comes first, with what mostly waits in between, and what takes seconds at most comes last.
LONGEST = "test_sanitizer.py"
SLOW = ("test_packaging.py", "test_benchmarks.py", "test_rolling_restarts.py", "test_tickets.py",
        "test_check_verdicts.py", "test_servers.py", "test_corruption.py", "test_lint.py", "test_demo.py",
        "test_rejected_names_told.py", "test_setup.py", "test_leaks.py", "test_binding.py", "test_serve.py",
        "test_isolation.py", "test_check_silence.py", "test_valkey.py", "test_time_and_failure.py",
        "test_check_report.py", "test_site.py", "test_cached_sessions.py", "test_cache_lifetime.py", "test_check.py",
        "test_readme.py", "test_doctor.py", "test_frameworks.py", "test_forgetting.py", "test_gunicorn_hook.py",
        "test_doctor_servers.py", "test_last_note.py", "test_check_servers.py", "test_hosts_of_workers.py",
        "test_replication.py", "test_check_html.py", "test_import.py", "test_declarations.py", "test_templates.py",
        "test_check_summaries.py", "test_cache_commands.py", "test_server_limits.py",
        "test_client_certificates_end.py", "test_client_sessions.py", "test_hostmap_tls.py", "test_metrics.py",
        "test_check_starttls.py", "test_elf_objects.py", "test_hostmap_threads.py", "test_session_fuzz.py",
        "test_session_clients.py", "test_wheels.py", "test_fleet_example.py", "test_processes.py",
        "test_recipes_of_ftp.py", "test_wiping.py", "test_recipes.py", "test_wrapped.py", "test_fleet.py",
        "test_hostile_names.py", "test_records.py", "test_check_client.py", "test_c_interface.py",
        "test_host_table.py", "test_hostmap_routing.py")


SOURCES = ROOT / "pysidctx"
WITHOUT_SOURCES = "it reads the sources, and an installed package is tested"


def pytest_configure():
    # A shell that starts the tests in the background has them ignore Ctrl-C, and so what they start.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    order = {name: number for number, name in enumerate(SLOW, 1)}
    order[LONGEST] = -1
    items.sort(key=lambda item: order.get(item.path.name, len(order)))
    if not SOURCES.exists():
        for item in items:
            if item.get_closest_marker("source"):
                item.add_marker(pytest.mark.skip(reason=WITHOUT_SOURCES))


def pytest_collection_finish():
    """What has been collected stays: no garbage collection needs to look at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def error_queue_is_left_empty():
    libssl.queued_reasons()
    yield
    assert libssl.ERR_peek_error() == 0


@pytest.fixture
def switch_often():
    """Python's threads take turns fifty times as often as usual."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture(scope="session")
def ca():
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture(scope="session")
def certificate(ca):
    return ca.issue_cert("a.test", "b.test", "localhost", "127.0.0.1",
                         key_type=trustme.KeyType.ECDSA)


@pytest.fixture(scope="session")
def client_certificate(ca):
    return ca.issue_cert("client@a.test", key_type=trustme.KeyType.ECDSA)


@pytest.fixture(params=handshakes.VERSIONS, ids=lambda version: version.name)
def version(request):
    return request.param


@pytest.fixture(params=[True, False], ids=["tickets", "no tickets"])
def tickets(request):
    return request.param


@pytest.fixture
def pem_files(tmp_path, ca, certificate):
    """PEM files for servers in other processes: the certificate with its key, and the CA for clients."""
    paths = tmp_path / "server.pem", tmp_path / "ca.pem"
    for blob, path in zip((certificate.private_key_and_cert_chain_pem, ca.cert_pem), paths):
        blob.write_to_path(path)
    return paths


@pytest.fixture(scope="module")
def no_system_cas(tmp_path_factory):
    """In the place of the system's CAs is one that has issued nothing: each audit would read all of the system's."""
    path = tmp_path_factory.mktemp("cas") / "ca.pem"
    trustme.CA(key_type=trustme.KeyType.ECDSA).cert_pem.write_to_path(path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SSL_CERT_FILE", str(path))
        yield


@pytest.fixture(scope="session")
def files_of_hosts(ca):
    """The files that the documentation's hosts load: their certificates with keys, and the CA of their clients."""
    blobs = {"clients-ca.pem": ca.cert_pem}
    for name in ("shop", "bank"):
        issued = ca.issue_cert(f"{name}.example", key_type=trustme.KeyType.ECDSA)
        blobs[f"{name}.pem"] = issued.private_key_and_cert_chain_pem
    return {name: blob.bytes().decode() for name, blob in blobs.items()}


@pytest.fixture
def key_file(tmp_path):
    """Writes a file that nobody else may read."""
    def write(name, data):
        path = tmp_path / name
        path.touch(0o600)
        path.write_bytes(data)
        return path

    return write


@pytest.fixture
def empty_connection():
    """A `_ssl._SSLSocket` without an SSL."""
    try:
        return _ssl._SSLSocket()
    except TypeError:
        pytest.skip("this CPython makes none")


@pytest.fixture
def make_server_ctx(ca, certificate):
    def make(*, verify=ssl.CERT_NONE, tickets=True):
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(ctx)
        ca.configure_trust(ctx)
        ctx.verify_mode = verify
        if not tickets:
            ctx.options |= ssl.OP_NO_TICKET
        return ctx

    return make


@pytest.fixture
def make_client_ctx(ca, client_certificate):
    def make(version=None, *, certificate=True, check_hostname=True):
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.check_hostname = check_hostname
        ca.configure_trust(ctx)
        if certificate:
            client_certificate.configure_cert(ctx)
        if version is not None:
            ctx.minimum_version = ctx.maximum_version = version
        return ctx

    return make


@pytest.fixture
def server_ctx(make_server_ctx):
    return make_server_ctx()


@pytest.fixture
def two(make_server_ctx):
    """Two equal contexts, as two workers have."""
    return make_server_ctx(), make_server_ctx()


@pytest.fixture
def client_ctx(make_client_ctx):
    return make_client_ctx()


@pytest.fixture
def rng():
    seed = int(os.environ.get("PYSIDCTX_SEED", random.SystemRandom().getrandbits(32)))
    print(f"PYSIDCTX_SEED={seed}")
    return random.Random(seed)


@pytest.fixture(scope="session")
def tracked_files():
    """The names of the files that git tracks."""
    if not SOURCES.exists():
        pytest.skip(WITHOUT_SOURCES)
    command = [program("git", "git"), "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        lack(f"the tracked files are not known: {listed.stderr.strip()}")
    return set(filter(None, listed.stdout.split("\0")))


@pytest.fixture(scope="session")
def copy_source(tracked_files):
    """Copies the tracked files, without anything that was built, into a new folder: each test has its own."""

    def copy(folder):
        for name in tracked_files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        return folder

    return copy
