/* Runs a generated model over the samples that the host left in `inputs.bin`. */
#ifndef TFLM_OPT_HARNESS_H
#define TFLM_OPT_HARNESS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A generated model's interface, with the sizes of its inputs and outputs in bytes. */
struct harness_model {
    int (*init)(void);
    void *(*input)(int index);
    int (*invoke)(void);
    const void *(*output)(int index);
    int inputs;
    int outputs;
    const size_t *input_size;
    const size_t *output_size;
};

/* 0 where there is no `inputs.bin`: nothing was done. 1 if it was served: each sample's inputs
   were read, invoked, and the outputs appended to `outputs.bin`, with one record of `counts.bin`
   each (see harness.c). Anything else that can go wrong ends the program with a line about it. */
int harness_serve(const struct harness_model *model);

/* Instructions that one invoke executes; the input must be in place. Exact in QEMU. */
uint64_t harness_instructions(const struct harness_model *model);

#ifdef __cplusplus
}
#endif

#endif
