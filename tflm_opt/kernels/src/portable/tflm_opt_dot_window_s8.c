#include "tflm_opt_tier.h"

#if !TFLM_OPT_MVE

#include "tflm_opt_dot.h"

/* Position k of the input meets four filters: one load serves four products. */
#define MEET(k)                                                                                    \
    do {                                                                                           \
        const int32_t x_ = in[k] + offset;                                                         \
        sum0 += x_ * filter0[k];                                                                   \
        sum1 += x_ * filter1[k];                                                                   \
        sum2 += x_ * filter2[k];                                                                   \
        sum3 += x_ * filter3[k];                                                                   \
        TFLM_OPT_THEN();                                                                           \
    } while (0)

#define ADVANCE(count)                                                                             \
    do {                                                                                           \
        in += (count);                                                                             \
        filter0 += (count);                                                                        \
        filter1 += (count);                                                                        \
        filter2 += (count);                                                                        \
        filter3 += (count);                                                                        \
    } while (0)

/* Sums of a block of channels of one window. */
TFLM_OPT_APART void sum_block(const tflm_opt_channels *channels,
                              const tflm_opt_patch *patch,
                              const int8_t *in,
                              const int8_t *filter0,
                              int32_t *sums)
{
    const int32_t offset = channels->input_offset;
    const int32_t filter_size = channels->filter_size;
    int32_t sum0 = channels->bias[0];
    int32_t sum1 = channels->bias[1];
    int32_t sum2 = channels->bias[2];
    int32_t sum3 = channels->bias[3];
    const tflm_opt_run *run = patch->runs;
    int32_t rows = run->rows;
    int32_t columns = patch->columns;
    while (rows > 0) {
        const int32_t length = patch->length;
        const int8_t *filter1 = filter0 + filter_size;
        const int8_t *filter2 = filter1 + filter_size;
        const int8_t *filter3 = filter2 + filter_size;
        const int8_t *end = in + (length & ~7);
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
        end += length & 7;
        while (in != end) {
            MEET(0);
            ADVANCE(1);
        }
        in += patch->input_column_skip;
        if (--columns == 0) {
            columns = patch->columns;
            in += run->step - patch->row_length;
            filter0 += patch->filter_row_skip;
            if (--rows == 0) {
                in += run->jump;
                run++;
                rows = run->rows;
            }
        }
    }
    sums[0] = sum0;
    sums[1 * TFLM_OPT_SUM_STEP] = sum1;
    sums[2 * TFLM_OPT_SUM_STEP] = sum2;
    sums[3 * TFLM_OPT_SUM_STEP] = sum3;
}

TFLM_OPT_APART int32_t sum_one(const tflm_opt_channels *channels,
                               const tflm_opt_patch *patch,
                               const int8_t *in,
                               const int8_t *filter,
                               int32_t sum)
{
    const tflm_opt_run *run;
    int32_t y;
    int32_t x;
    for (run = patch->runs; run->rows > 0; run++) {
        for (y = 0; y < run->rows; y++) {
            for (x = 0; x < patch->columns; x++) {
                sum = tflm_opt_dot_s8(sum, in, filter, patch->length, channels->input_offset);
                in += patch->length + patch->input_column_skip;
                filter += patch->length;
            }
            in += run->step - patch->row_length;
            filter += patch->filter_row_skip;
        }
        in += run->jump;
    }
    return sum;
}

#if TFLM_OPT_THUMB1

#define ROWS 8
#define SUMS 16 /* channels between two rounds of scaling */

/* The rows of a window, NULL last; 0 where there are too many, or where their columns lie apart. */
static int set_rows(const tflm_opt_patch *patch, const int8_t *input, const int8_t **rows)
{
    const tflm_opt_run *run;
    int32_t found = 0;
    int32_t y;
    if (patch->runs->rows > 0 && patch->columns > 1) {
        return 0;
    }
    for (run = patch->runs; run->rows > 0; run++) {
        for (y = run->rows; y > 0; y--) {
            if (found == ROWS) {
                return 0;
            }
            rows[found++] = input;
            input += run->step;
        }
        input += run->jump;
    }
    rows[found] = NULL;
    return 1;
}

/* The sums of whole blocks of channels of a window whose columns lie apart. */
static void sum_apart(const tflm_opt_channels *channels,
                      const tflm_opt_patch *patch,
                      const int8_t *input,
                      const int8_t *filter,
                      int32_t blocks,
                      int32_t *sums)
{
    tflm_opt_channels rest = *channels;
    int32_t i;
    for (; blocks > 0; blocks--) {
        int32_t four[TFLM_OPT_SUMS];
        sum_block(&rest, patch, input, filter, four);
        for (i = 0; i < TFLM_OPT_BLOCK; i++) {
            *sums++ = four[i * TFLM_OPT_SUM_STEP];
        }
        rest.bias += TFLM_OPT_BLOCK * rest.bias_step;
        filter += TFLM_OPT_BLOCK * rest.filter_size;
    }
}

void tflm_opt_dot_window_s8(tflm_opt_channels *channels,
                            const tflm_opt_patch *patch,
                            const int8_t *input,
                            const int8_t *filter,
                            int32_t count,
                            int8_t *output)
{
    const int8_t *rows[ROWS + 1];
    const int in_rows = set_rows(patch, input, rows);
    tflm_opt_line line;
    int32_t done;
    line.rows = rows;
    line.length = patch->length;
    line.offset = channels->input_offset;
    line.filter_size = channels->filter_size;
    line.filter_row = patch->length + patch->filter_row_skip;
    line.bias_bytes = TFLM_OPT_BLOCK * channels->bias_step * (int32_t)sizeof(int32_t);
    for (done = 0; done < count; done += SUMS) {
        const int32_t some = tflm_opt_min(count - done, SUMS);
        int32_t sums[SUMS];
        int32_t i = some & ~(TFLM_OPT_BLOCK - 1);
        line.blocks = some / TFLM_OPT_BLOCK;
        if (in_rows && line.blocks > 0) {
            line.filter = filter;
            line.bias = channels->bias;
            line.sums = sums;
            tflm_opt_sum_line(&line);
        } else {
            sum_apart(channels, patch, input, filter, line.blocks, sums);
        }
        for (; i < some; i++) {
            sums[i] = sum_one(channels, patch, input, filter + i * channels->filter_size,
                              channels->bias[i * channels->bias_step]);
        }
        tflm_opt_write_requantized(sums, some, channels->multiplier, channels->shift,
                                   channels->quant_step, channels->output_offset, output + done);
        channels->bias += some * channels->bias_step;
        channels->multiplier += some * channels->quant_step;
        channels->shift += some * channels->quant_step;
        filter += some * channels->filter_size;
    }
    tflm_opt_clamp_line(channels->activation, output, count);
}

#else

void tflm_opt_dot_window_s8(tflm_opt_channels *channels,
                            const tflm_opt_patch *patch,
                            const int8_t *input,
                            const int8_t *filter,
                            int32_t count,
                            int8_t *output)
{
    while (count > 0) {
        const int32_t block = tflm_opt_min(count, TFLM_OPT_BLOCK);
        int32_t sums[TFLM_OPT_SUMS];
        int32_t i;
        if (block == TFLM_OPT_BLOCK) {
            sum_block(channels, patch, input, filter, sums);
        } else {
            for (i = 0; i < block; i++) {
                sums[i * TFLM_OPT_SUM_STEP] =
                    sum_one(channels, patch, input, filter + i * channels->filter_size,
                            channels->bias[i]);
            }
        }
        output = tflm_opt_write_some(channels, channels->multiplier, channels->shift, sums, block,
                                     output);
        channels->bias += block * channels->bias_step;
        channels->multiplier += block * channels->quant_step;
        channels->shift += block * channels->quant_step;
        filter += block * channels->filter_size;
        count -= block;
    }
}

#endif

#endif /* !TFLM_OPT_MVE */
