"""cryptography for a Python that it cannot be installed for: whatever uses it is skipped."""

import importlib.abc
import importlib.machinery
import sys

import pytest


class Kind(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        pytest.skip("cryptography cannot be installed for this Python", allow_module_level=True)


class Absent(Exception, metaclass=Kind):
    def __init__(self, *_, **__):
        pytest.skip("cryptography cannot be installed for this Python", allow_module_level=True)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives each of its modules the names that are asked for."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname.startswith("cryptography."):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def exec_module(self, module):
        module.__getattr__ = named


def named(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return Absent


sys.meta_path.append(Finder())
