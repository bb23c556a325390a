/* A TCG plugin for qemu-system-arm that counts how often every block of instructions ran, apart
   for each context. It counts only between the call of one function (`root`) and its return.

   A context is a number that the profiled function is in: an op of a model. Ranges of addresses
   with a context come in a file; a block that ends in such a range sets it, and all that follows
   belongs to it, whichever function it is in, until a block ends in another range. So a callee's
   instructions belong to the call that led to them.

   A translation block is a straight run of instructions with one entry. It ends before its last
   instruction only at a fault or in the middle of an access to a device, and a model's code does
   neither: a block's executions times its instructions is exact. Whoever reads the counts compares
   their sum with a hardware counter's.

   The program that runs is not touched, so its counts are those without the plugin.

   Arguments: root=ADDRESS, contexts=FILE of lines "start end context", flash=START:END,
   line=BYTES, kept=LINES, out=FILE. What it writes: "block start instructions context runs fell",
   where `fell` tells how often the block behind it ran next (so that runs - fell counts taken
   branches), and "lines context n": how many lines of flash were read as data, with so many lines
   kept in a cache of sets of up to four, the longest unused given up.

   Declared by hand, since distributions ship no qemu-plugin.h with QEMU: the functions used here
   have been the same since version 1 of the interface; only the number differs. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PLUGIN_VERSION
#define PLUGIN_VERSION 1
#endif

#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*translated_callback)(uint64_t id, struct qemu_plugin_tb *block);
typedef void (*executed_callback)(unsigned cpu, void *user);
typedef void (*accessed_callback)(unsigned cpu, uint32_t info, uint64_t address, void *user);
typedef void (*exit_callback)(uint64_t id, void *user);
enum registers { NO_REGISTERS };
enum access { READ_OR_WRITE = 3 }; /* some versions mix up the two; flash is not written to */

extern void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, translated_callback callback);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block,
                                                 executed_callback callback, enum registers flags,
                                                 void *user);
extern void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *instruction,
                                             accessed_callback callback, enum registers flags,
                                             enum access access, void *user);
extern void qemu_plugin_register_atexit_cb(uint64_t id, exit_callback callback, void *user);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block,
                                                        size_t index);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *instruction);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *instruction);

EXPORT int qemu_plugin_version = PLUGIN_VERSION;

enum { BUCKETS = 1 << 14, REST = 0, NONE = -1, WAYS = 4 };

struct count {
    uint64_t runs;
    uint64_t fell;
};

struct block {
    struct block *next; /* of its bucket */
    uint64_t start;
    uint64_t end; /* may be 2 bytes too far, but not behind a branch */
    unsigned instructions;
    int context; /* that its end sets, or NONE */
    struct count *counts; /* by context */
};

struct range {
    uint64_t start;
    uint64_t end;
    int context;
};

static struct block *blocks[BUCKETS];
static struct range *ranges;
static size_t range_count;
static int contexts = 1;
static uint64_t root;
static uint64_t flash_start;
static uint64_t flash_end;
static uint64_t flash_line = 4;
static size_t kept_lines = 1;
static const char *out_path;

static bool running;
static int current = REST;
static struct count *last_count; /* of the block that ran last, in its context */
static uint64_t last_end;
static uint64_t return_address;
static uint64_t *lines; /* by context */
static uint64_t *cache; /* line + 1, or 0: in each set the one used last comes first */
static size_t ways;
static size_t sets;

static void fail(const char *what, const char *which)
{
    fprintf(stderr, "PROFILER %s: %s\n", what, which);
    exit(1);
}

static void *zeroed(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL) {
        fail("out of memory", "counts");
    }
    return memory;
}

static int context_at(uint64_t address)
{
    size_t low = 0;
    size_t high = range_count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (ranges[middle].end <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < range_count && ranges[low].start <= address ? ranges[low].context : NONE;
}

static void executed(unsigned cpu, void *user)
{
    const struct block *const block = user;
    (void)cpu;
    if (!running) {
        if (block->start != root) {
            last_end = block->end;
            return;
        }
        running = true;
        current = REST;
        last_count = NULL;
        memset(cache, 0, sets * ways * sizeof *cache);
        return_address = last_end; /* what called it ends in the call */
    } else if (block->start == return_address) {
        running = false;
        last_end = block->end;
        return;
    } else if (last_count != NULL && block->start == last_end) {
        last_count->fell++;
    }
    if (block->context != NONE) {
        current = block->context;
    }
    last_count = &block->counts[current];
    last_count->runs++;
    last_end = block->end;
}

static void loaded(unsigned cpu, uint32_t info, uint64_t address, void *user)
{
    (void)cpu;
    (void)info;
    (void)user;
    if (running && address >= flash_start && address < flash_end) {
        const uint64_t line = address / flash_line + 1;
        uint64_t *const set = cache + line % sets * ways;
        size_t way = 0;
        while (way + 1 < ways && set[way] != line) {
            way++;
        }
        lines[current] += set[way] != line;
        memmove(set + 1, set, way * sizeof *set);
        set[0] = line;
    }
}

static struct block *block_of(uint64_t start, uint64_t end, unsigned instructions)
{
    struct block **const bucket = &blocks[(start >> 1) % BUCKETS];
    struct block *block = *bucket;
    while (block != NULL && (block->start != start || block->instructions != instructions)) {
        block = block->next;
    }
    if (block == NULL) {
        block = zeroed(1, sizeof *block);
        block->next = *bucket;
        block->start = start;
        block->end = end;
        block->instructions = instructions;
        block->counts = zeroed((size_t)contexts, sizeof *block->counts);
        *bucket = block;
    }
    return block;
}

static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
    const size_t count = qemu_plugin_tb_n_insns(tb);
    const struct qemu_plugin_insn *const first = qemu_plugin_tb_get_insn(tb, 0);
    const struct qemu_plugin_insn *const last = qemu_plugin_tb_get_insn(tb, count - 1);
    /* QEMU looks at the instruction behind the block before it ends one at a page's end, and counts
       these 2 bytes to the last one's size. */
    const uint64_t end = qemu_plugin_insn_vaddr(last) + qemu_plugin_insn_size(last);
    struct block *const block = block_of(qemu_plugin_insn_vaddr(first), end, (unsigned)count);
    (void)id;
    block->context = context_at(qemu_plugin_insn_vaddr(last));
    qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, NO_REGISTERS, block);
    if (flash_end > flash_start) {
        for (size_t index = 0; index < count; index++) {
            struct qemu_plugin_insn *const one = qemu_plugin_tb_get_insn(tb, index);
            qemu_plugin_register_vcpu_mem_cb(one, loaded, NO_REGISTERS, READ_OR_WRITE, NULL);
        }
    }
}

static void finished(uint64_t id, void *user)
{
    FILE *const file = fopen(out_path, "w");
    (void)id;
    (void)user;
    if (file == NULL) {
        fail("cannot write", out_path);
    }
    for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
        for (const struct block *b = blocks[bucket]; b != NULL; b = b->next) {
            for (int context = 0; context < contexts; context++) {
                const struct count n = b->counts[context];
                if (n.runs != 0) {
                    fprintf(file, "block %llu %u %d %llu %llu\n",
                            (unsigned long long)b->start, b->instructions, context,
                            (unsigned long long)n.runs, (unsigned long long)n.fell);
                }
            }
        }
    }
    for (int context = 0; context < contexts; context++) {
        if (lines[context] != 0) {
            fprintf(file, "lines %d %llu\n", context, (unsigned long long)lines[context]);
        }
    }
    if (fclose(file) != 0) {
        fail("cannot write", out_path);
    }
}

static void read_ranges(const char *path)
{
    FILE *const file = fopen(path, "r");
    size_t room = 0;
    unsigned long long start;
    unsigned long long end;
    int context;
    if (file == NULL) {
        fail("cannot read", path);
    }
    while (fscanf(file, "%llu %llu %d", &start, &end, &context) == 3) {
        if (range_count == room) {
            room = room * 2 + 256;
            ranges = realloc(ranges, room * sizeof *ranges);
            if (ranges == NULL) {
                fail("out of memory", path);
            }
        }
        ranges[range_count++] = (struct range){start, end, context};
        contexts = context >= contexts ? context + 1 : contexts;
    }
    fclose(file);
}

static void read_argument(const char *argument)
{
    const char *const value = strchr(argument, '=');
    if (value == NULL) {
        fail("no value", argument);
    }
    const size_t length = (size_t)(value - argument);
    if (strncmp(argument, "root", length) == 0) {
        root = strtoull(value + 1, NULL, 0);
    } else if (strncmp(argument, "contexts", length) == 0) {
        read_ranges(value + 1);
    } else if (strncmp(argument, "flash", length) == 0) {
        char *rest;
        flash_start = strtoull(value + 1, &rest, 0);
        flash_end = strtoull(rest + 1, NULL, 0);
    } else if (strncmp(argument, "line", length) == 0) {
        flash_line = strtoull(value + 1, NULL, 0);
    } else if (strncmp(argument, "kept", length) == 0) {
        kept_lines = strtoull(value + 1, NULL, 0);
    } else if (strncmp(argument, "out", length) == 0) {
        out_path = strdup(value + 1);
    } else {
        fail("unknown argument", argument);
    }
}

/* The second argument, a qemu_info_t, is not read. */
EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int index = 0; index < argc; index++) {
        read_argument(argv[index]);
    }
    if (out_path == NULL || root == 0 || kept_lines == 0 || flash_line == 0) {
        fail("missing argument", "root, out, line or kept");
    }
    ways = kept_lines < WAYS ? kept_lines : WAYS;
    sets = kept_lines / ways;
    cache = zeroed(sets * ways, sizeof *cache);
    lines = zeroed((size_t)contexts, sizeof *lines);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, finished, NULL);
    return 0;
}
