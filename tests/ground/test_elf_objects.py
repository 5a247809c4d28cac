"""Reading a symbol table: only that of the file that was loaded is believed, and no damage crashes the reader."""

import struct
import subprocess

import pytest
from machine import COMPILER, ROOT, program

pytestmark = pytest.mark.source

NOT_LOADED = "the file is not the one that was loaded"
REMOVED = "its symbol table was removed"
UNREADABLE = "its symbol table cannot be read"
FOUND = "absent unknown known_function right twin ambiguous"

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")  # Elf64_Ehdr
SECTION = struct.Struct("<IIQQQQIIQQ")  # Elf64_Shdr
SYMTAB, TYPE, OFFSET, SIZE, LINK = 2, 1, 4, 5, 6


def compiled(path, *flags):
    consumers = ROOT / "tests" / "consumers"
    program("cc", "gcc")
    subprocess.run([*COMPILER.split(), "-O1", "-Wall", "-Wextra", "-Werror", "-I", ROOT / "pysidctx", *flags,
                    consumers / "elf_symbols.c", consumers / "elf_twin.c", "-o", path], check=True)
    return path


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A program that reads symbol tables, and stops at the first access out of bounds."""
    path = compiled(tmp_path_factory.mktemp("reader") / "reader", "-fsanitize=address,undefined",
                    "-fno-sanitize-recover=all", "-Wl,--build-id=0x1111111111111111")
    if path.read_bytes()[4:6] != b"\x02\x01":
        pytest.skip("the tests know ELF files of 64 bits, little endian")
    return path


@pytest.fixture
def read(reader, tmp_path):
    """What the program makes of files with given contents."""

    def read(*contents):
        paths = [tmp_path / str(number) for number in range(len(contents))]
        for path, content in zip(paths, contents):
            path.write_bytes(content)
        ran = subprocess.run([reader, *paths], capture_output=True, text=True)
        assert (ran.returncode, ran.stderr) == (0, "")
        return [line.strip() for line in ran.stdout.splitlines()]

    return read


def sections(content):
    """The offset of each section header, and its fields."""
    start = HEADER.unpack_from(content)
    for number in range(start[12]):
        place = start[6] + number * SECTION.size
        yield place, list(SECTION.unpack_from(content, place))


def changed(content, which, field, value):
    """A file with one field of one section header changed."""
    copy = bytearray(content)
    for place, fields in sections(content):
        if fields[TYPE] == which:
            fields[field] = value
            SECTION.pack_into(copy, place, *fields)
    return bytes(copy)


def test_functions_are_found_and_namesakes_told(reader, read):
    assert read(reader.read_bytes()) == [FOUND]


def test_a_file_that_is_not_the_loaded_one_is_refused(reader, read, tmp_path):
    content = reader.read_bytes()
    other = compiled(tmp_path / "other", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
                     "-Wl,--build-id=0x2222222222222222").read_bytes()
    # The two differ in nothing but the build-id.
    assert other.replace(b"\x22" * 8, b"\x11" * 8) == content
    headers = bytearray(content)
    headers[HEADER.unpack_from(content)[5] + 8] ^= 1  # a program header's offset
    assert read(other, bytes(headers), b"", b"#!/bin/sh\n", content[:40]) == [NOT_LOADED] * 5


def test_a_file_that_is_not_there_is_refused(reader, tmp_path):
    ran = subprocess.run([reader, tmp_path / "missing", tmp_path], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["its file cannot be opened", NOT_LOADED]


def test_a_removed_symbol_table_is_told(reader, read, tmp_path):
    debug, everything = tmp_path / "debug", tmp_path / "all"
    subprocess.run([program("strip", "binutils"), "--strip-debug", "-o", debug, reader], check=True)
    subprocess.run(["strip", "--strip-all", "-o", everything, reader], check=True)
    content = reader.read_bytes()
    start = list(HEADER.unpack_from(content))
    start[12] = 0  # no section headers
    assert read(debug.read_bytes(), everything.read_bytes(), HEADER.pack(*start) + content[HEADER.size:]) == [
        FOUND, REMOVED, REMOVED]


@pytest.mark.parametrize("field, value, answer", [
    (OFFSET, 1 << 40, UNREADABLE),
    (OFFSET, (1 << 64) - 8, UNREADABLE),
    (OFFSET, (1 << 63) - 1, UNREADABLE),
    (SIZE, 1 << 29, UNREADABLE),
    (SIZE, 1 << 62, UNREADABLE),
    (SIZE, (1 << 64) - 1, UNREADABLE),
    (SIZE, 23, "absent unknown known_function unknown twin unknown"),
    (LINK, 0xFFFF, REMOVED),
    (LINK, 0, "absent unknown known_function unknown twin unknown"),
])
def test_impossible_sizes_and_places_are_refused(reader, read, field, value, answer):
    assert read(changed(reader.read_bytes(), SYMTAB, field, value)) == [answer]


def test_no_damage_crashes_it(reader, read, rng):
    content = reader.read_bytes()
    start = HEADER.unpack_from(content)
    (table,) = (fields for _, fields in sections(content) if fields[TYPE] == SYMTAB)
    names = list(sections(content))[table[LINK]][1]
    targets = [(0, HEADER.size), (start[5], start[9] * start[10]), (start[6], start[12] * SECTION.size),
               (table[OFFSET], table[SIZE]), (names[OFFSET], names[SIZE])]
    damaged = []
    for _ in range(150):
        copy = bytearray(content)
        place, size = rng.choice(targets)
        for _ in range(rng.choice((1, 4, 50))):
            copy[place + rng.randrange(size)] = rng.choice((0, 0xFF, 0x7F, 0x80, rng.randrange(256)))
        damaged.append(bytes(copy))
    damaged += [content[:rng.randrange(len(content))] for _ in range(30)]
    answers = read(*damaged)
    assert len(answers) == len(damaged)
    told = {answer for answer in answers if not answer.startswith("absent")}
    assert told <= {NOT_LOADED, REMOVED, UNREADABLE}
    assert {NOT_LOADED, UNREADABLE} & told and FOUND in answers
