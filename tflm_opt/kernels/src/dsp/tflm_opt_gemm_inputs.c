#include "tflm_opt_gemm.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

/* A pair of windows, all rows in one run. */
TFLM_OPT_INLINE uint32_t *spread(const tflm_opt_gemm *gemm,
                                 uint32_t *target,
                                 const int8_t *window,
                                 ptrdiff_t second)
{
    return gemm->threes ? tflm_opt_spread_threes_s8(target, window, second, &gemm->input_rows)
                        : tflm_opt_spread_inputs_s8(target, window, second, &gemm->input_rows);
}

/* Words of padding up to `end`. */
TFLM_OPT_INLINE uint32_t *pad(uint32_t *target, const uint32_t *end)
{
    while (target != end) {
        target[0] = 0;
        target[1] = 0;
        target[2] = 0;
        target[3] = 0;
        target += 4;
    }
    return target;
}

void tflm_opt_gemm_inputs(tflm_opt_gemm *gemm,
                          int32_t pair,
                          const int8_t *window,
                          ptrdiff_t second,
                          const tflm_opt_run *runs,
                          int32_t above)
{
    uint32_t *target = gemm->inputs + pair * gemm->words;
    tflm_opt_gemm_rows *rows = &gemm->input_rows;
    const int32_t rest_words = rows->rest_words;
    const uint32_t *end = target + gemm->words;
    rows->rests = (int8_t *)(target + gemm->rests);
    target = pad(target, target + 4 * above * rows->words);
    for (; runs->rows > 0; runs++) {
        rows->rows = runs->rows;
        rows->skip = runs->step - gemm->problem->length;
        rows->rest_words = runs[1].rows > 0 ? 0 : rest_words;
        target = spread(gemm, target, window, second);
        rows->rests += runs->rows * rows->rest;
        window += runs->rows * runs->step + runs->jump;
    }
    if (rest_words == 0) {
        (void)pad(target, end);
    }
}

int32_t tflm_opt_gemm_windows(tflm_opt_gemm *gemm,
                              const int8_t *window,
                              ptrdiff_t step,
                              const tflm_opt_run *run,
                              int32_t pixels,
                              int8_t *output)
{
    const int32_t channels = gemm->problem->channels;
    const int32_t pairs = pixels >> 1;
    const int32_t threes = gemm->threes ? pairs : 0;
    int32_t i;
    if (!gemm->plan.all_weights || !gemm->all_short || !gemm->second || gemm->narrow ||
        run->rows != gemm->problem->rows) {
        return 0;
    }
    gemm->input_rows.rests = (int8_t *)(gemm->inputs + gemm->rests);
    gemm->input_rows.rows = run->rows;
    gemm->input_rows.skip = run->step - gemm->problem->length;
    gemm->along.second_pixel = channels;
    for (i = 0; i < threes; i++) {
        (void)tflm_opt_spread_threes_s8(gemm->inputs, window + 2 * i * step, step,
                                        &gemm->input_rows);
        gemm->along.output = output + 2 * i * channels;
        tflm_opt_tiles_s8(&gemm->along, 0);
    }
    for (; i < pairs; i++) {
        (void)tflm_opt_spread_inputs_s8(gemm->inputs, window + 2 * i * step, step,
                                        &gemm->input_rows);
        gemm->along.output = output + 2 * i * channels;
        tflm_opt_tiles_s8(&gemm->along, 0);
    }
    return 2 * pairs;
}

/* The inputs of a block of neighbouring pixels. */
static void spread_pixels(tflm_opt_gemm *gemm, const int8_t *input, int32_t pixels)
{
    const int32_t depth = gemm->problem->length;
    tflm_opt_gemm_rows *rows = &gemm->input_rows;
    uint32_t *target = gemm->inputs;
    rows->skip = depth;
    while (pixels > 0) {
        if (rows->rest == 0 && pixels > 1) { /* pairs follow each other like rows */
            rows->rows = pixels >> 1;
        }
        rows->rests = (int8_t *)(target + gemm->rests);
        target = tflm_opt_spread_inputs_s8(target, input, pixels > 1 ? depth : 0, rows);
        input += 2 * rows->rows * depth;
        pixels -= 2 * rows->rows;
        rows->rows = 1;
    }
}

void tflm_opt_gemm_pixels(tflm_opt_gemm *gemm, const int8_t *input, int32_t pixels, int8_t *output)
{
    static const tflm_opt_run line[2] = {{1, 0, 0}, {0, 0, 0}};
    const int32_t depth = gemm->problem->length;
    const int32_t channels = gemm->problem->channels;
    int32_t count = tflm_opt_gemm_windows(gemm, input, depth, line, pixels, output);
    while (count < pixels) {
        const int32_t block = tflm_opt_min(pixels - count, gemm->plan.block);
        spread_pixels(gemm, input + count * depth, block);
        tflm_opt_gemm_s8(gemm, block, output + count * channels);
        count += block;
    }
}

/* The first one lies at the end of its target, where it is read before it is overwritten. */
int8_t *tflm_opt_gemm_place(const tflm_opt_gemm *gemm, int32_t second)
{
    if (gemm->plan.all_weights) {
        return second ? gemm->staging : (int8_t *)gemm->inputs + 3 * gemm->words;
    }
    return gemm->staging + second * gemm->words;
}

void tflm_opt_gemm_gathered(tflm_opt_gemm *gemm,
                            int32_t pair,
                            const int8_t *window,
                            ptrdiff_t second)
{
    tflm_opt_gemm_rows rows = gemm->input_rows;
    rows.words = gemm->words >> 2;
    rows.rows = 1;
    rows.rest = 0;
    (void)tflm_opt_spread_inputs_s8(gemm->inputs + pair * gemm->words, window, second, &rows);
}

#endif /* TFLM_OPT_DSP */
