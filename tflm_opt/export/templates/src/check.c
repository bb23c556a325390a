#include "check.h"

#include <string.h>

#include "{{ name }}.h"
#include "vectors.h"

static const size_t input_size[] = { {{- input_sizes | join(", ") -}} };
static const size_t output_size[] = { {{- output_sizes | join(", ") -}} };

int check_vector(int vector)
{
    const unsigned char *data = vector_inputs[vector];
    int wrong = 0;
    if ({{ name }}_init()) {
        return -1;
    }
    for (int index = 0; index < {{ input_sizes | length }}; index++) {
        memcpy({{ name }}_input(index), data, input_size[index]);
        data += input_size[index];
    }
    if ({{ name }}_invoke()) {
        return -1;
    }
    data = vector_outputs[vector];
    for (int index = 0; index < {{ output_sizes | length }}; index++) {
        const unsigned char *output = {{ name }}_output(index);
        for (size_t byte = 0; byte < output_size[index]; byte++) {
            wrong += output[byte] != data[byte];
        }
        data += output_size[index];
    }
    return wrong;
}
