/* Semihosting calls, without stdio: what a program in QEMU uses to reach the host.
   Arm's "Semihosting for AArch32 and AArch64" defines the operations. */
#ifndef TFLM_OPT_SEMIHOST_H
#define TFLM_OPT_SEMIHOST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SEMIHOST_READ = 1, SEMIHOST_WRITE = 5 }; /* modes "rb" and "wb" */

/* A handle, or -1 where the file cannot be opened. Paths are relative to QEMU's directory. */
int semihost_open(const char *path, int mode);
void semihost_close(int handle);

/* Bytes in an open file, or -1. */
int32_t semihost_length(int handle);

/* 0 if all of `size` bytes were moved. */
int semihost_read(int handle, void *data, size_t size);
int semihost_write(int handle, const void *data, size_t size);

/* Text to the host's console. */
void semihost_print(const char *text);

/* Ends the program; the emulator exits with `status`. */
void semihost_exit(int status) __attribute__((noreturn));

#ifdef __cplusplus
}
#endif

#endif
