/* A program for an Xtensa core (ESP8266's LX106) in QEMU's machine `sim`: it runs stored vectors. */
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "vectors.h"

extern char bss_start[], bss_end[];
void start_c(void);
int main(void);

/* QEMU's call of the host: operation 1 ends the emulator with a status. */
static void leave(int status)
{
    register int operation __asm("a2") = 1;
    register int argument __asm("a3") = status;
    __asm volatile("simcall" : "+r"(operation) : "r"(argument));
    for (;;) {
    }
}

void start_c(void)
{
    memset(bss_start, 0, (size_t)(bss_end - bss_start));
    leave(main());
}

/* Whatever exception: status 99. */
__asm(".section .vectors, \"ax\"\n"
      ".rept 8\n"
      ".align 16\n"
      "j fault\n"
      ".endr\n"
      "fault: movi a3, 99\n"
      "movi a2, 1\n"
      "simcall\n"
      "j fault\n"
      ".section .reset, \"ax\"\n"
      ".global _start\n"
      "_start: j begin\n"
      ".align 4\n"
      "stack: .word stack_top\n"
      "first: .word start_c\n"
      "begin: l32r a1, stack\n"
      "l32r a0, first\n"
      "callx0 a0\n"
      ".text\n");

/* Vectors that failed. */
int main(void)
{
    int failed = 0;
#ifdef MISALIGN /* what a misaligned access does */
    static volatile unsigned char bytes[8] __attribute__((aligned(4))) = {1, 2, 3, 4, 5, 6, 7, 8};
    const volatile uint32_t *word = (const volatile uint32_t *)(const volatile void *)(bytes + MISALIGN);
    __asm("" : "+r"(word)); /* the compiler mends what it sees through */
    return (int)(*word & 0xFFu);
#endif
    for (int vector = 0; vector < VECTOR_COUNT; vector++) {
        failed += check_vector(vector) != 0;
    }
    return failed;
}
