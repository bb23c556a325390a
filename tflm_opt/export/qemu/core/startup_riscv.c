/* Reset, memory protection, faults and the end of a program in QEMU, on a RISC-V core. */
#if defined(__riscv)

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_timer.h"
#include "semihost.h"

#ifdef __PICOLIBC__ /* it asks the program where what is printed goes */
#include <stdio.h>

static int put_char(char letter, FILE *file)
{
    const char text[2] = {letter, '\0'};
    (void)file;
    semihost_print(text);
    return 0;
}

static FILE console = FDEV_SETUP_STREAM(put_char, NULL, NULL, _FDEV_SETUP_WRITE);
FILE *const stdout = &console;
#endif

extern uint32_t qemu_data_source[], qemu_data_start[], qemu_data_end[];
extern uint32_t qemu_bss_start[], qemu_bss_end[];
extern char qemu_ram_start[], qemu_ram_end[];

extern int main(void);
extern void __libc_init_array(void);

void qemu_start(void);
void qemu_report_fault(uint32_t cause, uint32_t pc, uint32_t address, uint32_t caller);
void qemu_trap(void);

enum { FAULT_STATUS = 99 };

/* QEMU's `virt` starts here: at the lowest address of its memory. */
__attribute__((naked, used, section(".vectors"))) void Reset_Handler(void)
{
    __asm volatile(
        ".option push\n"
        ".option norelax\n"
        "la gp, __global_pointer$\n"
        "la sp, qemu_stack_top\n"
        "la t0, qemu_trap\n"
        QEMU_CSR("csrw mtvec, t0") "\n"
        "la t0, qemu_start\n"
        "jr t0\n"
        ".option pop\n");
}

/* The machine's memory goes on beneath and above the RAM that the board is said to have. What is
   below can be read and run, but not written; what is above is not there. */
static void protect(void)
{
    const uint32_t read_run = 0x8Du, read_write = 0x8Bu, nothing = 0x88u; /* locked, top of range */
    __asm volatile(QEMU_CSR("csrw pmpaddr0, %0") : : "r"((uint32_t)(uintptr_t)qemu_ram_start >> 2));
    __asm volatile(QEMU_CSR("csrw pmpaddr1, %0") : : "r"((uint32_t)(uintptr_t)qemu_ram_end >> 2));
    __asm volatile(QEMU_CSR("csrw pmpaddr2, %0") : : "r"(0x3FFFFFFFu));
    __asm volatile(QEMU_CSR("csrw pmpcfg0, %0") : : "r"(nothing << 16 | read_write << 8 | read_run));
}

void qemu_start(void)
{
    protect();
    memcpy(qemu_data_start, qemu_data_source,
           (size_t)((char *)qemu_data_end - (char *)qemu_data_start));
    memset(qemu_bss_start, 0, (size_t)((char *)qemu_bss_end - (char *)qemu_bss_start));
    __libc_init_array();
    exit(main());
}

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

void qemu_report_fault(uint32_t cause, uint32_t pc, uint32_t address, uint32_t caller)
{
    print_hex("FAULT exception=", cause);
    print_hex(" address=", address);
    print_hex(" pc=", pc);
    print_hex(" lr=", caller);
    semihost_print("\n");
    semihost_exit(FAULT_STATUS);
}

/* After a stack overflow there is no stack to report with: it starts again at the top. */
__attribute__((naked, aligned(4))) void qemu_trap(void)
{
    __asm volatile(
        QEMU_CSR("csrr a0, mcause") "\n"
        QEMU_CSR("csrr a1, mepc") "\n"
        QEMU_CSR("csrr a2, mtval") "\n"
        "mv a3, ra\n"
        "la sp, qemu_stack_top\n"
        "tail qemu_report_fault\n");
}

/* ---- picolibc ---- */

void _exit(int status)
{
    semihost_exit(status);
}

#else
typedef int qemu_startup_is_in_startup;
#endif
