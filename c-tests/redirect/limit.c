/* Preloaded: the limit of mappings is read from the file that MAP_LIMIT names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *redirected(const char *path) {
    const char *limit = getenv("MAP_LIMIT");
    return limit && !strcmp(path, "/proc/sys/vm/max_map_count") ? limit : path;
}

#define OPENER(name) \
    int name(const char *path, int flags, ...) { \
        int (*real)(const char *, int, ...); \
        void *address = dlsym(RTLD_NEXT, #name); \
        memcpy(&real, &address, sizeof real); \
        int mode = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { \
            va_list list; \
            va_start(list, flags); \
            mode = va_arg(list, int); \
            va_end(list); \
        } \
        return real(redirected(path), flags, mode); \
    }
OPENER(open)
OPENER(open64)
