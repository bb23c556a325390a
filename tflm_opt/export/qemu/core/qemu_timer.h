/* Counters of virtual time on QEMU's machines.

   With `-icount shift=7` an instruction takes 128 ns of virtual time, whatever it does, so a
   counter at 25 or 32 MHz moves by 3.2 or 4.096 ticks for each: the difference of two readings
   gives the exact number of instructions between them. They are instructions, not cycles. */
#ifndef TFLM_OPT_QEMU_TIMER_H
#define TFLM_OPT_QEMU_TIMER_H

#include <stdint.h>

/* `fine` counts ticks; `coarse` tells how often a 32-bit `fine` wrapped, 0 where it is wider. */
struct qemu_time {
    uint64_t fine;
    uint32_t coarse;
};

#define QEMU_REGISTER(address) (*(volatile uint32_t *)(address))

#if defined(QEMU_TIMER_CMSDK) /* the MPS2 boards: CMSDK timer 0, and the FPGA's 100 Hz counter */

static inline void qemu_timer_start(void)
{
    QEMU_REGISTER(0x40000008u) = 0xFFFFFFFFu; /* reload */
    QEMU_REGISTER(0x40000004u) = 0xFFFFFFFFu; /* value: counts down */
    QEMU_REGISTER(0x40000000u) = 1u;          /* enable */
}

static inline struct qemu_time qemu_timer_read(void)
{
    struct qemu_time now;
    now.fine = 0xFFFFFFFFu - QEMU_REGISTER(0x40000004u);
    now.coarse = QEMU_REGISTER(0x40028014u);
    return now;
}

/* 3.2 ticks of 25 MHz an instruction; 250000 of them in one tick of 100 Hz. */
static inline uint64_t qemu_timer_instructions(uint64_t fine, uint32_t coarse)
{
    const uint64_t low = fine & 0xFFFFFFFFu;
    const uint64_t about = (uint64_t)coarse * 250000u + 0x80000000u;
    const uint64_t wraps = about > low ? (about - low) >> 32 : 0u;
    return (((wraps << 32) + low) * 5u + 8u) / 16u;
}

#elif defined(QEMU_TIMER_SSE) /* the MPS3 board: the subsystem's 64-bit counter */

static inline void qemu_timer_start(void)
{
    QEMU_REGISTER(0x58100000u) = 1u; /* enable */
}

static inline struct qemu_time qemu_timer_read(void)
{
    struct qemu_time now;
    uint32_t high;
    do {
        high = QEMU_REGISTER(0x58101004u);
        now.fine = QEMU_REGISTER(0x58101000u);
    } while (high != QEMU_REGISTER(0x58101004u));
    now.fine |= (uint64_t)high << 32;
    now.coarse = 0u;
    return now;
}

/* 4.096 ticks of 32 MHz an instruction; `coarse` is not used. */
static inline uint64_t qemu_timer_instructions(uint64_t fine, uint32_t coarse)
{
    (void)coarse;
    return (fine * 125u + 256u) / 512u;
}

#elif defined(QEMU_TIMER_MINSTRET) /* RISC-V's counter of instructions: QEMU's of nanoseconds */

/* Binutils take these instructions for an extension that a core's name doesn't include. */
#define QEMU_CSR(text) ".option push\n.option arch, +zicsr\n" text "\n.option pop"

static inline void qemu_timer_start(void)
{
    __asm volatile(QEMU_CSR("csrw mcountinhibit, zero"));
}

static inline struct qemu_time qemu_timer_read(void)
{
    struct qemu_time now;
    uint32_t high, low, again;
    do {
        __asm volatile(QEMU_CSR("csrr %0, minstreth") : "=r"(high));
        __asm volatile(QEMU_CSR("csrr %0, minstret") : "=r"(low));
        __asm volatile(QEMU_CSR("csrr %0, minstreth") : "=r"(again));
    } while (high != again);
    now.fine = (uint64_t)high << 32 | low;
    now.coarse = 0u;
    return now;
}

/* 128 ns an instruction; `coarse` is not used. */
static inline uint64_t qemu_timer_instructions(uint64_t fine, uint32_t coarse)
{
    (void)coarse;
    return (fine + 64u) / 128u;
}

#else
#error "define the machine's counter: QEMU_TIMER_CMSDK, QEMU_TIMER_SSE or QEMU_TIMER_MINSTRET"
#endif

#endif
