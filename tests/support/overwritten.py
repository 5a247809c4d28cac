"""Gives an OpenSSL function another body, in this process alone: what its callers then make of that."""

import ctypes
import mmap
import platform

import libssl

# Return the 64 bits that follow.
RETURN = {
    "x86_64": (bytes.fromhex("48b8"), bytes.fromhex("c3")),  # mov rax, BITS; ret
    "aarch64": (bytes.fromhex("40000058 c0035fd6"), b""),  # ldr x0, BITS; ret; BITS
}


def make_return(function: str, value: int) -> None:
    """Have a function return a value, whoever calls it, for as long as the process lives."""
    before, after = RETURN[platform.machine()]
    body = before + value.to_bytes(8, "little") + after
    address = libssl.address_of(function)
    page = address & -mmap.PAGESIZE
    length = address + len(body) - page
    libc = ctypes.CDLL(None, use_errno=True)
    for protection in (mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC, mmap.PROT_READ | mmap.PROT_EXEC):
        if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(length), protection):
            raise OSError(ctypes.get_errno(), "mprotect")
        if protection & mmap.PROT_WRITE:
            ctypes.memmove(address, body, len(body))
