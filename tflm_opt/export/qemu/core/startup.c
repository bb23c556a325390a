/* Reset, vector table, faults, and the few calls that newlib makes, for a program in QEMU. */
#if defined(__arm__) /* startup_riscv.c is for the others */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "semihost.h"

extern uint32_t qemu_data_source[], qemu_data_start[], qemu_data_end[];
extern uint32_t qemu_bss_start[], qemu_bss_end[];
extern uint32_t qemu_stack_top[];
extern char qemu_heap_start[], qemu_heap_end[];

extern int main(void);
extern void __libc_init_array(void);

enum { FAULT_STATUS = 99 };

static void print_hex(const char *label, uint32_t value)
{
    char text[11] = "0x";
    for (int digit = 0; digit < 8; digit++) {
        text[2 + digit] = "0123456789abcdef"[(value >> (28 - 4 * digit)) & 15u];
    }
    text[10] = '\0';
    semihost_print(label);
    semihost_print(text);
}

void Reset_Handler(void)
{
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: coprocessors 10 and 11 */
    __asm volatile("dsb\n isb");
#endif
    *(volatile uint32_t *)0xE000ED24u |= 0x7u << 16; /* SHCSR: memory, bus and usage faults */
    memcpy(qemu_data_start, qemu_data_source,
           (size_t)((char *)qemu_data_end - (char *)qemu_data_start));
    memset(qemu_bss_start, 0, (size_t)((char *)qemu_bss_end - (char *)qemu_bss_start));
    __libc_init_array();
    exit(main());
}

/* `frame` is what the core pushed: r0-r3, r12, lr, pc, psr. It cannot be trusted after a stack
   overflow, which shows as an address just below the stack. */
void qemu_report_fault(const uint32_t *frame, uint32_t exception)
{
    const uint32_t status = *(volatile uint32_t *)0xE000ED28u; /* CFSR */
    print_hex("FAULT exception=", exception);
    print_hex(" cfsr=", status);
    if (status & 0x80u) {
        print_hex(" address=", *(volatile uint32_t *)0xE000ED34u); /* MMFAR */
    } else if (status & 0x8000u) {
        print_hex(" address=", *(volatile uint32_t *)0xE000ED38u); /* BFAR */
    }
    if (!(status & 0x1818u)) { /* pushing the frame did not fail */
        print_hex(" pc=", frame[6]);
        print_hex(" lr=", frame[5]);
    }
    semihost_print("\n");
    semihost_exit(FAULT_STATUS);
}

__attribute__((naked)) void Fault_Handler(void)
{
    __asm volatile(
        "mov r0, sp\n"
        "mrs r1, ipsr\n"
        "ldr r2, =qemu_stack_top\n"
        "mov sp, r2\n"
        "ldr r2, =qemu_report_fault\n" /* a branch of Armv6-M doesn't reach all of the code */
        "bx r2\n");
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))(uintptr_t)qemu_stack_top,
    Reset_Handler,
    Fault_Handler, /* NMI */
    Fault_Handler, /* HardFault */
    Fault_Handler, /* MemManage */
    Fault_Handler, /* BusFault */
    Fault_Handler, /* UsageFault */
    Fault_Handler, /* SecureFault */
    0,
    0,
    0,
    Fault_Handler, /* SVCall */
    Fault_Handler, /* DebugMonitor */
    0,
    Fault_Handler, /* PendSV */
    Fault_Handler, /* SysTick */
};

/* ---- newlib ---- */

void *__dso_handle = 0;

void _init(void);
void _init(void)
{
}

void _fini(void);
void _fini(void)
{
}

void _exit(int status)
{
    semihost_exit(status);
}

int _write(int file, const char *data, int size);
int _write(int file, const char *data, int size)
{
    char text[65];
    (void)file;
    for (int done = 0; done < size;) {
        int count = size - done < 64 ? size - done : 64;
        memcpy(text, data + done, (size_t)count);
        text[count] = '\0';
        semihost_print(text);
        done += count;
    }
    return size;
}

void *_sbrk(ptrdiff_t change);
void *_sbrk(ptrdiff_t change)
{
    static char *end = qemu_heap_start;
    char *old = end;
    if (change > qemu_heap_end - end || change < qemu_heap_start - end) {
        return (void *)-1;
    }
    end += change;
    return old;
}

int _read(int file, char *data, int size);
int _read(int file, char *data, int size)
{
    (void)file;
    (void)data;
    (void)size;
    return 0;
}

int _close(int file);
int _close(int file)
{
    (void)file;
    return -1;
}

int _lseek(int file, int offset, int origin);
int _lseek(int file, int offset, int origin)
{
    (void)file;
    (void)offset;
    (void)origin;
    return 0;
}

int _fstat(int file, struct stat *status);
int _fstat(int file, struct stat *status)
{
    (void)file;
    status->st_mode = S_IFCHR;
    return 0;
}

int _isatty(int file);
int _isatty(int file)
{
    (void)file;
    return 1;
}

int _getpid(void);
int _getpid(void)
{
    return 1;
}

int _kill(int process, int signal_number);
int _kill(int process, int signal_number)
{
    (void)process;
    semihost_exit(128 + signal_number);
}

#else
typedef int qemu_startup_is_elsewhere;
#endif
