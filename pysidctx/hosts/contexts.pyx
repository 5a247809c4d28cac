"""The SSLContexts in the entries of a HostMap: counted, and released when no entry refers to them any more."""

cimport cython
from libc.string cimport memcpy

from pysidctx.binding cimport bind_openssl
from pysidctx.handles cimport server_context
from pysidctx.handshake.inert cimport warn_without_certificate
from pysidctx.handshake.listener cimport listener_made
from pysidctx.id_contexts.client_verification cimport Demands
from pysidctx.id_contexts.fingerprint cimport fingerprint_under, read_demands
from pysidctx.libssl cimport SSL_CTX
from pysidctx.lockfree.held_contexts cimport disown_context, new_held
from pysidctx.wrapped cimport unwrapped

bind_openssl()


cdef bytes fingerprint_of(const Demands *demands, object context):
    try:
        return fingerprint_under(demands, context)
    except ValueError as error:
        raise ValueError(f"no id context can be derived for this host's SSLContext: {error}. Pass an id context of "
                         "your own with Host(context, session_id_context)") from None


cdef class HostContexts:
    """All methods need the lock of the entries."""

    def __cinit__(self):
        self.held = {}
        self.addresses = {}

    cdef HostContext *held_for(self, object given, object context, Demands demands,
                               bytes fingerprint) except NULL:
        """Return the HostContext for a context that creates connections. `given` is the same context or a wrapper."""
        cdef SSL_CTX *ctx = server_context(context, "a host has")
        cdef HostContext *held
        # Before the look-up, because waiting for this lock may release the lock of the entries meanwhile.
        with cython.critical_section(context):
            listener_made(ctx)  # after a switch, its callback reads the second ClientHello
        key = (id(given), id(context), fingerprint, demands.verify_mode, demands.verify_flags,
               demands.post_handshake_auth)
        address = self.addresses.get(key)
        if address is not None:
            return <HostContext *> <size_t> address
        warn_without_certificate(context, ctx, "so that handshakes with its hosts fail: call load_cert_chain() "
                                 "before it goes into the map")
        held = <HostContext *> new_held(context, sizeof(HostContext))
        held.demands = demands
        memcpy(held.fingerprint, <const unsigned char *> fingerprint, len(fingerprint))
        self.held[<size_t> held] = context, given, key
        self.addresses[key] = <size_t> held
        self.mark_idle(held)
        return held

    cdef HostContext *with_fingerprint(self, object context, dict known) except NULL:
        cdef Demands demands
        address = known.get(id(context))
        if address is None:
            # Before the fingerprint, so that a change while it is computed is detected as a later change.
            used = unwrapped(context)
            read_demands(&demands, used)
            address = <size_t> self.held_for(context, used, demands, fingerprint_of(&demands, used))
            known[id(context)] = address
        return <HostContext *> <size_t> address

    cdef void mark_idle(self, HostContext *held) noexcept:
        if not held.idle:
            held.idle = True
            held.next_idle = self.idle
            self.idle = held

    cdef HostContext *without_fingerprint(self, object context) except NULL:
        cdef Demands demands
        used = unwrapped(context)
        read_demands(&demands, used)
        return self.held_for(context, used, demands, b"")

    cdef void release(self, HostContext *held) noexcept:
        """Count one entry less."""
        held.entries -= 1
        if held.entries == 0:
            self.mark_idle(held)

    cdef int forget_idle(self) except -1:
        """Release the contexts to which no entry refers."""
        cdef HostContext *held
        while self.idle is not NULL:
            held = self.idle
            self.idle = held.next_idle
            held.idle = False
            if held.entries == 0:
                self.forget(held)
        return 0

    cdef int forget(self, HostContext *held) except -1:
        # Releasing its SSLContext may run code that uses this map. By then, `held` must not be found here any
        # more.
        kept = self.held.pop(<size_t> held)
        self.addresses.pop(kept[2], None)
        return disown_context(&held.held)

    cdef object given(self, const HostContext *held):
        """Return the SSLContext that the user put in."""
        _, given, _ = self.held[<size_t> held]
        return given

    cdef list connecting(self):
        """Return the SSLContexts that create connections."""
        return [context for context, _, _ in self.held.values()]
