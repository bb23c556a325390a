#include "tflm_opt_dot.h"

/* Position k of the input meets four filters: one load serves four products. */
#define MEET(k)                                                                                    \
    do {                                                                                           \
        const int32_t x_ = in[k];                                                                  \
        sum0 += x_ * filter0[k];                                                                   \
        sum1 += x_ * filter1[k];                                                                   \
        sum2 += x_ * filter2[k];                                                                   \
        sum3 += x_ * filter3[k];                                                                   \
    } while (0)

#define ADVANCE(count)                                                                             \
    do {                                                                                           \
        in += (count);                                                                             \
        filter0 += (count);                                                                        \
        filter1 += (count);                                                                        \
        filter2 += (count);                                                                        \
        filter3 += (count);                                                                        \
    } while (0)

/* What an offset of the input adds to the sum of one channel. */
TFLM_OPT_APART int32_t offset_share(const int8_t *filter, int32_t length, int32_t offset)
{
    int32_t sum = 0;
    int32_t i;
    for (i = 0; i < length; i++) {
        sum += filter[i];
    }
    return sum * offset;
}

void tflm_opt_dot_line_s8(const tflm_opt_channels *channels,
                          const int8_t *input,
                          const int8_t *filter,
                          int32_t count,
                          int8_t *output)
{
    const int32_t length = channels->filter_size;
    const int32_t offset = channels->input_offset;
    const int32_t *bias = channels->bias;
    const int32_t *multiplier = channels->multiplier;
    const int32_t *shift = channels->shift;
    for (; count >= TFLM_OPT_BLOCK; count -= TFLM_OPT_BLOCK) {
        const int8_t *filter0 = filter;
        const int8_t *filter1 = filter0 + length;
        const int8_t *filter2 = filter1 + length;
        const int8_t *filter3 = filter2 + length;
        const int8_t *in = input;
        const int8_t *end = input + (length & ~7);
        int32_t sum0 = bias[0];
        int32_t sum1 = bias[1];
        int32_t sum2 = bias[2];
        int32_t sum3 = bias[3];
        if (offset != 0) { /* generated code folds it into the bias */
            sum0 += offset_share(filter0, length, offset);
            sum1 += offset_share(filter1, length, offset);
            sum2 += offset_share(filter2, length, offset);
            sum3 += offset_share(filter3, length, offset);
        }
        while (in != end) {
            MEET(0);
            MEET(1);
            MEET(2);
            MEET(3);
            MEET(4);
            MEET(5);
            MEET(6);
            MEET(7);
            ADVANCE(8);
        }
        end = input + length;
        while (in != end) {
            MEET(0);
            ADVANCE(1);
        }
        tflm_opt_write_block(channels, multiplier, shift, sum0, sum1, sum2, sum3, output);
        bias += TFLM_OPT_BLOCK * channels->bias_step;
        multiplier += TFLM_OPT_BLOCK * channels->quant_step;
        shift += TFLM_OPT_BLOCK * channels->quant_step;
        filter += TFLM_OPT_BLOCK * length;
        output += TFLM_OPT_BLOCK;
    }
    for (; count > 0; count--) {
        const int32_t sum = tflm_opt_dot_s8(*bias, input, filter, length, offset);
        *output++ = tflm_opt_one_output(channels, multiplier, shift, sum);
        bias += channels->bias_step;
        multiplier += channels->quant_step;
        shift += channels->quant_step;
        filter += length;
    }
}
