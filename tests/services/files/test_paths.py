from __future__ import annotations

import itertools
import os
import random
import re
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aionet.errors import ConfigError
from aionet.services.files.errors import (
    AccessDenied,
    NotADirectory,
    NotAFile,
    NotFound,
    RefusedName,
    TransferError,
)
from aionet.services.files.opening import has_openat2
from aionet.services.files.paths import MAX_COMPONENT, MAX_NAME, Directory, check_name

from .conftest import Tree

needs_openat2 = pytest.mark.skipif(not has_openat2(), reason="this kernel has no openat2, or forbids it")
BOTH = [pytest.param(True, marks=needs_openat2, id="openat2"), pytest.param(False, id="steps")]


@pytest.fixture(params=BOTH)
def directory(request: pytest.FixtureRequest, tree: Tree) -> Iterator[Directory]:
    with Directory(tree.root, follow_links=request.param) as opened:
        yield opened


def read(directory: Directory, name: str) -> bytes:
    descriptor, info = directory.open_file(name)
    try:
        return os.pread(descriptor, info.st_size + 1, 0)
    finally:
        os.close(descriptor)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("hello.txt", b"hello world"),
        ("with space.txt", b"space"),
        ("back\\slash", b"backslash"),
        ("sub/inner.txt", b"inner"),
        ("sub/deep/leaf", b"leaf"),
        ("empty", b""),
        ("hard", b"hello world"),
    ],
)
def test_files_are_opened(directory: Directory, name: str, content: bytes) -> None:
    assert read(directory, name) == content


MAGIC_LINK = os.path.join("/proc/self", "root", "")
REFUSED = [
    *["", ".", "..", "/", "//", "/etc/passwd", "../outside/secret", "sub/../hello.txt", "sub//inner.txt", "sub/"],
    *["./hello.txt", "sub/./inner.txt", "hello.txt/..", "hello.txt\0", "\0", "a\nb", "a\x1bb", "a\x7fb", "a\x85b"],
    *[".hidden", "sub/.x", "...", "\udcff", "x" * (MAX_COMPONENT + 1), "é" * 128, "/".join(["x" * 255] * 17)],
]


@pytest.mark.parametrize("name", REFUSED)
def test_names_that_break_a_rule_are_refused(directory: Directory, name: str) -> None:
    with pytest.raises(RefusedName) as caught:
        directory.open_file(name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_the_longest_names_pass(directory: Directory) -> None:
    with pytest.raises(NotFound):
        directory.open_file("x" * MAX_COMPONENT)
    whole = "/".join(["x" * MAX_COMPONENT] * 15 + ["x" * (MAX_COMPONENT)])
    assert len(whole) == MAX_NAME
    assert check_name(whole) == whole
    with pytest.raises(NotFound):
        directory.open_file(whole)


@given(st.text(alphabet="./~ -aZ0\\\n\x7f\x85é", max_size=12) | st.text(max_size=300), st.booleans())
def test_a_plain_name_is_one_that_passes_when_it_is_taken_apart(name: str, hidden: bool) -> None:
    def passes() -> bool:
        with suppress(RefusedName):
            return check_name(name, hidden=hidden) == name
        return False

    at_a_glance = passes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aionet.services.files.paths._PLAIN", re.compile("(?!)"))  # nothing is plain
        assert passes() == at_a_glance


UNTOUCHED = ["%2e%2e/outside/secret", "x%2f..%2foutside", "hello.txt ", "HELLO.TXT", "C:\\x", "nothing/x"]


@pytest.mark.parametrize("name", UNTOUCHED)
def test_nothing_is_decoded_or_folded(directory: Directory, name: str) -> None:
    with pytest.raises(NotFound):
        directory.open_file(name)


@pytest.mark.parametrize("name", ["sub", "fifo", "socket"])
def test_only_regular_files(directory: Directory, name: str) -> None:
    with pytest.raises(NotAFile):
        directory.open_file(name)


def test_a_file_is_not_a_directory_on_the_way(directory: Directory) -> None:
    with pytest.raises(NotFound):
        directory.open_file("hello.txt/x")


@pytest.mark.parametrize("name", ["link-outside", "link-absolute", "link-loop", "link-proc", "link-out-dir/secret"])
def test_links_that_leave_are_refused(directory: Directory, name: str) -> None:
    with pytest.raises(RefusedName):
        directory.open_file(name)


def test_a_link_with_an_absolute_target_is_refused_wherever_it_leads(directory: Directory) -> None:
    with pytest.raises(RefusedName):
        directory.open_file("link-absolute-inside")


@pytest.mark.parametrize("name", ["link-inside", "link-dir/inner.txt", "sub/link-up", "link-dir/link-up"])
def test_links_that_stay_inside_are_followed_only_by_the_kernel(directory: Directory, name: str) -> None:
    if directory.follows_links:
        assert read(directory, name) in (b"hello world", b"inner")
    else:
        with pytest.raises(RefusedName, match="symbolic link"):
            directory.open_file(name)


def test_hidden_names_on_request(tree: Tree) -> None:
    with Directory(tree.root, hidden=True) as directory:
        assert read(directory, ".hidden") == b"hidden"
        assert ".hidden" in {entry.name for entry in directory.scan()}
        with pytest.raises(RefusedName):
            directory.open_file("../outside/secret")


def test_a_waiting_writer_of_a_fifo_is_not_woken(directory: Directory, tree: Tree) -> None:
    for _ in range(50):
        with pytest.raises(NotAFile):
            directory.open_file("fifo")
    with pytest.raises(OSError, match="No such device"):  # ENXIO: still nobody has it open for reading
        os.open(tree.root / "fifo", os.O_WRONLY | os.O_NONBLOCK)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_a_device_is_never_opened(directory: Directory, tree: Tree) -> None:
    try:
        os.mknod(tree.root / "device", stat.S_IFCHR | 0o666, os.makedev(5, 0))  # /dev/tty
    except PermissionError:
        pytest.skip("devices cannot be made here")
    with pytest.raises(NotAFile):
        directory.open_file("device")
    assert "device" not in {entry.name for entry in directory.scan()}


def test_no_permission(directory: Directory, tree: Tree) -> None:
    (tree.root / "hello.txt").chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)  # nobody: root may read everything
    try:
        with pytest.raises(AccessDenied, match="no permission"):
            directory.open_file("hello.txt")
    finally:
        if root:
            os.seteuid(0)


def test_the_descriptor_limit_is_an_answer(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(directory, "_opener", full)
    with pytest.raises(TransferError) as caught:
        directory.open_file("hello.txt")
    assert caught.value.code == "BUSY"


def test_a_listing(directory: Directory, tree: Tree) -> None:
    with directory.scan() as scan:
        entries = {entry.name: entry for entry in scan}
    plain = {"hello.txt", "empty", "with space.txt", "back\\slash", "hard", "sub"}
    linked = {"link-inside", "link-dir"}
    assert entries.keys() == (plain | linked if directory.follows_links else plain)
    assert entries["hello.txt"].size == 11
    assert entries["hello.txt"].mtime_ns == (tree.root / "hello.txt").stat().st_mtime_ns
    assert entries["sub"].is_directory
    # out, out-dir, absolute, absolute-inside, loop, proc; fifo, socket; without openat2 also the links inside
    assert scan.left_out == 8 + (0 if directory.follows_links else 3)


def test_a_listing_below(directory: Directory) -> None:
    with directory.scan("sub") as scan:
        names = {entry.name for entry in scan}
    assert names == ({"inner.txt", "deep", "link-up"} if directory.follows_links else {"inner.txt", "deep"})


def test_a_listing_is_read_in_parts(directory: Directory) -> None:
    with directory.scan() as whole, directory.scan() as scan:
        parts = list(iter(lambda: scan.read(2), []))
        assert list(itertools.chain(*parts)) == list(whole)
        assert all(len(part) == 2 for part in parts[:-1])


def test_names_that_no_request_can_carry_are_left_out_and_counted(tree: Tree) -> None:
    odd = tree.root / "odd"
    odd.mkdir()
    for name in (b"\xff\xfe", b"new\nline", b"\x1b[2J", b"fine"):
        (odd / os.fsdecode(name)).write_bytes(b"")
    with Directory(tree.root) as directory, directory.scan("odd") as scan:
        assert [entry.name for entry in scan] == ["fine"]
        assert scan.left_out == 3


@pytest.mark.parametrize("name", ["hello.txt", "fifo"])
def test_only_directories_are_listed(directory: Directory, name: str) -> None:
    with pytest.raises(NotADirectory):
        directory.scan(name)


@pytest.mark.parametrize("name", ["nothing", "hello.txt/x", "nothing/x"])
def test_listing_what_is_not_there(directory: Directory, name: str) -> None:
    with pytest.raises(NotFound):
        directory.scan(name)


@pytest.mark.parametrize("name", ["link-out-dir", "..", "/", "sub/", ".hidden", "link-loop"])
def test_listing_what_is_refused(directory: Directory, name: str) -> None:
    with pytest.raises(RefusedName):
        directory.scan(name)


def test_every_path_closes_its_descriptors(directory: Directory) -> None:
    before = open_descriptors()
    for name in [*REFUSED, "hello.txt", "sub/deep/leaf", "sub", "fifo", "link-outside", "link-dir/inner.txt", "no/no"]:
        for attempt in (lambda n=name: read(directory, n), lambda n=name: directory.scan(n).close()):
            try:
                attempt()
            except TransferError:
                continue
    assert open_descriptors() == before


@pytest.mark.parametrize(
    ("make", "message"),
    [(lambda p: None, "no directory"), (lambda p: p.write_bytes(b""), "not a directory")],
    ids=["absent", "file"],
)
def test_a_root_that_cannot_be(tmp_path: Path, make: object, message: str) -> None:
    path = tmp_path / "root"
    assert callable(make)
    make(path)
    with pytest.raises(ConfigError, match=message):
        Directory(path)


def test_a_root_with_a_nul_is_a_config_error() -> None:
    with pytest.raises(ConfigError):
        Directory("a\0b")


def test_a_renamed_root_stays_the_same_directory(directory: Directory, tree: Tree) -> None:
    tree.root.rename(tree.root.with_name("moved"))
    tree.root.symlink_to(tree.outside)
    assert read(directory, "hello.txt") == b"hello world"


def hostile_names(count: int, seed: int) -> Iterator[str]:
    """Names put together from what has let others down: traversal in every disguise, devices, odd Unicode."""
    pieces = [
        *["..", ".", "", "...", "....", ".. ", " ..", "..\\", "\\..", "..;", "%2e%2e", "%252e%252e", "..%2f", "..%00"],
        *[
            "\uff0e\uff0e",
            "\u2025",
            "\u2024\u2024",
            "..%c0%af",
            "\xc0\xaf",
            "..\u2215",
            "..\uff0f",
            "\udcc0\udcaf",
            "..\u200b",
            "\u202e..",
        ],
        *["link-outside", "link-out-dir", "link-absolute", "link-loop", "link-proc", "link-dir", "link-inside", "sub"],
        *["outside", "secret", "etc", "passwd", "proc", "self", "root", "fd", "0", "dev", "null", "zero", "served"],
        *["CON", "NUL", "AUX", "COM1", "C:", "c:\\windows", "~", "~root", "$HOME", "`id`", "|id", ";id", "*", "?"],
        *["hello.txt", "hello.txt.", "hello.txt ", "hello.txt::$DATA", "fifo", "socket", ".hidden", ".git", "deep"],
        *["\0", "\n", "\r", "\t", "\x1b[2J", "\x7f", "\x9b", "e\u0301", "\xe9", "a" * 255, "a" * 256, "é" * 200, "-rf"],
    ]
    source = random.Random(seed)
    for _ in range(count):
        if source.random() < 0.1:  # some that are right, so that not only refusals are tried
            yield source.choice(["sub/", "link-dir/", "", "link-out-dir/"]) + source.choice(
                ["hello.txt", "inner.txt", "deep", "fifo", "secret", "hard"]
            )
            continue
        parts = source.choices(pieces, k=source.randint(1, 6))
        name = source.choice(["/", "/", "/", "//", "\\", ""]).join(parts)
        prefix = source.choice(["", "", "", "/", "../", "./", "//", "\\\\", "file://", MAGIC_LINK])
        yield prefix + name + source.choice(["", "", "", "/", "\0", ".", " ", "/..", "/."])


def test_no_hostile_name_escapes(directory: Directory, tree: Tree) -> None:
    allowed = tree.inodes()
    before = open_descriptors()
    opened = 0
    reasons: set[str] = set()
    for name in itertools.chain(hostile_names(4000, seed=7), REFUSED):
        try:
            descriptor, info = directory.open_file(name)
        except TransferError as exc:
            reasons.add(str(exc))
            continue
        opened += 1
        assert (info.st_dev, info.st_ino) in allowed, name
        assert os.fstat(descriptor).st_ino == info.st_ino
        assert stat.S_ISREG(info.st_mode)
        os.close(descriptor)
    assert opened > 10  # the generator reaches real files too, or it would prove nothing
    assert all(reason.isprintable() for reason in reasons)
    assert open_descriptors() == before


@needs_openat2
def test_the_kernel_alone_lets_none_of_them_out(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second wall: with the rules for names taken away, RESOLVE_BENEATH must hold by itself."""
    monkeypatch.setattr("aionet.services.files.paths.check_name", lambda name, *, hidden: name)
    allowed = tree.inodes()
    opened = 0
    with Directory(tree.root, follow_links=True) as directory:
        for name in itertools.chain(hostile_names(4000, seed=11), REFUSED):
            try:
                descriptor, info = directory.open_file(name)
            except (TransferError, UnicodeEncodeError):
                continue
            os.close(descriptor)
            opened += 1
            assert (info.st_dev, info.st_ino) in allowed, name
    assert opened > 10


@given(name=st.text(st.one_of(st.sampled_from("./\\%\0\n a"), st.characters()), max_size=40))
@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_opened_inside_or_refused(directory: Directory, tree: Tree, name: str) -> None:
    try:
        descriptor, info = directory.open_file(name)
    except TransferError:
        return
    os.close(descriptor)
    assert (info.st_dev, info.st_ino) in tree.inodes()


def flip(tree: Tree, stop: threading.Event) -> None:
    """Swap ``moving`` between a directory of ours and a link out, ``here`` between a file and a link out."""
    root = tree.root
    (root / "link-out").symlink_to(tree.outside)
    (root / "file-out").symlink_to(tree.outside / "secret")
    while not stop.is_set():
        os.rename(root / "moving", root / "away")
        os.rename(root / "link-out", root / "moving")
        os.rename(root / "here", root / "there")
        os.rename(root / "file-out", root / "here")
        os.rename(root / "moving", root / "link-out")
        os.rename(root / "away", root / "moving")
        os.rename(root / "here", root / "file-out")
        os.rename(root / "there", root / "here")


def test_a_race_of_links_and_directories_never_escapes(directory: Directory, tree: Tree) -> None:
    (tree.root / "moving").mkdir()
    (tree.root / "moving" / "secret").write_bytes(b"ours")
    (tree.root / "here").write_bytes(b"ours")
    allowed = tree.inodes()
    stop = threading.Event()
    flipper = threading.Thread(target=flip, args=(tree, stop))
    flipper.start()
    opened = refused = 0
    try:
        for turn in range(20_000):
            try:
                descriptor, info = directory.open_file("moving/secret" if turn % 2 else "here")
            except TransferError:
                refused += 1
                continue
            opened += 1
            assert (info.st_dev, info.st_ino) in allowed
            os.close(descriptor)
    finally:
        stop.set()
        flipper.join()
    assert opened > 0
    assert refused > 0  # both sides of the flip were met
