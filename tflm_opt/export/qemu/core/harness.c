/* Samples in, outputs and exact measurements out, by semihosting and without stdio.

   counts.bin is an array of `struct record`, little-endian: the first one times an empty
   function (that is the overhead to subtract), then one for each sample. */
#include "harness.h"

#include "qemu_timer.h"
#include "semihost.h"

struct record {
    uint64_t fine;    /* ticks, modulo 2^32 where `coarse` is used */
    uint32_t coarse;  /* ticks of the slow counter */
    int32_t status;   /* what the function returned */
    uint32_t stack;   /* bytes below the caller's stack pointer that were written */
    uint32_t padding;
};

enum { PAINT = 0x5AC35AC3, BAD_HOST_FILE = 90, BAD_INIT = 91, STACK_OVERFLOW = 92 };

extern uint32_t qemu_stack_limit[];

static void fail(const char *message, int status)
{
    semihost_print("HARNESS ");
    semihost_print(message);
    semihost_print("\n");
    semihost_exit(status);
}

/* Exactly one instruction: what is timed beside it is the measurement's own cost. */
__attribute__((naked, noinline)) static int empty(void)
{
#if defined(__riscv)
    __asm volatile("ret");
#else
    __asm volatile("bx lr");
#endif
}

__attribute__((noinline)) static struct record timed(int (*function)(void))
{
    struct record record;
    const struct qemu_time start = qemu_timer_read();
    record.status = function();
    const struct qemu_time stop = qemu_timer_read();
    record.fine = stop.fine - start.fine;
    record.coarse = stop.coarse - start.coarse;
    record.stack = 0u;
    record.padding = 0u;
    return record;
}

/* Everything below the stack pointer is painted, and searched afterwards from the far end for
   the first word that changed. */
__attribute__((noinline)) static struct record measured(int (*function)(void))
{
    volatile uint32_t *const limit = (volatile uint32_t *)qemu_stack_limit;
    volatile uint32_t *here;
    volatile uint32_t *low = limit;
#if defined(__riscv)
    __asm volatile("mv %0, sp" : "=r"(here));
#else
    __asm volatile("mov %0, sp" : "=r"(here));
#endif
    while (low < here) {
        *low++ = (uint32_t)PAINT;
    }
    struct record record = timed(function);
    low = limit;
    while (low < here && *low == (uint32_t)PAINT) {
        low++;
    }
    if (low == limit) { /* some boards' emulation ignores what is written outside of memory */
        fail("stack overflow", STACK_OVERFLOW);
    }
    record.stack = (uint32_t)((const volatile char *)here - (const volatile char *)low);
    return record;
}

static int open_to_write(const char *path)
{
    int handle = semihost_open(path, SEMIHOST_WRITE);
    if (handle == -1) {
        fail("cannot write its results", BAD_HOST_FILE);
    }
    return handle;
}

static void read_inputs(const struct harness_model *model, int file)
{
    for (int index = 0; index < model->inputs; index++) {
        if (semihost_read(file, model->input(index), model->input_size[index])) {
            fail("inputs.bin ends within a sample", BAD_HOST_FILE);
        }
    }
}

static void write_outputs(const struct harness_model *model, int file)
{
    for (int index = 0; index < model->outputs; index++) {
        if (semihost_write(file, model->output(index), model->output_size[index])) {
            fail("cannot write outputs.bin", BAD_HOST_FILE);
        }
    }
}

static void write_record(int file, const struct record *record)
{
    if (semihost_write(file, record, sizeof *record)) {
        fail("cannot write counts.bin", BAD_HOST_FILE);
    }
}

static size_t sample_size(const struct harness_model *model)
{
    size_t size = 0;
    for (int index = 0; index < model->inputs; index++) {
        size += model->input_size[index];
    }
    return size;
}

int harness_serve(const struct harness_model *model)
{
    const int inputs = semihost_open("inputs.bin", SEMIHOST_READ);
    if (inputs == -1) {
        return 0;
    }
    const int outputs = open_to_write("outputs.bin");
    const int counts = open_to_write("counts.bin");
    const size_t samples = (size_t)semihost_length(inputs) / sample_size(model);
    if (model->init()) {
        fail("init failed", BAD_INIT);
    }
    qemu_timer_start();
    struct record record = measured(empty);
    write_record(counts, &record);
    for (size_t sample = 0; sample < samples; sample++) {
        read_inputs(model, inputs);
        record = measured(model->invoke);
        write_outputs(model, outputs);
        write_record(counts, &record);
    }
    semihost_close(inputs);
    semihost_close(outputs);
    semihost_close(counts);
    return 1;
}

uint64_t harness_instructions(const struct harness_model *model)
{
    qemu_timer_start();
    const struct record overhead = timed(empty);
    const struct record invoke = timed(model->invoke);
    return qemu_timer_instructions(invoke.fine, invoke.coarse) + 1u
        - qemu_timer_instructions(overhead.fine, overhead.coarse);
}
