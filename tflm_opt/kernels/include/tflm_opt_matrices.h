/*
 * CMSIS-NN's description of a batch of matrix products as ours: not part of the public interface.
 */
#ifndef TFLM_OPT_MATRICES_H
#define TFLM_OPT_MATRICES_H

#include "tflm_opt_check.h"
#include "tflm_opt_types.h"

/* Whether a side has one matrix for each of the output's along an axis, or one for all. */
TFLM_OPT_INLINE int tflm_opt_is_batch(int32_t size, int32_t output_size)
{
    return size == output_size || size == 1;
}

/* The shape of products [n, h, rows, depth] x [n, h, columns, depth]; 0 if it makes no sense. */
TFLM_OPT_INLINE int tflm_opt_set_matmul(const cmsis_nn_dims *left,
                                        const cmsis_nn_dims *right,
                                        const cmsis_nn_dims *output,
                                        tflm_opt_matmul *shape)
{
    if (!tflm_opt_is_positive(left) || !tflm_opt_is_positive(right) ||
        !tflm_opt_is_positive(output) || left->c != right->c || output->w != left->w ||
        output->c != right->w || !tflm_opt_is_batch(left->n, output->n) ||
        !tflm_opt_is_batch(right->n, output->n) || !tflm_opt_is_batch(left->h, output->h) ||
        !tflm_opt_is_batch(right->h, output->h)) {
        return 0;
    }
    shape->batch[0] = 1;
    shape->left_batch[0] = 0;
    shape->right_batch[0] = 0;
    shape->batch[1] = output->n;
    shape->left_batch[1] = left->n == 1 ? 0 : left->h * left->w * left->c;
    shape->right_batch[1] = right->n == 1 ? 0 : right->h * right->w * right->c;
    shape->batch[2] = output->h;
    shape->left_batch[2] = left->h == 1 ? 0 : left->w * left->c;
    shape->right_batch[2] = right->h == 1 ? 0 : right->w * right->c;
    shape->rows = left->w;
    shape->columns = right->w;
    shape->depth = left->c;
    shape->left_row = left->c;
    shape->left_step = 1;
    shape->right_column = right->c;
    shape->right_step = 1;
    return 1;
}

#endif /* TFLM_OPT_MATRICES_H */
