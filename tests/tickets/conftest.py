"""A client for each version: TLS 1.2 and TLS 1.3 do not send and renew tickets alike."""

import pytest


@pytest.fixture
def client_ctx(make_client_ctx, version):
    return make_client_ctx(version)
