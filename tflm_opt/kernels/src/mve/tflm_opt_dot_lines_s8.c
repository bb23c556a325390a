#include "tflm_opt_mve.h"

#if TFLM_OPT_MVE

#include <stddef.h>

/* What is the same for all tiles. */
typedef struct {
    const tflm_opt_channels *channels;
    int32x4_t low;
    int32x4_t high;
    int32_t care;
    int32_t output_step;
} target;

/*
 * Three lines times four channels make a tile, in two runs of 3x2 sums: three lines and one filter
 * after the other in four vectors, and six sums in as many even registers, as VMLADAVA wants them.
 * 12 instructions are 96 products. A run's sums go to lanes 0 and 2, or 1 and 3, of the lines'
 * vectors. The assembly reads fields by their places, and moves on to the next four channels.
 */
typedef struct {
    const int8_t *lines[TFLM_OPT_LINES];
    const int8_t *filter; /* four, one behind the other */
    int32_t length;
    const int32_t *bias; /* four */
    const int32_t *multiplier;
    const int32_t *shift;
    int8_t *outputs[TFLM_OPT_LINES];
    int32_t tiles;
    int32_t offset;
} tile;

#define RUN                                                                                        \
    "mov r2, r0\n\t"                                                                               \
    "mov r4, r0\n\t"                                                                               \
    "mov r8, r6\n\t"                                                                               \
    "mov r10, r6\n\t"                                                                              \
    "dlstp.8 lr, lr\n"                                                                             \
    "1:\n\t"                                                                                       \
    "vldrb.8 q0, [r9], #16\n\t"                                                                    \
    "vldrb.8 q1, [r1], #16\n\t"                                                                    \
    "vmladava.s8 r0, q0, q1\n\t"                                                                   \
    "vldrb.8 q2, [r3], #16\n\t"                                                                    \
    "vmladava.s8 r2, q0, q2\n\t"                                                                   \
    "vldrb.8 q3, [r5], #16\n\t"                                                                    \
    "vmladava.s8 r4, q0, q3\n\t"                                                                   \
    "vldrb.8 q0, [r11], #16\n\t"                                                                   \
    "vmladava.s8 r6, q0, q1\n\t"                                                                   \
    "vmladava.s8 r8, q0, q2\n\t"                                                                   \
    "vmladava.s8 r10, q0, q3\n\t"                                                                  \
    "letp lr, 1b\n\t"

#define SUM_TILE                                                                                   \
    "ldr r11, [%[at], #20]\n\t"                                                                    \
    "ldr r0, [r11]\n\t"                                                                            \
    "ldr r6, [r11, #8]\n\t"                                                                        \
    "ldm %[at], {r1, r3, r5, r9, lr}\n\t"                                                          \
    "add r11, r9, lr, lsl #1\n\t" RUN                                                              \
    "vmov q4[2], q4[0], r0, r6\n\t"                                                                \
    "vmov q5[2], q5[0], r2, r8\n\t"                                                                \
    "vmov q6[2], q6[0], r4, r10\n\t"                                                               \
    "ldm %[at], {r1, r3, r5, r9, lr}\n\t"                                                          \
    "add r9, r9, lr\n\t"                                                                           \
    "add r11, r9, lr, lsl #1\n\t"                                                                  \
    "add r2, r11, lr\n\t"                                                                          \
    "ldr r4, [%[at], #20]\n\t"                                                                     \
    "str r2, [%[at], #12]\n\t"                                                                     \
    "ldr r0, [r4, #4]\n\t"                                                                         \
    "ldr r6, [r4, #12]\n\t"                                                                        \
    "add r4, #16\n\t"                                                                              \
    "str r4, [%[at], #20]\n\t" RUN                                                                 \
    "vmov q4[3], q4[1], r0, r6\n\t"                                                                \
    "vmov q5[3], q5[1], r2, r8\n\t"                                                                \
    "vmov q6[3], q6[1], r4, r10\n\t"

#define EACH(operation) operation("q4") operation("q5") operation("q6")
#define SCALE(sums) "vqrdmulh.s32 " sums ", " sums ", q0\n\t"
#define AWAY(sums) "vshr.s32 q0, " sums ", #31\n\tvadd.i32 " sums ", " sums ", q0\n\t"
#define SHIFT(sums) "vrshl.s32 " sums ", " sums ", q0\n\t"
#define ADD_OFFSET(sums) "vadd.i32 " sums ", " sums ", r8\n\t"
#define NARROW(sums) "vqmovnb.s32 " sums ", " sums "\n\tvqmovnb.s16 " sums ", " sums "\n\t"

/* All tiles of three lines; `kink` is what negative products need if their halves matter. */
#define MAKE(name, kink)                                                                           \
    TFLM_OPT_APART void name(tile *at)                                                             \
    {                                                                                              \
        __asm__ volatile("2:\n\t" SUM_TILE                                                         \
                         "ldr r1, [%[at], #24]\n\t"                                                \
                         "ldrd r3, r5, [%[at], #28]\n\t"                                           \
                         "vldrw.32 q0, [r1], #16\n\t" EACH(SCALE) kink                             \
                         "vldrw.32 q0, [r3], #16\n\t" EACH(SHIFT)                                  \
                         "ldrd r2, r4, [%[at], #36]\n\t"                                           \
                         "ldrd r6, r8, [%[at], #44]\n\t" EACH(ADD_OFFSET) EACH(NARROW)             \
                         "vstrb.32 q4, [r5], #4\n\t"                                               \
                         "vstrb.32 q5, [r2], #4\n\t"                                               \
                         "vstrb.32 q6, [r4], #4\n\t"                                               \
                         "strd r1, r3, [%[at], #24]\n\t"                                           \
                         "strd r5, r2, [%[at], #32]\n\t"                                           \
                         "str r4, [%[at], #40]\n\t"                                                \
                         "subs r6, #1\n\t"                                                         \
                         "str r6, [%[at], #44]\n\t"                                                \
                         "bne 2b"                                                                  \
                         :                                                                         \
                         : [at] "r"(at)                                                            \
                         : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11",     \
                           "lr", "q0", "q1", "q2", "q3", "q4", "q5", "q6", "memory", "cc");        \
    }

MAKE(three_lines, "")
MAKE(three_lines_kink, EACH(AWAY))

/* Four channels of one line: all filters share the load of it. */
TFLM_OPT_INLINE int32x4_t sum_line(const tile *at)
{
    int32x4_t sums;
    __asm__ volatile("ldr r1, [%[at]]\n\t"
                     "ldrd r3, lr, [%[at], #12]\n\t"
                     "add r5, r3, lr\n\t"
                     "add r9, r3, lr, lsl #1\n\t"
                     "add r11, r5, lr, lsl #1\n\t"
                     "add r0, r11, lr\n\t"
                     "str r0, [%[at], #12]\n\t"
                     "ldr r6, [%[at], #20]\n\t"
                     "add r0, r6, #16\n\t"
                     "str r0, [%[at], #20]\n\t"
                     "ldm r6, {r0, r2, r4, r6}\n\t"
                     "dlstp.8 lr, lr\n"
                     "1:\n\t"
                     "vldrb.8 q0, [r1], #16\n\t"
                     "vldrb.8 q1, [r3], #16\n\t"
                     "vmladava.s8 r0, q0, q1\n\t"
                     "vldrb.8 q2, [r5], #16\n\t"
                     "vmladava.s8 r2, q0, q2\n\t"
                     "vldrb.8 q3, [r9], #16\n\t"
                     "vmladava.s8 r4, q0, q3\n\t"
                     "vldrb.8 q1, [r11], #16\n\t"
                     "vmladava.s8 r6, q0, q1\n\t"
                     "letp lr, 1b\n\t"
                     "vmov %q[sums][2], %q[sums][0], r0, r4\n\t"
                     "vmov %q[sums][3], %q[sums][1], r2, r6"
                     : [sums] "=&w"(sums)
                     : [at] "r"(at)
                     : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r9", "r11", "lr", "q0", "q1",
                       "q2", "q3", "memory");
    return sums;
}

/*
 * All channels, at least four, of one line. The last tile begins early where channels are no
 * multiple of four.
 */
TFLM_OPT_APART void one_line(const target *to, tile *at, int32_t left, int8_t *output)
{
    const tflm_opt_channels *channels = to->channels;
    const int32_t *multiplier = channels->multiplier;
    const int32_t *shift = channels->shift;
    const int32_t quant_step = channels->quant_step;
    const int32_t offset = channels->output_offset;
    const int32_t care = to->care;
    const int32x4_t low = to->low;
    const int32x4_t high = to->high;
    for (;;) {
        int32x4_t sums = sum_line(at);
        const int32x4_t by = vldrwq_s32(multiplier);
        const int32x4_t right = vldrwq_s32(shift);
        if (TFLM_OPT_LIKELY(care == TFLM_OPT_RIGHT)) {
            sums = tflm_opt_scale_x4(sums, by, right);
        } else if (care == TFLM_OPT_NEGATIVE) {
            sums = tflm_opt_scale_away_x4(sums, by, right);
        } else {
            sums = tflm_opt_scale_any_x4(sums, by, right);
        }
        vstrbq_s32(output, tflm_opt_clamp_x4(sums, offset, low, high));
        output += 4;
        multiplier += 4 * quant_step;
        shift += 4 * quant_step;
        left -= 4;
        if (left < 4) {
            const int32_t back = 4 - left;
            if (left == 0) {
                return;
            }
            at->filter -= back * at->length;
            at->bias -= back;
            multiplier -= back * quant_step;
            shift -= back * quant_step;
            output -= back;
            left = 4;
        }
    }
}

/* `tiles` tiles of three lines from channel `from` on; outputs are clamped to int8 only. */
static void make_tiles(const target *to,
                       tile *at,
                       const int8_t *filter,
                       int32_t from,
                       int32_t tiles,
                       int8_t *const *outputs)
{
    const tflm_opt_channels *channels = to->channels;
    int32_t i;
    for (i = 0; i < TFLM_OPT_LINES; i++) {
        at->outputs[i] = outputs[i] + from;
    }
    at->filter = filter + from * at->length;
    at->bias = channels->bias + from;
    at->multiplier = channels->multiplier + from;
    at->shift = channels->shift + from;
    at->tiles = tiles;
    if (to->care == TFLM_OPT_RIGHT) {
        three_lines(at);
    } else {
        three_lines_kink(at);
    }
}

/*
 * All channels, at least four, of up to three lines: one by one where shifts may be anything, else
 * together. Then a line that isn't there is the last one again, and the last tile begins early
 * where channels are no multiple of four.
 */
static void make(const target *to,
                 tile *at,
                 int32_t lines,
                 const int8_t *filter,
                 int32_t count,
                 int8_t *output)
{
    const int8_t *const first[TFLM_OPT_LINES] = {at->lines[0], at->lines[1], at->lines[2]};
    int8_t *outputs[TFLM_OPT_LINES];
    int32_t i;
    if (lines == 1 || to->care == TFLM_OPT_ANY) {
        for (i = 0; i < lines; i++) {
            at->lines[0] = first[i];
            at->filter = filter;
            at->bias = to->channels->bias;
            one_line(to, at, count, output + i * to->output_step);
        }
        at->lines[0] = first[0];
        return;
    }
    for (i = 0; i < TFLM_OPT_LINES; i++) {
        outputs[i] = output + tflm_opt_min(i, lines - 1) * to->output_step;
    }
    make_tiles(to, at, filter, 0, count >> 2, outputs);
    if (count & 3) {
        make_tiles(to, at, filter, count - 4, 1, outputs);
    }
    for (i = 0; i < lines; i++) {
        tflm_opt_clamp_all(outputs[i], count, to->channels->activation);
    }
}

/*
 * The same where biases are shared, or scales of several lines, or where the input has an offset
 * (generated code folds it into the bias): tile by tile, with biases and scales of their own.
 */
TFLM_OPT_APART void make_apart(const target *to,
                               tile *at,
                               int32_t lines,
                               const int8_t *filter,
                               int32_t count,
                               int8_t *output)
{
    const tflm_opt_channels *channels = to->channels;
    int32_t bias[4];
    int32_t multiplier[4];
    int32_t shift[4];
    tflm_opt_channels four = *channels;
    target own = *to;
    int32_t done;
    own.channels = &four;
    four.bias = bias;
    four.multiplier = multiplier;
    four.shift = shift;
    four.quant_step = 1;
    for (done = 0; done < count; done += 4) {
        const int32_t first = tflm_opt_min(done, count - 4);
        const int8_t *weights = filter + first * at->length;
        int32_t i;
        for (i = 0; i < 4; i++) {
            bias[i] = channels->bias[(first + i) * channels->bias_step];
            if (channels->input_offset != 0) {
                bias[i] += channels->input_offset *
                           tflm_opt_weight_sum(weights + i * at->length, at->length);
            }
            multiplier[i] = channels->multiplier[(first + i) * channels->quant_step];
            shift[i] = channels->shift[(first + i) * channels->quant_step];
        }
        make(&own, at, lines, weights, 4, output + first);
    }
}

/* Fewer than four channels, one sum after the other. */
TFLM_OPT_APART void few_channels(const tflm_opt_channels *channels,
                                 const int8_t *line,
                                 const int8_t *filter,
                                 int32_t count,
                                 int8_t *output)
{
    const int32_t length = channels->filter_size;
    int32_t i;
    for (i = 0; i < count; i++) {
        int32_t sum = channels->bias[i * channels->bias_step];
        if (channels->input_offset != 0) {
            sum += channels->input_offset * tflm_opt_weight_sum(filter, length);
        }
        sum = tflm_opt_dot_run(sum, line, filter, length);
        output[i] = tflm_opt_one_output(channels, channels->multiplier + i * channels->quant_step,
                                        channels->shift + i * channels->quant_step, sum);
        filter += length;
    }
}

void tflm_opt_dot_lines_s8(const tflm_opt_channels *channels,
                           int32_t care,
                           const int8_t *input,
                           int32_t step,
                           int32_t lines,
                           const int8_t *filter,
                           int32_t count,
                           int8_t *output,
                           int32_t output_step)
{
    const int plain = channels->bias_step != 0 && channels->input_offset == 0 &&
                      (channels->quant_step != 0 || lines == 1);
    target to;
    tile at;
    if (plain && channels->quant_step != 0 && count >= 4 && care != TFLM_OPT_ANY &&
        channels->filter_size <= TFLM_OPT_SHORT_LINE) {
        tflm_opt_dot_short_s8(channels, care, input, step, lines, filter, count, output,
                              output_step);
        return;
    }
    to.channels = channels;
    to.low = vdupq_n_s32(channels->activation.min);
    to.high = vdupq_n_s32(channels->activation.max);
    to.care = care;
    to.output_step = output_step;
    at.length = channels->filter_size;
    at.offset = channels->output_offset;
    while (lines > 0) {
        const int32_t taken = count < 4 ? 1 : tflm_opt_min(lines, TFLM_OPT_LINES);
        at.lines[0] = input;
        at.lines[1] = taken > 1 ? input + step : input;
        at.lines[2] = taken > 2 ? at.lines[1] + step : at.lines[1];
        if (count < 4) {
            few_channels(channels, input, filter, count, output);
        } else if (plain) {
            make(&to, &at, taken, filter, count, output);
        } else {
            make_apart(&to, &at, taken, filter, count, output);
        }
        input += taken * step;
        output += taken * output_step;
        lines -= taken;
    }
}

#endif
