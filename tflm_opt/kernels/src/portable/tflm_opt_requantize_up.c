#include "tflm_opt_math.h"

int32_t tflm_opt_requantize_up(int32_t x, int32_t multiplier, int32_t shift)
{
    const int32_t left = shift > 0 ? shift : 0;
    return tflm_opt_divide_by_pot(tflm_opt_high_mul(tflm_opt_shift_left(x, left), multiplier),
                                  left - shift);
}
