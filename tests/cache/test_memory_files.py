"""The file that processes share: which files are refused, and what is left of one that cannot be made."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from forks import forked, in_a_fork
from machine import lack, program
from tickets import visit

from pysidctx import SessionCache
from pysidctx.cache import memory

SIZE = 1 << 20
SECRET = bytes(range(32))


def made(path, secret=SECRET, **options):
    return SessionCache.from_secret(secret, memory=path, **{"size": SIZE, **options})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "memory"


@pytest.fixture
def shares(two, client_ctx):
    """Whether what one cache stores another one finds."""
    def share(first, second):
        for ctx, cache in zip(two, (first, second)):
            cache.install(ctx, when="always")
        _, session = visit(two[0], client_ctx)
        return visit(two[1], client_ctx, session)[0]

    return share


@pytest.mark.parametrize("umask", [0, 0o777], ids="{:03o}".format)
def test_it_is_made_once_and_found_again(path, shares, umask):
    former = os.umask(umask)
    try:
        first = made(path)
    finally:
        os.umask(former)
    status = path.stat()
    assert (status.st_mode & 0o7777, status.st_size, status.st_nlink) == (0o600, SIZE, 1)
    assert status.st_blocks * 512 >= SIZE
    assert shares(first, made(str(path)))
    assert path.stat().st_ino == status.st_ino
    assert os.listdir(path.parent) == ["memory"]


def test_a_relative_path_is_that_of_then(path, shares, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(path.parent)
    first, second = made("memory"), made(b"./memory")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert first.memory == second.memory == str(path)
    assert shares(first, second)


def test_a_file_that_was_removed_serves_on(path, shares):
    first, second = made(path), made(path)
    path.unlink()
    assert shares(first, second)
    third = made(path)
    assert not shares(first, third)
    assert shares(third, made(path))


# What is done with the path, and what the error says.
REFUSED = {
    "foreign": (lambda path: path.write_bytes(b"x" * SIZE), "not the memory of a SessionCache"),
    "empty": (lambda path: path.write_bytes(b""), "not the memory of a SessionCache"),
    "header alone": (lambda path: (made(path), os.truncate(path, 72)), "was truncated"),
    "half a header": (lambda path: (made(path), os.truncate(path, 40)), "not the memory of a SessionCache"),
    "truncated": (lambda path: (made(path), os.truncate(path, SIZE - 1)), "was truncated"),
    "longer": (lambda path: (made(path), os.truncate(path, SIZE + 1)), "was truncated or extended"),
    "other size": (lambda path: made(path, size=SIZE + 4096), "pass size=1052672 in all processes"),
    "other period": (lambda path: made(path, period=7200), "pass period=7200 in all processes"),
    "other secret": (lambda path: made(path, bytes(32)), "another secret"),
    "other version": (lambda path: (made(path), overwrite(path, 16, b"\2")), "another version"),
    "mode 0644": (lambda path: (made(path), path.chmod(0o644)), "mode 0644"),
    "mode 0620": (lambda path: (made(path), path.chmod(0o620)), "mode 0620"),
    "symlink": (lambda path: (made(f"{path}2"), path.symlink_to(f"{path}2")), "is a symbolic link"),
    "symlink to nothing": (lambda path: path.symlink_to("nothing"), "is a symbolic link"),
    "FIFO": (os.mkfifo, "not a regular file"),
    "folder": (os.mkdir, "not a regular file"),
    "socket": (lambda path: bound(path), "not a regular file"),
}


def overwrite(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def bound(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


@pytest.mark.parametrize("prepare, message", REFUSED.values(), ids=REFUSED)
def test_what_is_no_such_file_is_refused_and_left_alone(path, prepare, message):
    prepare(path)
    before, content = os.lstat(path), path.read_bytes() if path.is_file() else None
    with pytest.raises(ValueError, match=message) as refused:
        made(path)
    assert repr(str(path)) in str(refused.value)
    after = os.lstat(path)
    assert (after.st_ino, after.st_mode, after.st_size) == (before.st_ino, before.st_mode, before.st_size)
    assert content is None or path.read_bytes() == content


def needs_root():
    if os.geteuid():
        lack("only root can give a file to another user")


def test_the_file_of_another_user_is_refused(path):
    needs_root()
    made(path)
    os.chown(path, 65534, -1)
    with pytest.raises(ValueError, match="belongs to user 65534"):
        made(path)


def test_what_may_not_be_opened_or_made_is_an_error(path, tmp_path):
    """As another user, because nothing is forbidden to root."""
    needs_root()
    for folder in [tmp_path, *list(tmp_path.parents)[:-2]]:
        folder.chmod(0o755)
    for name, mode in (("read-only", 0o400), ("write-only", 0o200)):
        made(tmp_path / name)
        os.chown(tmp_path / name, 65534, -1)
        os.chmod(tmp_path / name, mode)

    def refused():
        os.setresuid(65534, 65534, 65534)
        return all(raised(PermissionError, made, tmp_path / name)
                   for name in ("read-only", "write-only", "memory"))

    assert in_a_fork(refused)
    assert sorted(os.listdir(tmp_path)) == ["read-only", "write-only"]


def raised(error, function, *arguments):
    try:
        function(*arguments)
    except error as found:
        return str(arguments[-1]) in str(found) or str(arguments[-1].parent) in str(found)
    return False


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        made(tmp_path / "nowhere" / "memory")


@pytest.mark.parametrize("wrong", [1.5, object(), ["a"]], ids=lambda wrong: type(wrong).__name__)
def test_what_is_no_path(wrong):
    with pytest.raises(TypeError):
        made(wrong)


def test_an_empty_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError)):
        made("")
    assert not os.listdir(tmp_path)


def test_without_unnamed_files(path, shares, monkeypatch):
    """Some file systems lack O_TMPFILE."""
    real = os.open

    def opened(name, flags, *arguments, **options):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not supported")
        return real(name, flags, *arguments, **options)

    monkeypatch.setattr(memory.os, "open", opened)
    assert shares(made(path), made(path))
    monkeypatch.setattr(memory.os, "posix_fallocate", full)
    with pytest.raises(OSError, match="make room"):
        made(path.parent / "other")
    assert os.listdir(path.parent) == ["memory"]


def full(*arguments):
    raise OSError(errno.ENOSPC, "")


def test_without_memfd(shares, monkeypatch, client_ctx):
    monkeypatch.delattr(os, "memfd_create")
    before = set(os.listdir("/dev/shm"))
    cache = SessionCache(size=SIZE)
    assert shares(cache, cache)
    assert not {name for name in set(os.listdir("/dev/shm")) - before if "pysidctx" in name}


def test_more_anonymous_memory_than_there_is(monkeypatch):
    """The kernel would end processes for it."""
    with pytest.raises(OSError, match="pass a smaller size") as refused:
        SessionCache(size=1 << 40)
    assert refused.value.errno == errno.ENOMEM
    real = open
    monkeypatch.setattr("builtins.open", lambda name, *arguments, **options: real(
        os.devnull if name == "/proc/meminfo" else name, *arguments, **options))
    with pytest.raises(OSError, match="pass a smaller size"):
        SessionCache(size=1 << 40)
    assert SessionCache(size=SIZE).size == SIZE


FULL = """
import errno, os, shutil, sys
from pysidctx import SessionCache
folder, = sys.argv[1:]
path, copy = folder + "/memory", folder + "/copy"
try:
    SessionCache.from_secret(bytes(32), memory=path, size=4 << 20)
except OSError as error:
    assert error.errno == errno.ENOSPC and error.filename == path and "make room" in str(error), error
assert not os.listdir(folder)
assert os.statvfs(folder).f_bfree == os.statvfs(folder).f_blocks

# A copy with holes: what is not allocated would kill the process once it is written.
SessionCache.from_secret(bytes(32), memory=path, size=1 << 20)
with open(path, "rb") as source, open(copy, "wb") as target:
    os.chmod(copy, 0o600)
    target.write(source.read(4096 + 200_000))
    target.truncate(1 << 20)
with open(folder + "/filling", "wb", 0) as filling:
    try:
        while filling.write(bytes(4096)):
            pass
    except OSError as error:
        assert error.errno == errno.ENOSPC
try:
    SessionCache.from_secret(bytes(32), memory=copy, size=1 << 20)
except OSError as error:
    assert error.errno == errno.ENOSPC and error.filename == copy, error
    print("refused")
os.unlink(folder + "/filling")
print(len(SessionCache.from_secret(bytes(32), memory=copy, size=1 << 20)))
"""


@pytest.mark.one_python  # where CI may mount one
def test_a_full_file_system_is_an_error_and_nothing_is_left_behind(tmp_path):
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(tmp_path)]
    isolated = [program("unshare", "util-linux"), "--mount", "--propagation", "private"]
    if subprocess.run([*isolated, *command], capture_output=True).returncode:
        lack("a file system cannot be mounted here")
    script = f'{" ".join(command)} && exec "$@"'
    ran = subprocess.run([*isolated, "sh", "-c", script, "sh", sys.executable, "-c", FULL, str(tmp_path)],
                         capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "refused\n0\n"), ran.stderr


def test_eight_processes_that_make_it_at_once_get_the_same(path):
    start, release = os.pipe()
    children = []
    for number in range(8):
        child = forked()
        if child == 0:
            try:
                os.close(release)
                os.read(start, 1)  # until the parent closes it
                made(path).forget(id_context=b"%d" % number)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    os.close(start)
    os.close(release)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    assert os.listdir(path.parent) == ["memory"]
    # Each has forgotten in the same memory: the generation of its list counts.
    assert int.from_bytes(path.read_bytes()[4096:4104], sys.byteorder) == 8


def test_a_process_that_is_killed_while_it_makes_it_leaves_nothing(path, rng):
    for _ in range(20):
        child = forked()
        if child == 0:
            while True:
                made(path, size=16 << 20)
                os.unlink(path)
        time.sleep(0.002 + rng.random() / 50)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert set(os.listdir(path.parent)) <= {"memory"}
        if path.exists():
            assert made(path, size=16 << 20).size == 16 << 20
            path.unlink()
