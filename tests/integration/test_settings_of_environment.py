"""Real servers whose id context, lifetime and period are set by the environment: their workers inherit it."""

import pytest
from server_programs import PROGRAMS, is_resumed_by_another, visits
from servers import TIMEOUT

from pysidctx.environment import ID_CONTEXT, LIFETIME, PERIOD

SHOP = {ID_CONTEXT: "shop", LIFETIME: "601", PERIOD: "60"}


@pytest.mark.parametrize("name", ["gunicorn", "uvicorn"])
def test_two_machines_share_sessions_only_with_the_same_settings(start, returning, name, secret):
    """The servers of the test stand for the machines: they have the secret in common, and the certificate."""
    def starting(workers=1, **changed):
        return start(name, found=PROGRAMS[name].with_workers(workers), secret=secret, environment={**SHOP, **changed})

    client = returning[1]  # TLS 1.3
    with starting(2) as one, starting(2) as same, starting(**{ID_CONTEXT: "bank"}) as another:
        resumed, processes = visits(client, [one.port])
        assert resumed == client.visits - 1
        assert 601 - TIMEOUT < client.session.ticket_lifetime_hint <= 601  # less as time goes by
        session = client.session
        assert is_resumed_by_another(client, same.port, processes)
        client.session = session
        assert not client.visit(another.port)[0]
        for server in one, same, another:
            assert "Warning" not in server.log.read_text()
    with starting(**{PERIOD: "61"}) as with_other_keys:
        client.session = session
        assert not client.visit(with_other_keys.port)[0]


@pytest.mark.parametrize("name", ["gunicorn", "uvicorn"])
def test_a_server_does_not_start_with_a_bad_value(start, name, secret):
    with pytest.raises(Exception, match="PYSIDCTX_LIFETIME is 'soon', which is not a whole number: set it to"):
        with start(name, secret=secret, environment={LIFETIME: "soon"}):
            pass
