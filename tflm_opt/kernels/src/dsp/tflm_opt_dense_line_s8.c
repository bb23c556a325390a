#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

#define TFLM_OPT_DENSE_PAIRED 0
#include "tflm_opt_dense.h"

void tflm_opt_dense_line_s8(const tflm_opt_channels *channels,
                            const int8_t *input,
                            const int8_t *filter,
                            int32_t count,
                            int8_t *output)
{
    tflm_opt_dense_line(channels, input, filter, count, output);
}

#endif /* TFLM_OPT_DSP */
