/* Reads the symbol tables of the files that it is given, each as if this program had been loaded from it. */
#include "elf_objects.h"

#include <stdio.h>

__attribute__((noinline)) int known_function(void)
{
    return 1;
}

/* Another file defines its namesake. */
__attribute__((noinline)) static int twin(void)
{
    return 2;
}

extern int other_twin(void);

int main(int argc, char **argv)
{
    elf_object object;
    int i;

    if (!elf_object_of((void *)known_function, &object) || *object.path || twin() + other_twin() != 5)
        return 1;
    for (i = 1; i < argc; i++) {
        elf_symbol wanted[] = {{"twin", NULL, 0}, {"known_function", NULL, 0}, {"absent", NULL, 0}};
        const char *failed;
        int j;

        object.path = argv[i];
        failed = elf_find_symbols(&object, wanted, 3);
        if (failed == NULL)
            for (j = 0; j < 3; j++)
                printf("%s %s ", wanted[j].name,
                       wanted[j].ambiguous ? "ambiguous" : wanted[j].address == NULL ? "unknown"
                       : wanted[j].address == (void *)known_function ? "right" : "wrong");
        puts(failed == NULL ? "" : failed);
    }
    return 0;
}
