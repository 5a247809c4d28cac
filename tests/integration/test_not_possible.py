"""What docs/servers.md says cannot be done: each claim, where the package is installed."""

import pytest
from machine import module

import pysidctx

pytestmark = pytest.mark.one_python


def test_contexts_of_pyopenssl_and_so_of_twisted_are_refused():
    context = module("OpenSSL.SSL", "pyOpenSSL").Context(module("OpenSSL.SSL", "pyOpenSSL").TLS_SERVER_METHOD)
    with pytest.raises(TypeError, match="SSLContext"):
        pysidctx.resumable(context, pysidctx.TicketKeys())
