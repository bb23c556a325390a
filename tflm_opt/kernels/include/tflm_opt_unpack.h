/*
 * How scratch is divided where weights are unpacked: not part of the public interface.
 * `codegen/forms.py` has the same formulas.
 */
#ifndef TFLM_OPT_UNPACK_H
#define TFLM_OPT_UNPACK_H

#include "tflm_opt_gemm.h"
#include "tflm_opt_math.h"
#include "tflm_opt_types.h"

/* Bytes for `count` weights, wherever the first one is in its word. */
TFLM_OPT_INLINE int32_t tflm_opt_unpacked_bytes(int32_t count)
{
    return (count + 14) & ~7;
}

/* Channels of so many weights that scratch has room for; by fours where it is not for all. */
TFLM_OPT_INLINE int32_t tflm_opt_unpacked_channels(int32_t size, int32_t depth, int32_t channels)
{
    const int32_t most = size < 8 ? 0 : ((size & ~7) - 7) / depth;
    return most >= channels ? channels : most >= 4 ? most & ~3 : most;
}

/*
 * Bytes at the end of a convolution's scratch for a pair of channels as bytes, the rest of which
 * is as in tflm_opt_gemm.h; 0 where rows of windows are whole words, and halves are made at once.
 */
TFLM_OPT_INLINE int32_t tflm_opt_unpacked_pair(const cmsis_nn_dims *filter)
{
    const int32_t length = filter->w * filter->c;
    const int32_t depth = filter->h * length;
    return (depth & 7) == 0 && (length & 3) == 0 ? 0 : tflm_opt_unpacked_bytes(2 * depth);
}

/* The scratch that is left beside it. */
TFLM_OPT_INLINE int32_t tflm_opt_beside_pair(int32_t size, const cmsis_nn_dims *filter)
{
    return (size - tflm_opt_unpacked_pair(filter)) & ~3;
}

#endif /* TFLM_OPT_UNPACK_H */
