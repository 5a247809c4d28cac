"""ftplib with a server that demands that data connections resume the control connection's session."""

import ftplib
import io
import ssl
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from machine import module
from readme import names_in_docs

CONTENT = {"one.txt": b"first\n" * 1000, "two.txt": b"second\n"}


@pytest.fixture
def port(tmp_path, pem_files):
    module("pyftpdlib", "pyftpdlib")
    folder = tmp_path / "served"
    folder.mkdir()
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    server = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("ftp_server.py"), pem_files[0], folder],
        stdout=subprocess.PIPE, text=True)
    try:
        yield int(server.stdout.readline())
    finally:
        server.terminate()
        server.communicate()


@contextmanager
def logged_in(kind, client_ctx, port):
    with kind(context=client_ctx, timeout=10) as client:
        client.connect("127.0.0.1", port)
        client.login("user", "password")
        client.prot_p()
        yield client


def test_ftplib_alone_is_refused(port, make_client_ctx, version):
    with logged_in(ftplib.FTP_TLS, make_client_ctx(version), port) as client:
        with pytest.raises((ftplib.Error, ssl.SSLError, EOFError, ConnectionError)) as raised:
            client.nlst()
            client.nlst()
        assert "522" in str(raised.value)


def test_with_the_recipe_it_lists_and_downloads_and_uploads(port, make_client_ctx, version):
    recipe = names_in_docs("FTP_TLS")["FTP_TLS"]
    with logged_in(recipe, make_client_ctx(version), port) as client:
        for _ in range(3):
            assert sorted(client.nlst()) == sorted(CONTENT)
        for name, content in CONTENT.items():
            received = []
            client.retrbinary(f"RETR {name}", received.append)
            assert b"".join(received) == content
        client.storbinary("STOR three.txt", io.BytesIO(content))
        assert sorted(client.nlst()) == sorted([*CONTENT, "three.txt"])
