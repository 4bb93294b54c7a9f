/* Looking at files and at the process by system calls that the loader does not make: they work while the loader's own
 * are refused. Nothing is allocated. */
#define _GNU_SOURCE
#include "operations.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define ROOM (1 << 22)
static char content[ROOM];

void say(const char *format, ...) {
    static char text[8192];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    struct iovec piece = {text, n < (int)sizeof text ? (size_t)n : sizeof text - 1};
    if (writev(STDOUT_FILENO, &piece, 1) < 0) _exit(9);
}

static void check(bool good, const char *what) {
    if (good) return;
    say("%s does not work here\n", what);
    _exit(9);
}

/* -1 if it is not there. */
static int open_quietly(const char *path, uint64_t flags) {
    struct {
        uint64_t flags, mode, resolve;
    } how = {flags | O_CLOEXEC, 0, 0};
    long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
    /* valgrind knows neither this call nor the next. */
    if (fd < 0 && errno == ENOSYS) fd = open(path, (int)how.flags);
    return (int)fd;
}

static void close_quietly(int fd) {
    if (syscall(SYS_close_range, fd, fd, 0)) check(errno == ENOSYS && close(fd) == 0, "close_range");
}

/* The content of a file, and its size; -1 if there is none. */
static long content_of(const char *path) {
    int fd = open_quietly(path, O_RDONLY);
    if (fd < 0) return -1;
    long size = 0;
    for (;;) {
        struct iovec piece = {content + size, (size_t)(ROOM - size)};
        ssize_t n = readv(fd, &piece, 1);
        check(n >= 0 && size + n < ROOM, "readv");
        if (n == 0) break;
        size += n;
    }
    close_quietly(fd);
    return size;
}

static struct {
    char *bytes;
    long size;
} kept[2][TARGETS];

static void keep(const char *path, bool new, int i) {
    long size = content_of(path);
    kept[new][i].size = size;
    if (size < 0) return;
    kept[new][i].bytes = malloc((size_t)size + 1);
    memcpy(kept[new][i].bytes, content, (size_t)size);
}

void keep_targets(const operation *o, bool new) {
    for (int i = 0; i < TARGETS && o->targets[i]; i++) {
        keep(o->targets[i], new, i);
        /* For who looks at the files when this process is dead. */
        char copy[96];
        snprintf(copy, sizeof copy, "%s.%s", o->targets[i], new ? "new" : "old");
        if (getenv("FAULTS_REFERENCES") && kept[new][i].size >= 0)
            spew(copy, kept[new][i].bytes, (size_t)kept[new][i].size);
    }
}

static bool target_is(const operation *o, int i, bool new) {
    long size = content_of(o->targets[i]);
    return size == kept[new][i].size && (size <= 0 || !memcmp(content, kept[new][i].bytes, (size_t)size));
}

bool targets_are(const operation *o, bool new) {
    for (int i = 0; i < TARGETS && o->targets[i]; i++)
        if (!target_is(o, i, new)) return false;
    return true;
}

bool targets_are_as_said(const operation *o, const char *error) {
    /* The name could not be written to the disk, which is tried when all is done. */
    if (strstr(error, "the file is new all the same")) return targets_are(o, true);
    const char *list = strstr(error, "these files are new all the same: ");
    for (int i = 0; i < TARGETS && o->targets[i]; i++) {
        char quoted[64];
        snprintf(quoted, sizeof quoted, "'%s'", o->targets[i]);
        if (!target_is(o, i, list && strstr(list, quoted))) return false;
    }
    return true;
}

void restore(const operation *o) {
    for (int i = 0; i < TARGETS && o->targets[i]; i++) {
        if (kept[0][i].size < 0) {
            unlink(o->targets[i]);
        } else {
            /* At one stroke: whoever looks may look at any moment. */
            spew("restored", kept[0][i].bytes, (size_t)kept[0][i].size);
            CHECK(rename("restored", o->targets[i]) == 0);
        }
    }
}

long count_maps(void) {
    long size = content_of("/proc/self/maps"), lines = 0;
    check(size > 0, "/proc/self/maps");
    for (long i = 0; i < size; i++) lines += content[i] == '\n';
    return lines;
}

long count_descriptors(void) {
    static struct pollfd all[1024];
    long open = 0;
    for (int i = 0; i < 1024; i++) all[i] = (struct pollfd){i, 0, 0};
    struct timespec now = {0, 0};
    check(syscall(SYS_ppoll, all, 1024, &now, NULL, 8) >= 0, "ppoll");
    for (int i = 0; i < 1024; i++) open += !(all[i].revents & POLLNVAL);
    return open;
}

long count_temporary(void) {
    int fd = open_quietly(".", O_RDONLY | O_DIRECTORY);
    check(fd >= 0, "openat2");
    long found = 0, n;
    while ((n = syscall(SYS_getdents64, fd, content, ROOM)) > 0)
        for (long at = 0; at < n;) {
            struct dirent64 *entry = (struct dirent64 *)(content + at);
            found += strstr(entry->d_name, ".tmp.") != NULL;
            at += entry->d_reclen;
        }
    check(n == 0, "getdents64");
    close_quietly(fd);
    return found;
}
