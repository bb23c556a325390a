#include "tflm_opt_depthwise.h"
#include "tflm_opt_dot.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

void tflm_opt_depthwise_odd_s8(int32_t *sums, int32_t channel, const tflm_opt_depthwise_call *call)
{
    const int32_t bias = call->bias != NULL ? call->bias[channel] : 0;
    int32_t i;
    for (i = 0; i < 4; i++) {
        const int32_t sum = (int32_t)((uint32_t)(sums[i] >> 8) + (uint32_t)bias);
        sums[i] = tflm_opt_output_s8(sum, call->quant->multiplier[channel],
                                     call->quant->shift[channel], call->params->output_offset,
                                     call->params->activation);
    }
}

#endif
