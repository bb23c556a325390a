/*
 * Which instructions the kernels may use, from the compiler's macros.
 *
 * Every kernel has a portable source, plain C99. Some have one for cores with the DSP extension
 * (Armv7E-M, Armv8-M with DSP: M4, M7, M33) in dsp/, some one for Helium (M55, M85) in mve/. All of
 * them are compiled everywhere, and exactly one is left: a source whose turn it is not is empty.
 * A source says when its turn is by these macros, which are 0 or 1:
 *
 *     TFLM_OPT_MVE   vectors of integers
 *     TFLM_OPT_DSP   SMLAD and its kin; a core with vectors has them too
 *     TFLM_OPT_VFP   beside that, floats of 32 bits in hardware
 *
 * Portable sources have a part for cores that have less than most (Armv6-M, Armv8-M Baseline: M0, M0+,
 * M23): products of 32 bits only, and eight registers for nearly all instructions.
 *
 *     TFLM_OPT_THUMB1   such a core
 *
 * Of generated code, TFLM_OPT_PAIRED chooses the constants for kernels that multiply in pairs
 * (tflm_opt_fully_connected_s8, tflm_opt_fully_connected_spread_s8).
 *
 * With TFLM_OPT_PORTABLE defined for the whole library and for generated code, all are 0 on any
 * core.
 */
#ifndef TFLM_OPT_TIER_H
#define TFLM_OPT_TIER_H

/* The Arduino IDE compiles for size, which makes portable kernels an eighth slower. */
#if defined(ARDUINO) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O2")
#endif

/* The sources for Helium are written for GCC: clang doesn't know VPR.P0 as what assembly changes. */
#if !defined(TFLM_OPT_PORTABLE) && defined(__ARM_FEATURE_MVE) && !defined(__clang__)
#define TFLM_OPT_MVE ((__ARM_FEATURE_MVE) & 1)
#else
#define TFLM_OPT_MVE 0
#endif

#if !defined(TFLM_OPT_PORTABLE) && defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
#define TFLM_OPT_DSP 1
#else
#define TFLM_OPT_DSP 0
#endif

#if TFLM_OPT_DSP && defined(__ARM_FP)
#define TFLM_OPT_VFP (((__ARM_FP) >> 2) & 1)
#else
#define TFLM_OPT_VFP 0
#endif

#if !defined(TFLM_OPT_PORTABLE) && defined(__GNUC__) && defined(__thumb__) && !defined(__thumb2__)
#define TFLM_OPT_THUMB1 1
#else
#define TFLM_OPT_THUMB1 0
#endif

#define TFLM_OPT_PAIRED (TFLM_OPT_DSP && !TFLM_OPT_MVE)

/*
 * Its constants are of use to these kernels alone: code and kernels that were compiled for different
 * cores must not link.
 */
#if TFLM_OPT_PAIRED
#define tflm_opt_fully_connected_s8 tflm_opt_fully_connected_paired_s8
#define tflm_opt_fully_connected_spread_s8 tflm_opt_fully_connected_spread_paired_s8
#endif

/* C wants a declaration in every source, also in one that is empty otherwise. */
typedef int tflm_opt_tier;

#endif /* TFLM_OPT_TIER_H */
