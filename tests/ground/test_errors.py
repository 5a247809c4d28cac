"""From OpenSSL's error queue to one exception, with the queue drained."""

import libssl
import pytest
from consumers import build, load

import pysidctx


@pytest.fixture(scope="module")
def checking(tmp_path_factory):
    folder = tmp_path_factory.mktemp("errors")
    build(folder, "from_errors.pyx")
    return load(folder, "from_errors")


def fail_a_call(ssl_ctx):
    assert not libssl.SSL_CTX_set_session_id_context(libssl.pointer(ssl_ctx), b"x" * 33, 33)


def test_what_succeeds_is_returned(checking):
    assert checking.of_result(2) == 2
    assert checking.of_pointer(64) == 64


@pytest.mark.parametrize("name, failed", [("of_result", 0), ("of_result", -1), ("of_pointer", 0)])
def test_the_exception_has_openssl_s_words_and_empties_the_queue(
    checking, server_ctx, name, failed
):
    for _ in range(2):
        fail_a_call(server_ctx)
    with pytest.raises(pysidctx.Error, match=r"SSL_example\(\) failed: .*context too long"):
        getattr(checking, name)(failed)
    assert libssl.ERR_peek_error() == 0


def test_a_failure_without_a_reason_is_told_as_such(checking):
    with pytest.raises(pysidctx.Error, match="gave no reason"):
        checking.of_result(0)
