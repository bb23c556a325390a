/* CMSIS-NN's header name for the library's functions: see arm_nn_types.h beside it. */
#ifndef ARM_NNFUNCTIONS_H
#define ARM_NNFUNCTIONS_H

/* What CMSIS-NN's own headers bring along, and code that includes them may lean on. */
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "arm_nn_types.h"

#endif /* ARM_NNFUNCTIONS_H */
