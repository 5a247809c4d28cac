"""trustme for a Python that cryptography cannot be installed for: that named TRUSTME_PYTHON makes the certificates."""

import atexit
import contextlib
import enum
import functools
import json
import os
import subprocess
import tempfile

MAKE = """
import json, sys, trustme
authorities = []
for line in sys.stdin:
    asked = json.loads(line)
    options = asked["options"]
    if "key_type" in options:
        options["key_type"] = trustme.KeyType[options["key_type"]]
    issuer = None if asked["authority"] is None else authorities[asked["authority"]]
    if asked["names"] is None:
        made = trustme.CA(**options) if issuer is None else issuer.create_child_ca(**options)
        authorities.append(made)
        answer = len(authorities) - 1, made.private_key_pem.bytes().decode(), [made.cert_pem.bytes().decode()]
    else:
        made = issuer.issue_cert(*asked["names"], **options)
        answer = None, made.private_key_pem.bytes().decode(), [pem.bytes().decode() for pem in made.cert_chain_pems]
    print(json.dumps(answer), flush=True)
"""


class KeyType(enum.Enum):
    RSA = 0
    ECDSA = 1


class Blob:
    def __init__(self, data):
        self.data = data

    def bytes(self):
        return self.data.encode()

    def write_to_path(self, path, append=False):
        with open(path, "a" if append else "w") as file:
            file.write(self.data)

    @contextlib.contextmanager
    def tempfile(self, dir=None):
        with tempfile.NamedTemporaryFile("w", suffix=".pem", dir=dir) as file:
            file.write(self.data)
            file.flush()
            yield file.name


class LeafCert:
    def __init__(self, private_key, chain):
        self.private_key_pem = Blob(private_key)
        self.cert_chain_pems = [Blob(pem) for pem in chain]
        self.private_key_and_cert_chain_pem = Blob("".join([private_key, *chain]))

    def configure_cert(self, ctx):
        with self.private_key_and_cert_chain_pem.tempfile() as path:
            ctx.load_cert_chain(path)


class CA:
    def __init__(self, *, issuer=None, **options):
        self.number, private_key, (certificate,) = ask(issuer, None, options)
        self.private_key_pem, self.cert_pem = Blob(private_key), Blob(certificate)

    def create_child_ca(self, **options):
        return CA(issuer=self.number, **options)

    def issue_cert(self, *names, **options):
        return LeafCert(*ask(self.number, names, options)[1:])

    def configure_trust(self, ctx):
        ctx.load_verify_locations(cadata=self.cert_pem.data)


@functools.lru_cache(None)
def maker():
    process = subprocess.Popen([os.environ["TRUSTME_PYTHON"], "-c", MAKE], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True,
                               env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")})
    atexit.register(end, process)
    return process


def end(process):
    process.stdin.close()
    process.wait()
    process.stdout.close()


def ask(authority, names, options):
    options = {name: value.name if isinstance(value, KeyType) else value for name, value in options.items()}
    maker().stdin.write(json.dumps({"authority": authority, "names": names, "options": options}) + "\n")
    maker().stdin.flush()
    return json.loads(maker().stdout.readline())
