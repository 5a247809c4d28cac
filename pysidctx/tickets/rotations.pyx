"""The log of ticket keys that were rotated: by the clock, when a handshake first needed the key of another period."""

import logging

from pysidctx.log import write

from pysidctx.tickets.keyring cimport Rotation, take_rotation
from pysidctx.tickets.secret_fingerprint cimport fingerprint_text


def tell():
    """Log each rotation since the last call."""
    cdef Rotation taken
    cdef bint found
    while True:
        with nogil:
            found = take_rotation(&taken)
        if not found:
            return
        write(logging.INFO, "ticket keys rotated: the key of period %d encrypts new tickets, that of the secret with "
              "the fingerprint %s", taken.period, fingerprint_text(taken.fingerprint))
