"""A client of http.client resumes with servers that others wrote, in each way of resumption that they have."""

import ssl

import pytest
import trustme
from machine import program
from peers import Peer, haproxy, s_server
from recipes import HOST, REQUESTS, WAYS, client_context, recipe, seeing

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


def gunicorn(folder, port, configuration):
    """One worker; without pysidctx's hook it makes a context for each connection, and resumes none."""
    (folder / "gunicorn.conf.py").write_text(configuration)
    (folder / "app.py").write_text(EXAMPLES["app.py"])
    return [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--certfile", "a.test.pem",
            "--log-level", "warning", "app:wsgi"]
