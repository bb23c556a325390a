/* Runs the model on its stored test vectors and says PASS or FAIL.

{% if streamed %}
   To use the model in your own program, these three calls are all there is:

       {{ name }}_init();                          once
       {{ name }}_invoke_rows(next_rows, user);    next_rows hands over the input (see check.c)
{% else %}
   To use the model in your own program, these four calls are all there is:

       {{ name }}_init();                          once
       memcpy({{ name }}_input(0), data, size);    the input, as int8 (see {{ name }}.h)
       {{ name }}_invoke();
{% endif %}
       result = {{ name }}_output(0);              valid until the next invoke
*/
#if !defined(ARDUINO) && !defined(PIO_UNIT_TESTING) /* there, others are the program */

#include <stdio.h>
{% if streamed %}
#include <string.h>
{% endif %}

#include "check.h"
#include "{{ name }}.h"
#include "vectors.h"

#ifdef TFLM_OPT_QEMU
#include "harness.h"

static const size_t input_size[] = { {{- input_sizes | join(", ") -}} };
static const size_t output_size[] = { {{- output_sizes | join(", ") -}} };
{% if streamed %}
static unsigned char sample[VECTOR_INPUT]; /* the host's input; only here is it whole in RAM */

static void *sample_input(int index)
{
    return index == 0 ? sample : NULL;
}

static int next_rows(void *user, int8_t *dst, int row, int count)
{
    (void)user;
    memcpy(dst, sample + (size_t)row * {{ row }}u, (size_t)count * {{ row }}u);
    return 0;
}

static int sample_invoke(void)
{
    return {{ name }}_invoke_rows(next_rows, NULL);
}

{% endif %}
static const struct harness_model model = {
{% if streamed %}
    {{ name }}_init, sample_input, sample_invoke, {{ name }}_output,
{% else %}
    {{ name }}_init, {{ name }}_input, {{ name }}_invoke, {{ name }}_output,
{% endif %}
    {{ input_sizes | length }}, {{ output_sizes | length }}, input_size, output_size,
};
#endif

volatile int {{ name }}_failures = -1; /* for a debugger: vectors that failed */

int main(void)
{
#ifdef TFLM_OPT_QEMU
    if (harness_serve(&model)) { /* the host left its own inputs in a file */
        return 0;
    }
#endif
    int failures = 0;
    for (int vector = 0; vector < VECTOR_COUNT; vector++) {
        const int wrong = check_vector(vector);
        failures += wrong != 0;
        printf("vector %d: %s, %d bytes differ\n", vector, wrong ? "FAIL" : "PASS", wrong);
    }
#ifdef TFLM_OPT_QEMU
    printf("instructions: %lu\n", (unsigned long)harness_instructions(&model));
#endif
    printf("%s: %d of %d vectors\n", failures ? "FAIL" : "PASS", VECTOR_COUNT - failures,
           VECTOR_COUNT);
    {{ name }}_failures = failures;
    return failures != 0;
}

#endif
