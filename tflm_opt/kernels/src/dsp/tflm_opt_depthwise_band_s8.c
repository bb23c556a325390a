#include "tflm_opt_depthwise.h"
#include "tflm_opt_dot.h"
#include "tflm_opt_dsp.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_lines.h"

#if TFLM_OPT_DSP

/*
 * A strip: some columns of all of a band's rows. Its words: `column` from one to the next of a row,
 * `row` from one row to the next, `plane` from one channel to the next. The columns that are read
 * begin with column x of the input, the rows with row y; of both only those inside are there.
 */
typedef struct {
    const tflm_opt_depthwise_call *call;
    int32_t rows; /* of the output */
    int32_t columns;
    int32_t stacked; /* whether words are of two rows, in columns */
    int32_t in_x;
    int32_t in_y;
    int32_t input_rows;
    int32_t input_words; /* of a row; columns if they are stacked */
    tflm_opt_taps inside_h;
    tflm_opt_taps inside_w; /* columns, not words */
    uint32_t *words;
    int32_t column;
    int32_t row;
    int32_t plane;
} strip;

TFLM_OPT_INLINE int32_t record_words(const tflm_opt_depthwise_shape *shape)
{
    return shape->height * shape->tap_words + 7;
}

/* As the cores, for columns that the filter lacks. */
static void unpack_some_taps(const strip *part, const int8_t *taps, uint32_t *words)
{
    const tflm_opt_depthwise_call *call = part->call;
    const int32_t channels = call->input->c;
    const int32_t width = call->filter->w;
    const int32_t down = part->stacked ? 1 : 0;
    const int32_t size = record_words(&call->shape);
    int32_t across;
    int32_t y;
    for (y = 0; y < call->shape.height; y++) {
        for (across = 0; across < call->shape.tap_words; across++) {
            const int32_t row = down ? across : y;
            const int32_t x = down ? y : across * call->shape.stride_w;
            const int8_t *tap = taps + (row * width + x) * channels;
            const uint32_t first = x < width ? tflm_opt_word(tap) : 0;
            const uint32_t second =
                x + 1 - down < width ? tflm_opt_word(tap + (down ? width : 1) * channels) : 0;
            const uint32_t low = tflm_opt_pack_low(first, second);
            const uint32_t high = tflm_opt_pack_high(first, second);
            words[0] = (low << 8) & 0xFF00FF00U;
            words[size] = low & 0xFF00FF00U;
            words[2 * size] = (high << 8) & 0xFF00FF00U;
            words[3 * size] = high & 0xFF00FF00U;
            words++;
        }
    }
}

/* Taps, biases and scales of four channels; 0 if one has no short form. */
static int32_t prepare(const strip *part, const tflm_opt_depthwise_scales *scales, int32_t channel)
{
    const tflm_opt_depthwise_call *call = part->call;
    const int8_t *taps = call->filter_data + channel;
    uint32_t *words = (uint32_t *)scales->records + 4;
    tflm_opt_depthwise_scales some = *scales;
    if (call->filter->w != call->shape.width) {
        unpack_some_taps(part, taps, words);
    } else if (part->stacked) {
        tflm_opt_depthwise_taps_down_s8(taps, call->input->c, words, scales->size);
    } else {
        tflm_opt_depthwise_taps_s8(&call->shape, taps, call->input->c, words, scales->size);
    }
    if (some.bias_step != 0) {
        some.bias += channel;
    }
    some.multiplier += channel;
    some.shift += channel;
    return tflm_opt_depthwise_scales_s8(&some, &call->shape);
}

TFLM_OPT_APART void fill(uint32_t *words, int32_t step, int32_t count, uint32_t value)
{
    for (; count > 0; count--) {
        *words = value;
        words += step;
    }
}

/* The zero point, twice in a word. */
TFLM_OPT_INLINE uint32_t zero_word(const strip *part)
{
    return ((uint32_t)-part->call->params->input_offset & 0xFFFFU) * 0x10001U;
}

/* Words that are outside of the input, for all channels. */
static void fill_borders(const strip *part)
{
    const int32_t left = part->inside_w.first / 2;
    const int32_t right = (part->inside_w.last + 1) / 2;
    int32_t y;
    for (y = 0; y < part->input_rows; y++) {
        const int inside = y >= part->inside_h.first && y < part->inside_h.last;
        const int32_t before = inside ? left : part->input_words;
        const int32_t after = inside ? part->input_words - right : 0;
        uint32_t *words = part->words + y * part->row;
        int32_t channel;
        for (channel = 0; channel < 4 && before + after > 0; channel++) {
            fill(words, part->column, before, zero_word(part));
            fill(words + right * part->column, part->column, after, zero_word(part));
            words += part->plane;
        }
    }
}

/* The same where words are columns. */
static void fill_sides(const strip *part)
{
    const int32_t right = part->input_words - part->inside_w.last;
    uint32_t *words = part->words;
    int32_t channel;
    for (channel = 0; channel < 4; channel++) {
        fill(words, 1, part->inside_w.first * part->column, zero_word(part));
        fill(words + part->inside_w.last * part->column, 1, right * part->column, zero_word(part));
        words += part->plane;
    }
}

/* What is the same for all groups of channels and runs of rows. */
static void set_unpacking(const strip *part, tflm_opt_depthwise_unpacking *job)
{
    const int32_t first = part->inside_w.first;
    const int32_t last = part->inside_w.last;
    job->channels = part->call->input->c;
    job->plane = part->plane * 4;
    job->first = first & 1;
    job->pairs = last / 2 - (first + 1) / 2;
    job->last = last & 1;
    job->zero = ((uint32_t)-part->call->params->input_offset & 0xFFU) * 0x1010101U;
    job->words_skip = (part->row - (job->first + job->pairs + job->last) * part->column) * 4;
}

/* Words of the input for a group of channels. */
static void unpack(const strip *part,
                   const tflm_opt_window_rows *rows,
                   tflm_opt_depthwise_unpacking *job,
                   int32_t channel)
{
    const int32_t length = (part->inside_w.last - part->inside_w.first) * job->channels;
    const tflm_opt_run *run = rows->runs;
    job->source = rows->origin + channel;
    job->words = part->words + part->inside_h.first * part->row +
                 part->inside_w.first / 2 * part->column;
    for (; run->rows > 0; run++) {
        const int8_t *after = job->source + run->rows * run->step + run->jump;
        uint32_t *words = job->words + run->rows * part->row;
        job->source_skip = run->step - length;
        job->rows = run->rows;
        tflm_opt_depthwise_words_s8(job, part->column * 4);
        job->source = after;
        job->words = words;
    }
}

/* The same where words are columns; the rows lie evenly spaced. */
static void unpack_stacked(const strip *part, const tflm_opt_window_rows *rows, int32_t channel)
{
    const int32_t zeros = (int32_t)(zero_word(part) & 0xFFU) * 0x1010101;
    const int32_t row = rows->runs[0].step;
    tflm_opt_depthwise_stack four;
    tflm_opt_depthwise_two two;
    int32_t y = 0;
    four.source = rows->origin + channel - part->inside_h.first * row;
    four.source_row = row;
    four.channels = part->call->input->c;
    four.words = part->words + part->inside_w.first * part->column;
    four.plane = part->plane * 4;
    four.columns = part->inside_w.last - part->inside_w.first;
    two.columns = four.columns;
    two.plane = four.plane;
    two.step = part->column * 4;
    while (y < part->input_rows && four.columns > 0) {
        if (y >= part->inside_h.first && y + 4 <= part->inside_h.last) {
            tflm_opt_depthwise_stack_s8(&four, two.step);
            y += 4;
            four.source += 4 * row;
            four.words += 2;
            continue;
        }
        two.upper = (const int8_t *)&zeros;
        two.upper_step = 0;
        two.lower = two.upper;
        two.lower_step = 0;
        if (y >= part->inside_h.first && y < part->inside_h.last) {
            two.upper = four.source;
            two.upper_step = four.channels;
        }
        if (y + 1 >= part->inside_h.first && y + 1 < part->inside_h.last) {
            two.lower = four.source + row;
            two.lower_step = four.channels;
        }
        two.words = four.words;
        tflm_opt_depthwise_two_s8(&two);
        y += 2;
        four.source += 2 * row;
        four.words++;
    }
}

static void set_scales(const tflm_opt_depthwise_call *call, tflm_opt_depthwise_scales *scales)
{
    static const int32_t no_bias = 0;
    const cmsis_nn_dw_conv_params *params = call->params;
    const int32_t reach = tflm_opt_reach(params->input_offset);
    scales->bias = call->bias != NULL ? call->bias : &no_bias;
    scales->multiplier = call->quant->multiplier;
    scales->shift = call->quant->shift;
    scales->input_offset = ((uint32_t)params->input_offset & 0xFFFFU) * 0x10001U;
    scales->output_factor = 2 * params->output_offset + 1;
    scales->most = TFLM_OPT_SHORT_SUM - 1 - 128 * reach * call->filter->h * call->filter->w;
    scales->records = call->scratch;
    scales->rows = call->shape.height;
    scales->size = record_words(&call->shape) * 4;
    scales->count = 4;
    scales->bias_step = call->bias != NULL ? 4 : 0;
}

/* Bytes of code of a row of taps, and where the rows of each kernel are (tflm_opt_depthwise_rows_s8). */
#define ROW_CODE(width) (10 * (width) + 14)
#define ROWS_CODE(width) ((width) * ROW_CODE(width) + 4)

static int32_t rows_code(const tflm_opt_depthwise_shape *shape)
{
    int32_t code = shape->stride_w == 1 ? 0 : ROWS_CODE(3) + ROWS_CODE(5) + ROWS_CODE(7);
    int32_t width;
    for (width = 3; width < shape->width; width += 2) {
        code += ROWS_CODE(width);
    }
    return code + (shape->width - shape->height) * ROW_CODE(shape->width);
}

static void set_rows(const strip *part, int8_t *output, int32_t output_row, tflm_opt_depthwise_rows *rows)
{
    const tflm_opt_depthwise_call *call = part->call;
    const tflm_opt_depthwise_shape *shape = &call->shape;
    const cmsis_nn_dw_conv_params *params = call->params;
    const int kink = tflm_opt_has_kink(params->output_offset, params->activation);
    rows->channels = call->input->c;
    rows->words_group = 8 * (part->stacked ? 1 : shape->stride_w) * part->column;
    rows->records = call->scratch;
    rows->code = rows_code(shape);
    rows->kink = kink ? -128 : 0;
    rows->words_step = part->row * 4;
    rows->columns = part->columns;
    if (shape->is_3x3) {
        const int32_t group = part->stacked ? 2 : 4;
        const int32_t whole = kink ? 0 : part->columns / group;
        rows->words_step = whole * rows->words_group;
        rows->columns -= group * whole;
    } else {
        if (kink) {
            rows->columns -= 65536;
        }
        if (shape->width == 7 && shape->stride_w == 2) {
            rows->words_step -= 24;
        }
    }
    rows->output = output;
    rows->words = part->words;
    rows->output_row = output_row;
    rows->words_row = shape->stride_h * part->row * 4;
    rows->rows = part->rows;
    rows->output_delta = 1 - (part->rows - 1) * output_row;
    rows->words_delta = part->plane * 4 - (part->rows - 1) * rows->words_row;
    if (part->stacked) {
        rows->output_delta += output_row;
        rows->words_delta = part->plane * 4 - (part->rows / 2 - 1) * 4;
    }
    rows->size = record_words(shape) * 4;
    rows->count = 4;
    rows->all_rows = part->rows;
}

/* Bounds that are narrower than an int8's, once outputs are written. */
static void clamp_outputs(const strip *part, int8_t *output, int32_t output_row)
{
    const cmsis_nn_activation activation = part->call->params->activation;
    const int32_t length = part->columns * part->call->input->c;
    int32_t y;
    if (activation.min <= -128 && activation.max >= 127) {
        return;
    }
    for (y = 0; y < part->rows; y++) {
        int32_t i;
        for (i = 0; i < length; i++) {
            output[i] = (int8_t)tflm_opt_clamp(output[i], activation.min, activation.max);
        }
        output += output_row;
    }
}

/* All channels of a strip. The last group goes back where it would have fewer than four. */
static int32_t make_strip(const strip *part,
                          const tflm_opt_lines *lines,
                          int8_t *output,
                          int32_t output_row)
{
    const tflm_opt_depthwise_call *call = part->call;
    const int32_t channels = call->input->c;
    tflm_opt_window_rows source;
    tflm_opt_depthwise_unpacking job;
    tflm_opt_depthwise_scales scales;
    tflm_opt_depthwise_rows rows;
    int32_t channel;
    source.origin = NULL;
    source.runs[0].rows = 0;
    if (part->inside_w.last > part->inside_w.first) {
        tflm_opt_set_rows(lines, part->in_y + part->inside_h.first, 1,
                          part->inside_h.last - part->inside_h.first,
                          part->in_x + part->inside_w.first, channels, &source);
    }
    if (part->stacked) {
        fill_sides(part);
    } else {
        fill_borders(part);
        set_unpacking(part, &job);
    }
    set_scales(call, &scales);
    set_rows(part, output, output_row, &rows);
    for (channel = 0; channel < channels; channel += 4) {
        const int32_t first = tflm_opt_min(channel, channels - 4);
        if (!prepare(part, &scales, first)) {
            return 0;
        }
        rows.output = output + first;
        if (part->stacked) {
            unpack_stacked(part, &source, first);
            tflm_opt_depthwise_2x2_s8(&rows);
        } else {
            unpack(part, &source, &job, first);
            if (call->shape.is_3x3) {
                tflm_opt_depthwise_3x3_s8(&rows);
            } else {
                tflm_opt_depthwise_rows_s8(&rows);
            }
        }
    }
    clamp_outputs(part, output, output_row);
    return 1;
}

arm_cmsis_nn_status tflm_opt_depthwise_start_s8(const cmsis_nn_context *ctx,
                                                const cmsis_nn_dims *output,
                                                tflm_opt_depthwise_call *call)
{
    const cmsis_nn_dw_conv_params *params = call->params;
    const cmsis_nn_dims *filter = call->filter;
    const int32_t wanted = tflm_opt_depthwise_buffer_size(call->input, filter);
    call->in_words = 0;
    call->scratch = (int32_t *)ctx->buf;
    call->size = ctx->size == 0 ? wanted : ctx->size;
    if (output->c != call->input->c * params->ch_mult) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    if (wanted == 0 || (ctx->size == TFLM_OPT_WITHOUT_SCRATCH && ctx->buf == NULL)) {
        return ARM_CMSIS_NN_SUCCESS;
    }
    call->shape =
        tflm_opt_depthwise_shape_of(filter->h, filter->w, params->stride.h, params->stride.w);
    if (ctx->buf == NULL || call->size < tflm_opt_depthwise_scratch(&call->shape, 1, 1)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    call->in_words = params->ch_mult == 1 && call->input->c >= 4 && params->stride.w <= 2 && params->dilation.w == 1 &&
                     params->dilation.h == 1;
    return ARM_CMSIS_NN_SUCCESS;
}

/* Outputs of a row that the scratch has room for. */
static int32_t strip_columns(const tflm_opt_depthwise_call *call, int32_t rows, int32_t columns)
{
    columns = tflm_opt_min(columns, TFLM_OPT_DEPTHWISE_COLUMNS);
    while (columns > 4 && tflm_opt_depthwise_scratch(&call->shape, rows, columns) > call->size) {
        columns = (columns - 1) / 4 * 4;
    }
    return columns;
}

/* How the words lie, and which of them have values. */
static void set_words(strip *part)
{
    const tflm_opt_depthwise_shape *shape = &part->call->shape;
    const cmsis_nn_dims *input = part->call->input;
    const int32_t reach = (part->columns - 1) * shape->stride_w + part->call->filter->w;
    if (part->stacked) {
        part->input_words = reach;
        part->column = part->input_rows / 2;
        part->row = 0;
        part->plane = part->column * ((part->columns + 3) & ~1);
        part->inside_w = tflm_opt_window(part->in_x, reach, 1, input->w);
        return;
    }
    part->input_words = (reach + 1) / 2;
    part->inside_w = tflm_opt_window(part->in_x, 2 * part->input_words, 1, input->w);
    part->column = shape->is_3x3 ? 3 : 1;
    part->row = shape->is_3x3 ? 1 : tflm_opt_depthwise_row_words(shape, part->columns);
    part->plane = part->input_rows * tflm_opt_depthwise_row_words(shape, part->columns);
}

int32_t tflm_opt_depthwise_band_s8(const tflm_opt_depthwise_call *call,
                                   const tflm_opt_lines *lines,
                                   const tflm_opt_depthwise_band *band,
                                   int8_t *output,
                                   int32_t output_row)
{
    const cmsis_nn_dw_conv_params *params = call->params;
    const tflm_opt_depthwise_shape *shape = &call->shape;
    const int32_t rows = tflm_opt_depthwise_rows_in(shape, call->size, band->columns, band->rows);
    const int32_t most = strip_columns(call, rows, band->columns);
    int32_t x = band->x;
    int32_t left = band->columns;
    strip part;
    part.call = call;
    part.rows = rows;
    part.in_y = band->y * shape->stride_h - params->padding.h;
    part.input_rows = (rows - 1) * shape->stride_h + shape->height;
    part.inside_h = tflm_opt_window(part.in_y, part.input_rows, 1, call->input->h);
    part.words = (uint32_t *)call->scratch + 4 * record_words(shape);
    part.stacked = tflm_opt_depthwise_is_stacked(shape, rows);
    while (left > 0) {
        part.columns = tflm_opt_min(left, most);
        part.in_x = x * shape->stride_w - params->padding.w;
        set_words(&part);
        if (part.inside_w.first >= part.inside_w.last) {
            part.inside_w.first = 0;
            part.inside_w.last = 0;
        }
        if (!make_strip(&part, lines, output, output_row)) {
            return 0;
        }
        x += part.columns;
        left -= part.columns;
        output += part.columns * call->input->c;
    }
    return rows;
}

#endif
