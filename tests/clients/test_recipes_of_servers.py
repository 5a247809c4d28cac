"""A client of http.client resumes with servers that others wrote, in each way of resumption that they have."""

import contextlib
import sys

import pytest
from machine import program
from peers import Peer, haproxy, s_server
from readme import EXAMPLES
from recipes import HOST, REQUESTS, WAYS, client_context, recipe, seeing
from server_programs import new_secret

RESUMED = [False] + (REQUESTS - 1) * [True]

# Says whether it has resumed the session.
NODE = """
const fs = require("fs"), https = require("https");
const pem = fs.readFileSync("a.test.pem"), options = {cert: pem, key: pem};
const server = https.createServer(options, (request, response) => {
    response.setHeader("Connection", "close");
    response.end(request.socket.isSessionReused() ? "r" : ".");
});
const kept = new Map();
server.on("newSession", (id, data, done) => { kept.set(id.toString("hex"), data); done(); });
server.on("resumeSession", (id, done) => done(null, kept.get(id.toString("hex")) || null));
server.listen(Number(process.argv[2]), "127.0.0.1");
"""


def node(folder, port):
    (folder / "server.js").write_text(NODE)
    return [program("node", "nodejs"), folder / "server.js", port]


def gunicorn(folder, port):
    """With pysidctx's hook: without it, each connection has a context of its own, and none is resumed."""
    (folder / "gunicorn.conf.py").write_text(EXAMPLES["gunicorn.conf.py"])
    (folder / "app.py").write_text(EXAMPLES["app.py"])
    return [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--certfile", "a.test.pem",
            "--log-level", "warning", "app:wsgi"]


def gunicorn_with_cache(folder, port):
    """It closes without a close_notify, for which OpenSSL removes the sessions that it keeps itself."""
    return ["env", f"PYSIDCTX_SECRET_FILE={new_secret(folder)}", f"PYSIDCTX_CACHE={folder}/sessions",
            f"PYSIDCTX_CACHE_SIZE={1 << 20}", "PYSIDCTX_CACHE_WHEN=always", *gunicorn(folder, port)]


# By what they say of a resumed session, where they do.
SERVERS = {"HAProxy": (haproxy, None), "Node": (node, b"r"), "s_server": (s_server, b"Reused, "),
           "gunicorn": (gunicorn, None), "gunicorn with a cache": (gunicorn_with_cache, None)}
CASES = [pytest.param(server, way, marks=pytest.mark.one_python if server == "Node" else ())
         for server in SERVERS for way in WAYS
         if (server, way) != ("gunicorn", "TLS 1.2, session id")]


@pytest.fixture(scope="module")
def ports(tmp_path_factory, certificate):
    """Starts each server once."""
    with contextlib.ExitStack() as stack:
        running = {}

        def start(server):
            if server not in running:
                folder = tmp_path_factory.mktemp("server")
                for name in ("a.test.pem", "b.test.pem"):
                    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / name))
                running[server] = stack.enter_context(Peer(SERVERS[server][0], folder)).port
            return running[server]

        yield start


@pytest.fixture
def visits(ports, pem_files):
    """Whether each of twelve requests was resumed, and what the server said."""
    def make(server, way, **options):
        seen = seeing()
        ctx = client_context(pem_files[1], way, **options)
        ctx.sslsocket_class = seen.sslsocket_class
        fetch = recipe("fetch_with_http_client")
        answers = [fetch(ctx, HOST, ports(server)) for _ in range(REQUESTS)]
        return seen.resumed, answers

    return make


@pytest.mark.parametrize("server, way", CASES)
def test_all_but_the_first_are_resumed(server, way, visits):
    resumed, answers = visits(server, way, single_use=server != "Node")
    assert resumed == RESUMED
    said = SERVERS[server][1]
    assert said is None or [said in answer for answer in answers] == RESUMED


@pytest.mark.one_python
def test_a_server_that_gives_resumed_connections_no_ticket(visits):
    """Node gives two in each full handshake of TLS 1.3, which are offered once each."""
    resumed, _ = visits("Node", "TLS 1.3")
    assert resumed == REQUESTS // 3 * [False, True, True]
