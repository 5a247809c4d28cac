/* A function of the same name as one in elf_symbols.c. */
__attribute__((noinline)) static int twin(void)
{
    return 3;
}

int other_twin(void)
{
    return twin();
}
