#ifndef CHECK_H
#define CHECK_H

/* Runs one stored vector; the number of output bytes that are not as stored, or -1 where the
   model reports an error. */
int check_vector(int vector);

#endif
