"""The last line of `check` about servers that others wrote, beside what `openssl s_client` says of them."""

import pytest
from audited import ran
from peers import A, B, Peer, haproxy, nginx, resumed_elsewhere, s_server

pytestmark = [pytest.mark.one_python, pytest.mark.usefixtures("no_system_cas")]

BOTH = "--name", A, "--name", B
KEY = "ssl_session_ticket_key key;"
ONE = "one name, so no crossing was looked for"
CROSSED = f"fault: a session made for {A} is resumed for {B}, which has another certificate"
WAYS = {"TLS 1.2": "TLS 1.2 tickets", "TLS 1.2 without tickets": "session ids", "TLS 1.3": "TLS 1.3"}


@pytest.mark.parametrize("make, options, arguments, said", [
    (nginx, {"settings": KEY}, ("--name", A), f"resumes 9 of 9 (TLS 1.2 tickets, TLS 1.3); {ONE}"),
    (nginx, {"settings": KEY, "names": (A, B)}, BOTH, f"{CROSSED} (TLS 1.2, ticket; TLS 1.3); and 1 more fault"),
    (nginx, {"settings": "ssl_session_tickets off; ssl_session_cache off;"}, ("--name", A),
     f"resumes 0 of 9 (TLS 1.3); no session can be resumed: none is offered (TLS 1.2); {ONE}"),
    (haproxy, {}, BOTH, f"{CROSSED} (TLS 1.2, ticket; TLS 1.2, session id; TLS 1.3); and 1 more fault"),
    (s_server, (), ("--name", A), f"resumes 9 of 9 (TLS 1.2 tickets and session ids, TLS 1.3); {ONE}"),
    (s_server, ("-tls1_2",), ("--name", A), f"resumes 9 of 9 (TLS 1.2 tickets and session ids); {ONE}"),
    (s_server, ("-no_ticket",), ("--name", A), f"resumes 9 of 9 (TLS 1.2 session ids, TLS 1.3); {ONE}"),
    (s_server, ("-tls1_3", "-num_tickets", "0"), ("--name", A),
     f"no session can be resumed: none is offered (TLS 1.3); {ONE}"),
    (s_server, ("-Verify", "1", "-CAfile", "ca.pem"), ("--name", A, "--client-cert", "client.pem"),
     f"resumes 9 of 9 (TLS 1.2 tickets and session ids, TLS 1.3); {ONE}; client certificates demanded"),
    (s_server, ("-verify", "1", "-CAfile", "ca.pem"), ("--name", A),
     f"resumes 9 of 9 (TLS 1.2 tickets and session ids, TLS 1.3); {ONE}; client certificates asked for"),
])
def test_the_last_line(folder, make, options, arguments, said):
    positional, named = ((), options) if isinstance(options, dict) else (options, {})
    with Peer(make, folder, *positional, **named) as server:
        done = ran(server.port, *arguments, "--ca-file", "ca.pem", cwd=folder)
        last = done.stdout.splitlines()[-1]
        assert last == said
        if not last.startswith(("resumes 9", "fault")) or "-Verify" in options:  # for which s_client has no certificate
            return
        told = last.partition(";")[0].replace("TLS 1.2, ticket", "TLS 1.2 tickets").replace("session id", "session ids")
        for way, words in WAYS.items():
            if words in told:
                assert resumed_elsewhere(folder, server.port, way, A, B if B in arguments else A, 8)
