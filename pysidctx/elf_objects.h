/* Which loaded file an address lies in, and where that file's own symbol table has functions. See elf(5). */
#ifndef PYSIDCTX_ELF_OBJECTS_H
#define PYSIDCTX_ELF_OBJECTS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A program or shared library that is loaded; everything is borrowed from it. */
typedef struct {
    const char *path; /* empty for the program */
    ElfW(Addr) base;
    const ElfW(Phdr) *headers;
    size_t header_count;
} elf_object;

typedef struct {
    ElfW(Addr) address;
    int entries; /* the program is the first */
    elf_object found;
} elf_search;

static inline int elf_contains(const elf_object *object, ElfW(Addr) address, ElfW(Word) flags)
{
    size_t i;

    for (i = 0; i < object->header_count; i++) {
        const ElfW(Phdr) *header = &object->headers[i];

        if (header->p_type == PT_LOAD && (header->p_flags & flags) == flags
            && address - (object->base + header->p_vaddr) < header->p_memsz)
            return 1;
    }
    return 0;
}

static int elf_visit(struct dl_phdr_info *info, size_t size, void *data)
{
    elf_search *search = data;
    elf_object object = {search->entries++ ? info->dlpi_name : "", info->dlpi_addr, info->dlpi_phdr,
                         info->dlpi_phnum};

    (void)size;
    if (!elf_contains(&object, search->address, 0))
        return 0;
    search->found = object;
    return 1;
}

/* 1 if a loaded file contains the address, else 0. */
static inline int elf_object_of(const void *address, elf_object *object)
{
    elf_search search = {(ElfW(Addr))address, 0, {0}};

    if (!dl_iterate_phdr(elf_visit, &search))
        return 0;
    *object = search.found;
    return 1;
}

/* `size` bytes of a file, the caller's to free; NULL with too few of them, or without memory. */
static void *elf_read(int file, off_t offset, size_t size)
{
    unsigned char *data = offset < 0 || size > 1u << 30 ? NULL : malloc(size + 1);
    size_t done = 0;

    while (data != NULL && done < size) {
        ssize_t count = pread(file, data + done, size - done, offset + (off_t)done);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            free(data);
            return NULL;
        }
        done += (size_t)count;
    }
    if (data != NULL)
        data[size] = 0; /* ends a string table that lacks its end */
    return data;
}

/* A part of a file, and where it is loaded. */
typedef struct {
    ElfW(Addr) address;
    ElfW(Off) offset;
    size_t size;
} elf_part;

/* Whether a part lies in memory: tools that remove sections leave headers of what is not where they say. */
static int elf_loads(const elf_object *object, const elf_part *part)
{
    size_t i;

    for (i = 0; i < object->header_count; i++) {
        const ElfW(Phdr) *header = &object->headers[i];

        if (header->p_type == PT_LOAD && (header->p_flags & PF_R) && part->size && part->size <= header->p_filesz
            && part->address - header->p_vaddr <= header->p_filesz - part->size
            && part->address - header->p_vaddr == part->offset - header->p_offset)
            return 1;
    }
    return 0;
}

/* Whether a part of a loaded file stands so in a file, too. */
static int elf_same(const elf_object *object, int file, const elf_part *part)
{
    void *stored = elf_read(file, (off_t)part->offset, part->size);
    int same = stored != NULL && !memcmp(stored, (const void *)(object->base + part->address), part->size);

    free(stored);
    return same;
}

/* Whether a file is the one that was loaded: the same program headers and the same notes, among which its build-id is.
 * Many files have none; elf_same_exports() tells these apart, too. */
static int elf_is_loaded_from(const elf_object *object, int file, const ElfW(Ehdr) *start)
{
    size_t i, size = object->header_count * sizeof(ElfW(Phdr));
    void *headers;
    int same;

    if (start->e_phnum != object->header_count || start->e_phentsize != sizeof(ElfW(Phdr)))
        return 0;
    headers = elf_read(file, (off_t)start->e_phoff, size);
    same = headers != NULL && !memcmp(headers, object->headers, size);
    free(headers);
    for (i = 0; same && i < object->header_count; i++) {
        const ElfW(Phdr) *header = &object->headers[i];
        elf_part notes = {header->p_vaddr, header->p_offset, header->p_filesz};

        if (header->p_type == PT_NOTE && elf_loads(object, &notes))
            same = elf_same(object, file, &notes);
    }
    return same;
}

/* Whether a file exports the same functions at the same addresses as the one that was loaded. */
static int elf_same_exports(const elf_object *object, int file, const ElfW(Shdr) *sections, size_t section_count)
{
    size_t i;

    for (i = 0; i < section_count; i++) {
        elf_part symbols = {sections[i].sh_addr, sections[i].sh_offset, sections[i].sh_size};

        if (sections[i].sh_type == SHT_DYNSYM)
            return elf_loads(object, &symbols) && elf_same(object, file, &symbols);
    }
    return 0;
}

typedef struct {
    const char *name;
    void *address;   /* NULL as long as it is not found */
    int ambiguous;   /* two functions have the name */
} elf_symbol;

static int elf_compare(const void *a, const void *b)
{
    return strcmp(((const elf_symbol *)a)->name, ((const elf_symbol *)b)->name);
}

static void elf_take(const elf_object *object, const ElfW(Sym) *entry, const char *name, elf_symbol *wanted,
                     size_t count)
{
    void *address = (void *)(object->base + entry->st_value);
    elf_symbol sought = {name, NULL, 0};
    elf_symbol *symbol = bsearch(&sought, wanted, count, sizeof(*wanted), elf_compare);

    if (symbol == NULL || symbol->address == address)
        return;
    symbol->ambiguous |= symbol->address != NULL;
    if (elf_contains(object, (ElfW(Addr))address, PF_X))
        symbol->address = address;
}

/* One pass over the symbols, for names that are sorted. */
static void elf_search_symbols(const elf_object *object, const ElfW(Sym) *symbols, size_t symbol_count,
                               const char *strings, size_t strings_size, elf_symbol *wanted, size_t count)
{
    size_t i;

    for (i = 0; i < symbol_count; i++) {
        const ElfW(Sym) *entry = &symbols[i];

        if ((entry->st_info & 0xf) == STT_FUNC && entry->st_shndx != SHN_UNDEF && entry->st_name < strings_size)
            elf_take(object, entry, strings + entry->st_name, wanted, count);
    }
}

static const char *elf_search_file(const elf_object *object, int file, elf_symbol *wanted, size_t count)
{
    ElfW(Ehdr) *start = elf_read(file, 0, sizeof(*start));
    ElfW(Shdr) *sections = NULL;
    const char *failed = NULL;
    size_t i;

    if (start == NULL || memcmp(start->e_ident, ELFMAG, SELFMAG) || !elf_is_loaded_from(object, file, start))
        failed = "the file is not the one that was loaded";
    else if (start->e_shentsize == sizeof(*sections) && start->e_shnum)
        sections = elf_read(file, (off_t)start->e_shoff, start->e_shnum * sizeof(*sections));
    for (i = 0; sections != NULL && i < start->e_shnum; i++)
        if (sections[i].sh_type == SHT_SYMTAB && sections[i].sh_link < start->e_shnum)
            break;
    if (failed == NULL && (sections == NULL || i == start->e_shnum))
        failed = "its symbol table was removed";
    if (failed == NULL && !elf_same_exports(object, file, sections, start->e_shnum))
        failed = "the file is not the one that was loaded";
    if (failed == NULL) {
        const ElfW(Shdr) *names = &sections[sections[i].sh_link];
        ElfW(Sym) *symbols = elf_read(file, (off_t)sections[i].sh_offset, sections[i].sh_size);
        char *strings = elf_read(file, (off_t)names->sh_offset, names->sh_size);

        if (symbols == NULL || strings == NULL)
            failed = "its symbol table cannot be read";
        else
            elf_search_symbols(object, symbols, sections[i].sh_size / sizeof(*symbols), strings, names->sh_size,
                               wanted, count);
        free(strings);
        free(symbols);
    }
    free(sections);
    free(start);
    return failed;
}

/* Finds functions in the symbol table of a loaded object's file, and sorts them by name; NULL, or why it cannot. */
static inline const char *elf_find_symbols(const elf_object *object, elf_symbol *wanted, size_t count)
{
    const char *failed;
    int file = open(*object->path ? object->path : "/proc/self/exe", O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (file < 0)
        return "its file cannot be opened";
    qsort(wanted, count, sizeof(*wanted), elf_compare);
    failed = elf_search_file(object, file, wanted, count);
    close(file);
    return failed;
}

#endif
