/* Real limits of the process: what is short is said, with its value and what to raise, and nothing stays; and where
 * addresses are limited, copies take no more of them than their files have bytes. */
#define _GNU_SOURCE
#include "common.h"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <fcntl.h>
#include <unistd.h>

#define LARGE (8 << 20)

/* The `n`-th number of /proc/self/statm, in bytes: 0 of all addresses, 5 of data. */
static size_t used(int n) {
    char text[200];
    int fd = open("/proc/self/statm", O_RDONLY);
    CHECK(fd >= 0);
    ssize_t got = read(fd, text, sizeof text - 1);
    CHECK(got > 0 && close(fd) == 0);
    text[got] = 0;
    char *at = text;
    size_t pages = 0;
    for (int i = 0; i <= n; i++) pages = strtoul(at, &at, 10);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void limit(int resource, rlim_t bytes) {
    struct rlimit now;
    CHECK(getrlimit(resource, &now) == 0);
    now.rlim_cur = bytes;
    CHECK(setrlimit(resource, &now) == 0);
}

/* Saves and copies under a limit that leaves a little, and again without. */
static void under(int resource, int number, const char *name, const char *raise) {
    lean_object *data = random_string(LARGE, 1);
    /* More than a save keeps room for. */
    lean_object *list = box(0);
    for (size_t i = 0; i < 1000000; i++) list = ctor(1, box(i), list, END);
    save_ok("large", data);
    take(file_base("large"), 4096);
    holdings before = held();
    size_t most = used(number) + (1 << 20);
    char value[100];
    snprintf(value, sizeof value, "limited to %zu bytes (%s)", most, name);
    limit(resource, most);
    FAILS(read_result("large", NULL), "failed to read 'large': out of memory", value, raise);
    FAILS(save("new", list, NULL, NULL), "failed to write 'new': out of memory", value, raise);
    limit(resource, RLIM_INFINITY);
    CHECK(!exists("new") && files(true) == 0);
    CHECK_HELD(before);
    region r = read_ok("large", NULL);
    CHECK(!mapped(r) && same(r.root, data));
    free_region(r);
    save_ok("new", list);
    give_back(file_base("large"), 4096);
    lean_region_dec(data);
    lean_region_dec(list);
}

/* valgrind has limits of its own. */
static void addresses(void) {
    if (scale < 100) under(RLIMIT_AS, 0, "RLIMIT_AS", "raise it with ulimit -v");
}

static void data_size(void) {
    if (scale < 100) under(RLIMIT_DATA, 5, "RLIMIT_DATA", "raise it with ulimit -d");
}

static void copies_under_a_limit(void) {
    if (scale >= 100) return;
    enum { FILES = 10, BYTES = 100000 };
    region regions[FILES];
    char file[FILES][10];
    for (int i = 0; i < FILES; i++) {
        lean_object *data = random_string(BYTES, (unsigned)i);
        snprintf(file[i], sizeof file[i], "f%d", i);
        save_ok(file[i], data);
        lean_region_dec(data);
        take(file_base(file[i]), 4096);
    }
    size_t before = used(0);
    limit(RLIMIT_AS, before + (256 << 20));
    for (int i = 0; i < FILES; i++) {
        regions[i] = read_ok(file[i], NULL);
        CHECK(!mapped(regions[i]));
    }
    /* Each is a whole number of pages; a little is for what is written down about them. */
    CHECK(used(0) - before < FILES * (BYTES + 8192) + (256 << 10));
    for (int i = 0; i < FILES; i++) {
        free_region(regions[i]);
        give_back(file_base(file[i]), 4096);
    }
    limit(RLIMIT_AS, RLIM_INFINITY);
}

/* The system refuses the call from now on, as a sandbox does. */
static void refuse(long call) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* Memory cannot be made larger where it is; other memory does. */
static void no_mremap(void) {
    if (scale >= 100) return;
    lean_object *data = random_string(LARGE, 1);
    refuse(SYS_mremap);
    save_ok("large", data);
    region r = read_ok("large", NULL);
    CHECK(mapped(r) && same(r.root, data));
    free_region(r);
    lean_region_dec(data);
}

/* No file and no memory can be mapped: regions are read into what malloc finds elsewhere, and what it cannot find is said
 * to be refused. */
static void no_mmap(void) {
    if (scale >= 100) return;
    lean_object *data = random_string(LARGE, 1), *small = random_string(LARGE / 8, 2);
    save_ok("large", data);
    save_ok("small", small);
    refuse(SYS_mmap);
    region r = read_ok("small", NULL);
    CHECK(!mapped(r) && same(r.root, small));
    free_region(r);
    /* Nor any memory without a mapping. */
    limit(RLIMIT_DATA, used(5) + 65536);
    FAILS(read_result("large", NULL), "failed to read 'large': out of memory",
          "this process may not map memory (mmap: Operation not permitted): let its sandbox allow that");
    limit(RLIMIT_DATA, RLIM_INFINITY);
    lean_region_dec(data);
    lean_region_dec(small);
}

const scenario limit_scenarios[] = {{"addresses", addresses},
                                    {"data_size", data_size},
                                    {"copies_under_a_limit", copies_under_a_limit},
                                    {"no_mremap", no_mremap},
                                    {"no_mmap", no_mmap},
                                    {0}};
