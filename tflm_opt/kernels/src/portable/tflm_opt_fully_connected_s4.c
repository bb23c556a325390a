#include "tflm_opt_connect.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_unpack.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE
#define IN_HALVES 1
#else
#define IN_HALVES 0
#endif

#if IN_HALVES

/* A row as halves in the order of a word's masks; the sum of all. */
static int32_t spread_row(const int8_t *input, int32_t depth, int32_t offset, uint32_t *halves)
{
    const uint32_t offsets = ((uint32_t)offset & 0xFFFFU) | ((uint32_t)offset << 16);
    int32_t sum = 0;
    for (; depth > 0; depth -= 4) {
        const uint32_t word = tflm_opt_word(input);
        __asm__("sxtab16 %0, %1, %2" : "=r"(halves[0]) : "r"(offsets), "r"(word));
        __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(halves[1]) : "r"(offsets), "r"(word));
        sum = tflm_opt_smlad(halves[0], 0x00010001U, sum);
        sum = tflm_opt_smlad(halves[1], 0x00010001U, sum);
        input += 4;
        halves += 2;
    }
    return sum;
}

/* Of each of two words of weights, r8 and r9, a pair of halves under the mask times r2 or r3. */
#define TWO_PRODUCTS(x, shift)                                                                     \
    "and.w r4, %6, r8, " shift "\n\t"                                                              \
    "smlad %0, r4, " x ", %0\n\t"                                                                  \
    "and.w r5, %6, r9, " shift "\n\t"                                                              \
    "smlad %1, r5, " x ", %1\n\t"

#define TWO_SUMS(x, second_bytes)                                                                  \
    do {                                                                                           \
        const uint32_t *place = (x);                                                               \
        __asm__ volatile(".syntax unified\n"                                                       \
                         "1:\n\t"                                                                  \
                         "ldr.w r9, [%2, %4]\n\t"                                                  \
                         "ldr r8, [%2], #4\n\t"                                                    \
                         "ldrd r2, r3, [%3], #8\n\t"                                               \
                         TWO_PRODUCTS("r2", "lsl #0") TWO_PRODUCTS("r3", "lsr #8")                 \
                         "ldrd r2, r3, [%3], #8\n\t"                                               \
                         TWO_PRODUCTS("r2", "lsr #4") TWO_PRODUCTS("r3", "lsr #12")                \
                         "cmp %2, %5\n\t"                                                          \
                         "bne 1b"                                                                  \
                         : "+r"(sum0), "+r"(sum1), "+r"(filter), "+r"(place)                       \
                         : "r"(second_bytes), "r"(end), "r"(0x000F000FU)                           \
                         : "r2", "r3", "r4", "r5", "r8", "r9", "cc", "memory");                    \
    } while (0)

/* One row, two channels at a time: weights are 8 more than they should be, as `less` makes good. */
static void connect_halves(const tflm_opt_channels *channels,
                           const uint32_t *row,
                           int32_t less,
                           const int32_t *filter,
                           int32_t count,
                           int8_t *output)
{
    const int32_t words = channels->filter_size >> 3;
    const int32_t *multiplier = channels->multiplier;
    const int32_t *shift = channels->shift;
    const int32_t *bias = channels->bias;
    while (count > 0) {
        const int32_t second = count > 1 ? words : 0;
        const int32_t *end = filter + words;
        int32_t sum0 = bias[0] - less;
        int32_t sum1 = bias[count > 1 ? channels->bias_step : 0] - less;
        TWO_SUMS(row, 4 * second);
        *output++ = tflm_opt_one_output(channels, multiplier, shift, sum0);
        multiplier += channels->quant_step;
        shift += channels->quant_step;
        if (count > 1) {
            *output++ = tflm_opt_one_output(channels, multiplier, shift, sum1);
            multiplier += channels->quant_step;
            shift += channels->quant_step;
        }
        bias += 2 * channels->bias_step;
        filter += second;
        count -= 2;
    }
}

#endif

/* A row of outputs, by as many channels at a time as scratch has room for. */
static void connect_unpacked(const cmsis_nn_context *ctx,
                             const cmsis_nn_fc_params *params,
                             const tflm_opt_channels *all,
                             const int8_t *input,
                             const int32_t *filter,
                             int32_t count,
                             int8_t *output)
{
    const int32_t depth = all->filter_size;
    const int32_t most = tflm_opt_unpacked_channels(ctx->size, depth, count);
    int32_t done;
    for (done = 0; done < count; done += most) {
        const int32_t some = tflm_opt_min(most, count - done);
        tflm_opt_channels channels = *all;
        channels.bias += done * channels.bias_step;
        channels.multiplier += done * channels.quant_step;
        channels.shift += done * channels.quant_step;
        tflm_opt_connect(NULL, params, &channels, 1, input, depth,
                         tflm_opt_unpack_s4(filter, done * depth, some * depth, (int8_t *)ctx->buf),
                         some, output + done);
    }
}

arm_cmsis_nn_status tflm_opt_fully_connected_s4(const cmsis_nn_context *ctx,
                                                const cmsis_nn_fc_params *fc_params,
                                                const cmsis_nn_quant_params *quant_params,
                                                const cmsis_nn_dims *input_dims,
                                                const int8_t *input_data,
                                                const cmsis_nn_dims *filter_dims,
                                                const int32_t *filter_data,
                                                const cmsis_nn_dims *bias_dims,
                                                const int32_t *bias_data,
                                                const cmsis_nn_dims *output_dims,
                                                int8_t *output_data)
{
    const int32_t depth = filter_dims->n;
    tflm_opt_channels channels;
    int32_t row;
    (void)bias_dims;
    if (ctx == NULL || ctx->buf == NULL || input_data == NULL || filter_data == NULL ||
        output_data == NULL || fc_params->filter_offset != 0 ||
        tflm_opt_unpacked_channels(ctx->size, depth, output_dims->c) < 1) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    tflm_opt_set_bias(&channels, bias_data);
    channels.multiplier = quant_params->multiplier;
    channels.shift = quant_params->shift;
    channels.quant_step = quant_params->is_per_channel ? 1 : 0;
    channels.filter_size = depth;
    channels.input_offset = fc_params->input_offset;
    channels.output_offset = fc_params->output_offset;
    channels.activation = fc_params->activation;
    for (row = 0; row < input_dims->n; row++) {
#if IN_HALVES
        if ((depth & 7) == 0 && ctx->size >= 2 * depth) {
            uint32_t *halves = (uint32_t *)ctx->buf;
            const int32_t sum = spread_row(input_data, depth, fc_params->input_offset, halves);
            connect_halves(&channels, halves, 8 * sum, filter_data, output_dims->c, output_data);
        } else
#endif
        {
            connect_unpacked(ctx, fc_params, &channels, input_data, filter_data, output_dims->c,
                             output_data);
        }
        input_data += depth;
        output_data += output_dims->c;
    }
    return ARM_CMSIS_NN_SUCCESS;
}
