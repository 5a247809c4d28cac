"""Files as Kubernetes mounts them: links into a folder of the version, to which one link leads that is replaced."""

import os
import secrets
import ssl
import time
from types import SimpleNamespace

import pytest
from handshakes import pair, shake

from pysidctx import TicketKeys
from pysidctx.servers import SSLContextFactory

pytestmark = pytest.mark.one_python


class Volume:
    def __init__(self, folder):
        self.folder, self.version = folder, 0
        folder.mkdir()

    def update(self, mode=0o400, **files):
        """Write a new version, and let the link lead there, as the kubelet does."""
        self.version += 1
        target = self.folder / f"..version_{self.version}"
        target.mkdir()
        for name, data in files.items():
            (target / name).write_bytes(data)
            (target / name).chmod(mode)
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        (self.folder / "..data_tmp").symlink_to(target.name)
        os.replace(self.folder / "..data_tmp", self.folder / "..data")


@pytest.fixture
def volume(tmp_path):
    return Volume(tmp_path / "volume")


@pytest.mark.parametrize("mode", [0o400, 0o440])
def test_a_secret(volume, mode):
    if mode == 0o440 and os.geteuid() != 0:
        pytest.skip("only root may let a group read a secret: run the tests as root")
    volume.update(mode, secret=secrets.token_bytes(32))
    assert TicketKeys.from_secret_file(volume.folder / "secret").lifetime == 86400


def test_a_certificate_that_is_renewed(volume, ca, make_client_ctx):
    def renew():
        volume.update(pem=ca.issue_cert("a.test").private_key_and_cert_chain_pem.bytes())

    def build():
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(volume.folder / "pem")
        return ctx

    def served():
        client = shake(pair(factory(config, build), client_ctx)).client
        return client.getpeercert(binary_form=True)

    renew()
    factory, config, client_ctx = SSLContextFactory(TicketKeys()), SimpleNamespace(), make_client_ctx()
    first = served()
    assert served() == first
    renew()
    time.sleep(1.1)  # it looks once a second
    assert served() != first
