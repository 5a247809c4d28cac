"""Clients of other TLS implementations that return with a certificate: Node, Go, and GnuTLS's program."""

import json
import os
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any, Union

from machine import ROOT, SUPPORT, program
from server_programs import REQUEST, process_in
from servers import TIMEOUT

# Connects once for each line, which is a client's arguments and a port, and prints a line of what came of it.
NODE = """
const fs = require("fs"), tls = require("tls"), sessions = {};

function visit(ca, chain, version, closes, request, port) {
    const pem = fs.readFileSync(chain), options = {
        host: "127.0.0.1", servername: "a.test", ca: fs.readFileSync(ca), cert: pem, key: pem,
        minVersion: version, maxVersion: version, session: sessions[chain]};
    let said = "", resumed = false, told = false;
    const socket = tls.connect({...options, port});
    const tell = (error) => {
        if (!told)
            console.log(JSON.stringify({resumed, said, error: String(error || "")}));
        told = true;
    };
    socket.on("session", (made) => { sessions[chain] = made; });
    socket.once("secureConnect", () => { resumed = socket.isSessionReused(); socket.write(request); });
    socket.on("data", (data) => {
        said += data;
        if (closes === "0" && /^counts .*\\n/m.test(said))
            socket.destroy();
    });
    socket.on("error", tell);
    socket.on("close", () => tell());
}

require("readline").createInterface({input: process.stdin}).on("line", (line) => visit(...JSON.parse(line)));
"""

VERSION_NAMES = {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}
PRIORITIES = {ssl.TLSVersion.TLSv1_2: "NORMAL:-VERS-ALL:+VERS-TLS1.2",
              ssl.TLSVersion.TLSv1_3: "NORMAL:-VERS-ALL:+VERS-TLS1.3"}


class LineProgram:
    """A program that answers each line of its input with a line: an object in JSON. Call stop() in the end."""

    def __init__(self, *command: Union[Path, str]) -> None:
        self.process: "subprocess.Popen[str]" = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line: str) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


class LineClient:
    """A client that returns with the last session that it received, in a program that is told of each visit."""

    program: LineProgram

    def __init__(self, ca_file: Path, version: ssl.TLSVersion, chain: Path, closes: bool) -> None:
        """`closes`: whether it sends a close_notify."""
        self.said = b""
        self.arguments = [str(ca_file), str(chain), VERSION_NAMES[version], str(int(closes)), REQUEST.decode()]

    def visit(self, port: int) -> tuple[bool, int]:
        seen = self.program.ask(self.line(port))
        self.said = seen["said"].encode()
        if not self.said:
            raise ConnectionError(seen["error"])
        return seen["resumed"], process_in(self.said)

    def line(self, port: int) -> str:
        return str(port)


class NodeClient(LineClient):
    """One of several in a program, node_program(), which tells them apart by the file with their certificate."""

    def __init__(self, node: LineProgram, ca_file: Path, version: ssl.TLSVersion, chain: Path, *,
                 closes: bool = True) -> None:
        super().__init__(ca_file, version, chain, closes)
        self.program = node

    def line(self, port: int) -> str:
        return json.dumps([*self.arguments, port])


class GoClient(LineClient):
    """One that in TLS 1.2 knows tickets alone, as all of Go's do. It has a program: call stop() of that in the end."""

    def __init__(self, folder: Path, ca_file: Path, version: ssl.TLSVersion, chain: Path, *,
                 closes: bool = True) -> None:
        super().__init__(ca_file, version, chain, closes)
        self.program = LineProgram(go_program(folder), *self.arguments)


def node_program(folder: Path) -> LineProgram:
    script = folder / "client.js"
    script.write_text(NODE)
    return LineProgram(program("node", "nodejs"), script)


def go_program(folder: Path) -> Path:
    """client.go, compiled in a folder, if it is not there already."""
    compiled = folder / "client-of-go"
    if not compiled.exists():
        environment = {**os.environ, "GO111MODULE": "off", "GOFLAGS": "", "GOCACHE": str(ROOT / "build" / "go-cache")}
        subprocess.run([program("go", "golang-go"), "build", "-o", compiled, SUPPORT / "client.go"], env=environment,
                       check=True)
    return compiled


def resumed_by_gnutls(port: int, ca_file: Path, version: ssl.TLSVersion, chain: Path) -> tuple[bool, bytes]:
    """Connect twice with `gnutls-cli`: whether the second connection was resumed, and all that it printed."""
    with subprocess.Popen(
        [program("gnutls-cli", "gnutls-bin"), "--resume", "--waitresumption", "--priority", PRIORITIES[version],
         "--x509cafile", ca_file, "--x509certfile", chain, "--x509keyfile", chain, "--sni-hostname", "a.test",
         "--verify-hostname", "a.test", "--port", str(port), "127.0.0.1"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as client:
        assert client.stdin is not None and client.stdout is not None
        ending = threading.Timer(TIMEOUT, client.kill)
        ending.start()
        try:
            client.stdin.write(REQUEST)
            client.stdin.flush()  # at the end of its input it would close the connection before the answer
            said = client.stdout.read()
        finally:
            ending.cancel()
            client.kill()
    return b"*** This is a resumed session" in said, said
