#include "tflm_opt_gemm.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

#include "tflm_opt_dot.h"
#include "tflm_opt_scale.h"

/* Short forms are for sums below this, and for shifts right of 1 to FARTHEST. */
#define SUM_LIMIT ((int32_t)1 << 30)
#define FARTHEST 22

#define NAKED __attribute__((naked, noinline))
#define IGNORED __attribute__((unused))
#define RARE TFLM_OPT_APART TFLM_OPT_SMALL

#pragma weak tflm_opt_unpack_pair_s4

/* The output of a sum without its bias, whatever it may reach. */
RARE int32_t general_output(const tflm_opt_gemm *gemm, int32_t channel, int32_t sum)
{
    const uint32_t bias = gemm->form.bias != NULL ? (uint32_t)gemm->form.bias[channel] : 0U;
    return tflm_opt_output_s8((int32_t)(bias + (uint32_t)sum), gemm->form.multiplier[channel],
                              gemm->form.shift[channel], gemm->params->output_offset,
                              gemm->params->activation);
}

/*
 * The same of a channel without a short form whose weights, spread out at `weights`, are all 0: its
 * outputs are all the same. Quantizers make such channels, with a scale that no sum could have.
 */
TFLM_OPT_INLINE int set_constant(const tflm_opt_gemm *gemm,
                      int32_t channel,
                      uint32_t *sum,
                      const uint32_t *weights,
                      uint32_t *parameters)
{
    const uint32_t *end = weights + gemm->words;
    for (; weights != end; weights += 4) {
        if ((weights[0] | weights[1]) != 0) {
            return 0;
        }
    }
    *sum = 0;
    parameters[0] = 0;
    parameters[1] = (uint32_t)general_output(gemm, channel, 0);
    parameters[2] = 0;
    return 1;
}

/* Twice the halves of so many words, a multiple of 4. */
TFLM_OPT_INLINE void double_halves(uint32_t *word, const uint32_t *end)
{
    __asm__ volatile(".syntax unified\n"
                     "1:\n\t"
                     "ldmia.w %0, {r2, r3, r4, r5}\n\t"
                     "sadd16 r2, r2, r2\n\t"
                     "sadd16 r3, r3, r3\n\t"
                     "sadd16 r4, r4, r4\n\t"
                     "sadd16 r5, r5, r5\n\t"
                     "stmia.w %0!, {r2, r3, r4, r5}\n\t"
                     "cmp %0, %1\n\t"
                     "bne 1b"
                     : "+r"(word)
                     : "r"(end)
                     : "r2", "r3", "r4", "r5", "cc", "memory");
}

/*
 * The short forms of pairs of neighbouring channels, to where their biases and the rest of them belong
 * from `target` on; how many pairs are left when it meets forms that are not the usual ones. `form` is
 * that of the first channel of all. Sums are doubled, so that SMMLAR gives TFLM's first rounding, h. Its
 * second one is floor((h - (h < 0) + 2^(e - 1)) / 2^e) for a shift right by e; h < 0 may be read from the
 * sum, since both give 0 where h is 0.
 */
NAKED static int32_t set_usual_forms(const tflm_opt_gemm_form *form IGNORED,
                                     int32_t channel IGNORED,
                                     uint32_t *target IGNORED,
                                     int32_t pairs IGNORED)
{
    __asm__(".syntax unified\n\t"
            "push.w {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n"
            "1:\n\t"
            "ldmia.w r0, {r4, r5, r6, r7, r8, r9, r10}\n\t"
            "cbz r4, 2f\n\t"
            "add.w r4, r4, r1, lsl #2\n\t"
            "ldrd r11, r12, [r4]\n\t"
            "add.w r4, r11, r8\n\t"
            "add.w lr, r12, r8\n\t"
            "cmp.w r4, r8, lsl #1\n\t"
            "it cc\n\t"
            "cmpcc.w lr, r8, lsl #1\n\t"
            "bcs 2f\n\t"
            "add.w r6, r6, r1, lsl #2\n\t"
            "ldrd r6, lr, [r6]\n\t"
            "mvns r6, r6\n\t"
            "mvns.w lr, lr\n\t"
            "cmp r6, %0\n\t"
            "it cc\n\t"
            "cmpcc.w lr, %0\n\t"
            "bcs 2f\n\t"
            "lsl.w r11, r11, r10\n\t"
            "lsl.w r12, r12, r10\n\t"
            "strd r11, r12, [r2]\n\t"
            "ldr r11, [r0, #28]\n\t"
            "add.w r5, r5, r1, lsl #2\n\t"
            "ldrd r4, r8, [r5]\n\t"
            "lsl.w r5, r9, r6\n\t"
            "adds r6, r6, #1\n\t"
            "subs r7, r1, r7\n\t"
            "lsl.w r9, r9, lr\n\t"
            "add.w r10, lr, #1\n\t"
            "add r2, r11\n\t"
            "stmdb.w r2, {r4, r5, r6, r7, r8, r9, r10}\n\t"
            "adds r1, r1, #2\n\t"
            "subs r3, r3, #1\n\t"
            "bne 1b\n"
            "2:\n\t"
            "mov r0, r3\n\t"
            "pop.w {r4, r5, r6, r7, r8, r9, r10, r11, pc}"
            :
            : "i"(FARTHEST));
}

/*
 * The short form of any channel to where its sum starts and its parameters are; 0 where it has none.
 */
TFLM_OPT_INLINE int set_form(const tflm_opt_gemm *gemm,
                             int32_t channel,
                             uint32_t *sum,
                             uint32_t *parameters)
{
    const tflm_opt_gemm_form *form = &gemm->form;
    const uint32_t limit = (uint32_t)form->bias_limit;
    const int32_t bias = form->bias != NULL ? form->bias[channel] : 0;
    int32_t multiplier = form->multiplier[channel];
    uint32_t right = 0U - (uint32_t)form->shift[channel] - 1U;
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
    *sum = (uint32_t)bias << form->doubled;
    parameters[0] = (uint32_t)multiplier;
    parameters[1] = form->unit << right;
    parameters[2] = right + 1U;
    return 1;
}

/* The forms of any pair of channels; 0 where one of them has none. */
RARE int set_any_forms(const tflm_opt_gemm *gemm, int32_t channel, uint32_t *target)
{
    const int32_t second = gemm->filter_step != 0;
    uint32_t *parameters = target + 2 + gemm->words;
    int32_t i;
    parameters[3] = (uint32_t)(channel - gemm->form.last_pair);
    for (i = 0; i < 2; i++) {
        if (!set_form(gemm, channel, target + i, parameters) &&
            !set_constant(gemm, channel, target + i, target + 2 + 2 * i, parameters)) {
            return 0;
        }
        channel += second;
        parameters += 4;
    }
    return 1;
}

/* The forms of a pair of channels whose weights are spread out; 0 where one has none. */
TFLM_OPT_INLINE int set_forms(const tflm_opt_gemm *gemm, int32_t channel, uint32_t *target)
{
    return (gemm->filter_step != 0 && set_usual_forms(&gemm->form, channel, target, 1) == 0) ||
           set_any_forms(gemm, channel, target);
}

/* The weights of a pair of channels, of which the first is `channel`; twice the same of one alone. */
TFLM_OPT_APART void spread_weights(tflm_opt_gemm *gemm, int32_t channel, uint32_t *weights)
{
    const int8_t *filter;
    tflm_opt_gemm_rows *rows = &gemm->filters;
    if (gemm->packed == NULL) {
        filter = gemm->filter + channel * gemm->depth;
    } else if ((filter = tflm_opt_unpack_pair_s4(gemm, channel, weights)) == NULL) {
        return;
    }
    if (rows->rest == 0 && gemm->form.doubled) {
        tflm_opt_spread_doubled_s8(weights, filter, gemm->filter_step, rows->words);
        return;
    }
    if (rows->rest != 0) {
        uint32_t *rests = weights + gemm->rests;
        rows->rests = (int8_t *)rests;
        rests[rows->rest_words - 1] = 0;
        rests[rows->rest_words + 2] = 0;
    }
    (void)tflm_opt_spread_pair_s8(weights, filter, gemm->filter_step, rows);
    if (gemm->form.doubled) {
        double_halves(weights, weights + gemm->words);
    }
}

/* The sum of products of a channel and a pixel of a tile, whatever it may reach. */
TFLM_OPT_INLINE int32_t general_sum(const uint32_t *weights, const uint32_t *inputs, int32_t words)
{
    int32_t sum = 0;
    const uint32_t *end = weights + words;
    for (; weights != end; weights += 4, inputs += 4) {
        sum = tflm_opt_smlad(weights[0], inputs[0], sum);
        sum = tflm_opt_smlad(weights[1], inputs[1], sum);
    }
    return sum;
}

/* A pair of channels without short forms of a block of pixels. */
RARE void cross_generally(const tflm_opt_gemm *gemm, int32_t channel, int32_t pixels, int8_t *output)
{
    const int32_t last = tflm_opt_min(channel + 2, gemm->count);
    const uint32_t *weights = gemm->weights + 2;
    for (; channel < last; channel++) {
        int32_t pixel;
        for (pixel = 0; pixel < pixels; pixel++) {
            const uint32_t *inputs = gemm->inputs + (pixel >> 1) * gemm->words + 2 * (pixel & 1);
            const int32_t sum = general_sum(weights, inputs, gemm->words) >> gemm->form.doubled;
            output[pixel * gemm->channels] = (int8_t)general_output(gemm, channel, sum);
        }
        output++;
        weights += 2;
    }
}

TFLM_OPT_SMALL void tflm_opt_gemm_clamp(const tflm_opt_gemm *gemm, int8_t *output, int32_t pixels)
{
    const cmsis_nn_activation bounds = gemm->params->activation;
    for (; pixels > 0; pixels--) {
        int32_t i;
        for (i = 0; i < gemm->count; i++) {
            output[i] = (int8_t)tflm_opt_clamp(output[i], bounds.min, bounds.max);
        }
        output += gemm->channels;
    }
}

/* The outputs of a block whose windows are spread out: one pair of channels after the other. */
TFLM_OPT_APART void cross(tflm_opt_gemm *gemm, int32_t pixels)
{
    tflm_opt_gemm_tiles *tiles = &gemm->tiles;
    int8_t *output = gemm->output;
    int32_t channel;
    tiles->at.across.second_pixel = gemm->channels;
    tiles->second_channel = gemm->count > 1;
    tiles->both = gemm->channels + tiles->second_channel;
    tiles->at.across.count = pixels - 1; /* by twos */
    gemm->alone.inputs = gemm->inputs + (pixels >> 1) * gemm->words;
    gemm->alone.output = output + (pixels - 1) * gemm->channels + gemm->form.last_pair;
    for (channel = 0; channel < gemm->count; channel += 2) {
        /* a last channel alone is made together with the one before */
        const int32_t first = tflm_opt_min(channel, gemm->form.last_pair);
        tiles->output = output + first;
        spread_weights(gemm, first, gemm->weights + 2);
        if (set_forms(gemm, first, gemm->weights)) {
            if (pixels > 1) {
                tflm_opt_tiles_s8(tiles, 0);
            }
            if (pixels & 1) {
                tflm_opt_alone_s8(&gemm->alone, gemm->weights, 0);
            }
        } else {
            cross_generally(gemm, first, pixels, output + first);
        }
    }
    if (gemm->narrow) {
        tflm_opt_gemm_clamp(gemm, output, pixels);
    }
    gemm->output += pixels * gemm->channels;
}

/* Which windows' columns hang over no border; none where a window's taps lie apart. */
static TFLM_OPT_SMALL void set_columns(tflm_opt_gemm *gemm)
{
    const cmsis_nn_conv_params *params = gemm->params;
    const int32_t stride = params->stride.w;
    const int32_t last = gemm->input.w - gemm->kernel.w + params->padding.w;
    const int apart = (params->dilation.w != 1 && gemm->kernel.w != 1) ||
                      gemm->kernel.c != gemm->input.c;
    const tflm_opt_lines *lines = gemm->lines;
    tflm_opt_gemm_rows *rows = &gemm->rows;
    int32_t height = gemm->kernel.h;
    gemm->length = gemm->kernel.w * gemm->kernel.c;
    gemm->outer = 0;
    gemm->beside = 0;
    gemm->apart = apart && (gemm->kernel.c & 3) == 0;
    if (gemm->apart) {
        gemm->length = gemm->kernel.c;
        height *= gemm->kernel.w;
    } else if (apart || height * (gemm->length & 3) > TFLM_OPT_GEMM_REST) {
        gemm->length = gemm->depth;
    }
    if (gemm->length == gemm->depth) {
        height = 1;
    }
    gemm->pieces = height;
    gemm->whole = lines->base == 0 && lines->fresh >= gemm->input.h &&
                  lines->shape->ring_rows >= gemm->input.h;
    gemm->reach = (gemm->kernel.h - 1) * params->dilation.h + 1;
    if (!apart && height == gemm->kernel.h && last >= 0) {
        gemm->outer = tflm_opt_min(last / stride + 1, gemm->width);
        gemm->beside = gemm->kernel.w <= gemm->input.w && gemm->whole;
    }
    gemm->inner = (params->padding.w + stride - 1) / stride;
    rows->words = gemm->length >> 2;
    rows->rest = gemm->length & 3;
    rows->rest_words = tflm_opt_gemm_round(height * rows->rest) >> 2;
    gemm->rests = 4 * rows->words * height + 3 * (rows->rest_words - 1);
    gemm->filters = *rows;
    gemm->filters.skip = 0;
    gemm->filters.offsets = 0;
    gemm->filters.rows = height;
    if (rows->rest == 0) { /* rows follow each other without a gap */
        gemm->filters.words = gemm->words >> 2;
        gemm->filters.rows = 1;
    }
}

/* What a bias may reach beside products of the largest values. */
static int32_t bias_limit(int32_t offset, int32_t depth)
{
    const int32_t reach = 128 * tflm_opt_max(128 - offset, 127 + offset);
    return depth < SUM_LIMIT / (128 * 256) ? SUM_LIMIT - reach * depth : 0;
}

/* The weights of a group; 0 where they don't all have short forms. */
TFLM_OPT_INLINE int spread_all(tflm_opt_gemm *gemm)
{
    const int32_t last = gemm->form.last_pair;
    uint32_t *target = gemm->weights;
    int32_t channel;
    for (channel = 0; channel < gemm->count; channel += 2) {
        spread_weights(gemm, tflm_opt_min(channel, last), target + 2);
        target += gemm->words + TFLM_OPT_GEMM_FORMS / 4;
    }
    target = gemm->weights;
    channel = gemm->count & ~1;
    channel -= 2 * set_usual_forms(&gemm->form, 0, target, channel >> 1);
    target += (channel >> 1) * (gemm->words + TFLM_OPT_GEMM_FORMS / 4);
    for (; channel < gemm->count; channel += 2) {
        if (!set_forms(gemm, tflm_opt_min(channel, last), target)) {
            return 0;
        }
        target += gemm->words + TFLM_OPT_GEMM_FORMS / 4;
    }
    return 1;
}

/* What tiles share, and how their sums end. */
static TFLM_OPT_SMALL void set_tiles(tflm_opt_gemm *gemm)
{
    tflm_opt_gemm_tiles *tiles = &gemm->tiles;
    tflm_opt_gemm_alone *alone = &gemm->alone;
    const int32_t steps = gemm->words >> 2;
    const int32_t kink =
        gemm->params->activation.min < gemm->params->output_offset ? TFLM_OPT_KINK : 0;
    const int32_t single = gemm->form.doubled ? 0 : TFLM_OPT_SINGLE;
    const int32_t order = gemm->all ? TFLM_OPT_ALONG : TFLM_OPT_ACROSS;
    tiles->weights = gemm->weights;
    tiles->inputs = gemm->inputs;
    tiles->fixed = gemm->all ? gemm->inputs : gemm->weights;
    tiles->end = gemm->all ? gemm->inputs + gemm->words : gemm->weights + 2 + gemm->words;
    tiles->step = 2 * gemm->channels;
    tflm_opt_set_tiles(tiles, steps, order | single | kink);
    alone->inputs = gemm->inputs;
    alone->rounds = (steps - 1) >> 2;
    alone->shift = gemm->form.doubled ^ 1;
    alone->more = gemm->all ? ~0U : 0U;
    alone->second_channel = gemm->count > 1;
    tflm_opt_alone_s8(alone, NULL, (steps - 4 * alone->rounds) * TFLM_OPT_GEMM_ALONE + 1);
}

/* All pixels of a group. */
static void make_group(tflm_opt_gemm *gemm)
{
    int32_t pixels = gemm->span.count;
    int32_t count;
    gemm->y = gemm->span.y;
    gemm->x = gemm->span.x;
    tflm_opt_gemm_row(gemm);
    if (gemm->all && !gemm->beside && gemm->x + 1 == gemm->inner) {
        /* what hangs over the left border then pairs with what hangs over the right one */
        pixels -= tflm_opt_gemm_windows(gemm, gemm->inputs, 1);
    }
    while (pixels > 0) {
        const int32_t block = gemm->all ? pixels : tflm_opt_min(pixels, gemm->block);
        uint32_t *target = gemm->inputs;
        for (count = block; count > 0;) {
            const int32_t made = tflm_opt_gemm_windows(gemm, target, count);
            target += gemm->all ? 0 : (made + 1) / 2 * gemm->words;
            count -= made;
        }
        if (!gemm->all) {
            cross(gemm, block);
        }
        pixels -= block;
    }
}

/* To channels `count` further on. */
static void move_on(tflm_opt_gemm *gemm, int32_t count)
{
    gemm->filter += count * gemm->depth;
    gemm->form.bias += gemm->form.bias != NULL ? count : 0;
    gemm->form.multiplier += count;
    gemm->form.shift += count;
}

/* All that is the same for all groups; 0 where scratch does not do. */
RARE int start(tflm_opt_gemm *gemm, const cmsis_nn_context *ctx)
{
    const cmsis_nn_activation bounds = gemm->params->activation;
    const uint32_t offset = (uint32_t)gemm->params->input_offset;
    const int32_t depth = gemm->kernel.h * gemm->kernel.w * gemm->kernel.c;
    const int32_t words = tflm_opt_gemm_round(depth);
    tflm_opt_gemm_plan plan;
    gemm->count = gemm->channels / (gemm->input.c / gemm->kernel.c);
    plan = tflm_opt_gemm_divide(depth, gemm->count, gemm->staged ? 2 * words : 0,
                                ctx->size == 0 ? tflm_opt_gemm_size(depth) : ctx->size);
    gemm->depth = depth;
    gemm->words = words;
    gemm->filter_step = gemm->count > 1 ? depth : 0;
    gemm->form.last_pair = tflm_opt_max(gemm->count - 2, 0);
    gemm->form.pitch = 4 * words + TFLM_OPT_GEMM_FORMS;
    gemm->form.bias_limit = bias_limit(gemm->params->input_offset, depth);
    gemm->all = plan.all_weights;
    gemm->block = plan.block;
    gemm->form.doubled = depth <= (plan.all_weights ? gemm->span.count : plan.block);
    gemm->form.unit = 2U * (uint32_t)gemm->params->output_offset + 1U;
    gemm->narrow = tflm_opt_is_narrow(bounds.min, bounds.max);
    gemm->weights = (uint32_t *)ctx->buf;
    /* cppcheck-suppress nullPointerArithmeticRedundantCheck ; without a buffer it isn't used */
    gemm->inputs = gemm->weights + (plan.all_weights ? (gemm->count + 1) / 2 : 1) *
                                       (words + TFLM_OPT_GEMM_FORMS / 4);
    gemm->staging = (int8_t *)(plan.all_weights ? gemm->inputs + words : gemm->weights);
    gemm->rows.offsets = (offset & 0xFFFFU) | (offset << 16);
    set_columns(gemm);
    return ctx->buf != NULL && plan.block != 0 && ((uintptr_t)ctx->buf & 3U) == 0;
}

arm_cmsis_nn_status tflm_opt_gemm_s8(tflm_opt_gemm *gemm, const cmsis_nn_context *ctx)
{
    int8_t *output = gemm->output;
    if (!start(gemm, ctx)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (gemm->group = 0; gemm->group < gemm->input.c; gemm->group += gemm->kernel.c) {
        gemm->output = output;
        gemm->all = gemm->all && spread_all(gemm);
        set_tiles(gemm);
        make_group(gemm);
        if (gemm->count != gemm->channels) {
            move_on(gemm, gemm->count);
            output += gemm->count;
        }
    }
    if (gemm->count != gemm->channels) {
        move_on(gemm, -gemm->channels);
        output -= gemm->channels;
    }
    gemm->output = output;
    return ARM_CMSIS_NN_SUCCESS;
}

TFLM_OPT_SMALL arm_cmsis_nn_status tflm_opt_gemm_images_s8(tflm_opt_gemm *gemm,
                                            const cmsis_nn_context *ctx,
                                            const int8_t *image,
                                            int32_t images)
{
    arm_cmsis_nn_status status = ARM_CMSIS_NN_SUCCESS;
    gemm->span.y = 0;
    gemm->span.x = 0;
    for (; images > 0 && status == ARM_CMSIS_NN_SUCCESS; images--) {
        tflm_opt_lines_shape shape;
        const tflm_opt_lines lines = tflm_opt_whole(&gemm->input, image, &shape);
        gemm->lines = &lines; /* cppcheck-suppress autoVariables ; read by the next call only */
        status = tflm_opt_gemm_s8(gemm, ctx);
        image += gemm->input.h * gemm->input.w * gemm->input.c;
        gemm->output += gemm->span.count * gemm->channels;
    }
    return status;
}

#endif /* TFLM_OPT_DSP */
