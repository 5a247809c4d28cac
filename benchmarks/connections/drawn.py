"""The pictures of servers under load, from the recorded figures of their turns."""

import json
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.connections.cases import NGINX, OURS, PLAIN, RSA
from benchmarks.handshakes.server_time import VERSIONS
from benchmarks.pictures import Bars, Lines, Picture, Role, Series

ROLES = {PLAIN: Role.PLAIN, OURS: Role.OURS, NGINX: Role.NGINX}
Found = list[dict[str, Any]]


def pictures(figures: Path) -> list[Picture]:
    found = json.loads(figures.read_text())
    rsa = [case for case in found["servers"] if case["kind"] == str(RSA)]
    return [
        Picture("connections", "Servers under load", "connections a second",
                "Connections a second of each server on plain ssl, with pysidctx, and of nginx; and how the rate "
                "grows with the share of clients that return",
                [by_server(rsa, max(case["workers"] for case in rsa)), by_share(rsa)]),
        Picture("stored", "Clients with certificates: a server's processor time of a connection", "us",
                "The server's processor time of a connection with a client certificate: full, resumed by a ticket, and "
                "resumed from a SessionCache or from nginx's cache",
                [by_store(version, rounds) for version, rounds in found["stored"].items()], True)]


def by_server(found: Found, workers: int) -> Bars:
    wanted = (workers, "TLS 1.2", 100)
    rounds = {case["server"]: case["rounds"] for case in found
              if (case["workers"], case["version"], case["returning"]) == wanted}
    return Bars(f"TLS 1.2, {workers} workers, all clients return", [
        Series(side, role, {server: of(each, side, "rate") for server, each in rounds.items() if side in each[0]})
        for side, role in ROLES.items()])


def by_share(found: Found) -> Lines:
    workers = max(case["workers"] for case in found)
    series = []
    for (server, marker), (version, style), side in product(
            zip(("uvloop", "gunicorn"), "os"), zip(VERSIONS, ("-", ":")), (PLAIN, OURS)):
        points = {
            case["returning"]: of(case["rounds"], side, "rate") for case in found
            if (case["server"], case["workers"], case["version"]) == (server, workers, version)}
        if points:
            series.append(Series(f"{side}, {server}, {version}", ROLES[side], points, style, marker))
    return Lines(f"{workers} workers", "% of the clients that return", series)


def by_store(version: str, rounds: "list[dict[str, Any]]") -> Bars:
    figures = {side: of(rounds, side, "cpu") for side in sorted(rounds[0])}
    kinds = {"full": Role.PLAIN, "tickets": Role.OURS, "SessionCache": Role.OURS_CACHE}
    series = [Series(kind, role, {side: values for side, values in figures.items()
                                  if side.endswith(f", {kind}") and not side.startswith(NGINX)})
              for kind, role in kinds.items()]
    return Bars(version, [*series, Series(NGINX, Role.NGINX, {side: values for side, values in figures.items()
                                                              if side.startswith(NGINX)})])


def of(rounds: "list[dict[str, Any]]", side: str, figure: str) -> list[float]:
    return [each[side][figure] for each in rounds]
