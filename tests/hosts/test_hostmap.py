"""HostMap as a mapping."""

import array
import collections.abc
import copy
import pickle
import ssl
import warnings
import weakref

import pytest
from handshakes import FIXED

from pysidctx import Host, HostMap


@pytest.fixture
def client_ctx(make_client_ctx):
    """Accepts any certificate; tests look at the one that was served."""
    return make_client_ctx(check_hostname=False)


class TestMapping:
    def test_it_is_a_mutable_mapping(self, server_ctx):
        hosts = HostMap({"a.test": server_ctx})
        assert isinstance(hosts, collections.abc.MutableMapping)
        hosts["b.test"] = b"bank"
        hosts["*.c.test"] = Host(server_ctx, b"shared")
        assert hosts == {"a.test": server_ctx, "b.test": b"bank",
                         "*.c.test": Host(server_ctx, b"shared")}
        assert len(hosts) == 3
        assert sorted(hosts) == ["*.c.test", "a.test", "b.test"]
        assert hosts.pop("a.test") is server_ctx
        assert hosts.setdefault("b.test", b"other") == b"bank"
        del hosts["B.test."]
        assert dict(hosts) == {"*.c.test": (server_ctx, b"shared")}
        assert hosts.popitem() == ("*.c.test", Host(server_ctx, b"shared"))
        assert not hosts

    def test_missing_keys(self):
        hosts = HostMap({"a.test": b"x"})
        for absent in ("b.test", "", "b\xfc", 1, None, "x.a.test"):
            assert absent not in hosts
            assert hosts.get(absent) is None
            with pytest.raises(KeyError):
                hosts[absent]
            with pytest.raises(KeyError):
                del hosts[absent]
        assert len(hosts) == 1

    def test_update_takes_what_dict_update_takes(self, server_ctx):
        class Keys:
            def keys(self):
                return ["d.test"]

            def __getitem__(self, key):
                return b"d"

        hosts = HostMap()
        hosts.update({"a.test": b"a"})
        hosts.update([("b.test", b"b"), ("B.TEST", b"later")], localhost=server_ctx)
        hosts.update(Keys())
        hosts.update(HostMap({"c": b"c"}))
        hosts.update()
        assert hosts == {"a.test": b"a", "b.test": b"later", "localhost": server_ctx, "c": b"c",
                         "d.test": b"d"}

    def test_many_entries(self):
        names = [f"host{number}.test" for number in range(5000)]
        hosts = HostMap()
        for name in names:
            hosts[name] = name.encode()
        assert {name: value.decode() for name, value in hosts.items()} == dict(zip(names, names))
        for name in names[::2]:
            del hosts[name]
        assert sorted(hosts) == sorted(names[1::2])
        hosts.update(dict.fromkeys(names, b"new"))
        assert len(hosts) == 5000
        assert set(hosts.values()) == {b"new"}
        hosts.clear()
        assert len(hosts) == 0
        assert list(hosts) == []

    def test_a_name_put_in_and_taken_out_again_and_again_needs_no_more_room(self):
        hosts = HostMap({"stays.test": b"x"})
        for number in range(2000):
            hosts[f"host{number}.test"] = b"y"
            del hosts[f"host{number}.test"]
        assert dict(hosts) == {"stays.test": b"x"}
        assert hosts.match("absent.test") is None

    @pytest.mark.parametrize("value, error, why", [
        (None, TypeError, "an ssl.SSLContext, an id context in bytes"),
        (1, TypeError, "an ssl.SSLContext, an id context in bytes"),
        ("shop", TypeError, "id context in bytes.*not str: load the certificate"),
        (b"", ValueError, "must not be empty"),
        (b"x" * 33, ValueError, "33 bytes"),
        (Host(None, b"x"), TypeError, "expected an ssl.SSLContext"),
        (Host(b"x", b"x"), TypeError, "expected an ssl.SSLContext"),
    ])
    def test_bad_values_change_nothing(self, value, error, why):
        hosts = HostMap({"a.test": b"a"})
        with pytest.raises(error, match=why):
            hosts["a.test"] = value
        with pytest.raises(error, match=why):
            hosts.update({"b.test": b"b", "a.test": value})
        with pytest.raises(error, match=why):
            HostMap({"a.test": value})
        assert dict(hosts) == {"a.test": b"a"}

    @pytest.mark.parametrize("sid_ctx", ["x", None, b"", b"x" * 33])
    def test_bad_id_contexts_of_a_host(self, server_ctx, sid_ctx):
        with pytest.raises((TypeError, ValueError)):
            HostMap()["a.test"] = Host(server_ctx, sid_ctx)

    def test_bytes_like_values(self, server_ctx):
        hosts = HostMap({"a.test": bytearray(b"a"), "b.test": Host(server_ctx, memoryview(b"b"))})
        hosts["c.test"] = array.array("B", b"c")
        assert hosts == {"a.test": b"a", "b.test": Host(server_ctx, b"b"), "c.test": b"c"}
        with pytest.raises(TypeError, match="contiguous"):
            hosts["d.test"] = memoryview(b"abcd")[::2]

    def test_contexts_that_cannot_serve_are_refused(self, client_ctx):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            fixed = [(ssl.SSLContext(protocol), "one version of TLS") for protocol in FIXED]
            both = ssl.SSLContext(ssl.PROTOCOL_TLS)
        for value, why in ((client_ctx, "for clients"), *fixed):
            with pytest.raises(ValueError, match=why):
                HostMap()["a.test"] = value
            with pytest.raises(ValueError, match=why):
                HostMap()["a.test"] = Host(value, b"x")
            with pytest.raises(ValueError, match=why):
                HostMap().install(value)
        with pytest.warns(RuntimeWarning, match="no certificate"):
            assert HostMap({"a.test": both})["a.test"] is both

    def test_a_context_without_a_fingerprint_needs_an_id_context(self, make_server_ctx, tmp_path):
        ctx = make_server_ctx()
        ctx.load_verify_locations(capath=tmp_path)
        with pytest.raises(ValueError, match=r"Host\(context, session_id_context\)"):
            HostMap()["a.test"] = ctx
        assert HostMap({"a.test": Host(ctx, b"x")})["a.test"].context is ctx

    def test_other_attributes(self):
        hosts = HostMap({"a.test": b"secret?"})
        assert repr(hosts) == "<HostMap of 1 hosts, unmatched='serve'>"
        for make in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match=r"HostMap\(hosts\)"):
                make(hosts)
        with pytest.raises(TypeError):
            hash(hosts)
        for bad in ("refuse", None, True, b"serve"):
            with pytest.raises(ValueError, match='"serve" or "reject"'):
                hosts.unmatched = bad
        assert hosts.unmatched == "serve"
        with pytest.raises(AttributeError):
            hosts.unmatchd = "reject"
        assert weakref.ref(hosts)() is hosts

    def test_changes_while_iterating(self):
        hosts = HostMap({f"host{number}": b"x" for number in range(100)})
        seen = []
        for name in hosts:
            seen.append(name)
            del hosts[name]
        assert len(seen) == 100
        assert not hosts
