#include "tflm_opt_depthwise.h"
#include "tflm_opt_dot.h"
#include "tflm_opt_dsp.h"
#include "tflm_opt_lines.h"

#if TFLM_OPT_DSP

#define WRAPS 0x3FFFFFFF /* biases that are no larger leave room for products */

#define RUNS 3  /* of input rows */
#define PAIRS 5 /* of input rows, of eight output rows */

/*
 * A strip: some columns of all of a band's rows. Its words: `column` from one to the next of a
 * row, `row` from one row to the next, `plane` from one channel to the next; stacked ones, which
 * tflm_opt_depthwise_2x2_s8 takes, are columns of all rows' words. The columns that are read begin
 * with column in_x of the input, the rows with row in_y; of both, those inside have values.
 */
typedef struct {
    const tflm_opt_depthwise_call *call;
    int32_t stacked;
    int32_t y; /* of the output */
    int32_t rows;
    int32_t x;
    int32_t columns;
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

/* Where words come from: what makes them of four channels, one after the other. */
typedef struct {
    int32_t count;
    int32_t fours; /* the first of them are four rows at once */
    tflm_opt_depthwise_four four[PAIRS / 2];
    union {
        tflm_opt_depthwise_words words[RUNS];
        tflm_opt_depthwise_two two[PAIRS];
    } of;
} sources;

/* Of `count` positions from `start` on, those that lie before `size` and not before 0. */
TFLM_OPT_INLINE tflm_opt_taps inside(int32_t start, int32_t count, int32_t size)
{
    tflm_opt_taps range;
    range.last = tflm_opt_clamp(size - start, 0, count);
    range.first = tflm_opt_clamp(-start, 0, count);
    if (range.first >= range.last) {
        range.first = 0;
        range.last = 0;
    }
    return range;
}

/* The zero point, twice in a word. */
TFLM_OPT_INLINE uint32_t zero_word(const strip *part)
{
    return ((uint32_t)-part->call->params->input_offset & 0xFFFFU) * 0x10001U;
}

TFLM_OPT_APART void fill(uint32_t *words, int32_t count, uint32_t value)
{
    for (; count > 0; count--) {
        *words++ = value;
    }
}

/* Words that are outside of the input, for all channels: they stay from group to group. */
TFLM_OPT_APART void fill_borders(const strip *part)
{
    const uint32_t zero = zero_word(part);
    const int32_t left = part->inside_w.first / 2; /* words side by side */
    const int32_t right = (part->inside_w.last + 1) / 2;
    int32_t y;
    for (y = 0; y < part->input_rows; y++) {
        const int has_values = y >= part->inside_h.first && y < part->inside_h.last;
        const int32_t before = has_values ? left : part->input_words;
        const int32_t after = has_values ? part->input_words - right : 0;
        uint32_t *words = part->words + y * part->row;
        int32_t channel;
        for (channel = 0; channel < 4 && before + after > 0; channel++) {
            fill(words, before, zero);
            fill(words + right, after, zero);
            words += part->plane;
        }
    }
}

/* The same where words are stacked: the columns. */
TFLM_OPT_APART void fill_sides(const strip *part)
{
    const uint32_t zero = zero_word(part);
    const int32_t before = part->inside_w.first * part->column;
    const int32_t after = (part->input_words - part->inside_w.last) * part->column;
    uint32_t *words = part->words;
    int32_t channel;
    for (channel = 0; channel < 4; channel++) {
        fill(words, before, zero);
        fill(words + part->inside_w.last * part->column, after, zero);
        words += part->plane;
    }
}

/* Words of neighbours, of each run of rows. */
static void set_words(const strip *part, const tflm_opt_window_rows *rows, sources *from)
{
    const int32_t first = part->inside_w.first;
    const int32_t last = part->inside_w.last;
    const tflm_opt_run *run;
    tflm_opt_depthwise_words job;
    job.source = rows->origin;
    job.channels = part->call->input->c;
    job.words = part->words + part->inside_h.first * part->row + first / 2;
    job.plane = part->plane * 4;
    job.first = first & 1;
    job.pairs = last / 2 - (first + 1) / 2;
    job.last = last & 1;
    job.zero = (zero_word(part) & 0xFFU) * 0x1010101U;
    job.words_skip = (part->row - (job.first + job.pairs + job.last)) * 4;
    from->count = 0;
    for (run = rows->runs; run->rows > 0; run++) {
        job.source_skip = run->step - (last - first) * job.channels;
        job.rows = run->rows;
        from->of.words[from->count++] = job;
        job.source += run->rows * run->step + run->jump;
        job.words += run->rows * part->row;
    }
}

/*
 * Stacked words, of evenly spaced rows: four rows at once where all are inside, else two, of which
 * one or both may be the zero point that `zero` holds four times.
 */
static void set_stacked(const strip *part,
                        const tflm_opt_window_rows *rows,
                        const uint32_t *zero,
                        sources *from)
{
    const int32_t channels = part->call->input->c;
    const int32_t step = rows->runs[0].step;
    const int32_t columns = part->inside_w.last - part->inside_w.first;
    uint32_t *words = part->words + part->inside_w.first * part->column;
    int32_t y = 0;
    from->count = 0;
    from->fours = 0;
    while (y < part->input_rows && columns > 0) {
        tflm_opt_depthwise_two *two = &from->of.two[from->count];
        const int8_t *source = rows->origin + (y - part->inside_h.first) * step;
        const int32_t left = part->inside_h.last - y;
        if (y >= part->inside_h.first && left >= 4) {
            const tflm_opt_depthwise_four four = {step, source, channels, words, part->plane * 4,
                                                   columns};
            from->four[from->fours++] = four;
            words += 2;
            y += 4;
            continue;
        }
        two->upper = (const int8_t *)zero;
        two->upper_step = 0;
        two->lower = (const int8_t *)zero;
        two->lower_step = 0;
        two->columns = columns;
        two->words = words;
        two->plane = part->plane * 4;
        two->step = part->column * 4;
        if (y >= part->inside_h.first && left >= 1) {
            two->upper = source;
            two->upper_step = channels;
        }
        if (y + 1 >= part->inside_h.first && left >= 2) {
            two->lower = source + step;
            two->lower_step = channels;
        }
        from->count++;
        words++;
        y += 2;
    }
}

/* Words of four channels; the sources move on by `step` channels. */
static void unpack(const strip *part, sources *from, int32_t step)
{
    int32_t i;
    if (!part->stacked) {
        for (i = 0; i < from->count; i++) {
            tflm_opt_depthwise_words_s8(&from->of.words[i]);
            from->of.words[i].source += step;
        }
        return;
    }
    for (i = 0; i < from->fours; i++) {
        tflm_opt_depthwise_four_s8(&from->four[i], part->column * 4);
        from->four[i].source += step;
    }
    for (i = 0; i < from->count; i++) {
        tflm_opt_depthwise_two *two = &from->of.two[i];
        tflm_opt_depthwise_two_s8(two);
        two->upper += two->upper_step != 0 ? step : 0;
        two->lower += two->lower_step != 0 ? step : 0;
    }
}

/* As the cores do, of a filter that has fewer columns than the words have. */
TFLM_OPT_APART void unpack_some_taps(const strip *part, const int8_t *taps, uint32_t *words)
{
    const tflm_opt_depthwise_call *call = part->call;
    const int32_t channels = call->input->c;
    const int32_t width = call->filter->w;
    const int32_t down = part->stacked;
    const int32_t size = tflm_opt_depthwise_record_words(&call->shape);
    int32_t y;
    int32_t i;
    for (y = 0; y < call->shape.height; y++) {
        for (i = 0; i < call->shape.tap_words; i++) {
            const int32_t row = down ? i : y;
            const int32_t x = down ? y : i * call->shape.stride_w;
            const int8_t *tap = taps + (row * width + x) * channels;
            const int32_t next = (down ? width : 1) * channels;
            const uint32_t first = x < width ? tflm_opt_word(tap) : 0;
            const uint32_t second = x + 1 - down < width ? tflm_opt_word(tap + next) : 0;
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

static void set_records(const strip *part, tflm_opt_depthwise_records *records)
{
    static const int32_t no_bias = 0;
    const tflm_opt_depthwise_call *call = part->call;
    const cmsis_nn_dw_conv_params *params = call->params;
    const int32_t reach = tflm_opt_reach(params->input_offset);
    records->bias = call->bias != NULL ? call->bias : &no_bias;
    records->multiplier = call->quant->multiplier;
    records->shift = call->quant->shift;
    records->input_offset = ((uint32_t)params->input_offset & 0xFFFFU) * 0x10001U;
    records->output_factor = 2 * params->output_offset + 1;
    records->most = TFLM_OPT_SHORT_SUM - 1 - 128 * reach * call->filter->h * call->filter->w;
    records->records = call->scratch;
    records->rows = call->shape.height;
    records->size = tflm_opt_depthwise_record_words(&call->shape) * 4;
    records->bias_step = call->bias != NULL ? 4 : 0;
    records->taps = call->filter->w == call->shape.width ? call->filter_data : NULL;
    records->tap_step = call->input->c;
    records->tap_skip = call->input->c;
    records->row_bytes = call->shape.tap_words * 4;
    records->kind = call->shape.width / 2 - 1 + (call->shape.stride_w == 2 ? 3 : 0);
    if (part->stacked) { /* columns of taps and not rows */
        records->tap_step *= 3;
        records->tap_skip *= -5;
    }
}

/* What a channel makes of a sum. */
TFLM_OPT_APART int32_t output_of(const tflm_opt_depthwise_call *call, int32_t channel, int32_t sum)
{
    return tflm_opt_output_s8(sum, call->quant->multiplier[channel], call->quant->shift[channel],
                              call->params->output_offset, call->params->activation);
}

/*
 * Of a channel without a short form, whether all its sums make the same output, as they do where
 * taps are 0 or the shift is long: it can then be had from any sum. Outputs never fall as sums rise.
 */
static int is_constant(const tflm_opt_depthwise_call *call, int32_t channel, int32_t *record_end)
{
    const int32_t bias = call->bias != NULL ? call->bias[channel] : 0;
    const int8_t *tap = call->filter_data + channel;
    int32_t spread = 0;
    int32_t lowest;
    int32_t i;
    for (i = call->filter->h * call->filter->w; i > 0; i--) {
        spread += *tap < 0 ? -*tap : *tap;
        tap += call->input->c;
    }
    spread *= tflm_opt_reach(call->params->input_offset);
    if (spread != 0 && (call->quant->shift[channel] > 0 || bias > WRAPS || bias < -WRAPS)) {
        return 0;
    }
    lowest = output_of(call, channel, bias - spread);
    record_end[-3] = 0;
    record_end[-2] = lowest * 256 + 192;
    record_end[-1] = 8;
    return lowest == output_of(call, channel, bias + spread);
}

/*
 * Taps, biases and scales of four channels from `channel` on. Those that are to be made otherwise are
 * bits of the result, as tflm_opt_depthwise_records_s8 has them.
 */
static int32_t prepare(const strip *part, tflm_opt_depthwise_records *records, int32_t channel)
{
    const tflm_opt_depthwise_call *call = part->call;
    int32_t bad;
    int32_t i;
    if (records->taps != NULL) {
        records->taps = call->filter_data + channel;
    } else {
        unpack_some_taps(part, call->filter_data + channel, (uint32_t *)call->scratch + 4);
    }
    if (call->bias != NULL) {
        records->bias = call->bias + channel;
    }
    records->multiplier = call->quant->multiplier + channel;
    records->shift = call->quant->shift + channel;
    bad = tflm_opt_depthwise_records_s8(records);
    for (i = 0; i < 4 && bad != 0; i++) {
        const int32_t bit = 8 >> i;
        int32_t *next = call->scratch + (i + 1) * tflm_opt_depthwise_record_words(&call->shape);
        if ((bad & bit) != 0 && is_constant(call, channel + i, next)) {
            bad -= bit;
        }
    }
    return bad;
}

/* Outputs of the channels that `bad` has bits for, from inputs that no output of the band lies over. */
TFLM_OPT_APART void make_again(const strip *part,
                               const tflm_opt_lines *lines,
                               int32_t channel,
                               int32_t bad,
                               int8_t *output,
                               int32_t output_row)
{
    tflm_opt_span span = {part->y, part->x, part->columns};
    for (; span.y < part->y + part->rows; span.y++) {
        int32_t i;
        for (i = 0; i < 4; i++) {
            if ((bad & (8 >> i)) != 0) {
                tflm_opt_depthwise_any_s8(part->call, lines, &span, channel + i, 1,
                                          output + channel + i);
            }
        }
        output += output_row;
    }
}

/*
 * Where the code for a filter begins in tflm_opt_depthwise_rows_s8: a row of taps is 10 * width +
 * 14 bytes, as many rows as columns follow each other, and a branch; 7 and, with stride 2, 5 are
 * loops of 16 bytes more.
 */
#define ROW_CODE(width) (10 * (width) + 14)
#define ROWS_CODE(width) ((width) * ROW_CODE(width) + 4)
#define LOOP_CODE(width) (ROW_CODE(width) + 16)

static int32_t rows_code(const tflm_opt_depthwise_shape *shape)
{
    static const int16_t begin[2][3] = {
        {0, ROWS_CODE(3), ROWS_CODE(3) + ROWS_CODE(5)},
        {ROWS_CODE(3) + ROWS_CODE(5) + LOOP_CODE(7),
         2 * ROWS_CODE(3) + ROWS_CODE(5) + LOOP_CODE(7),
         2 * ROWS_CODE(3) + ROWS_CODE(5) + LOOP_CODE(7) + LOOP_CODE(5)},
    };
    const int32_t code = begin[shape->stride_w - 1][shape->width / 2 - 1];
    const int32_t missing = (shape->width - shape->height) * ROW_CODE(shape->width);
    return shape->width > (shape->stride_w == 2 ? 3 : 5) ? code : code + missing;
}

static void set_rows(const strip *part, int32_t output_row, tflm_opt_depthwise_rows *rows)
{
    const tflm_opt_depthwise_call *call = part->call;
    const tflm_opt_depthwise_shape *shape = &call->shape;
    const cmsis_nn_dw_conv_params *params = call->params;
    const int kink = tflm_opt_has_kink(params->output_offset, params->activation);
    const int32_t whole = kink ? 0 : part->columns / 2;
    const int32_t last = part->rows - (part->stacked ? 2 : 1);
    rows->channels = call->input->c;
    rows->words_group = 8 * part->column;
    rows->records = call->scratch;
    rows->kink = kink ? -128 : 0;
    rows->words = part->words;
    rows->output_row = output_row;
    rows->words_delta = part->plane * 4;
    rows->rows = part->rows;
    rows->output_delta = 1 - last * output_row;
    rows->size = tflm_opt_depthwise_record_words(shape) * 4;
    rows->count = 4;
    rows->all_rows = part->rows;
    if (part->stacked) {
        rows->words_step = whole * rows->words_group;
        rows->columns = part->columns - whole * 2;
        rows->code = part->rows - 4;
        rows->words_row = 4;
        rows->words_delta -= 2 * last;
    } else {
        rows->words_group *= shape->stride_w;
        rows->code = rows_code(shape);
        rows->words_step = part->row * 4 - (shape->width == 7 && shape->stride_w == 2 ? 24 : 0);
        rows->columns = part->columns - (kink ? 65536 : 0);
        rows->words_row = shape->stride_h * part->row * 4;
        rows->words_delta -= last * rows->words_row;
    }
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
static void make_strip(const strip *part,
                       const tflm_opt_lines *lines,
                       int8_t *output,
                       int32_t output_row)
{
    const tflm_opt_depthwise_call *call = part->call;
    const uint32_t zero = (zero_word(part) & 0xFFU) * 0x1010101U;
    int32_t left = call->input->c;
    int32_t channel = 0;
    tflm_opt_window_rows source;
    tflm_opt_depthwise_records records;
    tflm_opt_depthwise_rows rows;
    sources from;
    source.origin = NULL;
    source.runs[0].rows = 0;
    if (part->inside_w.last > 0 && part->inside_h.last > 0) {
        tflm_opt_depthwise_find_rows(call, lines, part->in_y + part->inside_h.first,
                                     part->inside_h.last - part->inside_h.first,
                                     part->in_x + part->inside_w.first, &source);
    }
    if (part->stacked) {
        fill_sides(part);
        set_stacked(part, &source, &zero, &from);
    } else {
        fill_borders(part);
        set_words(part, &source, &from);
    }
    set_records(part, &records);
    set_rows(part, output_row, &rows);
    while (left > 0) {
        const int32_t step = left >= 8 ? 4 : left - 4;
        const int32_t bad = prepare(part, &records, channel);
        unpack(part, &from, step);
        rows.output = output + channel;
        if (part->stacked) {
            tflm_opt_depthwise_2x2_s8(&rows);
        } else {
            tflm_opt_depthwise_rows_s8(&rows);
        }
        if (bad != 0) {
            make_again(part, lines, channel, bad, output, output_row);
        }
        left -= left > 4 ? step : left;
        channel += step;
    }
    clamp_outputs(part, output, output_row);
}

/* The core for the next rows of a band, of `most` rows, and how many of them. */
static void choose(strip *part, int32_t most)
{
    const tflm_opt_depthwise_shape *shape = &part->call->shape;
    part->stacked = most >= 2 && shape->height == 3 && shape->width == 3 &&
                    shape->stride_h == 1 && shape->stride_w == 1;
    part->rows = most;
    if (part->stacked) {
        part->rows = most >= 8 ? 8 : (most >= 4 ? 4 : 2);
    }
}

/* How the words of part->columns outputs lie, and which of them have values. */
static void lay_out(strip *part)
{
    const tflm_opt_depthwise_shape *shape = &part->call->shape;
    int32_t reach = (part->columns - 1) * shape->stride_w + part->call->filter->w;
    const int32_t even = (part->columns + 1) & ~1;
    if (part->stacked) {
        part->input_words = reach;
        part->row = 1;
        part->column = part->input_rows / 2;
        part->plane = part->column * (even + 2);
    } else {
        part->input_words = (reach + 1) / 2;
        part->row = tflm_opt_depthwise_row_words(shape, part->columns);
        part->column = 1;
        part->plane = part->row * part->input_rows;
        reach = 2 * part->input_words;
    }
    part->inside_w = inside(part->in_x, reach, part->call->input->w);
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

int32_t tflm_opt_depthwise_band_s8(const tflm_opt_depthwise_call *call,
                                   const tflm_opt_lines *lines,
                                   const tflm_opt_depthwise_band *band,
                                   int8_t *output,
                                   int32_t output_row)
{
    const cmsis_nn_dw_conv_params *params = call->params;
    const tflm_opt_depthwise_shape *shape = &call->shape;
    int32_t most;
    int32_t left = band->columns;
    strip part;
    part.call = call;
    part.y = band->y;
    part.x = band->x;
    choose(&part, tflm_opt_min(call->rows, band->rows));
    most = strip_columns(call, part.rows, left);
    part.in_y = band->y * shape->stride_h - params->padding.h;
    part.input_rows = (part.rows - 1) * shape->stride_h + shape->height;
    part.inside_h = inside(part.in_y, part.input_rows, call->input->h);
    part.words = (uint32_t *)call->scratch + 4 * tflm_opt_depthwise_record_words(shape);
    while (left > 0) {
        part.columns = tflm_opt_min(left, most);
        part.in_x = part.x * shape->stride_w - params->padding.w;
        lay_out(&part);
        make_strip(&part, lines, output, output_row);
        part.x += part.columns;
        left -= part.columns;
        output += part.columns * call->input->c;
    }
    return part.rows;
}

#endif
