"""readers.h, declared for Cython, with the few of C's atomics that are used beside it."""

cdef extern from "stdatomic.h" nogil:
    ctypedef struct atomic_int:
        pass
    ctypedef struct atomic_size_t:
        pass
    ctypedef enum memory_order:
        memory_order_relaxed
        memory_order_acquire
        memory_order_release
    void atomic_thread_fence(memory_order order)
    int atomic_load(const atomic_int *object)
    int atomic_exchange(atomic_int *object, int desired)
    size_t atomic_exchange_size "atomic_exchange"(atomic_size_t *object, size_t desired)
    size_t atomic_fetch_add(atomic_size_t *object, size_t operand)
    size_t atomic_fetch_sub(atomic_size_t *object, size_t operand)
    size_t atomic_fetch_add_explicit(atomic_size_t *object, size_t operand, memory_order order)
    size_t atomic_load_explicit(const atomic_size_t *object, memory_order order)
    void atomic_store_explicit(atomic_size_t *object, size_t desired, memory_order order)

cdef extern from "lockfree/readers.h" nogil:
    enum:
        THREAD_SLOTS

    unsigned int thread_slot()

    ctypedef struct shared_pointer:
        pass
    ctypedef struct reader_gate:
        pass
    ctypedef struct retired_node:
        pass

    void *shared_load(shared_pointer *pointer)
    void *shared_exchange(shared_pointer *pointer, void *value)
    void shared_push(shared_pointer *list, void *node, void **next)

    int flag_load(atomic_int *object)
    void flag_store(atomic_int *object, int value)

    void gate_init(reader_gate *gate)
    atomic_size_t *gate_enter(reader_gate *gate)
    void gate_leave(atomic_size_t *inside)
    void gate_wait(reader_gate *gate)

    void retire(shared_pointer *retired, retired_node *node)
    void free_retired(shared_pointer *retired, reader_gate *gate, void (*free_node)(void *node) noexcept nogil)
