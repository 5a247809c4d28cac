"""Host patterns: which ones are accepted, and which names each of them matches."""

import string
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine import module

from pysidctx import HostMap

LABELS = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=63).filter(
    lambda label: label[0] != "-" and label[-1] != "-" and not label.isdigit())
NAMES = st.lists(LABELS, min_size=1, max_size=5).map(".".join).filter(lambda name: len(name) < 250)
PATTERNS = st.builds("{}{}{}".format, st.sampled_from(["", "*."]), NAMES, st.sampled_from(["", "."]))


def normal(name):
    name = name.lower()
    return name[:-1] if name.endswith(".") else name


def expected(patterns, name):
    """The pattern that serves a name, by the rules for certificates: RFC 6125, section 6.4.3."""
    name = normal(name)
    first, dot, rest = name.partition(".")
    for pattern in (name, f"*.{rest}"):
        if pattern in patterns:
            return pattern
    return None


@pytest.mark.parametrize("pattern", [
    "a", "localhost", "a.test", "A.TEST", "a.test.", "xn--bcher-kva.example", "_service.a.test",
    "a_b.test", "1.test", "1a", "r3---sn.test", "*.test", "*.a.test", "*.xn--bcher-kva.example",
    "a" * 63 + ".test", ".".join(["a" * 63] * 3 + ["b" * 61]), ".".join(["a" * 63] * 3 + ["b" * 61, ""]),
])
def test_a_valid_pattern_is_taken_in_lower_case_without_its_last_dot(pattern):
    hosts = HostMap({pattern: b"x"})
    assert list(hosts) == [normal(pattern)]
    assert hosts[pattern.upper()] == hosts[normal(pattern) + "."] == b"x"


@pytest.mark.parametrize("pattern, why", [
    ("", "empty"),
    (".", "empty part before, or between"),
    ("a..test", "empty part before, or between"),
    (".a.test", "empty part before, or between"),
    ("a.test..", "empty part before, or between"),
    ("*..test", "empty part before, or between"),
    ("a" * 64 + ".test", "63 characters"),
    (".".join(["a" * 63] * 3 + ["b" * 62]), "253 characters"),
    ("a b.test", "only letters"),
    ("a\0.test", "only letters"),
    ("a/b", "leave out the path"),
    ("https://a.test", "leave out the scheme"),
    ("a.test:443", "leave out the port"),
    ("[::1]", "IP address"),
    ("::1", "IP address"),
    ("a@b.test", "leave out what comes before"),
    ("-a.test", "hyphen"),
    ("a-.test", "hyphen"),
    ("a.test-", "hyphen"),
    ("*", "wildcard"),
    ("*.", "wildcard"),
    ("a*.test", "wildcard"),
    ("*a.test", "wildcard"),
    ("a.*.test", "wildcard"),
    ("*.*.test", "wildcard"),
    ("127.0.0.1", "IP address"),
    ("127.1", "IP address"),
    ("1", "IP address"),
    ("*.0.0.1", "IP address"),
    ("127.0.0.1.", "IP address"),
])
def test_what_is_no_host_name_is_refused_and_changes_nothing(pattern, why):
    hosts = HostMap({"a.test": b"x"})
    with pytest.raises(ValueError, match=why):
        hosts[pattern] = b"y"
    with pytest.raises(ValueError, match=why):
        hosts.update({"b.test": b"y", pattern: b"y"})
    assert dict(hosts) == {"a.test": b"x"}
    assert pattern not in hosts


@pytest.mark.parametrize("pattern", [b"a.test", 1, None, ("a.test",)])
def test_what_is_no_str_is_refused(pattern):
    with pytest.raises(TypeError, match="a host pattern must be a str"):
        HostMap()[pattern] = b"x"
    assert pattern not in HostMap({"a.test": b"x"})


class NoIdna:
    """An importer that finds no module idna."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "idna":
            raise ModuleNotFoundError(name)


@pytest.fixture(params=["idna", "codec"])
def a_label_maker(request, monkeypatch):
    module("idna", "idna")
    if request.param == "codec":
        monkeypatch.delitem(sys.modules, "idna")
        monkeypatch.setattr(sys, "meta_path", [NoIdna, *sys.meta_path])


@pytest.mark.usefixtures("a_label_maker")
@pytest.mark.parametrize("pattern, a_label", [
    ("bücher.example", "'xn--bcher-kva.example'"), ("*.bücher.example", r"'\*.xn--bcher-kva.example'"),
])
def test_a_name_that_is_not_ascii_is_refused_with_its_a_label(pattern, a_label):
    with pytest.raises(ValueError, match=a_label):
        HostMap()[pattern] = b"x"


def test_a_name_without_an_a_label_is_refused():
    with pytest.raises(ValueError, match="cannot be converted to an A-label"):
        HostMap()["\ud800.example"] = b"x"


@pytest.mark.parametrize("name, pattern", [
    ("a.test", "a.test"), ("A.Test", "a.test"), ("a.test.", "a.test"),
    ("x.w.test", "*.w.test"), ("X.W.TEST.", "*.w.test"), ("exact.w.test", "exact.w.test"),
    ("w.test", None), ("x.y.w.test", None), (".w.test", None), ("*.w.test", None),
    ("a.test..", None), ("", None), (".", None), ("a", None), ("b.a.test", None), ("xa.test", None),
    ("a.tes", None), ("a.testx", None), ("a.test\0", None), ("a.test\0.w.test", None),
    ("x w.w.test", None), ("bü.w.test", None), ("-x.w.test", "*.w.test"),
    ("x" * 63 + ".w.test", "*.w.test"), ("x" * 64 + ".w.test", None), ("x" * 300, None),
    ("1.w.test", "*.w.test"), ("\ud800.w.test", None),
])
def test_matching(name, pattern):
    hosts = HostMap({"a.test": b"a", "*.w.test": b"w", "exact.w.test": b"e"})
    assert hosts.match(name) == pattern


def test_match_takes_a_str_alone():
    with pytest.raises(TypeError, match="a server name must be a str"):
        HostMap().match(b"a.test")


@given(st.sets(PATTERNS, max_size=20), st.data())
def test_matching_agrees_with_the_rules(patterns, data):
    hosts = HostMap(dict.fromkeys(patterns, b"x"))
    known = {normal(pattern) for pattern in patterns}
    assert set(hosts) == known
    near = st.sampled_from(sorted(known)).map(lambda name: name.replace("*", "x")) if known else NAMES
    name = data.draw(st.one_of(NAMES, near, near.map("x.".__add__), near.map(str.upper)))
    assert hosts.match(name) == expected(known, name)


@given(st.text(max_size=300))
def test_any_text_is_taken_or_refused_with_a_value_error(text):
    hosts = HostMap()
    try:
        hosts[text] = b"x"
    except ValueError:
        assert len(hosts) == 0
    else:
        assert list(hosts) == [normal(text)]


@given(st.text(max_size=300))
def test_any_text_may_be_asked_for(text):
    hosts = HostMap({"a.test": b"a", "*.w.test": b"w"})
    assert hosts.match(text) == (
        expected({"a.test", "*.w.test"}, text) if text.isascii() else None)
