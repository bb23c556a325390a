#include "check.h"

#include <string.h>

#include "{{ name }}.h"
#include "vectors.h"

{% if not streamed %}
static const size_t input_size[] = { {{- input_sizes | join(", ") -}} };
{% endif %}
static const size_t output_size[] = { {{- output_sizes | join(", ") -}} };

{% if streamed %}
/* Rows of a stored vector, as a camera would hand them over; `user` is the vector. */
static int next_rows(void *user, int8_t *dst, int row, int count)
{
    const unsigned char *const *const vector = user;
    memcpy(dst, *vector + (size_t)row * {{ row }}u, (size_t)count * {{ row }}u);
    return 0;
}

{% endif %}
int check_vector(int vector)
{
    const unsigned char *data = vector_inputs[vector];
    int wrong = 0;
    if ({{ name }}_init()) {
        return -1;
    }
{% if streamed %}
    if ({{ name }}_invoke_rows(next_rows, &data)) {
{% else %}
    for (int index = 0; index < {{ input_sizes | length }}; index++) {
        memcpy({{ name }}_input(index), data, input_size[index]);
        data += input_size[index];
    }
    if ({{ name }}_invoke()) {
{% endif %}
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
