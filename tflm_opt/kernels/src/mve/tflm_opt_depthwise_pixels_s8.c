#include "tflm_opt_mve.h"

#if TFLM_OPT_MVE

#include <stddef.h>

/*
 * Channels side by side: 16 of a pixel at a time; where there are fewer, or where an input channel has
 * more outputs than one, eight. Long products come in two vectors, of even and of odd channels.
 */
#define HALF 8
#define TALLEST 16 /* rows of windows that are made by sixteens */

/* The taps of one window that lie inside the input; steps are in elements. */
typedef struct {
    const int8_t *pixel;
    const int8_t *taps;
    const tflm_opt_run *runs;
    int32_t columns;
    int32_t input_step; /* from one tap of a row to the next */
    int32_t tap_step;
    int32_t tap_skip; /* from behind a row's taps to the next row's */
} window;

/* What a core is told of 16 channels of a pixel, and those behind them. */
typedef struct {
    int32_t columns;
    const int8_t *taps;
    const int8_t *pixel;
    int32_t input_step;
    int32_t tap_step;
    int32_t offset; /* the input's */
    int32_t tap_skip;
    const int32_t *bias;
    const int32_t *multiplier;
    const int32_t *shift;
    int8_t *output;
    const int32_t *distances; /* from the first row to each other one, then 0 */
    int32_t next_taps;        /* from behind a window's taps to the next 16 channels' */
    const int8_t *end;        /* of outputs */
    int32_t output_offset;
    int32_t care;
} sixteen;

/* A tap of eight channels, whose values are in q4 and weights in q5. */
#define PRODUCTS(offset, even, odd)                                                                \
    "vadd.i16 q4, q4, " offset "\n\t"                                                              \
    "vmullb.s16 q6, q4, q5\n\t"                                                                    \
    "vmullt.s16 q7, q4, q5\n\t"                                                                    \
    "vadd.i32 " even ", " even ", q6\n\t"                                                          \
    "vadd.i32 " odd ", " odd ", q7\n\t"

/* Eight sums become values of 16 bits, in the place of the even ones; `kink` is for negative ones. */
#define SCALED(even, odd, kink)                                                                    \
    "vld20.32 {q4, q5}, [r9]\n\t"                                                                  \
    "vld21.32 {q4, q5}, [r9]!\n\t"                                                                 \
    "vld20.32 {q6, q7}, [r10]\n\t"                                                                 \
    "vld21.32 {q6, q7}, [r10]!\n\t"                                                                \
    "vqrdmulh.s32 " even ", " even ", q4\n\t"                                                      \
    "vqrdmulh.s32 " odd ", " odd ", q5\n\t" kink(even, "q4") kink(odd, "q5")                       \
    "vrshl.s32 " even ", " even ", q6\n\t"                                                         \
    "vrshl.s32 " odd ", " odd ", q7\n\t"                                                           \
    "vqmovnb.s32 " even ", " even "\n\t"                                                           \
    "vqmovnt.s32 " even ", " odd "\n\t"
#define NO_KINK(sums, spare)
#define KINK(sums, spare)                                                                          \
    "vshr.s32 " spare ", " sums ", #31\n\t"                                                        \
    "vadd.i32 " sums ", " sums ", " spare "\n\t"

/*
 * Sums of channels 0 to 7 in q0 and q1, of the others in q2 and q3. r2 walks over taps, r3 over
 * values, r12 over distances; r11 is where the first row's values are, r0 where outputs go.
 */
__attribute__((naked)) static void make_sixteens(__attribute__((unused)) const sixteen *of)
{
    __asm__("push {r4-r11, lr}\n\t"
            "vpush {d8-d15}\n\t"
            "sub sp, #20\n\t"
            "add r12, r0, #44\n\t"
            "ldm r12, {r1-r5}\n\t"
            "stm sp, {r1-r5}\n\t" /* distances, next_taps, end, output_offset, care */
            "ldm r0, {r1-r11}\n\t"
            "mov r0, r11\n\t"
            "mov r11, r3\n\t"
            "ldr r12, [sp]\n"
            "1:\n\t" /* 16 channels */
            "vld20.32 {q0, q1}, [r8]\n\t"
            "vld21.32 {q0, q1}, [r8]!\n\t"
            "vld20.32 {q2, q3}, [r8]\n\t"
            "vld21.32 {q2, q3}, [r8]!\n"
            "2:\n\t" /* a row of taps */
            "dls lr, r1\n"
            "3:\n\t"
            "vldrb.s16 q4, [r3]\n\t"
            "vldrb.s16 q5, [r2]\n\t" PRODUCTS("r6", "q0", "q1")
            "vldrb.s16 q4, [r3, #8]\n\t"
            "vldrb.s16 q5, [r2, #8]\n\t" PRODUCTS("r6", "q2", "q3")
            "add r3, r4\n\t"
            "add r2, r5\n\t"
            "le lr, 3b\n\t"
            "ldr lr, [r12], #4\n\t"
            "add r2, r7\n\t"
            "add r3, r11, lr\n\t"
            "cmp lr, #0\n\t"
            "bne 2b\n\t"
            "ldr lr, [sp, #16]\n\t"
            "cmp lr, #0\n\t"
            "bne 4f\n\t" SCALED("q0", "q1", NO_KINK) SCALED("q2", "q3", NO_KINK)
            "b 5f\n"
            "4:\n\t" SCALED("q0", "q1", KINK) SCALED("q2", "q3", KINK)
            "5:\n\t"
            "ldr lr, [sp, #12]\n\t"
            "vqadd.s16 q0, q0, lr\n\t"
            "vqadd.s16 q2, q2, lr\n\t"
            "vqmovnb.s16 q0, q0\n\t"
            "vqmovnb.s16 q2, q2\n\t"
            "vstrb.16 q0, [r0]\n\t"
            "vstrb.16 q2, [r0, #8]\n\t"
            "ldrd r12, lr, [sp]\n\t"
            "add r11, #16\n\t"
            "mov r3, r11\n\t"
            "add r2, lr\n\t"
            "ldr lr, [sp, #8]\n\t"
            "add r0, #16\n\t"
            "cmp r0, lr\n\t"
            "bne 1b\n\t"
            "add sp, #20\n\t"
            "vpop {d8-d15}\n\t"
            "pop {r4-r11, pc}\n\t");
}

/* The last channels of a pixel, fewer than 16, by way of the 16 that end with them. */
TFLM_OPT_APART void make_last(const sixteen *pixel, int32_t count, int8_t *output)
{
    const int32_t left = count & 15;
    const mve_pred16_t some = vctp8q((uint32_t)left);
    sixteen of = *pixel;
    int8_t last[16];
    of.taps += count - 16;
    of.pixel += count - 16;
    of.bias += count - 16;
    of.multiplier += count - 16;
    of.shift += count - 16;
    of.output = last;
    of.end = last + 16;
    make_sixteens(&of);
    vstrbq_p_s8(output + count - left, vldrbq_z_s8(last + 16 - left, some), some);
}

/*
 * Pixels of a span, of 16 channels at least. `taps` are those of the first row that is inside, `start`
 * is the first pixel of that row.
 */
TFLM_OPT_APART void make_wide_pixels(const tflm_opt_depthwise_layer *layer,
                                     const tflm_opt_span *span,
                                     const int8_t *taps,
                                     const int8_t *start,
                                     sixteen *of,
                                     int8_t *output)
{
    const cmsis_nn_dw_conv_params *params = layer->params;
    const int32_t dilation = params->dilation.w;
    const int32_t stride = params->stride.w;
    const int32_t count = layer->input->c;
    const int32_t width = layer->filter->w;
    const int32_t last_x = layer->input->w - 1 - (width - 1) * dilation;
    int32_t in_x = span->x * stride - params->padding.w;
    int32_t x;
    of->output = output;
    for (x = span->count; x > 0; x--) {
        tflm_opt_taps across = {0, width};
        if (in_x < 0 || in_x > last_x) {
            across = tflm_opt_window(in_x, width, dilation, layer->input->w);
        }
        of->columns = across.last - across.first;
        of->tap_skip = (width - of->columns) * count;
        of->taps = taps + across.first * count;
        of->pixel = start + (in_x + across.first * dilation) * count;
        of->end = of->output + (count & ~15);
        make_sixteens(of);
        if ((count & 15) != 0) {
            make_last(of, count, of->output);
        }
        of->output += count;
        in_x += stride;
    }
    tflm_opt_clamp_all(output, span->count * count, params->activation);
}

/* Sums of even and odd ones of eight channels. */
typedef struct {
    int32x4_t even;
    int32x4_t odd;
} sums;

/*
 * What a window adds to the sums of the channels in `some`, of eight; `from` says which input channel
 * each of them reads.
 */
TFLM_OPT_INLINE void add_window(const window *win,
                                const int8_t *x,
                                int32_t at,
                                int32_t offset,
                                uint16x8_t from,
                                mve_pred16_t some,
                                sums *to)
{
    const int8_t *w = win->taps + at;
    const tflm_opt_run *run = win->runs;
    for (; run->rows > 0; run++) {
        const int32_t skips[2] = {run->step - win->columns * win->input_step, win->tap_skip};
        int32_t rows = run->rows;
        __asm__ volatile("vmsr p0, %[some]\n"
                         "1:\n\t"
                         "dls lr, %[columns]\n"
                         "2:\n\t"
                         "vpstt\n\t"
                         "vldrbt.s16 q4, [%[x], %q[from]]\n\t"
                         "vldrbt.s16 q5, [%[w]]\n\t" PRODUCTS("%q[offset]", "%q[even]", "%q[odd]")
                         "add %[x], %[input_step]\n\t"
                         "add %[w], %[tap_step]\n\t"
                         "le lr, 2b\n\t"
                         "ldr lr, [%[skips]]\n\t"
                         "add %[x], lr\n\t"
                         "ldr lr, [%[skips], #4]\n\t"
                         "add %[w], lr\n\t"
                         "subs %[rows], #1\n\t"
                         "bne 1b"
                         : [x] "+l"(x), [w] "+l"(w), [rows] "+r"(rows), [even] "+w"(to->even),
                           [odd] "+w"(to->odd)
                         : [columns] "r"(win->columns), [input_step] "r"(win->input_step),
                           [tap_step] "r"(win->tap_step), [skips] "r"(skips),
                           [offset] "w"(vdupq_n_s16((int16_t)offset)), [from] "w"(from),
                           [some] "r"((uint32_t)some)
                         : "lr", "q4", "q5", "q6", "q7", "memory", "cc", "p0");
        x += run->jump;
    }
}

TFLM_OPT_INLINE int32x4_t scaled(int32_t care, int32x4_t sum, int32x4_t multiplier, int32x4_t shift)
{
    if (care == TFLM_OPT_RIGHT) {
        return tflm_opt_scale_x4(sum, multiplier, shift);
    }
    return care == TFLM_OPT_NEGATIVE ? tflm_opt_scale_away_x4(sum, multiplier, shift)
                                     : tflm_opt_scale_any_x4(sum, multiplier, shift);
}

/* Outputs of eight sums that were scaled, side by side. */
TFLM_OPT_INLINE int16x8_t outputs_of(const tflm_opt_channels *channels, int32x4_t even, int32x4_t odd)
{
    const int16x8_t values = vqmovntq_s32(vqmovnbq_s32(vdupq_n_s16(0), even), odd);
    const int16x8_t moved = vqaddq_n_s16(values, (int16_t)channels->output_offset);
    return vminq_s16(vmaxq_s16(moved, vdupq_n_s16((int16_t)channels->activation.min)),
                     vdupq_n_s16((int16_t)channels->activation.max));
}

/* Outputs of the first `count` of eight channels, eight or fewer. */
TFLM_OPT_APART void make_some(const tflm_opt_depthwise_layer *layer,
                              const window *win,
                              const int8_t *x,
                              int32_t at,
                              uint16x8_t from,
                              int32_t count,
                              int8_t *output)
{
    const tflm_opt_channels *channels = layer->channels;
    const uint32x4_t even = vidupq_n_u32(0, 2);
    const uint32x4_t odd = vaddq_n_u32(even, 1);
    const mve_pred16_t evens = vctp32q((uint32_t)(count + 1) >> 1);
    const mve_pred16_t odds = vctp32q((uint32_t)count >> 1);
    const mve_pred16_t some = vctp16q((uint32_t)count);
    const int32_t *multiplier = channels->multiplier + at;
    const int32_t *shift = channels->shift + at;
    sums of = {vdupq_n_s32(0), vdupq_n_s32(0)};
    if (channels->bias_step != 0) {
        of.even = vldrwq_gather_shifted_offset_z_s32(channels->bias + at, even, evens);
        of.odd = vldrwq_gather_shifted_offset_z_s32(channels->bias + at, odd, odds);
    }
    add_window(win, x, at, channels->input_offset, from, some, &of);
    of.even = scaled(layer->care, of.even,
                     vldrwq_gather_shifted_offset_z_s32(multiplier, even, evens),
                     vldrwq_gather_shifted_offset_z_s32(shift, even, evens));
    of.odd = scaled(layer->care, of.odd, vldrwq_gather_shifted_offset_z_s32(multiplier, odd, odds),
                    vldrwq_gather_shifted_offset_z_s32(shift, odd, odds));
    vstrbq_p_s16(output + at, outputs_of(channels, of.even, of.odd), some);
}

/* The input channels of eight outputs, counted from that of the first, which is its `phase`th. */
TFLM_OPT_INLINE uint16x8_t sources(int32_t phase, int32_t ch_mult)
{
    const uint16x8_t place = vidupq_n_u16((uint32_t)phase, 1);
    if (ch_mult >= HALF) {
        return vpselq_u16(vdupq_n_u16(1), vdupq_n_u16(0), vcmpcsq_n_u16(place, (uint16_t)ch_mult));
    }
    return vmulhq_u16(place, vdupq_n_u16((uint16_t)(0xFFFF / ch_mult + 1)));
}

/* All channels of one pixel. */
TFLM_OPT_APART void make_pixel(const tflm_opt_depthwise_layer *layer,
                               const window *win,
                               int32_t count,
                               int8_t *output)
{
    const int32_t ch_mult = layer->params->ch_mult;
    const int8_t *x = win->pixel;
    uint16x8_t from = vidupq_n_u16(0, 1);
    int32_t phase = 0; /* of the outputs of one input channel */
    int32_t done;
    for (done = 0; done < count; done += HALF) {
        if (ch_mult != 1) {
            from = sources(phase, ch_mult);
        }
        make_some(layer, win, x, done, from, tflm_opt_min(count - done, HALF), output);
        for (phase += HALF; phase >= ch_mult; phase -= ch_mult) {
            x++;
        }
    }
}

/* Whether all windows of a span have a column inside the input. */
static int has_columns(const tflm_opt_depthwise_layer *layer, const tflm_opt_span *span)
{
    const cmsis_nn_dw_conv_params *params = layer->params;
    const int32_t first = span->x * params->stride.w - params->padding.w;
    return first + (layer->filter->w - 1) * params->dilation.w >= 0 &&
           first + (span->count - 1) * params->stride.w < layer->input->w &&
           params->dilation.w <= layer->input->w;
}

/* Makes a span by sixteens, whose windows begin with row y, and `rows` are inside; 0 if it can't. */
static int make_wide(const tflm_opt_depthwise_layer *layer,
                     const tflm_opt_span *span,
                     const int8_t *taps,
                     int32_t y,
                     int32_t rows,
                     int8_t *output)
{
    const cmsis_nn_dw_conv_params *params = layer->params;
    const tflm_opt_channels *channels = layer->channels;
    const int32_t count = layer->input->c;
    const int8_t *start;
    int32_t distances[TALLEST];
    sixteen of;
    int32_t i;
    if (params->ch_mult != 1 || count < 16 || rows < 1 || rows > TALLEST ||
        channels->bias_step == 0 || layer->care == TFLM_OPT_ANY || !has_columns(layer, span)) {
        return 0;
    }
    start = tflm_opt_pixel(layer->lines, y, 0, count);
    for (i = 1; i < rows; i++) {
        y += params->dilation.h;
        distances[i - 1] = (int32_t)(tflm_opt_pixel(layer->lines, y, 0, count) - start);
    }
    distances[rows - 1] = 0;
    of.input_step = params->dilation.w * count;
    of.tap_step = count;
    of.offset = params->input_offset;
    of.bias = channels->bias;
    of.multiplier = channels->multiplier;
    of.shift = channels->shift;
    of.distances = distances;
    of.next_taps = 16 - rows * layer->filter->w * count;
    of.output_offset = params->output_offset;
    of.care = layer->care;
    make_wide_pixels(layer, span, taps, start, &of, output);
    return 1;
}

void tflm_opt_depthwise_pixels_s8(const tflm_opt_depthwise_layer *layer,
                                  const tflm_opt_span *span,
                                  int8_t *output)
{
    static const tflm_opt_run nothing = {0, 0, 0};
    const cmsis_nn_dw_conv_params *params = layer->params;
    const cmsis_nn_dims *input = layer->input;
    const cmsis_nn_dims *filter = layer->filter;
    const int32_t count = input->c * params->ch_mult;
    const int32_t in_y = span->y * params->stride.h - params->padding.h;
    const tflm_opt_taps down = tflm_opt_window(in_y, filter->h, params->dilation.h, input->h);
    const int32_t first_y = in_y + down.first * params->dilation.h;
    const int32_t tall = down.last - down.first;
    const int8_t *const taps = layer->filter_data + down.first * filter->w * count;
    int32_t in_x = span->x * params->stride.w - params->padding.w;
    tflm_opt_window_rows rows;
    window win;
    int32_t x;
    if (make_wide(layer, span, taps, first_y, tall, output)) {
        return;
    }
    tflm_opt_set_rows(layer->lines, first_y, params->dilation.h, tall, tflm_opt_max(in_x, 0),
                      input->c, &rows);
    win.input_step = params->dilation.w * input->c;
    win.tap_step = count;
    for (x = 0; x < span->count; x++) {
        const tflm_opt_taps across =
            tflm_opt_window(in_x, filter->w, params->dilation.w, input->w);
        win.columns = across.last - across.first;
        win.pixel = rows.origin;
        win.taps = taps;
        win.runs = &nothing;
        if (win.columns > 0) {
            win.runs = rows.runs;
            win.pixel += rows.offset + (in_x + across.first * params->dilation.w) * input->c;
            win.taps += across.first * count;
        }
        win.tap_skip = (filter->w - win.columns) * count;
        make_pixel(layer, &win, count, output);
        output += count;
        in_x += params->stride.w;
    }
}

#endif
