/*
 * The kernel library's one public header.
 *
 * int8 kernels for neural networks in NHWC, bit-exact with TensorFlow Lite Micro. No heap, no
 * stdio, no global state; of libc only memcpy and memset. Every kernel returns
 * ARM_CMSIS_NN_SUCCESS or says why not, and never writes outside its output and scratch.
 *
 * Memory: unless kernels/table.toml says otherwise, a kernel writes its output elements in
 * memory order, each exactly once, after it has read that element's window, and never reads its
 * output. An output may therefore overlap an input at a safe distance.
 */
#ifndef TFLM_OPT_KERNELS_H
#define TFLM_OPT_KERNELS_H

#include "tflm_opt_tier.h"
#include "tflm_opt_types.h"

#include "tflm_opt_arithmetic.h"
#include "tflm_opt_int16.h"
#include "tflm_opt_int4.h"
#include "tflm_opt_movement.h"
#include "tflm_opt_packed.h"
#include "tflm_opt_pointwise.h"
#include "tflm_opt_recurrent.h"

#endif /* TFLM_OPT_KERNELS_H */
