#include "tflm_opt_gemm.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

#include "tflm_opt_dot.h"
#include "tflm_opt_dsp.h"

/* Short forms are for sums below this, and for shifts right of 1 to FARTHEST. */
#define SUM_LIMIT ((int32_t)1 << 30)
#define FARTHEST 22

#define RARE TFLM_OPT_APART __attribute__((cold)) /* small rather than fast */

/*
 * The short form of a channel to where its parameters are; 0 where it has none. Sums are doubled, so
 * that SMMLAR gives TFLM's first rounding, h. Its second one is
 * floor((h - (h < 0) + 2^(e - 1)) / 2^e) for a shift right by e; h < 0 may be read from the sum, since
 * both give 0 where h is 0.
 */
TFLM_OPT_INLINE int set_form(const tflm_opt_gemm *gemm,
                             int32_t bias,
                             int32_t multiplier,
                             int32_t shift,
                             uint32_t *doubled_bias,
                             uint32_t *parameters)
{
    const uint32_t limit = (uint32_t)gemm->bias_limit;
    uint32_t right = 0U - (uint32_t)shift - 1U;
    parameters[2] = 0; /* a shift that no short form has */
    if ((uint32_t)bias + limit >= 2U * limit) {
        return 0;
    }
    if (right >= FARTHEST) {
        const uint32_t most = SUM_LIMIT - limit + (uint32_t)(bias < 0 ? -bias : bias);
        if (right > 31U || most >> right != 0) {
            return 0;
        }
        multiplier = 0; /* all sums give 0 */
        right = FARTHEST - 1;
    }
    *doubled_bias = 2U * (uint32_t)bias;
    parameters[0] = (uint32_t)multiplier;
    parameters[1] = gemm->unit << right;
    parameters[2] = right + 1U;
    return 1;
}

/*
 * The weights and short forms of a pair of channels, of which the first is `channel`: the same one
 * twice where there is no other. Where one of them has no short form, the first shift is 0.
 */
TFLM_OPT_APART int spread_pair(tflm_opt_gemm *gemm, int32_t channel, uint32_t *target)
{
    const tflm_opt_gemm_problem *problem = gemm->problem;
    const int32_t next = channel + gemm->second;
    uint32_t *parameters = target + 2 + gemm->words;
    const int32_t *bias = problem->bias;
    int32_t bias0 = 0;
    int32_t bias1 = 0;
    if (gemm->filter_rows.rest != 0) {
        uint32_t *rests = target + 2 + gemm->rests;
        gemm->filter_rows.rests = (int8_t *)rests;
        rests[gemm->filter_rows.rest_words - 1] = 0;
        rests[gemm->filter_rows.rest_words + 2] = 0;
    }
    (void)tflm_opt_spread_weights_s8(target + 2, problem->filter + channel * gemm->depth,
                         gemm->second * gemm->depth, &gemm->filter_rows);
    if (bias != NULL) {
        bias0 = bias[channel];
        bias1 = bias[next];
    }
    if (set_form(gemm, bias0, problem->multiplier[channel], problem->shift[channel], target,
                 parameters) &&
        set_form(gemm, bias1, problem->multiplier[next], problem->shift[next], target + 1,
                 parameters + 3)) {
        return 1;
    }
    parameters[2] = 0;
    return 0;
}

/* The first channel of a pair: a last one alone is made together with the one before. */
TFLM_OPT_INLINE int32_t first_of(const tflm_opt_gemm *gemm, int32_t channel)
{
    return tflm_opt_min(channel, gemm->last_pair);
}

/* The sum of doubled products of a channel and a pixel of a tile, whatever it may reach, halved. */
RARE int32_t general_sum(const uint32_t *weights, const uint32_t *inputs, int32_t words)
{
    int64_t sum = 0;
    const uint32_t *end = weights + words;
    for (; weights != end; weights += 4, inputs += 4) {
        __asm__("smlald %Q0, %R0, %1, %2" : "+r"(sum) : "r"(weights[0]), "r"(inputs[0]));
        __asm__("smlald %Q0, %R0, %1, %2" : "+r"(sum) : "r"(weights[1]), "r"(inputs[1]));
    }
    return (int32_t)(uint32_t)(uint64_t)(sum >> 1);
}

/* One pixel's outputs of a pair of channels without short forms. */
RARE void general_pixel(const tflm_opt_gemm *gemm,
                                  int32_t channel,
                                  const uint32_t *weights,
                                  const uint32_t *inputs,
                                  int8_t *output)
{
    const tflm_opt_gemm_problem *problem = gemm->problem;
    const int32_t end = tflm_opt_min(channel + 2, problem->channels);
    for (; channel < end; channel++) {
        const int32_t bias = problem->bias != NULL ? problem->bias[channel] : 0;
        const uint32_t sum = (uint32_t)general_sum(weights, inputs, gemm->words);
        *output++ = tflm_opt_output_s8((int32_t)((uint32_t)bias + sum),
                                       problem->multiplier[channel], problem->shift[channel],
                                       problem->output_offset, problem->activation);
        weights += 2;
    }
}

/* What is the same for all pairs of channels of a block. */
static void set_across(tflm_opt_gemm *gemm, int32_t pixels)
{
    gemm->across.second_channel = gemm->second;
    gemm->across.second_pixel = pixels > 1 ? gemm->problem->channels : 0;
    gemm->across.both = gemm->across.second_pixel + gemm->second;
    gemm->across.count = pixels > 1 ? pixels - 1 : 1; /* by twos: 0 is a pixel alone */
}

/* A pair of channels without short forms of a block of pixels. */
RARE void cross_generally(const tflm_opt_gemm *gemm,
                                    int32_t channel,
                                    const uint32_t *weights,
                                    int32_t pixels,
                                    int8_t *output)
{
    int32_t pixel;
    for (pixel = 0; pixel < pixels; pixel++) {
        general_pixel(gemm, channel, weights + 2,
                      gemm->inputs + (pixel >> 1) * gemm->words + 2 * (pixel & 1), output);
        output += gemm->problem->channels;
    }
}

/* All weights are there, but not all have short forms; or there is but one channel. */
TFLM_OPT_APART void cross_all(tflm_opt_gemm *gemm, int32_t pixels, int8_t *output)
{
    uint32_t *weights = gemm->weights;
    int32_t channel;
    set_across(gemm, pixels);
    for (channel = 0; channel < gemm->problem->channels; channel += 2) {
        const int32_t first = first_of(gemm, channel);
        if (weights[gemm->words + 4] == 0) {
            cross_generally(gemm, first, weights, pixels, output + first);
        } else {
            gemm->across.weights = weights;
            gemm->across.fixed = weights;
            gemm->across.end = weights + 2 + gemm->words;
            gemm->across.output = output + first;
            tflm_opt_tiles_s8(&gemm->across, 0);
        }
        weights += gemm->pair_words;
    }
}

/* The weights of one pair of channels after the other. */
static void cross_each(tflm_opt_gemm *gemm, int32_t pixels, int8_t *output)
{
    const int32_t channels = gemm->problem->channels;
    int32_t channel;
    set_across(gemm, pixels);
    for (channel = 0; channel < channels; channel += 2) {
        const int32_t first = first_of(gemm, channel);
        gemm->across.output = output + first;
        if (spread_pair(gemm, first, gemm->weights)) {
            tflm_opt_tiles_s8(&gemm->across, 0);
        } else {
            cross_generally(gemm, first, gemm->weights, pixels, output + first);
        }
    }
}

RARE void clamp_outputs(cmsis_nn_activation activation, int8_t *output, int32_t count)
{
    const int8_t *end = output + count;
    for (; output != end; output++) {
        *output = (int8_t)tflm_opt_clamp(*output, activation.min, activation.max);
    }
}

void tflm_opt_gemm_s8(tflm_opt_gemm *gemm, int32_t pixels, int8_t *output)
{
    const tflm_opt_gemm_problem *problem = gemm->problem;
    if (!gemm->plan.all_weights) {
        cross_each(gemm, pixels, output);
    } else if (gemm->all_short && gemm->second) {
        gemm->along.output = output;
        gemm->along.second_pixel = pixels > 1 ? problem->channels : 0;
        tflm_opt_tiles_s8(&gemm->along, 0);
    } else {
        cross_all(gemm, pixels, output);
    }
    if (gemm->narrow) {
        clamp_outputs(problem->activation, output, pixels * problem->channels);
    }
}

static void set_rows(tflm_opt_gemm *gemm)
{
    const tflm_opt_gemm_problem *problem = gemm->problem;
    const uint32_t offset = (uint32_t)problem->input_offset;
    tflm_opt_gemm_rows *rows = &gemm->input_rows;
    rows->words = problem->length >> 2;
    rows->rows = problem->rows;
    rows->skip = 0;
    rows->offsets = (offset & 0xFFFFU) | (offset << 16);
    rows->rest = problem->length & 3;
    rows->rests = NULL;
    rows->rest_words = tflm_opt_gemm_round(problem->rows * rows->rest) >> 2;
    gemm->rests = 4 * rows->words * rows->rows + 3 * (rows->rest_words - 1);
    gemm->filter_rows = *rows;
    if (rows->rest == 0) { /* a filter's rows follow each other without a gap */
        gemm->filter_rows.words *= problem->rows;
        gemm->filter_rows.rows = 1;
    }
}

static void set_tiles(tflm_opt_gemm *gemm)
{
    const tflm_opt_gemm_problem *problem = gemm->problem;
    const int32_t kink = problem->activation.min < problem->output_offset ? TFLM_OPT_KINK : 0;
    gemm->across.weights = gemm->weights;
    gemm->across.inputs = gemm->inputs;
    gemm->across.fixed = gemm->weights;
    gemm->across.end = gemm->weights + 2 + gemm->words;
    gemm->across.step = 2 * problem->channels;
    tflm_opt_set_tiles(&gemm->across, gemm->words / 4, TFLM_OPT_ACROSS | kink);
    if (gemm->plan.all_weights) {
        gemm->along.weights = gemm->weights;
        gemm->along.inputs = gemm->inputs;
        gemm->along.fixed = gemm->inputs;
        gemm->along.end = gemm->inputs + gemm->words;
        gemm->along.count = problem->channels - 1;
        tflm_opt_set_tiles(&gemm->along, gemm->words / 4, TFLM_OPT_ALONG | kink);
    }
}

/* What a bias may reach beside products of the largest values. */
static int32_t bias_limit(const tflm_opt_gemm_problem *problem, int32_t depth)
{
    const int32_t offset = problem->input_offset;
    const int32_t reach = 128 * tflm_opt_max(128 - offset, 127 + offset);
    return depth < SUM_LIMIT / (128 * 256) ? SUM_LIMIT - reach * depth : 0;
}

arm_cmsis_nn_status tflm_opt_gemm_start(tflm_opt_gemm *gemm,
                                        const tflm_opt_gemm_problem *problem,
                                        void *scratch,
                                        int32_t size)
{
    const int32_t depth = problem->rows * problem->length;
    uint32_t *weights = (uint32_t *)scratch;
    int32_t pairs = 1;
    int32_t channel;
    gemm->plan = tflm_opt_gemm_divide(depth, problem->channels, problem->staging, size);
    if (gemm->plan.block == 0 || ((uintptr_t)scratch & 3U) != 0) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    if (gemm->plan.all_weights) {
        pairs = (problem->channels + 1) / 2;
    }
    gemm->problem = problem;
    gemm->depth = depth;
    gemm->second = problem->channels > 1;
    gemm->last_pair = tflm_opt_max(problem->channels - 2, 0);
    gemm->words = tflm_opt_gemm_round(depth);
    gemm->pair_words = gemm->words + TFLM_OPT_GEMM_FORMS / 4;
    gemm->bias_limit = bias_limit(problem, depth);
    gemm->threes = (problem->length == 9);
    gemm->unit = 2U * (uint32_t)problem->output_offset + 1U;
    gemm->narrow = problem->activation.min > INT8_MIN || problem->activation.max < INT8_MAX;
    gemm->weights = weights;
    gemm->inputs = weights + pairs * gemm->pair_words;
    set_rows(gemm);
    set_tiles(gemm);
    gemm->staging = (int8_t *)weights;
    gemm->all_short = 1;
    if (gemm->plan.all_weights) {
        gemm->staging = (int8_t *)(gemm->inputs + gemm->words);
        for (channel = 0; channel < problem->channels; channel += 2) {
            gemm->all_short &= spread_pair(gemm, first_of(gemm, channel), weights);
            weights += gemm->pair_words;
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif /* TFLM_OPT_DSP */
