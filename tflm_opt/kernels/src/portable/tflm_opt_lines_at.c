#include "tflm_opt_kernels.h"
#include "tflm_opt_lines.h"

int8_t *tflm_opt_lines_at(const tflm_opt_lines *lines, int32_t y, int32_t x, int32_t bytes)
{
    return (int8_t *)tflm_opt_pixel(lines, y, x, bytes);
}
