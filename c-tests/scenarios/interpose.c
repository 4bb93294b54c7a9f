/* Functions of the C library that fail when they are told to. Linked before the library under test. */
#define _GNU_SOURCE
#include "interpose.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
    fault how;
    int error, nth, count, hits;
} armed[CALLS];
static size_t least_size, most_size;
static const char *limit_file, *cut_file;

void fault_arm(call which, fault how, int error, int nth, int count) {
    armed[which].how = how;
    armed[which].error = error;
    armed[which].nth = nth;
    armed[which].count = count;
    armed[which].hits = 0;
}

int fault_disarm(void) {
    int hits = 0;
    for (int i = 0; i < CALLS; i++) hits += armed[i].hits;
    memset(armed, 0, sizeof armed);
    return hits;
}

void fault_sizes(size_t least, size_t most) {
    least_size = least;
    most_size = most;
}

void fault_cut(const char *file) { cut_file = file; }

void fault_map_limit(const char *file) { limit_file = file; }

/* What is to happen to this call. */
static fault meet(call which) {
    if (armed[which].how == NOTHING || --armed[which].nth > 0 || armed[which].count == 0) return NOTHING;
    armed[which].count--;
    armed[which].hits++;
    return armed[which].how;
}

static int refuse(call which, fault how) {
    errno = how == INTERRUPT ? EINTR : armed[which].error;
    return -1;
}

/* How many of `n` bytes are to be transferred; -1 with errno if none. */
static ssize_t allowed(call which, size_t n) {
    fault how = meet(which);
    switch (how) {
    case NOTHING: return (ssize_t)n;
    case CUT:
        if (truncate(cut_file, armed[which].error) != 0) return refuse(which, FAILURE);
        return (ssize_t)n;
    case SHORT: return (ssize_t)(n > 1 ? n / 2 : n);
    case END_EARLY: return 0;
    case FULL:
        if (armed[which].error == 0) {
            errno = ENOSPC;
            return -1;
        }
        if (n > (size_t)armed[which].error) n = (size_t)armed[which].error;
        armed[which].error -= (int)n;
        return (ssize_t)n;
    case PIECES:
        if (armed[which].hits % 2) {
            errno = EINTR;
            return -1;
        }
        return (ssize_t)(n > 1000 ? 1000 : n);
    default: return refuse(which, how);
    }
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) { \
        void *address = dlsym(RTLD_NEXT, #name); \
        memcpy(&real, &address, sizeof real); \
    }

#define MODE(flags, list) \
    int mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list list; \
        va_start(list, flags); \
        mode = va_arg(list, int); \
        va_end(list); \
    }

static const char *redirected(const char *path) {
    return limit_file && !strcmp(path, "/proc/sys/vm/max_map_count") ? limit_file : path;
}

#define OPENER(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name) \
        MODE(flags, list) \
        fault how = meet(OPEN); \
        return how ? refuse(OPEN, how) : real(redirected(path), flags, mode); \
    }
#define OPENER_AT(name) \
    int name(int dir, const char *path, int flags, ...) { \
        REAL(name) \
        MODE(flags, list) \
        fault how = meet(OPEN); \
        return how ? refuse(OPEN, how) : real(dir, redirected(path), flags, mode); \
    }
OPENER(open)
OPENER(open64)
OPENER_AT(openat)
OPENER_AT(openat64)

ssize_t pread(int fd, void *to, size_t n, off_t at) {
    REAL(pread)
    ssize_t some = allowed(PREAD, n);
    return some <= 0 ? some : real(fd, to, (size_t)some, at);
}

ssize_t pread64(int fd, void *to, size_t n, off64_t at) {
    REAL(pread64)
    ssize_t some = allowed(PREAD, n);
    return some <= 0 ? some : real(fd, to, (size_t)some, at);
}

/* Reads that do not wait have no function in older C libraries. While reads are to fail there are none: whoever asks
   for one reads as usual then. */
long syscall(long number, ...) {
    REAL(syscall)
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_preadv2 && armed[PREAD].how != NOTHING) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

ssize_t read(int fd, void *to, size_t n) {
    REAL(read)
    ssize_t some = allowed(PREAD, n);
    return some <= 0 ? some : real(fd, to, (size_t)some);
}

ssize_t write(int fd, const void *from, size_t n) {
    REAL(write)
    ssize_t some = allowed(WRITE, n);
    return some <= 0 ? some : real(fd, from, (size_t)some);
}

int close(int fd) {
    REAL(close)
    fault how = meet(CLOSE);
    int done = real(fd);
    return how ? refuse(CLOSE, how) : done;
}

int rename(const char *from, const char *to) {
    REAL(rename)
    fault how = meet(RENAME);
    return how ? refuse(RENAME, how) : real(from, to);
}

int link(const char *from, const char *to) {
    REAL(link)
    fault how = meet(LINK);
    return how ? refuse(LINK, how) : real(from, to);
}

int munmap(void *where, size_t n) {
    REAL(munmap)
    fault how = meet(MUNMAP);
    return how ? refuse(MUNMAP, how) : real(where, n);
}

void *mmap(void *where, size_t n, int protection, int flags, int fd, off_t at) {
    REAL(mmap)
    fault how = meet(MMAP);
    if (!how) return real(where, n, protection, flags, fd, at);
    refuse(MMAP, how);
    return MAP_FAILED;
}

void *mmap64(void *where, size_t n, int protection, int flags, int fd, off64_t at) {
    REAL(mmap64)
    fault how = meet(MMAP);
    if (!how) return real(where, n, protection, flags, fd, at);
    refuse(MMAP, how);
    return MAP_FAILED;
}

void *mremap(void *old, size_t old_size, size_t new_size, int flags, ...) {
    REAL(mremap)
    fault how = meet(MREMAP);
    if (!how) return real(old, old_size, new_size, flags);
    refuse(MREMAP, how);
    return MAP_FAILED;
}

#ifdef MEMORY
/* The C library's own names for its allocator: looking them up would allocate. */
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

static int refused(size_t n) {
    if (n < least_size || n > most_size || !meet(MALLOC)) return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t n) { return refused(n) ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return refused(n * size) ? NULL : __libc_calloc(n, size); }
void *realloc(void *old, size_t n) { return refused(n) ? NULL : __libc_realloc(old, n); }
#endif
