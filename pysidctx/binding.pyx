"""Finds the OpenSSL functions that the interpreter's `_ssl` calls, and fills each module's table with them.

A source build begins with what the linker has filled in. Otherwise they are looked for from the file that holds
`_ssl`'s code: in the libraries that it loads, in the global scope, where LD_PRELOAD puts a library before those, and
in its own symbol table, where OpenSSL is linked into it and hidden. No function is believed before it is proved:
`_ssl` makes a context, and the libcrypto that was found sees it being made, with a method of the libssl that was found.
"""

import os
import ssl
import sys
from types import BuiltinFunctionType

import _ssl

from libc.string cimport memcpy, memset

from pysidctx.exceptions import LibraryMismatchError

from pysidctx.libssl cimport CRYPTO_EX_DATA, CRYPTO_EX_INDEX_SSL_CTX, SSL_CTX

cdef extern from "Python.h":
    void *PyCFunction_GetFunction(object op) except NULL
    unsigned long PyThread_get_thread_ident() nogil

cdef extern from "elf_objects.h" nogil:
    enum:
        PF_X
        RTLD_LAZY
        RTLD_NOLOAD
    void *RTLD_DEFAULT
    void *dlopen(const char *filename, int flags)
    int dlclose(void *handle)
    void *dlsym(void *handle, const char *symbol)
    ctypedef struct elf_object:
        const char *path
    ctypedef struct elf_symbol:
        const char *name
        void *address
        bint ambiguous
    bint elf_object_of(const void *address, elf_object *object)
    bint elf_contains(const elf_object *object, size_t address, int flags)
    const char *elf_find_symbols(const elf_object *object, elf_symbol *wanted, size_t count)

cdef extern from *:
    """
    typedef struct {
        const char *name;
        unsigned long since, until; /* versions, as OpenSSL_version_num() returns them */
        int needed;
    } openssl_function;

    static const openssl_function openssl_functions[] = {
    #define NEED(result, name, arguments) {#name, 0, ~0ul, 1},
    #define FROM_3_0(result, name, arguments) {#name, 0x30000000, ~0ul, 1},
    #define FROM_3_3(result, name, arguments) {#name, 0x30300000, ~0ul, 1},
    #define UNTIL_3_0(result, name, arguments) {#name, 0, 0x30000000, 1},
    #define MAY(result, name, arguments) {#name, 0, ~0ul, 0},
    #include "openssl_functions.h"
    };
    #define OPENSSL_FUNCTIONS (sizeof(openssl_functions) / sizeof(openssl_functions[0]))
    _Static_assert(sizeof(pysidctx_openssl_api) == OPENSSL_FUNCTIONS * sizeof(void *), "one pointer a function");

    #ifdef PYSIDCTX_LINKED
    #include <openssl/opensslv.h>
    #define BUILT_WITH OPENSSL_VERSION_TEXT
    #else
    #define BUILT_WITH NULL
    #endif
    """
    ctypedef struct openssl_function:
        const char *name
        unsigned long since, until
        bint needed
    const openssl_function openssl_functions[]
    enum:
        OPENSSL_FUNCTIONS
    const char *BUILT_WITH

# Exported by Python's own files: a symbol table that has them must say of them what the dynamic linker says.
cdef tuple EXPORTED = (b"PyInit__ssl", b"PyLong_FromLong", b"PyObject_GetAttr", b"Py_GetVersion")

cdef Witness witness
cdef openssl_api found
cdef elf_object python_s  # the file that holds the code of `_ssl`
cdef str way  # how `found` was found


cdef int fill(openssl_api *table) except -1:
    memcpy(table, &found, sizeof(openssl_api))
    return 0


def binding():
    """How the functions were found: "linked", "dlsym", "global scope" or "symbol table"."""
    return way


def library_file():
    """The file that holds libssl: a shared library, or what it is linked into."""
    cdef elf_object holder
    if not elf_object_of(<void *> found.TLS_server_method, &holder):
        return None
    return path_of(&holder)


def library_version():
    """What the OpenSSL that was found says it is."""
    return found.OpenSSL_version(OPENSSL_VERSION).decode("utf-8", "backslashreplace")


def built_with():
    """The OpenSSL whose headers pysidctx was compiled with; None for a build that serves all versions."""
    return None if BUILT_WITH is NULL else BUILT_WITH.decode()


def has(str name):
    """Whether this libssl, or its libcrypto, has the function of this name; ValueError if pysidctx does not know it."""
    cdef int i
    for i in range(OPENSSL_FUNCTIONS):
        if openssl_functions[i].name.decode() == name:
            return slots()[i] is not NULL
    raise ValueError(f"pysidctx knows no function {name}() of OpenSSL")


cdef str path_of(const elf_object *holder):
    return os.fsdecode(<bytes> holder.path) or sys.executable


cdef void see(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp) noexcept nogil:
    """The ex_data callback for which `argp` is a Witness."""
    # Other threads may be making contexts of their own meanwhile.
    if (<Witness *> argp).thread == PyThread_get_thread_ident():
        (<Witness *> argp).made = parent


cdef void *made_by_python() except? NULL:
    """Have `_ssl` make an SSL_CTX. Returns it if the libcrypto that was found has seen it, else NULL."""
    witness.thread, witness.made = PyThread_get_thread_ident(), NULL
    _context = _ssl._SSLContext(_ssl.PROTOCOL_TLS_SERVER)  # keeps the SSL_CTX alive until the return
    cdef void *made = witness.made
    if made is not NULL and found.SSL_CTX_get_ssl_method(<SSL_CTX *> made) is not found.TLS_server_method():
        return NULL
    return made


cdef str refuted():
    """Why the functions that were found are not those that `_ssl` calls; None if they are."""
    found.ERR_set_mark()  # what fails here leaves nothing in the error queue
    cdef int index = found.CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL_CTX, 0, &witness, see, NULL, NULL)
    if index <= 0:
        found.ERR_pop_to_mark()
        return "they failed"
    try:
        seen = made_by_python() is not NULL
    finally:
        # The index stays taken, but from here on nothing is called for it.
        freed = found.CRYPTO_free_ex_index(CRYPTO_EX_INDEX_SSL_CTX, index)
        found.ERR_pop_to_mark()
    if not seen or not freed:
        return "they are another OpenSSL's"
    return None


cdef str lacking():
    """Why the functions that were found are not an OpenSSL's that is known; None if they are.

    Those that its version does not promise are taken out.
    """
    if found.OpenSSL_version_num is NULL or found.OpenSSL_version is NULL:
        return "there is no OpenSSL_version_num()"
    cdef const char *text = found.OpenSSL_version(OPENSSL_VERSION)
    if text is NULL:
        return "OpenSSL_version() returned NULL"
    name = text.decode("utf-8", "backslashreplace")
    cdef unsigned long version = found.OpenSSL_version_num()
    if sizeof(long) < 8 and version < 0x30000000:
        return f"they are of {name}, whose options have 32 bits here: pysidctx needs 64 bits, or OpenSSL 3.0"
    # Other libraries that pass for one say that they are compatible.
    if not name.startswith("OpenSSL ") or "compatible" in name or version < 0x10101000:
        return f"they are of {name}, and pysidctx needs OpenSSL itself, 1.1.1 or later"
    cdef int i
    cdef const openssl_function *function
    for i in range(OPENSSL_FUNCTIONS):
        function = &openssl_functions[i]
        if not function.since <= version < function.until:
            slots()[i] = NULL
        elif slots()[i] is NULL and function.needed:
            return f"{name} has no {function.name.decode()}()"
    return scattered()


cdef str scattered():
    """Why the functions that were found are not of one libssl and one libcrypto; None if they are."""
    cdef elf_object libssl, libcrypto
    if (not elf_object_of(<void *> found.TLS_server_method, &libssl)
            or not elf_object_of(<void *> found.CRYPTO_get_ex_new_index, &libcrypto)):
        return "they are in no file"
    cdef int i
    for i in range(OPENSSL_FUNCTIONS):
        if (slots()[i] is not NULL and not elf_contains(&libssl, <size_t> slots()[i], PF_X)
                and not elf_contains(&libcrypto, <size_t> slots()[i], PF_X)):
            return (f"{openssl_functions[i].name.decode()}() is neither in {path_of(&libssl)} nor in "
                    f"{path_of(&libcrypto)}")
    return None


cdef void **slots() noexcept:
    return <void **> &found


cdef str look_in_table_of_linker():
    """What the linker has filled in: the functions of all versions. The others are looked for beside them."""
    if openssl.OpenSSL_version_num is NULL:
        return "pysidctx was built without libssl"
    export_of_library(<void *> openssl.TLS_server_method)
    cdef int i
    for i in range(OPENSSL_FUNCTIONS):
        if (<void **> &openssl)[i] is not NULL:
            slots()[i] = (<void **> &openssl)[i]
    return None


cdef str look_by_dlsym():
    """What the file of `_ssl` and the libraries that it loads export."""
    cdef void *handle = loaded(&python_s)
    if handle is NULL:
        return "the dynamic linker does not know the file"
    export_of_library(dlsym(handle, b"TLS_server_method"))
    dlclose(handle)  # what holds `_ssl` stays loaded
    return None


cdef str look_in_global_scope():
    export_of_library(dlsym(RTLD_DEFAULT, b"TLS_server_method"))
    return None


cdef int export_of_library(void *of_libssl) noexcept:
    """Take what the file of a function of libssl exports, and the libcrypto that it loads.

    Of the file itself: a program may export functions of its own by the same name, or what only leads to them.
    """
    cdef elf_object libssl
    if of_libssl is NULL or not elf_object_of(of_libssl, &libssl):
        return 0
    cdef void *handle = loaded(&libssl)
    if handle is NULL:
        return 0
    cdef int i
    for i in range(OPENSSL_FUNCTIONS):
        slots()[i] = dlsym(handle, openssl_functions[i].name)
    dlclose(handle)
    return 0


cdef void *loaded(const elf_object *holder) noexcept:
    """A handle of a loaded file, for dlsym() and dlclose(); NULL if the dynamic linker does not know it."""
    return dlopen(holder.path if holder.path[0] else NULL, RTLD_LAZY | RTLD_NOLOAD)


cdef str look_in_symbol_table():
    """What the symbol table of the file of `_ssl` has, if it is that of the file that was loaded."""
    cdef elf_symbol wanted[OPENSSL_FUNCTIONS + 4]
    cdef int i
    memset(wanted, 0, sizeof(wanted))
    for i in range(OPENSSL_FUNCTIONS):
        wanted[i].name = openssl_functions[i].name
    for i in range(4):
        wanted[OPENSSL_FUNCTIONS + i].name = <const char *> <bytes> EXPORTED[i]
    cdef const char *failed = elf_find_symbols(&python_s, wanted, OPENSSL_FUNCTIONS + 4)
    cdef elf_object program = python_s
    if failed is not NULL and not python_s.path[0]:
        # Started by way of ld.so or without /proc, another file is /proc/self/exe, or none is.
        executable = os.fsencode(sys.executable or "")
        program.path = executable
        failed = elf_find_symbols(&program, wanted, OPENSSL_FUNCTIONS + 4)
    if failed is not NULL:
        return failed.decode()
    addresses = {}
    for i in range(OPENSSL_FUNCTIONS + 4):
        if wanted[i].ambiguous:
            return f"two functions have the name {wanted[i].name.decode()}"
        addresses[<bytes> wanted[i].name] = <size_t> wanted[i].address
    for i in range(OPENSSL_FUNCTIONS):
        slots()[i] = <void *> <size_t> addresses[<bytes> openssl_functions[i].name]
    return contradicted(addresses)


cdef str contradicted(dict addresses):
    """Why a symbol table is not that of the file as it lies in memory; None if both agree on what is exported."""
    cdef void *handle = loaded(&python_s)
    if handle is NULL:
        return "the dynamic linker does not know the file"
    cdef bint agreed = False
    cdef size_t exported
    for name in EXPORTED:
        exported = <size_t> dlsym(handle, name)
        if addresses[name] and exported != <size_t> addresses[name]:
            dlclose(handle)
            return f"it has {name.decode()}() elsewhere than it lies in memory"
        agreed |= addresses[name] != 0
    dlclose(handle)
    return None if agreed else "it has none of the functions that Python exports"


cdef str attempt(str name):
    """Look for the functions in one way; None if they were found and proved, else why not."""
    memset(&found, 0, sizeof(found))
    if name == "linked":
        failed = look_in_table_of_linker()
    elif name == "dlsym":
        failed = look_by_dlsym()
    elif name == "global scope":
        failed = look_in_global_scope()
    else:
        failed = look_in_symbol_table()
    return failed or lacking() or refuted()


cdef int find() except -1:
    """Fill `found`; LibraryMismatchError."""
    global way
    if not isinstance(_ssl.RAND_status, BuiltinFunctionType):
        raise LibraryMismatchError(
            f"_ssl.RAND_status is {_ssl.RAND_status!r} and no longer the function of {_ssl!r}, which tells what libssl "
            "it calls: import pysidctx before it is replaced")
    if not elf_object_of(PyCFunction_GetFunction(_ssl.RAND_status), &python_s):
        raise LibraryMismatchError(f"the code of {_ssl!r} is in no file that is loaded: take another Python")
    failures = {}
    for name in ("linked", "dlsym", "global scope", "symbol table"):
        failures[name] = attempt(name)
        if failures[name] is None:
            way = name
            return 0
    raise not_found(failures)


cdef object not_found(dict failures):
    tried = "; ".join(f"{name}: {failure}" for name, failure in failures.items())
    return LibraryMismatchError(
        f"pysidctx cannot find the OpenSSL functions that this Python's ssl module calls ({ssl.OPENSSL_VERSION}, from "
        f"{path_of(&python_s)}). Where OpenSSL is linked into Python and hidden, they are found by the symbol table "
        "alone, which `strip` removes and `strip --strip-debug` leaves: take a Python that loads libssl as a shared "
        "library, as the packages of most distributions do (with uv: `uv venv --no-managed-python`). What was tried: "
        f"{tried}")


find()
