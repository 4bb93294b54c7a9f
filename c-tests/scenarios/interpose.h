/* Faults in system calls, made by a library that stands before the C library (interpose.c). */
#ifndef INTERPOSE_H
#define INTERPOSE_H

#include <stddef.h>

typedef enum { OPEN, PREAD, WRITE, CLOSE, MMAP, MREMAP, MUNMAP, RENAME, LINK, MALLOC, CALLS } call;
typedef enum {
    NOTHING,
    INTERRUPT, /* not done, EINTR; close is done all the same, as on Linux */
    SHORT,     /* half of the bytes, one at least */
    END_EARLY, /* 0 bytes */
    FAILURE,   /* not done, the error given; close is done all the same */
    CUT,       /* the file named by fault_cut is truncated to as many bytes as the error number says, then done */
    FULL,      /* of all bytes together only as many as the error number says, then ENOSPC */
    PIECES     /* at most 1000 bytes, and every other call is interrupted */
} fault;

/* The call number `nth` (from 1) of that kind from now on, and `count` - 1 more, go wrong. Kinds are armed one by one. */
void fault_arm(call which, fault how, int error, int nth, int count);
/* As if nothing had been armed; answers how many calls went wrong. */
int fault_disarm(void);
/* Memory requests of `least` to `most` bytes count as MALLOC calls; all others are left alone. */
void fault_sizes(size_t least, size_t most);
/* The file that CUT truncates. */
void fault_cut(const char *file);
/* The name under which the limit of mappings is read leads to this file; NULL: to itself. */
void fault_map_limit(const char *file);

#endif
