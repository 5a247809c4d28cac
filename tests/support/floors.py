"""The package's wings and floors, and what each file takes of which other.

`python tests/support/floors.py` prints it.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

# From the ground up. What stands on one floor is side by side, and needs nothing of its neighbours.
FLOORS = (
    ("ground",),
    ("lockfree",),
    ("handshake",),
    ("id_contexts",),
    ("hosts", "tickets", "sessions"),
    ("cache", "clients"),
    ("sharing",),
    ("servers",),
    ("face",),
    ("cli",),
)

# Wings of what is in no folder of its own; a folder is a wing of its name.
AT_THE_TOP = {
    **dict.fromkeys(("include", "libssl", "openssl_compat", "elf_objects", "binding", "exceptions", "errors", "der",
                     "handles", "wrapped", "private_files", "shared_files", "secret", "secret_files", "environment",
                     "arguments", "log", "deferred_log", "_typing"), "ground"),
    "sharing": "sharing",
    "valkey": "cache",
    "__init__": "face",
    "__main__": "cli",
}

FLOOR_OF = {wing: floor for floor, wings in enumerate(FLOORS) for wing in wings}

CODE = (".py", ".pyi", ".pyx", ".pxd", ".pxi", ".h")
TEXTS = re.compile(r'"""(?:\\.|[^\\])*?"""|#[^\n]*', re.DOTALL)
C_COMMENTS = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
IMPORT_FROM = re.compile(r"^[ \t]*from[ \t]+([\w.]+)[ \t]+c?import[ \t]+(\([^)]*\)|[^\n;]*)", re.MULTILINE)
IMPORT = re.compile(r"^[ \t]*c?import[ \t]+([\w., \t]+)", re.MULTILINE)
INCLUDE = re.compile(r'^[ \t]*(?:#[ \t]*include|include|cdef[ \t]+extern[ \t]+from)[ \t]+["\']([^"\']+)["\']',
                     re.MULTILINE)


class Arrow(NamedTuple):
    """What one file takes of another module. Files of one name, such as a .pyx, its .pxd and its .h, are one module."""

    file: str
    source: str
    target: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        names = f"{', '.join(self.names)} of " if self.names else ""
        return f"{self.file} takes {names}{self.target}"


class House:
    """The files of a package `pysidctx` and of `include`, in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        files = [path.relative_to(root) for folder in ("pysidctx", "include")
                 for path in (root / folder).rglob("*") if path.suffix in CODE]
        self.files = sorted(files)
        self.modules = sorted({str(path.with_suffix("")) for path in files})
        self.arrows = [arrow for path in self.files for arrow in self._arrows_of(path)
                       if arrow.source != arrow.target]

    def _arrows_of(self, path: Path) -> Iterator[Arrow]:
        text = (self.root / path).read_text()
        source = str(path.with_suffix(""))
        code = C_COMMENTS.sub("", text) if path.suffix == ".h" else TEXTS.sub("", text)
        for target, names in self._taken(path, code, text):
            found = self._module(target, path)
            if found is not None:
                yield Arrow(str(path), source, found, names)

    def _taken(self, path: Path, code: str, text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Names of modules or of headers, and what is taken of each."""
        # Also those in C code that stands in Cython's: its comments begin with a '#', too.
        for name in INCLUDE.findall(C_COMMENTS.sub("", text)):
            yield name, ()
        if path.suffix == ".h":
            return
        for names in IMPORT.findall(code):
            for name in names.split(","):
                yield name.split()[0], ()
        for module, names in IMPORT_FROM.findall(code):
            module = self._absolute(module, path)
            taken = tuple(name.split()[0] for name in names.strip("()").split(",") if name.split())
            modules = [name for name in taken if self._module(f"{module}.{name}", path)]
            for name in modules:
                yield f"{module}.{name}", ()
            rest = tuple(name for name in taken if name not in modules)
            if rest:
                yield module, rest

    @staticmethod
    def _absolute(module: str, path: Path) -> str:
        dots = len(module) - len(module.lstrip("."))
        if not dots:
            return module
        folder = path.parts[:-dots]
        return ".".join((*folder, module[dots:])) if module[dots:] else ".".join(folder)

    def _module(self, name: str, path: Path) -> "str | None":
        """The module of a name or of a header's path; None for what is not the house's."""
        if "." in Path(name).name and Path(name).suffix in (".h", ".pxi"):
            found = next((folder / name for folder in (path.parent, Path("pysidctx"), Path("include"))
                          if folder / name in self.files), None)
            return str(found.with_suffix("")) if found else None
        stem = name.replace(".", "/")
        return next((place for place in (stem, f"{stem}/__init__") if place in self.modules), None)

    def faults(self) -> list[str]:
        """In words: files that are in no wing, arrows that do not run down, circles."""
        homeless = [f"{module} is in no wing: give it a place in {Path(__file__).name}" for module in self.modules
                    if wing_of(module) not in FLOOR_OF]
        if homeless:
            return homeless
        return [*map(self._told, self.climbing()), *(f"a circle: {' -> '.join(circle)}" for circle in self.circles())]

    def climbing(self) -> list[Arrow]:
        """Arrows between wings that do not run down."""
        return [arrow for arrow in self.arrows if wing_of(arrow.source) != wing_of(arrow.target)
                and FLOOR_OF[wing_of(arrow.source)] <= FLOOR_OF[wing_of(arrow.target)]]

    @staticmethod
    def _told(arrow: Arrow) -> str:
        source, target = wing_of(arrow.source), wing_of(arrow.target)
        where = "beside" if FLOOR_OF[source] == FLOOR_OF[target] else "beneath"
        return f"{arrow}: {source} stands {where} {target}"

    def targets(self) -> dict[str, list[str]]:
        found: dict[str, set[str]] = {module: set() for module in self.modules}
        for arrow in self.arrows:
            found[arrow.source].add(arrow.target)
        return {module: sorted(targets) for module, targets in found.items()}

    def circles(self) -> list[list[str]]:
        """One through each arrow that closes one, from its first module back to that."""
        targets, found, done = self.targets(), [], set()

        def walk(module: str, way: list[str]) -> None:
            if module in way:
                found.append([*way[way.index(module):], module])
            elif module not in done:
                for target in targets[module]:
                    walk(target, [*way, module])
                done.add(module)

        for module in self.modules:
            walk(module, [])
        return found

    def longest_chain(self) -> list[str]:
        """From a module to what it needs, and on. Where there is no circle."""
        targets, known = self.targets(), {}

        def chain(module: str) -> list[str]:
            if module not in known:
                known[module] = [module, *max(map(chain, targets[module]), key=len, default=[])]
            return known[module]

        return max(map(chain, self.modules), key=len, default=[])

    def rows(self) -> Iterator[tuple[str, ...]]:
        for floor, wings in reversed(list(enumerate(FLOORS))):
            for wing in wings:
                out = {(arrow.source, arrow.target) for arrow in self.arrows if wing_of(arrow.source) == wing}
                to = sorted({wing_of(target) for _, target in out} - {wing}, key=lambda name: (FLOOR_OF[name], name))
                climbing = [arrow for arrow in self.climbing() if wing_of(arrow.source) == wing]
                yield (str(floor), wing, str(sum(wing_of(module) == wing for module in self.modules)),
                       str(sum(wing_of(target) == wing for _, target in out)),
                       str(sum(wing_of(target) != wing for _, target in out)), str(len(climbing)), " ".join(to))


def wing_of(module: str) -> str:
    """Of "pysidctx/hosts/table" it is hosts; of a module at the top what the table says, else its name."""
    first, *rest = Path(module).parts
    if first != "pysidctx":
        return AT_THE_TOP.get(first, first)
    return rest[0] if len(rest) > 1 else AT_THE_TOP.get(rest[0], rest[0])


def printed(rows: Iterable[tuple[str, ...]]) -> str:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def main() -> int:
    house = House(Path(__file__).resolve().parent.parent.parent)
    faults = house.faults()
    print(printed([("floor", "wing", "modules", "arrows inside", "arrows out", "not down", "to"), *house.rows()]))
    print(f"\nmodules: {len(house.modules)}, arrows that do not run down: {len(house.climbing())}, "
          f"circles: {len(house.circles())}")
    if not house.circles():
        chain = house.longest_chain()
        print(f"longest chain, of {len(chain)}: {' -> '.join(chain)}")
    print(*faults, sep="\n", end="\n" if faults else "")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
