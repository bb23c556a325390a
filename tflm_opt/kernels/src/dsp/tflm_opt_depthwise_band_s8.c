#include "tflm_opt_depthwise.h"
#include "tflm_opt_dot.h"
#include "tflm_opt_dsp.h"
#include "tflm_opt_lines.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

#include <string.h>

/*
 * Shifts right of the short form, at most. One more than tflm_opt_set_short takes: with sums below
 * 2^23, products add less than 2^30 to a constant of 2^30 or little more.
 */
#define SHORT_RIGHT 16

/*
 * A strip: some columns of all of a band's rows. Its scratch: four channels' records, their words,
 * where rows of the input and of taps are, where groups' words are, and what the assembly is told.
 * The rows that are read begin with row in_y of the input, the columns with column in_x.
 */
typedef struct {
    tflm_opt_depthwise_call *call;
    int32_t in_x;
    int32_t in_y;
    int32_t rows; /* of the output */
    int32_t columns;
    int32_t pairs;   /* of input rows */
    int32_t pitch;   /* words of a pair */
    int32_t first_x; /* columns that are inside begin here */
    int32_t last_x;
    int32_t first_pair; /* pairs that are unpacked: others hold zeros */
    int32_t last_pair;
    int32_t wrapped; /* 1 where squares of rows are TFLM_OPT_DEPTHWISE_WRAPPED */
} strip;

/* Zeros for taps that the filter hasn't, and for words that are outside of the input. */
TFLM_OPT_APART TFLM_OPT_SMALL void fill(const strip *part, uint32_t *words)
{
    const tflm_opt_depthwise_call *call = part->call;
    int32_t pair = 0;
    int32_t i;
    if (call->filter->w < call->shape.width) {
        memset(call->scratch, 0, (size_t)((char *)words - (char *)call->scratch));
    }
    for (i = 4 * part->pairs; i > 0; i--) {
        const int has_values = pair >= part->first_pair && pair < part->last_pair;
        int32_t x;
        for (x = has_values ? part->first_x : part->pitch; x > 0; x--) {
            words[x - 1] = 0;
        }
        for (x = has_values ? part->last_x : part->pitch; x < part->pitch; x++) {
            words[x] = 0;
        }
        words += part->pitch;
        pair = pair + 1 < part->pairs ? pair + 1 : 0;
    }
}

/* Which of rows y and y + 1 is missing, of those that are from 0 to end: no more than one. */
TFLM_OPT_INLINE int32_t missing(int32_t y, int32_t end)
{
    return y < 0 ? 4 : (y + 1 < end ? 0 : 6);
}

/* Where pairs of rows are: of the input, from column first_x on, and of taps. */
TFLM_OPT_APART TFLM_OPT_SMALL void set_pairs(const strip *part,
                                             const tflm_opt_lines *lines,
                                             tflm_opt_depthwise_pair *to)
{
    const tflm_opt_depthwise_call *call = part->call;
    const tflm_opt_depthwise_shape *shape = &call->shape;
    const int32_t end = part->in_y + (part->rows - 1) * shape->stride_h + shape->height;
    const int32_t x = part->in_x + part->first_x;
    const int32_t tap_row = call->filter->w * call->input->c;
    int32_t y = 0;
    int32_t i;
    for (i = 0; i < shape->tap_rows; i++) {
        if (i == shape->pairs) {
            y = -1;
        }
        to->upper = call->filter_data + tflm_opt_max(y, 0) * tap_row;
        to->missing = missing(y, shape->height);
        to->to_lower = to->missing != 0 ? 0 : tap_row;
        to++;
        y += shape->code == 0 ? 1 : 2;
    }
    y = part->in_y + 2 * part->first_pair;
    for (i = part->first_pair; i < part->last_pair; i++) {
        to->upper = tflm_opt_depthwise_pixel_of(call, lines, tflm_opt_max(y, 0), x);
        to->missing = missing(y, call->input->h);
        to->to_lower = 0;
        if (to->missing == 0 && y + 1 < end) { /* behind the end taps are 0, whatever is there */
            to->to_lower =
                (int32_t)(tflm_opt_depthwise_pixel_of(call, lines, y + 1, x) - to->upper);
        }
        to++;
        y += 2;
    }
}

/* What of a record and of words each row takes; pairs that hold zeros are left out. */
TFLM_OPT_APART TFLM_OPT_SMALL void set_places(const strip *part, tflm_opt_depthwise_place *place)
{
    const tflm_opt_depthwise_shape *shape = &part->call->shape;
    const int32_t row_bytes = shape->width * 4;
    int32_t y;
    for (y = 0; y < part->rows * shape->stride_h; y += shape->stride_h) {
        const int32_t pair = y / 2;
        const int32_t before = tflm_opt_max(part->first_pair - pair, 0);
        const int32_t row = (y & 1) * shape->pairs;
        const int32_t end = row != 0 ? shape->tap_rows : shape->pairs;
        place->taps = 16 + (row + before) * row_bytes;
        place->taps_end = 16 + tflm_opt_min(part->last_pair - pair + row, end) * row_bytes;
        place->words = (pair + before) * part->pitch * 4;
        place++;
    }
}

/* What tflm_opt_depthwise_rows_s8 is told of a strip. */
static void set_rows(const strip *part, int32_t output_row, tflm_opt_depthwise_rows *rows)
{
    const tflm_opt_depthwise_call *call = part->call;
    const tflm_opt_depthwise_shape *shape = &call->shape;
    const int32_t step = call->step;
    const int32_t is_7 = shape->width == 7;
    const int32_t left = part->columns & 3;
    int32_t groups = part->columns / 4;
    int32_t i;
    for (i = 1; i < 4; i++) {
        rows->distance[i - 1] = groups > 0 || i < left ? i * step : 0;
    }
    if (left == 1) {
        rows->last = (uint16_t)(TFLM_OPT_DEPTHWISE_SINGLE + is_7);
    } else if (left == 2) {
        rows->last = (uint16_t)(TFLM_OPT_DEPTHWISE_TWO + shape->code - 2);
    } else {
        rows->last = left > 0 && groups > 0 ? TFLM_OPT_DEPTHWISE_BACK : 0;
        groups = tflm_opt_max(groups, 1);
    }
    rows->back_words = (4 - left) * shape->stride_w * 4;
    rows->back_output = (4 - left) * step;
    rows->two = left == 2 ? step : 0;
    rows->is_back = 0;
    rows->output_step = 4 * step;
    rows->words_step = 4 * shape->stride_w * 4;
    rows->code = (uint16_t)(shape->code - 2);
    /* With taps in two parts, the code has moved on over words. */
    rows->skip = part->pitch * 4 - 40 * is_7;
    rows->whole = groups * rows->words_step;
    rows->output_offset = call->params->output_offset;
    rows->output_row = output_row;
    rows->count = 4;
    rows->plane = part->pairs * part->pitch * 4;
    rows->call = call;
    rows->size = tflm_opt_depthwise_record_words(shape) * 4;
    rows->form = call->scratch + tflm_opt_depthwise_record_words(shape) - 3;
    rows->record = call->scratch;
    rows->rows = part->rows;
    rows->rows_left = part->rows;
}

/* What tflm_opt_depthwise_squares_s8 is. */
static void set_squares(const strip *part, int32_t output_row, tflm_opt_depthwise_squares *squares)
{
    const tflm_opt_depthwise_call *call = part->call;
    const tflm_opt_depthwise_shape *shape = &call->shape;
    const int32_t pitch = part->pitch * 4;
    const int32_t columns = part->columns & ~1;
    squares->plane = part->pairs * pitch;
    squares->step = call->step;
    squares->output_row = output_row;
    squares->pitch = pitch;
    squares->two_pairs = 2 * pitch;
    squares->last_column = part->columns & 1;
    squares->whole = columns * shape->stride_w * 4;
    squares->words_skip = shape->stride_h * pitch - squares->whole;
    squares->output_skip = 2 * output_row - columns * call->step;
    squares->two_rows = part->rows / 2 - part->wrapped;
    squares->enter = squares->two_rows == 0 ? TFLM_OPT_DEPTHWISE_NO_ROWS
                                            : 2 * shape->code + (columns == 0);
    squares->two_columns = 8 * shape->stride_w;
    squares->wrapped_words = pitch - squares->plane;
    squares->wrapped_output = output_row - part->rows * output_row;
    squares->output_offset = call->params->output_offset;
    squares->taps = call->scratch + 4 + shape->width;
    squares->size = tflm_opt_depthwise_record_words(shape) * 4;
    squares->count = 4;
    squares->call = call;
}

/* What is left over from squares. */
static int32_t rest_of(const strip *part)
{
    const tflm_opt_depthwise_shape *shape = &part->call->shape;
    const int32_t pair = (part->rows - 1) * shape->stride_h / 2; /* the last row's first */
    if ((part->rows & 1) == 0) {
        return part->wrapped != 0 ? TFLM_OPT_DEPTHWISE_WRAPPED : 0;
    }
    return TFLM_OPT_DEPTHWISE_LAST + (shape->code != 0 ? TFLM_OPT_DEPTHWISE_BY_2 : 0) +
           (pair + 1 >= part->last_pair ? TFLM_OPT_DEPTHWISE_HALF : 0);
}

/* Bounds that are narrower than an int8's, once outputs are written; not of outputs with gaps. */
TFLM_OPT_APART TFLM_OPT_SMALL void clamp_outputs(const strip *part,
                                                 int8_t *output,
                                                 int32_t output_row)
{
    const cmsis_nn_activation activation = part->call->params->activation;
    const int32_t length = part->columns * part->call->input->c;
    int32_t y;
    if ((activation.min <= -128 && activation.max >= 127) ||
        part->call->step != part->call->input->c) {
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

/* What scratch holds behind words. */
typedef struct {
    tflm_opt_depthwise_forms forms;
    tflm_opt_depthwise_words taps;
    tflm_opt_depthwise_words words;
    union {
        tflm_opt_depthwise_rows rows;
        tflm_opt_depthwise_squares squares;
    } core;
} tools;

/* All of them but what depends on the channel, or on which rows are inside. */
TFLM_OPT_APART TFLM_OPT_SMALL void set_tools(const strip *part,
                                             int32_t output_row,
                                             uint32_t *words,
                                             const tflm_opt_depthwise_place *places,
                                             tools *with)
{
    const tflm_opt_depthwise_call *call = part->call;
    const cmsis_nn_dw_conv_params *params = call->params;
    const int32_t width = call->shape.width;
    const int32_t size = tflm_opt_depthwise_record_words(&call->shape) * 4;
    const int32_t inside = part->last_x - part->first_x;
    with->forms.output_factor = 2 * params->output_offset + 1;
    with->forms.records = call->scratch;
    with->forms.size = size;
    with->forms.output_offset = params->output_offset;
    with->forms.most =
        TFLM_OPT_SHORT_SUM - 1 - 128 * tflm_opt_reach(params->input_offset) * width * width;
    with->forms.short_right =
        tflm_opt_has_kink(params->output_offset, params->activation) ? 0 : SHORT_RIGHT;
    with->taps.row_bytes = call->filter->w * 4;
    with->taps.step = call->input->c;
    with->taps.constant = 0xFF00FF00U;
    with->taps.words = (uint32_t *)call->scratch + 4;
    with->taps.plane = size;
    with->taps.skip = (width - call->filter->w) * 4;
    with->words.row_bytes = inside * 4;
    with->words.step = call->step;
    with->words.constant = ((uint32_t)params->input_offset & 0xFFFFU) * 0x10001U;
    with->words.plane = part->pairs * part->pitch * 4;
    with->words.skip = (part->pitch - inside) * 4;
    if (tflm_opt_depthwise_is_paired(&call->shape)) {
        with->core.squares.words = words;
        set_squares(part, output_row, &with->core.squares);
        return;
    }
    with->core.rows.channel_words = words;
    with->core.rows.places = places;
    with->core.rows.all_places = places;
    set_rows(part, output_row, &with->core.rows);
}

/* All channels of a strip. The last group goes back where it would have fewer than four. */
TFLM_OPT_APART TFLM_OPT_SMALL void make_strip(const strip *part,
                                              const tflm_opt_lines *lines,
                                              int8_t *output,
                                              int32_t output_row)
{
    static const int32_t no_bias[4] = {0, 0, 0, 0};
    tflm_opt_depthwise_call *call = part->call;
    const tflm_opt_depthwise_shape *shape = &call->shape;
    const int32_t pairs =
        part->last_x > part->first_x ? part->last_pair - part->first_pair : 0;
    uint32_t *const words =
        (uint32_t *)call->scratch + 4 * tflm_opt_depthwise_record_words(shape);
    tflm_opt_depthwise_pair *const taps =
        (tflm_opt_depthwise_pair *)(words + 4 * part->pairs * part->pitch);
    tflm_opt_depthwise_place *const places =
        (tflm_opt_depthwise_place *)(taps + shape->tap_rows + part->pairs);
    tools *const with = (tools *)(places + part->rows);
    const int paired = tflm_opt_depthwise_is_paired(shape);
    const int same = call->set[0] == part->rows && call->set[1] == part->columns &&
                     call->set[2] == part->in_x;
    const int32_t *const bias = call->bias;
    const int32_t last = call->input->c - 4;
    int8_t *const first = output + part->wrapped * output_row; /* where squares of rows begin */
    int32_t channel = 0;
    if (!same || pairs < part->pairs) {
        fill(part, words);
    }
    set_pairs(part, lines, taps);
    if (!paired) {
        set_places(part, places);
    }
    if (!same) {
        set_tools(part, output_row, words, places, with);
        call->set[0] = part->rows;
        call->set[1] = part->columns;
        call->set[2] = part->in_x;
    }
    if (paired) {
        with->core.squares.rest = rest_of(part);
    }
    with->words.words = words + part->first_pair * part->pitch + part->first_x;
    for (;;) {
        with->forms.bias = bias != NULL ? bias + channel : no_bias;
        with->forms.multiplier = call->quant->multiplier + channel;
        with->forms.shift = call->quant->shift + channel;
        with->forms.channel = channel;
        tflm_opt_depthwise_forms_s8(&with->forms);
        with->taps.pairs = taps;
        with->taps.channel = channel;
        with->words.pairs = taps + shape->tap_rows;
        with->words.left = pairs;
        with->words.channel = channel;
        if (pairs > 0) {
            tflm_opt_depthwise_words_s8(&with->words);
        }
        if (paired) {
            with->core.squares.output = first + channel;
            tflm_opt_depthwise_nine_s8(&with->taps);
            tflm_opt_depthwise_squares_s8(&with->core.squares);
        } else {
            with->taps.left = shape->tap_rows;
            with->core.rows.row_output = first + channel;
            with->core.rows.channel_output = first + channel;
            tflm_opt_depthwise_words_s8(&with->taps);
            tflm_opt_depthwise_rows_s8(&with->core.rows);
        }
        if (channel == last) {
            break;
        }
        channel = tflm_opt_min(channel + 4, last);
    }
    clamp_outputs(part, output, output_row);
}

int32_t tflm_opt_depthwise_band_s8(tflm_opt_depthwise_call *call,
                                   const tflm_opt_lines *lines,
                                   const tflm_opt_depthwise_band *band,
                                   int8_t *output,
                                   int32_t output_row)
{
    const cmsis_nn_dw_conv_params *params = call->params;
    const tflm_opt_depthwise_shape *shape = &call->shape;
    int32_t most = band->columns;
    int32_t x = 0;
    strip part;
    part.call = call;
    part.rows = tflm_opt_min(call->rows, band->rows);
    part.in_y = band->y * shape->stride_h - params->padding.h;
    part.pairs = tflm_opt_depthwise_pairs(shape, part.rows);
    part.wrapped = shape->code == 0 && part.in_y == -1 && part.rows == call->input->h &&
                   (part.rows & 1) == 0;
    if (part.wrapped) {
        part.in_y = 0;
        part.pairs--;
    }
    part.first_pair = tflm_opt_max(-part.in_y, 0) / 2;
    part.last_pair = tflm_opt_min((call->input->h - part.in_y + 1) / 2, part.pairs);
    while (most > 1 && tflm_opt_depthwise_scratch(shape, part.rows, most) > call->size) {
        most -= most > 2 ? 2 - (most & 1) : 1; /* an even number if it can be */
    }
    for (; x < band->columns; x += most) {
        part.columns = tflm_opt_min(band->columns - x, most);
        part.pitch = tflm_opt_depthwise_row_words(shape, part.columns);
        part.in_x = (band->x + x) * shape->stride_w - params->padding.w;
        part.first_x = tflm_opt_max(-part.in_x, 0);
        part.last_x = tflm_opt_clamp(call->input->w - part.in_x, part.first_x,
                                     tflm_opt_max(part.pitch, part.first_x));
        make_strip(&part, lines, output, output_row);
        output += most * call->step;
    }
    return part.rows;
}

#endif
