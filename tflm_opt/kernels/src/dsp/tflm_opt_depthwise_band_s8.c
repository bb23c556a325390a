#include "tflm_opt_depthwise.h"
#include "tflm_opt_dot.h"
#include "tflm_opt_dsp.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_lines.h"

#if TFLM_OPT_DSP

/*
 * A strip of a band: all rows of it, some columns, where the rows of words begin, and what of them
 * comes from the input.
 */
typedef struct {
    const tflm_opt_depthwise_call *call;
    const tflm_opt_lines *lines;
    const tflm_opt_depthwise_band *band;
    int8_t *output;
    int32_t output_row;
    int32_t columns;
    int32_t in_x; /* of the first column of words */
    int32_t in_y;
    int32_t input_rows;
    int32_t row_words;
    tflm_opt_taps inside_h; /* rows of words that have values */
    tflm_opt_taps inside_w; /* columns, not words */
    int32_t *taps;
    uint32_t *words;
} strip;

/* Two channels at once: bytes 0 and 2 as signed halves, added to halves. */
TFLM_OPT_INLINE uint32_t add_even(uint32_t sums, uint32_t word)
{
    uint32_t result;
    __asm__("sxtab16 %0, %1, %2" : "=r"(result) : "r"(sums), "r"(word));
    return result;
}

TFLM_OPT_INLINE uint32_t add_odd(uint32_t sums, uint32_t word)
{
    uint32_t result;
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(result) : "r"(sums), "r"(word));
    return result;
}

/* `count` neighbouring channels, at most 4. */
TFLM_OPT_INLINE uint32_t some_bytes(const int8_t *bytes, int32_t count)
{
    uint32_t word = 0;
    if (TFLM_OPT_LIKELY(count == 4)) {
        return tflm_opt_word(bytes);
    }
    while (count > 0) {
        count--;
        word = (word << 8) | (uint8_t)bytes[count];
    }
    return word;
}

/* Words of two taps times 2^8, for four channels that lie `step` words apart. */
TFLM_OPT_INLINE void write_taps(uint32_t first, uint32_t second, int32_t step, uint32_t *taps)
{
    const uint32_t mask = 0xFF00FF00U;
    const uint32_t low = tflm_opt_pack_low(first, second);
    const uint32_t high = tflm_opt_pack_high(first, second);
    taps[0] = (low << 8) & mask;
    taps[step] = low & mask;
    taps[2 * step] = (high << 8) & mask;
    taps[3 * step] = high & mask;
}

TFLM_OPT_INLINE int32_t taps_size(const tflm_opt_depthwise_shape *shape)
{
    return shape->height * shape->tap_words + 7;
}

/* Words of all taps of some channels from `channel` on; sums of taps, of even and odd channels. */
TFLM_OPT_INLINE void unpack_taps(
    const tflm_opt_depthwise_call *call, int32_t channel, int32_t count, uint32_t *taps, uint32_t *sums)
{
    const tflm_opt_depthwise_shape *shape = &call->shape;
    const int32_t channels = call->input->c;
    const int32_t size = taps_size(shape);
    const int8_t *tap = call->filter_data + channel;
    int32_t y;
    sums[0] = 0;
    sums[1] = 0;
    for (y = 0; y < shape->height; y++) {
        const uint32_t *end = taps + shape->tap_words;
        int32_t left = call->filter->w;
        uint32_t first = some_bytes(tap, count);
        while (taps != end) {
            uint32_t second = 0;
            sums[0] = add_even(sums[0], first);
            sums[1] = add_odd(sums[1], first);
            left--;
            if (left > 0) {
                tap += channels;
                second = some_bytes(tap, count);
            }
            write_taps(first, second, size, taps);
            taps++;
            first = second;
            if (shape->stride_w == 2) {
                sums[0] = add_even(sums[0], first);
                sums[1] = add_odd(sums[1], first);
                left--;
                first = 0;
                if (left > 0) {
                    tap += channels;
                    first = some_bytes(tap, count);
                }
            }
        }
        sums[0] = add_even(sums[0], first);
        sums[1] = add_odd(sums[1], first);
        tap += channels;
    }
}

/* Taps, biases and scales of some channels; 0 if one has no short form. */
TFLM_OPT_APART int32_t prepare(const strip *part, int32_t channel, int32_t count)
{
    const tflm_opt_depthwise_call *call = part->call;
    const tflm_opt_depthwise_shape *shape = &call->shape;
    const cmsis_nn_dw_conv_params *params = call->params;
    const int32_t size = taps_size(shape);
    const uint32_t products =
        (uint32_t)(call->filter->h * call->filter->w * 128 * tflm_opt_reach(params->input_offset));
    int32_t *taps = part->taps;
    uint32_t sums[2];
    int32_t i;
    unpack_taps(call, channel, count, (uint32_t *)taps + 4, sums);
    for (i = 0; i < count; i++) {
        const uint32_t packed = sums[i & 1];
        const int32_t sum = i < 2 ? (int16_t)packed : (int32_t)packed >> 16;
        const int32_t bias = call->bias != NULL ? call->bias[channel + i] : 0;
        const uint32_t size_of_bias = bias < 0 ? 0U - (uint32_t)bias : (uint32_t)bias;
        tflm_opt_short form;
        if (size_of_bias >= (uint32_t)TFLM_OPT_SHORT_SUM ||
            !tflm_opt_set_short(bias + params->input_offset * sum, size_of_bias + products,
                                call->quant->multiplier[channel + i],
                                call->quant->shift[channel + i], params->output_offset, &form)) {
            return 0;
        }
        taps[0] = form.bias;
        taps[1] = form.bias;
        taps[2] = form.bias;
        taps[3] = form.bias;
        taps += size;
        taps[-3] = form.multiplier;
        taps[-2] = form.constant;
        taps[-1] = form.shift;
    }
    return 1;
}

/* The zero point, twice in a word. */
TFLM_OPT_INLINE uint32_t zero_word(const tflm_opt_depthwise_call *call)
{
    return ((uint32_t)-call->params->input_offset & 0xFFFFU) * 0x10001U;
}

TFLM_OPT_APART void fill(uint32_t *words, int32_t count, uint32_t value)
{
    uint32_t *end = words + count;
    while (words < end) {
        *words++ = value;
    }
}

/* Words that are outside of the input, for all channels. */
static void fill_borders(const strip *part)
{
    const uint32_t zero = zero_word(part->call);
    const int32_t left = part->inside_w.first / 2;
    const int32_t right = (part->inside_w.last + 1) / 2;
    uint32_t *words = part->words;
    int32_t channel;
    int32_t y;
    for (channel = 0; channel < 4; channel++) {
        for (y = 0; y < part->input_rows; y++) {
            if (y < part->inside_h.first || y >= part->inside_h.last) {
                fill(words, part->row_words, zero);
            } else {
                fill(words, left, zero);
                fill(words + right, part->row_words - right, zero);
            }
            words += part->row_words;
        }
    }
}

/* As the core, for an image of fewer than four channels. */
static void unpack_few(tflm_opt_depthwise_unpacking *job)
{
    const int32_t plane = job->plane / 4;
    for (; job->rows > 0; job->rows--) {
        const int8_t *source = job->source;
        const int32_t count = job->first + job->pairs + job->last;
        int32_t i;
        for (i = 0; i < count; i++) {
            uint32_t a = job->zero;
            uint32_t b = job->zero;
            int32_t channel;
            if (i > 0 || !job->first) {
                a = some_bytes(source, job->channels);
                source += job->channels;
            }
            if (i < count - 1 || !job->last) {
                b = some_bytes(source, job->channels);
                source += job->channels;
            }
            for (channel = 0; channel < job->channels; channel++) {
                const uint32_t low = (uint32_t)(int8_t)(a >> (8 * channel)) & 0xFFFFU;
                const uint32_t high = (uint32_t)(int8_t)(b >> (8 * channel)) << 16;
                job->words[channel * plane + i] = low | high;
            }
        }
        job->source += job->source_row;
        job->words += job->words_row / 4;
    }
}

/* Words of the input for a group of channels. */
static void unpack(const strip *part, const tflm_opt_window_rows *rows, int32_t channel)
{
    const tflm_opt_depthwise_call *call = part->call;
    const int32_t channels = call->input->c;
    const int32_t first = part->inside_w.first;
    const int32_t last = part->inside_w.last;
    const int8_t *source = rows->origin + channel;
    uint32_t *words = part->words + part->inside_h.first * part->row_words + first / 2;
    const tflm_opt_run *run;
    for (run = rows->runs; run->rows > 0; run++) {
        tflm_opt_depthwise_unpacking job;
        job.source = source;
        job.channels = channels;
        job.words = words;
        job.plane = part->input_rows * part->row_words * 4;
        job.first = first & 1;
        job.pairs = last / 2 - (first + 1) / 2;
        job.last = last & 1;
        job.zero = ((uint32_t)-call->params->input_offset & 0xFFU) * 0x1010101U;
        job.source_row = run->step;
        job.words_row = part->row_words * 4;
        job.rows = run->rows;
        if (channels < 4) {
            unpack_few(&job);
        } else {
            tflm_opt_depthwise_words_s8(&job);
        }
        words += run->rows * part->row_words;
        source += run->rows * run->step + run->jump;
    }
}

static void set_rows(const strip *part, tflm_opt_depthwise_rows *rows)
{
    const tflm_opt_depthwise_call *call = part->call;
    const tflm_opt_depthwise_shape *shape = &call->shape;
    const cmsis_nn_dw_conv_params *params = call->params;
    const int32_t row = part->row_words * 4;
    const int32_t kink = tflm_opt_has_kink(params->output_offset, params->activation);
    rows->channels = call->input->c;
    rows->taps = part->taps;
    rows->missing = (TFLM_OPT_DEPTHWISE_TAPS - shape->height) * (10 * shape->width + 14);
    rows->kink = kink ? -128 : 0;
    rows->words_step = shape->width == 7 && shape->stride_w == 2 ? row - 24 : row;
    rows->output = part->output;
    rows->words = part->words;
    rows->output_row = part->output_row;
    rows->words_row = shape->stride_h * row;
    rows->columns = part->columns - (kink ? 65536 : 0);
    rows->rows = part->band->rows;
    rows->output_delta = 1 - (rows->rows - 1) * rows->output_row;
    rows->words_delta = part->input_rows * row - (rows->rows - 1) * rows->words_row;
    rows->taps_size = taps_size(shape) * 4;
    rows->count = tflm_opt_min(rows->channels, 4);
    rows->all_rows = rows->rows;
}

/* Bounds that are narrower than an int8's, once outputs are written. */
static void clamp_outputs(const strip *part)
{
    const cmsis_nn_activation activation = part->call->params->activation;
    const int32_t length = part->columns * part->call->input->c;
    int32_t y;
    if (activation.min <= -128 && activation.max >= 127) {
        return;
    }
    for (y = 0; y < part->band->rows; y++) {
        int8_t *output = part->output + y * part->output_row;
        const int8_t *end = output + length;
        for (; output < end; output++) {
            *output = (int8_t)tflm_opt_clamp(*output, activation.min, activation.max);
        }
    }
}

/* All channels of a strip. The last group goes back where it would have fewer than four. */
static int32_t make_strip(const strip *part)
{
    const tflm_opt_depthwise_call *call = part->call;
    const int32_t channels = call->input->c;
    const int32_t found = part->inside_h.last - part->inside_h.first;
    tflm_opt_window_rows source;
    tflm_opt_depthwise_rows rows;
    int32_t channel;
    source.runs[0].rows = 0;
    source.origin = NULL;
    if (found > 0 && part->inside_w.last > part->inside_w.first) {
        tflm_opt_set_rows(part->lines, part->in_y + part->inside_h.first, 1, found,
                          part->in_x + part->inside_w.first, channels, &source);
    }
    fill_borders(part);
    set_rows(part, &rows);
    for (channel = 0; channel < channels; channel += 4) {
        tflm_opt_depthwise_rows group = rows;
        const int32_t first = tflm_opt_max(tflm_opt_min(channel, channels - 4), 0);
        if (!prepare(part, first, rows.count)) {
            return 0;
        }
        unpack(part, &source, first);
        group.output += first;
        tflm_opt_depthwise_rows_s8(&group, &call->shape);
    }
    clamp_outputs(part);
    return 1;
}

/* Outputs of a row that the scratch has room for. */
static int32_t strip_columns(const tflm_opt_depthwise_call *call, const tflm_opt_depthwise_band *band)
{
    int32_t columns = tflm_opt_min(band->columns, TFLM_OPT_DEPTHWISE_COLUMNS);
    while (columns > 4 && tflm_opt_depthwise_scratch(&call->shape, band->rows, columns) > call->size) {
        columns = (columns - 1) / 4 * 4;
    }
    return columns;
}

arm_cmsis_nn_status tflm_opt_depthwise_start_s8(const cmsis_nn_context *ctx,
                                                const cmsis_nn_dims *output,
                                                tflm_opt_depthwise_call *call)
{
    const cmsis_nn_dw_conv_params *params = call->params;
    const cmsis_nn_dims *filter = call->filter;
    const int32_t wanted = arm_depthwise_conv_s8_get_buffer_size(call->input, filter);
    call->in_words = 0;
    call->scratch = (int32_t *)ctx->buf;
    call->size = ctx->size == 0 ? wanted : ctx->size;
    if (output->c != call->input->c * params->ch_mult) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    if (wanted == 0 || ctx->size == TFLM_OPT_WITHOUT_SCRATCH) {
        return ARM_CMSIS_NN_SUCCESS;
    }
    call->shape = tflm_opt_depthwise_shape_of(filter->h, filter->w, params->stride.h,
                                              params->stride.w);
    if (ctx->buf == NULL || call->size < tflm_opt_depthwise_scratch(&call->shape, 1, 1)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    call->in_words = params->ch_mult == 1 && params->stride.w <= 2 && params->dilation.w == 1 &&
                     params->dilation.h == 1;
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t tflm_opt_depthwise_band_s8(const tflm_opt_depthwise_call *call,
                                   const tflm_opt_lines *lines,
                                   const tflm_opt_depthwise_band *band,
                                   int8_t *output,
                                   int32_t output_row)
{
    const cmsis_nn_dw_conv_params *params = call->params;
    const tflm_opt_depthwise_shape *shape = &call->shape;
    const int32_t most = strip_columns(call, band);
    int32_t x = band->x;
    int32_t left = band->columns;
    strip part;
    part.call = call;
    part.lines = lines;
    part.band = band;
    part.output_row = output_row;
    part.in_y = band->y * shape->stride_h - params->padding.h;
    part.input_rows = (band->rows - 1) * shape->stride_h + shape->height;
    part.inside_h = tflm_opt_window(part.in_y, part.input_rows, 1, call->input->h);
    part.taps = call->scratch;
    part.words = (uint32_t *)call->scratch + 4 * taps_size(shape);
    while (left > 0) {
        part.columns = tflm_opt_min(left, most);
        part.row_words = tflm_opt_depthwise_row_words(shape, part.columns);
        part.in_x = x * shape->stride_w - params->padding.w;
        part.inside_w = tflm_opt_window(part.in_x, 2 * part.row_words, 1, call->input->w);
        if (part.inside_w.first == part.inside_w.last) {
            part.inside_w.first = 0;
            part.inside_w.last = 0;
        }
        part.output = output;
        if (!make_strip(&part)) {
            return 0;
        }
        x += part.columns;
        left -= part.columns;
        output += part.columns * call->input->c;
    }
    return 1;
}

#endif
