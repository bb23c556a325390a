#include "tflm_opt_kernels.h"
#include "tflm_opt_math.h"

#define STEPS 256

/*
 * The logistic function of i / 24 in Q0.16, as TFLite has it: not everywhere the nearest value, so
 * that only these numbers give its outputs.
 */
static const uint16_t logistic[STEPS] = {
    32768, 33451, 34133, 34813, 35493, 36169, 36843, 37513, 38180, 38841, 39498, 40149,
    40794, 41432, 42064, 42688, 43304, 43912, 44511, 45102, 45683, 46255, 46817, 47369,
    47911, 48443, 48964, 49475, 49975, 50464, 50942, 51409, 51865, 52311, 52745, 53169,
    53581, 53983, 54374, 54755, 55125, 55485, 55834, 56174, 56503, 56823, 57133, 57433,
    57724, 58007, 58280, 58544, 58800, 59048, 59288, 59519, 59743, 59959, 60168, 60370,
    60565, 60753, 60935, 61110, 61279, 61441, 61599, 61750, 61896, 62036, 62172, 62302,
    62428, 62549, 62666, 62778, 62886, 62990, 63090, 63186, 63279, 63368, 63454, 63536,
    63615, 63691, 63765, 63835, 63903, 63968, 64030, 64090, 64148, 64204, 64257, 64308,
    64357, 64405, 64450, 64494, 64536, 64576, 64614, 64652, 64687, 64721, 64754, 64786,
    64816, 64845, 64873, 64900, 64926, 64950, 64974, 64997, 65019, 65039, 65060, 65079,
    65097, 65115, 65132, 65149, 65164, 65179, 65194, 65208, 65221, 65234, 65246, 65258,
    65269, 65280, 65291, 65301, 65310, 65319, 65328, 65337, 65345, 65352, 65360, 65367,
    65374, 65381, 65387, 65393, 65399, 65404, 65410, 65415, 65420, 65425, 65429, 65433,
    65438, 65442, 65445, 65449, 65453, 65456, 65459, 65462, 65465, 65468, 65471, 65474,
    65476, 65479, 65481, 65483, 65485, 65488, 65489, 65491, 65493, 65495, 65497, 65498,
    65500, 65501, 65503, 65504, 65505, 65507, 65508, 65509, 65510, 65511, 65512, 65513,
    65514, 65515, 65516, 65517, 65517, 65518, 65519, 65520, 65520, 65521, 65522, 65522,
    65523, 65523, 65524, 65524, 65525, 65525, 65526, 65526, 65526, 65527, 65527, 65528,
    65528, 65528, 65529, 65529, 65529, 65529, 65530, 65530, 65530, 65530, 65531, 65531,
    65531, 65531, 65531, 65532, 65532, 65532, 65532, 65532, 65532, 65533, 65533, 65533,
    65533, 65533, 65533, 65533, 65533, 65534, 65534, 65534, 65534, 65534, 65534, 65534,
    65534, 65534, 65534, 65535,
};

/* x * 3 * 2^shift, rounded where that is a shift right. */
static int32_t scaled(int32_t x, int32_t shift)
{
    if (shift >= 0) {
        return tflm_opt_shift_left(x * 3, shift);
    }
    return (x * 3 + ((int32_t)1 << (-shift - 1))) >> -shift;
}

/* Between two of the table's values, which are 2^bits apart, in Q0.(16 + bits). */
static int32_t interpolate(uint32_t x, int32_t bits, int32_t beyond)
{
    const uint32_t at = x >> bits;
    uint32_t low;
    if (at >= STEPS - 1) {
        return beyond;
    }
    low = logistic[at];
    return (int32_t)((low << bits) +
                     (x & (((uint32_t)1 << bits) - 1U)) * (logistic[at + 1] - low));
}

static uint32_t magnitude(int32_t x)
{
    return x < 0 ? 0U - (uint32_t)x : (uint32_t)x;
}

/* Of 3 * 2^12 for 1. */
static int16_t sigmoid(int32_t input)
{
    const int32_t value = interpolate(magnitude(input), 9, 0x7FFF << 10);
    return (int16_t)((input >= 0 ? value + (1 << 9) : (1 << 25) - value + (1 << 9) - 1) >> 10);
}

/* tanh(x) = 2 * logistic(2 * x) - 1 */
static int16_t tanh_of(int32_t input)
{
    const int32_t value = interpolate(magnitude(input), 8, 0xFFFF << 8) - (1 << 23);
    return (int16_t)((input >= 0 ? value + (1 << 7) : -value + (1 << 7) - 1) >> 8);
}

static int32_t halved(int32_t product, int32_t shift)
{
    return (product + (int32_t)(((uint32_t)1 << shift) >> 1)) >> shift;
}

int16_t tflm_opt_sigmoid_s16(int32_t x, int32_t shift)
{
    return sigmoid(scaled(x, shift));
}

int16_t tflm_opt_tanh_s16(int32_t x, int32_t shift)
{
    return tanh_of(scaled(x, shift));
}

void tflm_opt_logistic_s16(const int16_t *input,
                           int32_t multiplier,
                           int32_t shift,
                           int32_t size,
                           int16_t *output)
{
    int32_t i;
    for (i = 0; i < size; i++) {
        output[i] = sigmoid(halved(input[i] * multiplier, shift));
    }
}

void tflm_opt_tanh_of_s16(const int16_t *input,
                          int32_t multiplier,
                          int32_t shift,
                          int32_t size,
                          int16_t *output)
{
    int32_t i;
    for (i = 0; i < size; i++) {
        output[i] = tanh_of(halved(input[i] * multiplier, shift));
    }
}
