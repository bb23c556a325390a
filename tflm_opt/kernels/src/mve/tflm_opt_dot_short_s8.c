#include "tflm_opt_mve.h"

#if TFLM_OPT_MVE

/*
 * Lines of up to 16 elements: three of them stay in vectors, and one product of vectors is a sum. A
 * tile is four channels of three lines; sums of channels 0 and 2, then of 1 and 3, go to the lanes
 * of three more, and through requantization as vectors of channels. 48 instructions are 12 outputs
 * where lines are whole vectors.
 */
typedef struct {
    int8_t *outputs[TFLM_OPT_LINES];
    const int8_t *filter;
    const int32_t *bias;
    const int32_t *multiplier;
    const int32_t *shift;
    int32_t tiles;
    int32_t length;
    const int8_t *lines[TFLM_OPT_LINES];
} row; /* of tiles; the assembly reads fields by their places */

/* The filters of a tile, in the order in which they are met; `move` leads to the next one. */
#define WHOLE(at) "vldrb.8 q0, [r8, #" at "]\n\t"
#define MASKED "vpst\n\tvldrbt.u8 q0, [r8]\n\t"

#define FIRST                                                                                      \
    "vmladav.s8 r0, q0, q5\n\t"                                                                    \
    "vmladav.s8 r2, q0, q6\n\t"                                                                    \
    "vmladav.s8 r4, q0, q7\n\t"
#define SECOND(high, low)                                                                          \
    "vmladav.s8 r6, q0, q5\n\t"                                                                    \
    "vmov q1[" high "], q1[" low "], r0, r6\n\t"                                                   \
    "vmladav.s8 r0, q0, q6\n\t"                                                                    \
    "vmov q2[" high "], q2[" low "], r2, r0\n\t"                                                   \
    "vmladav.s8 r2, q0, q7\n\t"                                                                    \
    "vmov q3[" high "], q3[" low "], r4, r2\n\t"

#define SUMS_WHOLE                                                                                 \
    WHOLE("0") FIRST WHOLE("32") SECOND("2", "0") WHOLE("16") FIRST WHOLE("48") SECOND("3", "1")   \
    "add r8, #64\n\t"
#define SUMS_MASKED                                                                                \
    MASKED "add r8, r8, %[at], lsl #1\n\t" FIRST                                                   \
    MASKED "sub r8, %[at]\n\t" SECOND("2", "0")                                                    \
    MASKED "add r8, r8, %[at], lsl #1\n\t" FIRST                                                   \
    MASKED "add r8, %[at]\n\t" SECOND("3", "1")

#define EACH(operation)                                                                            \
    operation("q1") operation("q2") operation("q3")
#define ADD_BIAS(sums) "vadd.i32 " sums ", " sums ", q0\n\t"
#define SCALE(sums) "vqrdmulh.s32 " sums ", " sums ", q0\n\t"
#define AWAY(sums) "vshr.s32 q0, " sums ", #31\n\tvadd.i32 " sums ", " sums ", q0\n\t"
#define SHIFT(sums) "vrshl.s32 " sums ", " sums ", q0\n\t"
#define ADD_OFFSET(sums) "vadd.i32 " sums ", " sums ", %q[offset]\n\t"
#define NARROW(sums) "vqmovnb.s32 " sums ", " sums "\n\tvqmovnb.s16 " sums ", " sums "\n\t"

#define MAKE(name, sums, kink)                                                                     \
    TFLM_OPT_APART void name(const row *at, int32x4_t offset)                                      \
    {                                                                                              \
        __asm__ volatile("ldr r6, [%[at], #32]\n\t"                                                \
                         "ldr r0, [%[at], #36]\n\t"                                                \
                         "ldrd r2, r4, [%[at], #40]\n\t"                                           \
                         "vctp.8 r6\n\t"                                                           \
                         "vpsttt\n\t"                                                              \
                         "vldrbt.u8 q5, [r0]\n\t"                                                  \
                         "vldrbt.u8 q6, [r2]\n\t"                                                  \
                         "vldrbt.u8 q7, [r4]\n\t"                                                  \
                         "ldm %[at], {r1, r3, r5, r8, r9, r10, r11, lr}\n\t"                       \
                         "ldr %[at], [%[at], #32]\n\t"                                             \
                         "dls lr, lr\n"                                                            \
                         "1:\n\t" sums                                                             \
                         "vldrw.32 q0, [r9], #16\n\t" EACH(ADD_BIAS)                               \
                         "vldrw.32 q0, [r10], #16\n\t" EACH(SCALE) kink                            \
                         "vldrw.32 q0, [r11], #16\n\t" EACH(SHIFT) EACH(ADD_OFFSET) EACH(NARROW)   \
                         "vstrb.32 q1, [r1], #4\n\t"                                               \
                         "vstrb.32 q2, [r3], #4\n\t"                                               \
                         "vstrb.32 q3, [r5], #4\n\t"                                               \
                         "le lr, 1b"                                                               \
                         : [at] "+r"(at)                                                           \
                         : [offset] "w"(offset)                                                    \
                         : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11",     \
                           "lr", "q0", "q1", "q2", "q3", "q5", "q6", "q7", "memory", "cc", "p0");  \
    }

MAKE(whole, SUMS_WHOLE, "")
MAKE(whole_kink, SUMS_WHOLE, EACH(AWAY))
MAKE(masked, SUMS_MASKED, "")
MAKE(masked_kink, SUMS_MASKED, EACH(AWAY))

/* `tiles` tiles from channel `from` on. */
static void make(const tflm_opt_channels *channels,
                 int32_t care,
                 const int8_t *filter,
                 int32_t from,
                 int32_t tiles,
                 row *at)
{
    const int32x4_t offset = vdupq_n_s32(channels->output_offset);
    at->filter = filter + from * channels->filter_size;
    at->bias = channels->bias + from;
    at->multiplier = channels->multiplier + from;
    at->shift = channels->shift + from;
    at->tiles = tiles;
    at->length = channels->filter_size;
    if (channels->filter_size == TFLM_OPT_SHORT_LINE && care == TFLM_OPT_RIGHT) {
        whole(at, offset);
    } else if (channels->filter_size == TFLM_OPT_SHORT_LINE) {
        whole_kink(at, offset);
    } else if (care == TFLM_OPT_RIGHT) {
        masked(at, offset);
    } else {
        masked_kink(at, offset);
    }
}

void tflm_opt_dot_short_s8(const tflm_opt_channels *channels,
                           int32_t care,
                           const int8_t *input,
                           int32_t step,
                           int32_t lines,
                           const int8_t *filter,
                           int32_t count,
                           int8_t *output,
                           int32_t output_step)
{
    row at;
    while (lines > 0) {
        const int32_t taken = tflm_opt_min(lines, TFLM_OPT_LINES);
        const int32_t rest = count & 3;
        int32_t i;
        for (i = 0; i < TFLM_OPT_LINES; i++) { /* a line that isn't there is the last one again */
            at.lines[i] = input + tflm_opt_min(i, taken - 1) * step;
            at.outputs[i] = output + tflm_opt_min(i, taken - 1) * output_step;
        }
        make(channels, care, filter, 0, count >> 2, &at);
        if (rest > 0) { /* one more tile that begins early */
            for (i = 0; i < TFLM_OPT_LINES; i++) {
                at.outputs[i] += count - 4;
            }
            make(channels, care, filter, count - 4, 1, &at);
        }
        for (i = 0; i < taken; i++) {
            tflm_opt_clamp_all(output + i * output_step, count, channels->activation);
        }
        input += taken * step;
        output += taken * output_step;
        lines -= taken;
    }
}

#endif
