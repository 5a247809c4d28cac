"""`check`: audit any TLS server by connecting to it. Does it resume sessions, and only where it should?"""

import argparse
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from typing import Optional

import cryptography  # noqa: F401, whose absence is told before anything is audited

from pysidctx.cli.check.address import NAME, host_name, is_address, split
from pysidctx.cli.check.arguments import MOST_NAMES
from pysidctx.cli.check.audit import Audit, Evidence, Options
from pysidctx.cli.check.client import ALPN, Client, load_authorities, load_certificate, unlimited
from pysidctx.cli.check.connection import TIMEOUTS, Seen, Target, visit
from pysidctx.cli.check.least_share import held_to
from pysidctx.cli.check.output import Output, Unreachable, progress
from pysidctx.cli.check.report import Report
from pysidctx.cli.check.starttls import PROTOCOLS, Refused, shown, wanted_by
from pysidctx.cli.check.verdicts import Finding, findings

UNFINISHED = 3  # the exit code if no fault was found, but the audit ended early


def run(arguments: argparse.Namespace) -> int:
    """Audit and report. Returns 1 for a fault, 2 if there is nothing to audit, 3 if it ended early, otherwise 0."""
    output = Output(arguments)
    begun = time.monotonic()
    report: Optional[Report] = None
    with output.reporting_failures():
        output.prepare()
        with progress(arguments.json) as tell:
            report = audited(arguments, tell, begun)
        output.write(report)
    if report is not None:
        output.tell(report)
    if output.failure or report is None:
        return 2
    if report.fails_on(arguments.fail_on):
        return 1
    return UNFINISHED if report.evidence.unfinished else 0


def audited(arguments: argparse.Namespace, tell: Callable[[str], None], begun: float) -> Report:
    """Audit a server, and `tell` the progress. Raises Unreachable."""
    target, options, made = asked(arguments)
    evidence = Audit(target, options, tell, made=made, begun=begun).run()
    refuse_silence(target, options, evidence)
    return Report(target, options, evidence, found(evidence, options))


def found(evidence: Evidence, options: Options) -> list[Finding]:
    if options.least_share is None:
        return findings(evidence, options)
    return held_to(options.least_share, findings(evidence, options), evidence)


def asked(arguments: argparse.Namespace) -> tuple[Target, Options, int]:
    """Connect to the server, and return the target, the options and the number of connections. Raises Unreachable."""
    check_file(arguments.client_cert, load_certificate)
    check_file(arguments.ca_file, load_authorities)
    addresses = tuple(map(checked_address, arguments.addresses))
    demanding = tuple(map(checked_name, arguments.demands))
    said = tuple(dict.fromkeys(map(checked_name, arguments.names)))
    host, port = checked_target(arguments.host)
    own = () if is_address(host) else (checked_name(host),)
    main = (*said, *own, None)[0]
    alpn = protocols(arguments)
    most_seconds = arguments.most_seconds or 60 + arguments.delay * arguments.most_connections
    client = Client(timeout=arguments.timeout, alpn=alpn, starttls=arguments.starttls or "")
    target, seen, made = reached(host, port, main, client, arguments, time.monotonic() + most_seconds)
    refused = alpn if seen.refusal == "alert no_application_protocol" and not arguments.alpn else ()
    if refused:  # the server, as some mail servers do, rejects connections that offer other protocols than its own
        alpn, spent = (), made
        target, seen, made = reached(host, port, main, client._replace(alpn=alpn), arguments,
                                     time.monotonic() + most_seconds)
        made += spent
    in_certificate = names_in(seen.certificate) if seen.certificate and not said else []
    known = said or tuple(dict.fromkeys([*own, *in_certificate]))
    names = said or known[:MOST_NAMES]
    return target, Options(
        names=tuple(dict.fromkeys([*names, *demanding])), addresses=addresses, demanding=frozenset(demanding),
        verified=said or own or (host,), names_left=len({*known} - {*names, *demanding}),
        client_cert=arguments.client_cert, ca_file=arguments.ca_file, connections=arguments.connections,
        delay=arguments.delay, timeout=arguments.timeout, request=arguments.request,
        alpn=alpn, starttls=client.starttls, alpn_refused=refused,
        most_connections=arguments.most_connections, most_seconds=most_seconds, least_share=arguments.least_share), made


def protocols(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the ALPN protocols to offer. Raises Unreachable if the arguments contradict each other."""
    for protocol in arguments.alpn:
        if len(protocol.encode(errors="replace")) > 255 or not protocol.isascii():
            raise Unreachable(f"--alpn takes a name of at most 255 ASCII characters, not {protocol[:40]!r}")
        if protocol == "h2" and arguments.request:
            raise Unreachable("--request sends an HTTP/1.1 request: omit either --alpn h2 or --request")
    if arguments.starttls and arguments.request:
        raise Unreachable(f"--request sends an HTTP request, which a server for {arguments.starttls} does not answer: "
                          "omit --request")
    if arguments.alpn or arguments.starttls:
        return tuple(filter(None, dict.fromkeys(arguments.alpn)))
    return tuple(protocol for protocol in ALPN if not (arguments.request and protocol == "h2"))


def refuse_silence(target: Target, options: Options, evidence: Evidence) -> None:
    """Raise Unreachable if the server has completed no handshake, so that there is nothing to report."""
    hosts = [host for of_version in evidence.hosts.values() for host in of_version]
    if not hosts or evidence.unfinished or any(host.answers for host in hosts):
        return
    reasons: dict[str, list[str]] = {}
    for version, of_version in evidence.hosts.items():
        why = ", ".join(dict.fromkeys(host.seen.refusal for host in of_version))
        reasons.setdefault(why, []).append(version)
    told = "; ".join(f"{' and '.join(versions)}: {why}" for why, versions in reasons.items())
    if any("no_application_protocol" in why for why in reasons):
        advice = "Pass an application protocol that it supports with --alpn."
    elif any(host.seen.ours for host in hosts):
        advice = "Other clients may be able to connect: a limit of this client caused the failure."
    else:
        advice = ("Does the server serve this name?" if options.names
                  else "Pass a name that the server serves with --name.")
    raise Unreachable(f"{target} completes no TLS handshake ({told}). {advice}")


def checked_name(text: str) -> str:
    try:
        return host_name(text)
    except ValueError as error:
        raise Unreachable(str(error)) from None


def checked_target(text: str) -> tuple[str, int]:
    try:
        return split(text)
    except ValueError as error:
        raise Unreachable(str(error)) from None


def check_file(path: Optional[str], load: Callable[[ssl.SSLContext, str], None]) -> None:
    if path is not None:
        try:
            load(unlimited(), path)
        except OSError as error:
            raise Unreachable(f"{path!r} cannot be used: {error.strerror or error}") from None


def checked_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise Unreachable(f"--address takes an IP address, not {text!r}") from None


def addresses_of(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or error
        raise Unreachable(f"the address of {host!r} cannot be found: {said}") from None
    return [str(each[4][0]) for each in found]


def reached(host: str, port: int, name: Optional[str], client: Client, bounds: argparse.Namespace,
            end: float) -> tuple[Target, Seen, int]:
    """Find the first address that answers, which all connections then use. Raises Unreachable.

    Returns the target, the first connection, and the number of connections made.
    """
    said, timeout = f"{Target(host, port, host)} cannot be reached: it has no address", bounds.timeout
    for made, address in enumerate(addresses_of(host, port)[:bounds.most_connections], 1):
        if made > 1:
            time.sleep(bounds.delay)
            if time.monotonic() > end:
                break
        target = Target(host, port, address)
        try:
            seen = visit(target, name, client)
        except Refused as error:
            said = f"{target} does not switch to TLS with the command of {client.starttls}: {error}"
            continue
        except OSError as error:
            why = f"no answer in {timeout:g} s" if isinstance(error, TIMEOUTS) else error.strerror or error
            said = f"{Target(host, port, host)} cannot be reached: {why}"
            continue
        if seen.heard:
            return target, seen, made
        what = {"no answer in time": f"accepts connections, but sent nothing in {timeout:g} s",
                "the connection was closed": "closes connections at once",
                }.get(seen.refusal if seen.first[:1] in (b"", b"\x16") else "", "does not speak TLS")
        said = f"{target} {what}: is it a TLS server, and is this its port?{instead_of_tls(seen.first)}"
        if name is None:
            said += " Some servers answer only clients that send a server name: pass one with --name."
    raise Unreachable(said)


def instead_of_tls(first: bytes) -> str:
    """Guess from a server's first bytes which protocol it speaks instead of TLS, and return a sentence with advice."""
    wanted = wanted_by(first)
    if wanted:
        return f" It seems to speak {' or '.join(wanted)}: try --starttls {' or --starttls '.join(wanted)}."
    if first:
        return f" It sent {shown(first)}."
    return f" If it begins in plain text, pass its protocol: --starttls {'|'.join(PROTOCOLS)}."


def names_in(certificate: bytes) -> list[str]:
    """Return the DNS names of a certificate, without wildcards and invalid names."""
    from cryptography import x509  # imported only here, because that takes a quarter of the time until the audit begins
    try:
        extensions = x509.load_der_x509_certificate(certificate).extensions
        found = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # cryptography raises many kinds for malformed certificates
        return []
    lowered = (name.lower() for name in found.get_values_for_type(x509.DNSName))
    return [name for name in lowered if NAME.fullmatch(name)]
