"""Offer a session on a client's connection, after checking whether the connection may resume it.

A resumed handshake checks neither the peer's certificate nor its name; both remain those of the full handshake.
This module therefore applies the checks of the new connection to the session.
"""

from libc.stdint cimport uint64_t
from libc.time cimport time

from pysidctx.exceptions import SessionError

from pysidctx.binding cimport bind_openssl
from pysidctx.errors cimport check_pointer, raise_queued
from pysidctx.handles cimport SSL_of
from pysidctx.libssl cimport (
    SSL, SSL_METHOD, SSL_OP_NO_TICKET, SSL_OP_NO_TLSv1, SSL_OP_NO_TLSv1_1, SSL_OP_NO_TLSv1_2, SSL_OP_NO_TLSv1_3,
    SSL_SESSION_dup, SSL_SESSION_free, SSL_SESSION_get0_id_context, SSL_SESSION_get0_peer,
    SSL_SESSION_get_protocol_version, SSL_SESSION_get_ticket_lifetime_hint, SSL_SESSION_has_ticket,
    SSL_SESSION_is_resumable, SSL_VERIFY_PEER, SSL_get1_session, SSL_get_max_proto_version, SSL_get_min_proto_version,
    SSL_get_options, SSL_get_ssl_method, SSL_get_verify_mode, SSL_get_verify_result, SSL_in_before, SSL_is_server,
    SSL_set_session, SSL_set_session_id_context, SSL_set_verify_result, SSL_version, TLS1_1_VERSION, TLS1_2_VERSION,
    TLS1_3_VERSION, TLS1_VERSION, TLS_client_method, TLS_method, X509_V_OK,
)
from pysidctx.openssl_compat cimport SSL_SESSION_get_time
from pysidctx.sessions.fields cimport is_marked, protocol_of, refusal_of_marked
from pysidctx.sessions.peer cimport checks_name, host_of, is_checked, is_same, note_checked

bind_openssl()

cdef int resume(PyObject *connection, SSL_SESSION *session, bint any_host) except -1:
    """Offer `session` on a connection, which is a result of connection_of(). Raises SessionError.

    The connection gets a copy, because OpenSSL may mark a connection's session as not resumable.
    """
    cdef SSL *ssl = SSL_of(connection)
    refuse_wrong_moment(ssl)
    cdef Refusal refusal = refusal_of(ssl, session)
    if refusal != ACCEPTABLE:
        raise explained(refusal, ssl, session)
    if not any_host:
        refuse_other_host(connection, session)
    cdef SSL_SESSION *copy = <SSL_SESSION *> check_pointer(SSL_SESSION_dup(session),
                                                           b"SSL_SESSION_dup()")
    try:
        note_checked(copy, is_checked(session))
        refusal = offer(ssl, copy)
        if refusal == NOT_SET:
            raise_queued(b"SSL_set_session()")
        if refusal != ACCEPTABLE:
            raise explained(refusal, ssl, copy)
    finally:
        SSL_SESSION_free(copy)
    return 0


cdef int refuse_wrong_moment(SSL *ssl) except -1:
    if SSL_is_server(ssl):
        raise SessionError("this is a server's connection, but only clients offer sessions: call resume_on() on the "
                           "client's connection")
    if not SSL_in_before(ssl):
        raise SessionError(
            "the handshake of this connection has begun, but a session must be offered in its first message: call "
            "resume_on() before the handshake. With SSLContext.wrap_socket(), pass do_handshake_on_connect=False")
    return 0


cdef Refusal refusal_of(SSL *ssl, SSL_SESSION *session) noexcept nogil:
    """Why a client's connection cannot offer `session`, apart from its host and whether its peer was verified."""
    if not SSL_SESSION_is_resumable(session):
        return NOT_RESUMABLE
    if not allows(ssl, SSL_SESSION_get_protocol_version(session)):
        return EXCLUDED_PROTOCOL
    if SSL_SESSION_has_ticket(session):
        # OpenSSL's client would omit the ticket without an error.
        if SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION:
            if age_of(session) > <long> SSL_SESSION_get_ticket_lifetime_hint(session):
                return TICKET_EXPIRED
        elif SSL_get_options(ssl) & SSL_OP_NO_TICKET:
            return TICKET_NOT_SENT
    return ACCEPTABLE


cdef long age_of(SSL_SESSION *session) noexcept nogil:
    """Return the age of a TLS 1.3 ticket in seconds, like OpenSSL, whose time stamp may have been rounded up."""
    return time(NULL) - SSL_SESSION_get_time(session) - 1


cdef object explained(Refusal refusal, SSL *ssl, SSL_SESSION *session):
    """Return the SessionError for a refusal."""
    if refusal == EXCLUDED_PROTOCOL:
        return SessionError(
            f"this session uses {protocol_of(session)}, which this connection does not allow: change "
            "minimum_version, maximum_version or options of its SSLContext, or make a full handshake")
    if refusal == TICKET_EXPIRED:
        return SessionError(
            f"the ticket of this session is {age_of(session)} seconds old, but its lifetime was "
            f"{SSL_SESSION_get_ticket_lifetime_hint(session)} seconds: make a full handshake")
    if refusal == TICKET_NOT_SENT:
        return SessionError(
            "this session needs its ticket, but this connection sends none, because the options of its SSLContext "
            "contain OP_NO_TICKET: clear the option with ctx.options &= ~ssl.OP_NO_TICKET")
    if refusal == NOT_VERIFIED:
        return SessionError(
            "this connection requires a verified certificate, but the peer's certificate was not verified when "
            "this session was established: make a full handshake")
    if is_marked(session):
        return refusal_of_marked()
    if SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION:
        return SessionError(
            "this session has no ticket: in TLS 1.3, the server sends tickets after the handshake. Read from the "
            "connection before you call Session.of()")
    return SessionError("this session has neither an id nor a ticket: the server does not support resumption, so make "
                        "a full handshake")


cdef bint allows(SSL *ssl, int version) noexcept nogil:
    cdef const SSL_METHOD *method = SSL_get_ssl_method(ssl)
    if method is not TLS_client_method() and method is not TLS_method():
        return SSL_version(ssl) == version  # a method for a single version supports no other
    cdef int least = SSL_get_min_proto_version(ssl)  # 0: the lowest version that OpenSSL supports
    cdef int most = SSL_get_max_proto_version(ssl)   # 0: the highest version that OpenSSL supports
    cdef uint64_t excluding
    if version == TLS1_3_VERSION:
        excluding = SSL_OP_NO_TLSv1_3
    elif version == TLS1_2_VERSION:
        excluding = SSL_OP_NO_TLSv1_2
    elif version == TLS1_1_VERSION:
        excluding = SSL_OP_NO_TLSv1_1
    elif version == TLS1_VERSION:
        excluding = SSL_OP_NO_TLSv1
    else:
        return False
    return (not SSL_get_options(ssl) & excluding
            and (least == 0 or version >= least) and (most == 0 or version <= most))


cdef int refuse_other_host(PyObject *connection, SSL_SESSION *session) except -1:
    filed = host_of(session)
    name = (<object> connection).server_hostname
    if filed is None:
        raise SessionError(
            "this session does not record the host with which it was established: pass host to Session.of(), or "
            "any_host=True to resume_on()")
    if name is None or not is_same(filed, name):
        raise SessionError(
            f"this session was established with {filed}, but the connection is to {name or 'a host without a name'}, "
            "and a resumed handshake verifies no certificate. If both names belong to one service, pass "
            "any_host=True to resume_on()")
    if not is_checked(session) and checks_name(connection):
        raise SessionError(
            f"this connection checks the peer's host name, but nothing has checked that the peer of this session is "
            f"{filed}: set check_hostname on the SSLContext that establishes the session, or pass host to Session.of()")
    return 0


cdef Refusal offer(SSL *ssl, SSL_SESSION *session) noexcept nogil:
    """Set `session` and its id context on `ssl`, which takes a reference. Otherwise, both are unchanged.

    Returns NOT_VERIFIED if the connection verifies its peer, and the peer of the session was not verified. Returns
    NOT_SET if OpenSSL fails, and leaves its error in the queue.
    """
    cdef SSL_SESSION *former = SSL_get1_session(ssl)
    cdef long former_result = SSL_get_verify_result(ssl)
    cdef unsigned int length
    cdef const unsigned char *sid_ctx = SSL_SESSION_get0_id_context(session, &length)
    cdef Refusal refusal = NOT_SET
    if SSL_set_session(ssl, session):
        # OpenSSL has no function that reads the verify result of a session, only that of a connection.
        if SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER and not is_verified(ssl, session):
            refusal = NOT_VERIFIED
        # OpenSSL compares this with the session's id context when the server resumes.
        elif SSL_set_session_id_context(ssl, sid_ctx, length):
            refusal = ACCEPTABLE
        if refusal != ACCEPTABLE:
            SSL_set_session(ssl, former)
            SSL_set_verify_result(ssl, former_result)
    SSL_SESSION_free(former)
    return refusal


cdef bint is_verified(SSL *ssl, SSL_SESSION *session) noexcept nogil:
    """Whether the peer of `session` was verified. `ssl` is the connection that has this session."""
    return SSL_SESSION_get0_peer(session) is not NULL and SSL_get_verify_result(ssl) == X509_V_OK
