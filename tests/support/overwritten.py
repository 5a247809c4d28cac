"""Gives an OpenSSL function another body, in this process alone: what its callers then make of that."""

import ctypes
import mmap
import platform

import libssl

# Return NULL, or 0.
RETURN_NULL = {
    "x86_64": bytes.fromhex("4831c0 c3"),  # xor rax, rax; ret
    "aarch64": bytes.fromhex("000080d2 c0035fd6"),  # mov x0, #0; ret
}


def return_null(function: str) -> None:
    """Have a function return NULL, whoever calls it, for as long as the process lives."""
    body = RETURN_NULL[platform.machine()]
    address = libssl.address_of(function)
    page = address & -mmap.PAGESIZE
    length = address + len(body) - page
    libc = ctypes.CDLL(None, use_errno=True)
    for protection in (mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC, mmap.PROT_READ | mmap.PROT_EXEC):
        if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(length), protection):
            raise OSError(ctypes.get_errno(), "mprotect")
        if protection & mmap.PROT_WRITE:
            ctypes.memmove(address, body, len(body))
