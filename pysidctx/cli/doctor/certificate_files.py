"""The certificate that gunicorn is told to use: can it be loaded, with its key, and which CAs verify clients?"""

import os
import ssl
from collections.abc import Iterator
from typing import Any

from pysidctx.cli.check.client import load_certificate
from pysidctx.cli.check.verdicts import FAULT, INFO, NOTE, OK
from pysidctx.cli.doctor.findings import GUNICORN, Finding


def certificates(found: dict[str, Any], are_told: bool) -> Iterator[Finding]:
    """`found` is what rehearsal.py has found; `are_told`: whether the arguments of the command line are known."""
    files = found["files"]
    unreadable = {name: path for name, path in files.items() if not os.access(path, os.R_OK)}
    for name, path in unreadable.items():
        yield Finding(GUNICORN, "certificate", FAULT, f"{name} is {path!r}, which does not exist or cannot be read",
                      f"correct {name}, or run doctor as the user of the server")
    if found["tls"]:
        if not unreadable:
            yield loaded(found)
        if found["cert_reqs"] and "ca_certs" not in files and found["hook"]["kind"] != "other":
            yield Finding(GUNICORN, "client-certificates", FAULT, f"cert_reqs is {found['cert_reqs']}, but ca_certs is "
                          "not set, so no client certificate is accepted",
                          "set ca_certs to a file with the CAs that issue the clients' certificates")
    elif are_told:
        yield Finding(GUNICORN, "certificate", FAULT, "certfile is not set, so gunicorn does not speak TLS, and calls "
                      "no hook", "set certfile and keyfile; if a proxy in front of it speaks TLS, that is what resumes")
    else:
        yield Finding(GUNICORN, "certificate", INFO, "certfile is not set, unless your command line does so",
                      "pass the arguments with which you start gunicorn with --gunicorn")


def loaded(found: dict[str, Any]) -> Finding:
    """Load the certificate and its key as gunicorn does, but without a prompt for a pass phrase."""
    files = found["files"]
    named = ", ".join(f"{name} is {path!r}" for name, path in files.items())
    if "certfile" not in files:
        return Finding(GUNICORN, "certificate", FAULT, f"{named}, but certfile is not set", "set certfile")
    try:
        load_certificate(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), files["certfile"], files.get("keyfile"))
    except OSError as error:
        grade = NOTE if found["hook"]["kind"] == "other" else FAULT  # such a function may load another one
        why = (error.strerror or str(error)).partition(": ")[0]
        return Finding(GUNICORN, "certificate", grade, f"{named}: this certificate cannot be loaded: {why}",
                       "set certfile to a PEM file with the certificate and its chain, and keyfile to one with its "
                       "private key, unencrypted, and restart the server")
    return Finding(GUNICORN, "certificate", OK, named)
