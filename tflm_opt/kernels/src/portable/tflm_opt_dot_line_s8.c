#include "tflm_opt_dot.h"

#define SUMS 16 /* output channels between two rounds of scaling */

#if TFLM_OPT_THUMB1

/* The sums of some channels. */
static void sum_some(const tflm_opt_channels *channels,
                     const int8_t *input,
                     const int8_t *filter,
                     const int32_t *bias,
                     int32_t some,
                     int32_t *sums)
{
    const int32_t blocks = some >> 2;
    int32_t i = blocks * 4;
    if (blocks > 0) {
        const int8_t *rows[2];
        tflm_opt_line line;
        rows[0] = input;
        rows[1] = NULL;
        line.rows = rows;
        line.filter = filter;
        line.length = channels->filter_size;
        line.offset = channels->input_offset;
        line.filter_size = channels->filter_size;
        line.filter_row = 0;
        line.bias = bias;
        line.bias_bytes = 16 * channels->bias_step;
        line.sums = sums;
        line.blocks = blocks;
        tflm_opt_sum_line(&line);
    }
    for (; i < some; i++) {
        sums[i] = tflm_opt_dot_s8(bias[i * channels->bias_step], input,
                                  filter + i * channels->filter_size, channels->filter_size,
                                  channels->input_offset);
    }
}

#else

/* Position k of the input meets four filters: one load serves four products. */
#define MEET(k)                                                                                    \
    do {                                                                                           \
        const int32_t x_ = in[k];                                                                  \
        sum0 += x_ * filter0[k];                                                                   \
        sum1 += x_ * filter1[k];                                                                   \
        sum2 += x_ * filter2[k];                                                                   \
        sum3 += x_ * filter3[k];                                                                   \
        TFLM_OPT_THEN();                                                                           \
    } while (0)

#define MEET_FOUR(k)                                                                               \
    do {                                                                                           \
        MEET(k);                                                                                   \
        MEET((k) + 1);                                                                             \
        MEET((k) + 2);                                                                             \
        MEET((k) + 3);                                                                             \
    } while (0)

#define ADVANCE(count)                                                                             \
    do {                                                                                           \
        in += (count);                                                                             \
        filter0 += (count);                                                                        \
        filter1 += (count);                                                                        \
        filter2 += (count);                                                                        \
        filter3 += (count);                                                                        \
        TFLM_OPT_KEEP(in);                                                                         \
        TFLM_OPT_KEEP(filter0);                                                                    \
        TFLM_OPT_KEEP(filter1);                                                                    \
        TFLM_OPT_KEEP(filter2);                                                                    \
        TFLM_OPT_KEEP(filter3);                                                                    \
    } while (0)

/* The sums of four channels. */
TFLM_OPT_APART void sum_four(
    const int8_t *in, int32_t length, const int8_t *filter0, const int32_t *bias, int32_t *sums)
{
    const int8_t *filter1 = filter0 + length;
    const int8_t *filter2 = filter1 + length;
    const int8_t *filter3 = filter2 + length;
    const int8_t *end = in + (length & ~15);
    int32_t sum0 = bias[0];
    int32_t sum1 = bias[1];
    int32_t sum2 = bias[2];
    int32_t sum3 = bias[3];
    while (in != end) {
        MEET_FOUR(0);
        MEET_FOUR(4);
        MEET_FOUR(8);
        MEET_FOUR(12);
        ADVANCE(16);
    }
    end += length & 12;
    while (in != end) {
        MEET_FOUR(0);
        ADVANCE(4);
    }
    end += length & 3;
    while (in != end) {
        MEET(0);
        ADVANCE(1);
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

/* What an offset of the input adds to sums; generated code folds it into the bias. */
TFLM_OPT_APART void add_offset(
    int32_t *sums, int32_t count, const int8_t *filter, int32_t length, int32_t offset)
{
    const int32_t *end = sums + count;
    int32_t i;
    for (; sums != end; sums++) {
        int32_t sum = 0;
        for (i = 0; i < length; i++) {
            sum += *filter++;
        }
        *sums += sum * offset;
    }
}

/* The sums of some channels. */
static void sum_some(const tflm_opt_channels *channels,
                     const int8_t *input,
                     const int8_t *filter,
                     const int32_t *bias,
                     int32_t some,
                     int32_t *sums)
{
    const int32_t length = channels->filter_size;
    const int8_t *first = filter;
    int32_t i;
    for (i = 0; i <= some - 4; i += 4) {
        sum_four(input, length, filter, bias, sums + i);
        bias += 4 * channels->bias_step;
        filter += 4 * length;
    }
    for (; i < some; i++) {
        sums[i] = tflm_opt_dot_s8(*bias, input, filter, length, 0);
        bias += channels->bias_step;
        filter += length;
    }
    if (channels->input_offset != 0) {
        add_offset(sums, some, first, length, channels->input_offset);
    }
}

#endif

void tflm_opt_dot_line_s8(const tflm_opt_channels *channels,
                          const int8_t *input,
                          const int8_t *filter,
                          int32_t count,
                          int8_t *output)
{
    const int32_t step = channels->quant_step;
    const int32_t *bias = channels->bias;
    const int32_t *multiplier = channels->multiplier;
    const int32_t *shift = channels->shift;
    int32_t done;
    for (done = 0; done < count; done += SUMS) {
        const int32_t some = tflm_opt_min(count - done, SUMS);
        int32_t sums[SUMS];
        sum_some(channels, input, filter, bias, some, sums);
        tflm_opt_write_requantized(sums, some, multiplier, shift, step, channels->output_offset,
                              output + done);
        bias += SUMS * channels->bias_step;
        filter += SUMS * channels->filter_size;
        multiplier += SUMS * step;
        shift += SUMS * step;
    }
    tflm_opt_clamp_line(channels->activation, output, count);
}
