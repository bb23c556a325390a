#include "semihost.h"

#include <string.h>

enum {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITE0 = 0x04,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_FLEN = 0x0C,
    SYS_EXIT_EXTENDED = 0x20,
    STOPPED_APPLICATION_EXIT = 0x20026
};

#if defined(__riscv)
/* An `ebreak` between two instructions that do nothing: "RISC-V Semihosting". The three have to be
   on one page. */
__attribute__((naked, noinline, aligned(16))) static int32_t call(uint32_t operation,
                                                                  const void *argument)
{
    (void)operation;
    (void)argument;
    __asm volatile(
        ".option push\n"
        ".option norvc\n"
        "slli x0, x0, 0x1f\n"
        "ebreak\n"
        "srai x0, x0, 7\n"
        ".option pop\n"
        "ret\n");
}
#else
static int32_t call(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}
#endif

int semihost_open(const char *path, int mode)
{
    const uint32_t block[3] = {(uint32_t)(uintptr_t)path, (uint32_t)mode, (uint32_t)strlen(path)};
    return (int)call(SYS_OPEN, block);
}

void semihost_close(int handle)
{
    const uint32_t block[1] = {(uint32_t)handle};
    (void)call(SYS_CLOSE, block);
}

int32_t semihost_length(int handle)
{
    const uint32_t block[1] = {(uint32_t)handle};
    return call(SYS_FLEN, block);
}

static int move(uint32_t operation, int handle, uintptr_t data, size_t size)
{
    const uint32_t block[3] = {(uint32_t)handle, (uint32_t)data, (uint32_t)size};
    return (int)call(operation, block); /* bytes that were not moved */
}

int semihost_read(int handle, void *data, size_t size)
{
    return move(SYS_READ, handle, (uintptr_t)data, size);
}

int semihost_write(int handle, const void *data, size_t size)
{
    return move(SYS_WRITE, handle, (uintptr_t)data, size);
}

void semihost_print(const char *text)
{
    (void)call(SYS_WRITE0, text);
}

void semihost_exit(int status)
{
    const uint32_t block[2] = {STOPPED_APPLICATION_EXIT, (uint32_t)status};
    (void)call(SYS_EXIT_EXTENDED, block);
    for (;;) {
    }
}
