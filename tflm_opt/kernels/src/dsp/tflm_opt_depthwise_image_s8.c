#include "tflm_opt_depthwise.h"
#include "tflm_opt_lines.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

/*
 * In bands of rows. A band is a block: as many rows as the scratch has room for, one at least; its
 * outputs are written in any order, before the block's last reads. Without scratch, or with a filter
 * that does not fit the words, a block is an element.
 */
TFLM_OPT_SMALL void tflm_opt_depthwise_image_s8(tflm_opt_depthwise_call *call,
                                 const int8_t *input,
                                 const cmsis_nn_dims *output_dims,
                                 int8_t *output)
{
    const int32_t output_row = output_dims->w * output_dims->c;
    int32_t n;
    for (n = 0; n < call->input->n; n++) {
        tflm_opt_lines_shape shape;
        const tflm_opt_lines lines = tflm_opt_whole(call->input, input, &shape);
        tflm_opt_depthwise_band band = {0, output_dims->h, 0, output_dims->w};
        while (band.rows > 0) {
            const int32_t rows =
                tflm_opt_depthwise_some_s8(call, &lines, &band, output, output_row);
            band.y += rows;
            band.rows -= rows;
            output += rows * output_row;
        }
        input += call->input->h * shape.ring_step;
    }
}

#endif
