#include "tflm_opt_mve.h"

#if TFLM_OPT_MVE

/* Sums of four channels, and the weights that were met in them. */
typedef struct {
    int32_t sum[4];
    int32_t weights[4];
} four;

/* `length` neighbouring elements meet four filters, whose places are in `filters`. */
TFLM_OPT_INLINE void meet(four *of, const int8_t *in, const int8_t *const *filters, int32_t length)
{
    const int8_t *filter0 = filters[0];
    const int8_t *filter1 = filters[1];
    const int8_t *filter2 = filters[2];
    const int8_t *filter3 = filters[3];
    __asm__ volatile("dlstp.8 lr, %[length]\n"
                     "1:\n\t"
                     "vldrb.8 q0, [%[in]], #16\n\t"
                     "vldrb.8 q1, [%[filter0]], #16\n\t"
                     "vmladava.s8 %[sum0], q0, q1\n\t"
                     "vldrb.8 q2, [%[filter1]], #16\n\t"
                     "vmladava.s8 %[sum1], q0, q2\n\t"
                     "vldrb.8 q1, [%[filter2]], #16\n\t"
                     "vmladava.s8 %[sum2], q0, q1\n\t"
                     "vldrb.8 q2, [%[filter3]], #16\n\t"
                     "vmladava.s8 %[sum3], q0, q2\n\t"
                     "letp lr, 1b"
                     : [in] "+r"(in), [filter0] "+r"(filter0), [filter1] "+r"(filter1),
                       [filter2] "+r"(filter2), [filter3] "+r"(filter3), [sum0] "+Te"(of->sum[0]),
                       [sum1] "+Te"(of->sum[1]), [sum2] "+Te"(of->sum[2]), [sum3] "+Te"(of->sum[3])
                     : [length] "r"(length)
                     : "lr", "q0", "q1", "q2", "memory");
}

/* The sums of one window; weights are added up where the input has an offset. */
TFLM_OPT_INLINE int32x4_t sum_window(const tflm_opt_patch *patch,
                                     const int8_t *in,
                                     const int8_t **filters,
                                     int32_t offset)
{
    four of = {{0, 0, 0, 0}, {0, 0, 0, 0}};
    const tflm_opt_run *run;
    int32_t i;
    int32_t y;
    int32_t x;
    for (run = patch->runs; run->rows > 0; run++) {
        for (y = 0; y < run->rows; y++) {
            for (x = 0; x < patch->columns; x++) {
                meet(&of, in, filters, patch->length);
                in += patch->length + patch->input_column_skip;
                for (i = 0; i < 4; i++) {
                    if (offset != 0) {
                        of.weights[i] += tflm_opt_weight_sum(filters[i], patch->length);
                    }
                    filters[i] += patch->length;
                }
            }
            in += run->step - patch->row_length;
            for (i = 0; i < 4; i++) {
                filters[i] += patch->filter_row_skip;
            }
        }
        in += run->jump;
    }
    return vaddq_s32(vldrwq_s32(of.sum), vmulq_n_s32(vldrwq_s32(of.weights), offset));
}

void tflm_opt_dot_window_s8(tflm_opt_channels *channels,
                            const tflm_opt_patch *patch,
                            const int8_t *input,
                            const int8_t *filter,
                            int32_t count,
                            int8_t *output)
{
    const int32x4_t low = vdupq_n_s32(channels->activation.min);
    const int32x4_t high = vdupq_n_s32(channels->activation.max);
    while (count > 0) {
        const int32_t block = tflm_opt_min(count, 4);
        const mve_pred16_t some = vctp32q((uint32_t)block);
        const int8_t *filters[4];
        int32x4_t sums;
        int32_t i;
        for (i = 0; i < 4; i++) { /* of channels that aren't there, the last one's again */
            filters[i] = filter + tflm_opt_min(i, block - 1) * channels->filter_size;
        }
        sums = sum_window(patch, input, filters, channels->input_offset);
        sums = vaddq_s32(sums, vldrwq_z_s32(channels->bias, some));
        sums = tflm_opt_scale_any_x4(sums, vldrwq_z_s32(channels->multiplier, some),
                                     vldrwq_z_s32(channels->shift, some));
        vstrbq_p_s32(output, tflm_opt_clamp_x4(sums, channels->output_offset, low, high), some);
        output += block;
        filter += block * channels->filter_size;
        channels->bias += block * channels->bias_step;
        channels->multiplier += block * channels->quant_step;
        channels->shift += block * channels->quant_step;
        count -= block;
    }
}

#endif
