/* Preloaded: transfers that are shorter than asked for, which a tracer cannot do, and a process number that does not
 * change, so that a process meets what an earlier one left.
 *
 *     FAULTS_SHORT=CALL:HOW[:N]   CALL: read, write; HOW: half, one, interrupted; N: the n-th call alone
 *     FAULTS_PID=NUMBER
 *
 * Transfers are shortened while a program that knows `faults_shim` says so. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static bool on;
static int known, calls;
static char call[16], how[16];
static int nth;

void faults_shim(int start) {
    on = start;
    if (!start) {
        char text[64];
        int n = snprintf(text, sizeof text, "shortened %d\n", calls);
        syscall(SYS_write, STDOUT_FILENO, text, n);
    }
}

static void know(void) {
    const char *wanted = getenv("FAULTS_SHORT");
    known = 1;
    if (wanted) sscanf(wanted, "%15[a-z]:%15[a-z]:%d", call, how, &nth);
}

/* How many of `n` bytes are transferred; -1 with errno. */
static ssize_t allowed(const char *which, int fd, size_t n) {
    struct stat st;
    if (!known) know();
    if (!on || strcmp(which, call) || n < 2 || fstat(fd, &st) || !S_ISREG(st.st_mode)) return (ssize_t)n;
    calls++;
    if (nth && calls != nth) return (ssize_t)n;
    if (!strcmp(how, "half")) return (ssize_t)(n / 2);
    if (!strcmp(how, "one")) return calls % 50 == 0 || nth ? 1 : (ssize_t)(n > 4000 ? 4000 : n);
    if (calls % 2 || nth) {
        errno = EINTR;
        return -1;
    }
    return (ssize_t)n;
}

/* A read that does not wait, for which older C libraries have no function. */
long syscall(long number, ...) {
    static long (*real)(long, ...);
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
    va_end(list);
    if (!real) {
        void *address = dlsym(RTLD_NEXT, "syscall");
        memcpy(&real, &address, sizeof real);
    }
    if (number == SYS_preadv2) {
        struct iovec part = *(const struct iovec *)a[1];
        ssize_t some = allowed("read", (int)a[0], part.iov_len);
        if (some < 0) return some;
        part.iov_len = (size_t)some;
        return real(number, a[0], &part, 1L, a[3], a[4], a[5]);
    }
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

#define TRANSFER(name, which, number, pointer) \
    ssize_t name(int fd, pointer data, size_t n) { \
        ssize_t some = allowed(which, fd, n); \
        return some < 0 ? some : syscall(number, fd, data, (size_t)some); \
    }
TRANSFER(read, "read", SYS_read, void *)
TRANSFER(write, "write", SYS_write, const void *)

#define TRANSFER_AT(name, which, number, pointer) \
    ssize_t name(int fd, pointer data, size_t n, off_t at) { \
        ssize_t some = allowed(which, fd, n); \
        return some < 0 ? some : syscall(number, fd, data, (size_t)some, at); \
    }
TRANSFER_AT(pread, "read", SYS_pread64, void *)
TRANSFER_AT(pread64, "read", SYS_pread64, void *)
TRANSFER_AT(pwrite, "write", SYS_pwrite64, const void *)
TRANSFER_AT(pwrite64, "write", SYS_pwrite64, const void *)

/* Only the loader and the tool are told another number: a host looks itself up by its own. */
pid_t getpid(void) {
    const char *number = getenv("FAULTS_PID");
    Dl_info caller;
    bool fooled = number && dladdr(__builtin_return_address(0), &caller) && caller.dli_fname &&
                  (strstr(caller.dli_fname, "lean_region") || strstr(caller.dli_fname, "/olean"));
    return fooled ? atoi(number) : (pid_t)syscall(SYS_getpid);
}
