#include "tflm_opt_dot.h"

#if TFLM_OPT_THUMB1

/* `some` channels from a number of the call's on; a pixel has `count` of them. */
static void write_group(const tflm_opt_channels *channels,
                        int32_t done,
                        const int32_t *sums,
                        int32_t some,
                        int32_t count,
                        int8_t *output)
{
    const int32_t *multiplier = channels->multiplier + done;
    const int32_t *shift = channels->shift + done;
    tflm_opt_outputs outputs;
    int32_t i;
    outputs.output = output;
    outputs.count = some;
    outputs.offset = channels->output_offset;
    outputs.rows = TFLM_OPT_GROUP;
    outputs.output_skip = count - some;
    outputs.sums_skip = (TFLM_OPT_THUMB_SUMS - some) * (int32_t)sizeof(int32_t);
    if (tflm_opt_write_down(sums, multiplier, shift, &outputs)) {
        return;
    }
    for (i = 0; i < TFLM_OPT_GROUP; i++) {
        tflm_opt_write_requantized(sums + i * TFLM_OPT_THUMB_SUMS, some, multiplier, shift, 1,
                                   channels->output_offset, output + i * count);
    }
}

void tflm_opt_dot_group_s8(const tflm_opt_channels *channels,
                           const tflm_opt_group_place *window,
                           const int8_t *filter,
                           int32_t count,
                           int8_t *output)
{
    int32_t sums[TFLM_OPT_GROUP * TFLM_OPT_THUMB_SUMS];
    int32_t done;
    tflm_opt_four job;
    job.window = window->of;
    job.filter = filter;
    job.length = channels->filter_size;
    job.bias = channels->bias;
    job.bias_bytes = channels->bias_step * (int32_t)sizeof(int32_t);
    job.sums = sums;
    for (done = 0; done < count; done += TFLM_OPT_THUMB_SUMS) {
        job.count = tflm_opt_min(count - done, TFLM_OPT_THUMB_SUMS);
        tflm_opt_sum_four(&job);
        write_group(channels, done, sums, job.count, count, output + done);
        job.filter += job.count * job.length;
        job.bias += job.count * channels->bias_step;
    }
    tflm_opt_clamp_line(channels->activation, output, TFLM_OPT_GROUP * count);
}

#else

#define SUMS 12 /* channels between two rounds of scaling: a multiple of 3 */

/* Two pixels meet the filters of three channels: five loads, or four, serve six products. */
#define MEET(k)                                                                                    \
    do {                                                                                           \
        const int32_t first_ = window[k].of[0];                                                    \
        const int32_t second_ = window[k].of[1];                                                  \
        const int32_t f0_ = filter0[k];                                                            \
        const int32_t f1_ = filter1[k];                                                            \
        const int32_t f2_ = filter2[k];                                                            \
        sum00 += first_ * f0_;                                                                     \
        sum01 += second_ * f0_;                                                                    \
        sum10 += first_ * f1_;                                                                     \
        sum11 += second_ * f1_;                                                                    \
        sum20 += first_ * f2_;                                                                     \
        sum21 += second_ * f2_;                                                                    \
        TFLM_OPT_THEN();                                                                           \
    } while (0)

/* The sums of three channels. */
TFLM_OPT_APART void sum_three(const tflm_opt_group_place *window,
                              int32_t length,
                              const int8_t *filter0,
                              const int32_t *bias,
                              tflm_opt_group_place *sums)
{
    const int8_t *filter1 = filter0 + length;
    const int8_t *filter2 = filter1 + length;
    const tflm_opt_group_place *end = window + length;
    int32_t sum00 = bias[0];
    int32_t sum10 = bias[1];
    int32_t sum20 = bias[2];
    int32_t sum01 = sum00;
    int32_t sum11 = sum10;
    int32_t sum21 = sum20;
    for (; end - window >= 8; window += 8) {
        MEET(0);
        MEET(1);
        MEET(2);
        MEET(3);
        MEET(4);
        MEET(5);
        MEET(6);
        MEET(7);
        filter0 += 8;
        filter1 += 8;
        filter2 += 8;
        TFLM_OPT_KEEP(window);
        TFLM_OPT_KEEP(filter0);
        TFLM_OPT_KEEP(filter1);
        TFLM_OPT_KEEP(filter2);
    }
    for (; window != end; window++) {
        MEET(0);
        filter0++;
        filter1++;
        filter2++;
    }
    sums[0].of[0] = sum00;
    sums[0].of[1] = sum01;
    sums[1].of[0] = sum10;
    sums[1].of[1] = sum11;
    sums[2].of[0] = sum20;
    sums[2].of[1] = sum21;
}

#define MEET_ONE(k)                                                                                \
    do {                                                                                           \
        const int32_t f_ = filter[k];                                                              \
        sum0 += window[k].of[0] * f_;                                                              \
        sum1 += window[k].of[1] * f_;                                                             \
        TFLM_OPT_THEN();                                                                           \
    } while (0)

/* The sums of one channel. */
TFLM_OPT_APART void sum_one(const tflm_opt_group_place *window,
                            int32_t length,
                            const int8_t *filter,
                            int32_t bias,
                            tflm_opt_group_place *sums)
{
    const tflm_opt_group_place *end = window + length;
    int32_t sum0 = bias;
    int32_t sum1 = bias;
    for (; end - window >= 4; window += 4) {
        MEET_ONE(0);
        MEET_ONE(1);
        MEET_ONE(2);
        MEET_ONE(3);
        filter += 4;
        TFLM_OPT_KEEP(window);
        TFLM_OPT_KEEP(filter);
    }
    for (; window != end; window++) {
        MEET_ONE(0);
        filter++;
    }
    sums->of[0] = sum0;
    sums->of[1] = sum1;
}

/* `count` channels of both pixels as outputs, clamped to int8; `next` is from one to the other. */
TFLM_OPT_APART void write_scaled(const tflm_opt_group_place *sums,
                                 int32_t count,
                                 const int32_t *multipliers,
                                 const int32_t *shifts,
                                 int32_t offset,
                                 int32_t next,
                                 int8_t *output)
{
    const int8_t *end = output + count;
    while (output != end) {
        const int32_t multiplier = *multipliers++;
        const int32_t shift = *shifts++;
        if (TFLM_OPT_LIKELY(shift <= -2)) {
            output[0] =
                (int8_t)tflm_opt_requantized_down_s8(sums->of[0], multiplier, shift, offset);
            output[next] =
                (int8_t)tflm_opt_requantized_down_s8(sums->of[1], multiplier, shift, offset);
        } else {
            output[0] = (int8_t)tflm_opt_requantized_s8(sums->of[0], multiplier, shift, offset);
            output[next] = (int8_t)tflm_opt_requantized_s8(sums->of[1], multiplier, shift, offset);
        }
        sums++;
        output++;
    }
}

void tflm_opt_dot_group_s8(const tflm_opt_channels *channels,
                          const tflm_opt_group_place *window,
                          const int8_t *filter,
                          int32_t count,
                          int8_t *output)
{
    const int32_t length = channels->filter_size;
    const int32_t *bias = channels->bias;
    int32_t done;
    for (done = 0; done < count; done += SUMS) {
        const int32_t some = tflm_opt_min(count - done, SUMS);
        tflm_opt_group_place sums[SUMS];
        int32_t i;
        for (i = 0; i <= some - 3; i += 3) {
            sum_three(window, length, filter, bias, sums + i);
            bias += 3 * channels->bias_step;
            filter += 3 * length;
        }
        for (; i < some; i++) {
            sum_one(window, length, filter, *bias, sums + i);
            bias += channels->bias_step;
            filter += length;
        }
        write_scaled(sums, some, channels->multiplier + done, channels->shift + done,
                     channels->output_offset, count, output + done);
    }
    tflm_opt_clamp_line(channels->activation, output, 2 * count);
}

#endif
