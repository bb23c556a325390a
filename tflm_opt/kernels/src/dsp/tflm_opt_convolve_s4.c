#include "tflm_opt_kernels.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

#include "tflm_opt_convolve_s4.h"
#include "tflm_opt_gemm.h"

/*
 * A word of weights of each of two channels to two groups of four words, as in tflm_opt_gemm.h:
 * shifts `a` to `d` bring the halves of four values each under the mask.
 */
#define SPREAD_EIGHT(a, b, c, d)                                                                   \
    __asm__ volatile(".syntax unified\n"                                                           \
                     "1:\n\t"                                                                      \
                     "ldr.w r9, [%1, %2]\n\t"                                                      \
                     "ldr r8, [%1], #4\n\t"                                                        \
                     "and.w r2, %3, r8, " a "\n\t"                                                 \
                     "and.w r3, %3, r8, " b "\n\t"                                                 \
                     "and.w r4, %3, r9, " a "\n\t"                                                 \
                     "and.w r5, %3, r9, " b "\n\t"                                                 \
                     "ssub16 r2, r2, %4\n\t"                                                       \
                     "ssub16 r3, r3, %4\n\t"                                                       \
                     "ssub16 r4, r4, %4\n\t"                                                       \
                     "ssub16 r5, r5, %4\n\t"                                                       \
                     "stmia.w %0!, {r2, r3, r4, r5}\n\t"                                           \
                     "and.w r2, %3, r8, " c "\n\t"                                                 \
                     "and.w r3, %3, r8, " d "\n\t"                                                 \
                     "and.w r4, %3, r9, " c "\n\t"                                                 \
                     "and.w r5, %3, r9, " d "\n\t"                                                 \
                     "ssub16 r2, r2, %4\n\t"                                                       \
                     "ssub16 r3, r3, %4\n\t"                                                       \
                     "ssub16 r4, r4, %4\n\t"                                                       \
                     "ssub16 r5, r5, %4\n\t"                                                       \
                     "cmp %1, %5\n\t"                                                              \
                     "stmia.w %0!, {r2, r3, r4, r5}\n\t"                                           \
                     "bne 1b"                                                                      \
                     : "+r"(target), "+r"(first)                                                   \
                     : "r"(second), "r"(mask << twice), "r"(0x00080008U << twice), "r"(end)        \
                     : "r2", "r3", "r4", "r5", "r8", "r9", "cc", "memory")

/* Whole words of weights of a pair of channels; `twice` is 1 to double them. */
TFLM_OPT_APART void spread_words(
    uint32_t *target, const int32_t *first, int32_t second, const int32_t *end, int32_t twice)
{
    const uint32_t mask = 0x000F000FU;
    if (twice) {
        SPREAD_EIGHT("lsl #1", "lsr #7", "lsr #3", "lsr #11");
    } else {
        SPREAD_EIGHT("lsl #0", "lsr #8", "lsr #4", "lsr #12");
    }
}

const int8_t *tflm_opt_unpack_pair_s4(const tflm_opt_gemm *gemm,
                                      int32_t channel,
                                      uint32_t *weights)
{
    const int32_t depth = gemm->depth;
    if (gemm->unpacked == NULL) {
        const int32_t *first = gemm->packed + channel * (depth >> 3);
        spread_words(weights, first, gemm->filter_step >> 1, first + (depth >> 3),
                     gemm->form.doubled);
        return NULL;
    }
    return tflm_opt_unpack_s4(gemm->packed, channel * depth, depth + gemm->filter_step,
                              gemm->unpacked);
}

/* As the int8 kernels; convolutions in groups unpack channels on their own. */
arm_cmsis_nn_status tflm_opt_convolve_s4(const cmsis_nn_context *ctx,
                                         const cmsis_nn_conv_params *conv_params,
                                         const cmsis_nn_per_channel_quant_params *quant_params,
                                         const cmsis_nn_dims *input_dims,
                                         const int8_t *input_data,
                                         const cmsis_nn_dims *filter_dims,
                                         const int32_t *filter_data,
                                         const cmsis_nn_dims *bias_dims,
                                         const int32_t *bias_data,
                                         const cmsis_nn_dims *output_dims,
                                         int8_t *output_data)
{
    int32_t images = 1;
    tflm_opt_gemm gemm;
    cmsis_nn_context rest;
    (void)bias_dims;
    if (ctx == NULL || ctx->buf == NULL || input_data == NULL || filter_data == NULL ||
        output_data == NULL ||
        !tflm_opt_convolution_fits(conv_params, quant_params, input_dims, filter_dims,
                                   output_dims)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    if (input_dims->c != filter_dims->c) {
        return tflm_opt_convolve_unpacked(ctx, conv_params, quant_params, input_dims, input_data,
                                          filter_dims, filter_data, bias_data, output_dims,
                                          output_data);
    }
    tflm_opt_set_gemm(&gemm, conv_params, quant_params, NULL, bias_data, output_dims, output_data);
    if (tflm_opt_is_pointwise(conv_params, input_dims, filter_dims, output_dims)) {
        tflm_opt_set_gemm_row(&gemm, input_dims->n * input_dims->h * input_dims->w, input_dims->c);
    } else {
        images = input_dims->n;
        gemm.input = *input_dims;
        gemm.kernel = *filter_dims;
        gemm.span.count = output_dims->h * output_dims->w;
        gemm.staged = 1;
    }
    rest.buf = ctx->buf;
    rest.size = tflm_opt_beside_pair(ctx->size, filter_dims);
    if (rest.size < 1) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    gemm.packed = filter_data;
    gemm.unpacked = tflm_opt_unpacked_pair(filter_dims) == 0 ? NULL : (int8_t *)rest.buf + rest.size;
    return tflm_opt_gemm_images_s8(&gemm, &rest, input_data, images);
}

#endif /* TFLM_OPT_DSP */
