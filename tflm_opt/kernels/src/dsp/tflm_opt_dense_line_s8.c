/*
 * Four channels at a time, weights in their natural order, four positions of the row and four words
 * of weights a step.
 *
 * In pairs of positions (Winograd 1968, "A New Algorithm for Inner Product"),
 *
 *     x0 * w0 + x1 * w1 = (x0 + w1) * (x1 + w0) - x0 * x1 - w0 * w1
 *
 * SXTAB16 unpacks bytes and adds them to halves at once, so that a word of weights takes two of them
 * and one SMLAD, where products of their own take two SXTB16 and two SMLAD. The products of
 * neighbouring inputs are the same for all channels; those of weights are in the biases. Sums wrap
 * on the way, which changes nothing.
 */
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

#include "tflm_opt_dense.h"
#include "tflm_opt_scale.h"

/* One word of weights, paired and not: x is bytes 1 and 3 of the row, e bytes 0 and 2. */
#define PAIRED(w, a)                                                                               \
    "sxtab16 %[t], %[e], %[" w "], ror #8\n\t"                                                     \
    "sxtab16 %[" w "], %[x], %[" w "]\n\t"                                                         \
    "smlad %[" a "], %[t], %[" w "], %[" a "]\n\t"
#define SINGLE(w, a)                                                                               \
    "sxtb16 %[t], %[" w "]\n\t"                                                                    \
    "sxtb16 %[" w "], %[" w "], ror #8\n\t"                                                        \
    "smlad %[" a "], %[t], %[e], %[" a "]\n\t"                                                     \
    "smlad %[" a "], %[" w "], %[x], %[" a "]\n\t"

#define PAIRED_STEP                                                                                \
    "ldr %[x], [%[in]], #4\n\t"                                                                    \
    "ldr %[v], [%[p], %[length]]\n\t"                                                              \
    "ldr %[w], [%[p]], #4\n\t"                                                                     \
    "sxtb16 %[e], %[x]\n\t"                                                                        \
    "sxtb16 %[x], %[x], ror #8\n\t" PAIRED("w", "a0") PAIRED("v", "a1")                            \
    "ldr %[v], [%[q], %[length]]\n\t"                                                              \
    "ldr %[w], [%[q]], #4\n\t" PAIRED("w", "a2") PAIRED("v", "a3")
#define SINGLE_STEP                                                                                \
    "ldr %[x], [%[in]], #4\n\t"                                                                    \
    "ldr %[w], [%[p], %[length]]\n\t"                                                              \
    "sxtab16 %[e], %[v], %[x]\n\t"                                                                 \
    "sxtab16 %[x], %[v], %[x], ror #8\n\t" SINGLE("w", "a1")                                       \
    "ldr %[w], [%[p]], #4\n\t" SINGLE("w", "a0")                                                   \
    "ldr %[w], [%[q], %[length]]\n\t" SINGLE("w", "a3")                                            \
    "ldr %[w], [%[q]], #4\n\t" SINGLE("w", "a2")

/* STEP until the row is at %[end]; V is a temporary, or the row's offset in both halves. */
#define LOOP(STEP, end)                                                                            \
    __asm__ volatile("1:\n\t" STEP "ldr %[t], %[stop]\n\t"                                         \
                     "cmp %[in], %[t]\n\t"                                                         \
                     "bne 1b\n\t"                                                                  \
                     : [in] "+r"(in), [p] "+r"(p), [q] "+r"(q), [a0] "+r"(a0),                     \
                       [a1] "+r"(a1), [a2] "+r"(a2), [a3] "+r"(a3), [v] "+r"(v),                   \
                       [w] "=&r"(w), [x] "=&r"(x), [e] "=&r"(e), [t] "=&r"(t)                      \
                     : [length] "r"(length), [stop] "m"(end)                                       \
                     : "cc", "memory")

/* What is the same for all channels. */
typedef struct {
    const int8_t *input;
    int32_t length;
    int32_t whole;    /* of the length, the most that four divides */
    int32_t offset;   /* the input's */
    uint32_t offsets; /* in both halves */
    int32_t start;    /* of each sum, beside its bias */
    int32_t paired;
    int32_t is_short; /* whether `scale` holds for all channels */
    tflm_opt_scale scale;
} row;

TFLM_OPT_INLINE int8_t short_output(const row *r, int32_t sum)
{
    return (int8_t)tflm_opt_scaled_s8(&r->scale, tflm_opt_twice(sum));
}

/* Four outputs, or, where there is no short form for all, sums. V as in LOOP. */
#define FOUR(name, STEP)                                                                           \
    TFLM_OPT_APART void name(const row *r, const int8_t *filter, const int32_t *bias,              \
                             int32_t *sums, int8_t *output)                                        \
    {                                                                                              \
        const int32_t length = r->length;                                                          \
        const int8_t *in = r->input;                                                               \
        const int8_t *p = filter;                                                                  \
        const int8_t *q = filter + 2 * length;                                                     \
        const int8_t *const many = in + (length & ~15);                                            \
        const int8_t *const end = in + r->whole;                                                   \
        int32_t a0 = bias[0] + r->start;                                                           \
        int32_t a1 = bias[1] + r->start;                                                           \
        int32_t a2 = bias[2] + r->start;                                                           \
        int32_t a3 = bias[3] + r->start;                                                           \
        int32_t left;                                                                              \
        uint32_t v = r->offsets;                                                                   \
        uint32_t w;                                                                                \
        uint32_t x;                                                                                \
        uint32_t e;                                                                                \
        uint32_t t;                                                                                \
        if (in != many) {                                                                          \
            LOOP(STEP STEP STEP STEP, many);                                                       \
        }                                                                                          \
        if (in != end) {                                                                           \
            LOOP(STEP, end);                                                                       \
        }                                                                                          \
        for (left = length & 3; left > 0; left--) {                                                \
            const int32_t element = *in++ + r->offset;                                             \
            a0 += element * p[0];                                                                  \
            a1 += element * p[length];                                                             \
            a2 += element * q[0];                                                                  \
            a3 += element * q[length];                                                             \
            p++;                                                                                   \
            q++;                                                                                   \
        }                                                                                          \
        if (r->is_short) {                                                                         \
            output[0] = short_output(r, a0);                                                       \
            output[1] = short_output(r, a1);                                                       \
            output[2] = short_output(r, a2);                                                       \
            output[3] = short_output(r, a3);                                                       \
        } else {                                                                                   \
            sums[0] = a0;                                                                          \
            sums[1] = a1;                                                                          \
            sums[2] = a2;                                                                          \
            sums[3] = a3;                                                                          \
        }                                                                                          \
    }

#ifdef __OPTIMIZE__ /* else compilers keep too many registers for themselves */
#define TOGETHER 4
FOUR(four_paired, PAIRED_STEP)
FOUR(four_single, SINGLE_STEP)
#else
#define TOGETHER INT32_MAX
#endif

/* The sum of one channel. */
static int32_t one_channel(const row *r, const int8_t *filter, int32_t bias)
{
    const int8_t *in = r->input;
    const uint32_t offsets = r->offsets;
    int32_t sum = bias + r->start;
    int32_t left;
    for (left = r->whole; left > 0; left -= 4) {
        const uint32_t x = tflm_opt_word(in);
        const uint32_t w = tflm_opt_word(filter);
        const uint32_t even = tflm_opt_sxtab16(offsets, x);
        const uint32_t odd = tflm_opt_sxtab16_odd(offsets, x);
        if (r->paired) {
            const uint32_t first = tflm_opt_sxtab16_odd(even, w);
            sum = tflm_opt_smlad(first, tflm_opt_sxtab16(odd, w), sum);
        } else {
            sum = tflm_opt_smlad(even, tflm_opt_sxtb16(w), sum);
            sum = tflm_opt_smlad(odd, tflm_opt_sxtb16_odd(w), sum);
        }
        in += 4;
        filter += 4;
    }
    return tflm_opt_dot_s8(sum, in, filter, r->length & 3, r->offset);
}

/* Products of neighbours in the row. */
static int32_t pairs(const int8_t *in, int32_t whole)
{
    int32_t sum = 0;
    for (; whole > 0; whole -= 4) {
        const uint32_t x = tflm_opt_word(in);
        sum = tflm_opt_smlad(tflm_opt_sxtb16(x), tflm_opt_sxtb16_odd(x), sum);
        in += 4;
    }
    return sum;
}

/* An output of a channel with a scale of its own, by the short form where there is one. */
static int8_t output_of(const tflm_opt_channels *channels,
                        const int32_t *multiplier,
                        const int32_t *shift,
                        int32_t sum)
{
    tflm_opt_scale scale;
    if (tflm_opt_set_scale(*multiplier, *shift, channels->output_offset, TFLM_OPT_SCALE_ANY,
                           &scale)) {
        const int32_t scaled = tflm_opt_scaled_s8(&scale, tflm_opt_twice(sum));
        return (int8_t)tflm_opt_clamp(scaled, channels->activation.min, channels->activation.max);
    }
    return tflm_opt_one_output(channels, multiplier, shift, sum);
}

static void set_row(const tflm_opt_channels *channels, int32_t paired, const int8_t *input, row *r)
{
    const uint32_t offset = (uint32_t)channels->input_offset;
    r->input = input;
    r->length = channels->filter_size;
    r->whole = r->length & ~3;
    r->offset = channels->input_offset;
    r->offsets = tflm_opt_pack_low(offset, offset);
    r->start = paired ? -pairs(input, r->whole) : 0;
    r->paired = paired;
    r->is_short = channels->quant_step == 0 &&
                  tflm_opt_set_scale(channels->multiplier[0], channels->shift[0],
                                     channels->output_offset, TFLM_OPT_SCALE_ANY, &r->scale);
}

void tflm_opt_dense_line_s8(const tflm_opt_channels *channels,
                            int32_t paired,
                            const int8_t *input,
                            const int8_t *filter,
                            int32_t count,
                            int8_t *output)
{
    const int32_t *bias = channels->bias;
    const int32_t *multiplier = channels->multiplier;
    const int32_t *shift = channels->shift;
    int8_t *const first = output;
    int32_t left = count;
    row r;
    set_row(channels, paired, input, &r);
    while (left > 0) {
        const int32_t block = left >= TOGETHER ? TOGETHER : 1;
        int32_t sums[4];
#ifdef __OPTIMIZE__
        if (block == TOGETHER) {
            if (paired) {
                four_paired(&r, filter, bias, sums, output);
            } else {
                four_single(&r, filter, bias, sums, output);
            }
        } else
#endif
        {
            sums[0] = one_channel(&r, filter, *bias);
            output[0] = r.is_short ? short_output(&r, sums[0]) : 0;
        }
        if (!r.is_short) {
            int32_t i;
            for (i = 0; i < block; i++) {
                output[i] = output_of(channels, multiplier, shift, sums[i]);
                multiplier += channels->quant_step;
                shift += channels->quant_step;
            }
        }
        output += block;
        filter += block * r.length;
        bias += block * channels->bias_step;
        left -= block;
    }
    if (tflm_opt_is_narrow(channels->activation.min, channels->activation.max)) {
        tflm_opt_clamp_outputs(first, count, channels->activation.min, channels->activation.max);
    }
}

#endif /* TFLM_OPT_DSP */
