/*
 * CMSIS-NN's header name for the library's types: with this folder's parent in the include path
 * instead of CMSIS-NN, code written for CMSIS-NN compiles against this library. The structs are
 * CMSIS-NN's field by field. docs/cmsis_nn.md says what is there and how to link it.
 */
#ifndef ARM_NN_TYPES_H
#define ARM_NN_TYPES_H

#ifdef TFLM_OPT_TYPES_H
#error "include arm_nn_types.h before this library's own headers: it leaves out a const of theirs"
#endif

/* As in CMSIS-NN, multipliers and shifts may be written through the structs that point to them. */
#define TFLM_OPT_FACTOR int32_t

#include "../../include/tflm_opt_kernels.h"

#endif /* ARM_NN_TYPES_H */
