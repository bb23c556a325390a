/*
 * Rows of a fully connected layer for cores with the DSP extension: not part of the public interface.
 */
#ifndef TFLM_OPT_DENSE_H
#define TFLM_OPT_DENSE_H

#include "tflm_opt_dot.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * `count` outputs of one row of filter_size elements at `input`, in order. The whole row is read for
 * each block of four, and they are written afterwards. With `paired`, biases lack products of
 * neighbouring weights, as tflm_opt_fully_connected_s8 says, and there is no input offset.
 */
void tflm_opt_dense_line_s8(const tflm_opt_channels *channels,
                            int32_t paired,
                            const int8_t *input,
                            const int8_t *filter,
                            int32_t count,
                            int8_t *output);

#ifdef __cplusplus
}
#endif

#endif /* TFLM_OPT_DENSE_H */
