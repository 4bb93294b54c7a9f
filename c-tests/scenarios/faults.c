/* System calls that are interrupted, transfer less than asked for, or fail: everything is either as if nothing
 * had happened, or an error with name and cause that leaves nothing behind and the old file as it was. */
#define _GNU_SOURCE
#include "common.h"
#include "interpose.h"
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGE 400000

static lean_object *old_data, *new_data, *part_names, *part_list, *key;
static char *old_bytes, *new_bytes;
static size_t old_size, new_size;

static lean_object *save_new(void) { return save("f", new_data, NULL, NULL); }
static lean_object *save_parts(void) { return lean_save_module_data_parts(key, part_list); }
static lean_object *read_large(void) { return read_result("large", NULL); }
static lean_object *read_small(void) { return read_result("small", NULL); }
static lean_object *read_parts(void) { return lean_read_module_data_parts(part_names); }

/* Checks and frees the regions of what was read, a pair or an array of two, which is consumed. */
static void free_value(lean_object *value) {
    region r[2];
    bool pair = lean_region_tag(value) == 0;
    size_t n = pair ? 1 : lean_region_child_count(value);
    CHECK(pair || n == 2);
    for (size_t i = 0; i < n; i++) {
        r[i] = from_pair(inc(pair ? value : lean_region_child(value, i)));
        CHECK(same(new_data, r[i].root) || same(old_data, r[i].root));
    }
    /* It leads to the roots, so it goes before the regions. */
    lean_region_dec(value);
    while (n-- > 0) free_region(r[n]);
}

/* An operation, the file that it may name in an error, whether it saves. */
static const struct operation {
    lean_object *(*run)(void);
    const char *file;
    bool saves, relocates;
} operations[] = {
    {save_new, "'f'", true, false},     {save_parts, "'p", true, false}, {read_large, "'large'", false, false},
    {read_large, "'large'", false, true}, {read_small, "'small'", false, true}, {read_small, "'small'", false, false},
    {read_parts, "'p", false, false},
};
#define OPERATIONS (sizeof operations / sizeof *operations)

static void prepare_files(void) {
    old_data = array(str("old"), END);
    new_data = array(random_string(LARGE, 3), str("new"), END);
    save_ok("f", new_data);
    new_bytes = slurp("f", &new_size);
    save_ok("f", old_data);
    old_bytes = slurp("f", &old_size);
    save_ok("large", new_data);
    save_ok("small", old_data);
    key = name("P");
    part_names = array(str("p1"), str("p2"), END);
    part_list = array(ctor(0, str("p1"), inc(new_data), END), ctor(0, str("p2"), inc(old_data), END), END);
    lean_region_dec(ok(save_parts()));
}

static bool is_mapped(const char *file) {
    char line[4096];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps);
    while (fgets(line, sizeof line, maps)) found |= strstr(line, file) != NULL;
    fclose(maps);
    return found;
}

/* Whether copies have huge pages: otherwise they are mappings of the file. */
static bool huge_pages;

static void prepare(void) {
    prepare_files();
    /* Once, for what is kept from then on: where copies of regions lie. */
    take(file_base("large"), 4096);
    lean_object *value = ok(read_large());
    huge_pages = !is_mapped("/large");
    free_value(value);
    give_back(file_base("large"), 4096);
}

static void clean_up(void) {
    free(old_bytes);
    free(new_bytes);
    lean_object *all[] = {old_data, new_data, part_names, part_list, key};
    for (size_t i = 0; i < 5; i++) lean_region_dec(all[i]);
}

static bool holds(const char *file, const char *bytes, size_t count) {
    size_t n;
    char *content = slurp(file, &n);
    bool equal = n == count && !memcmp(content, bytes, n);
    free(content);
    return equal;
}

/* Runs an operation with the fault armed; answers how often it struck. */
static int strike(const struct operation *o, call which, fault how, int error, int nth, int count) {
    size_t taken = o->relocates ? file_base(o->run == read_large ? "large" : "small") : 0;
    if (taken) take(taken, 4096);
    holdings before = held();
    fault_arm(which, how, error, nth, count);
    lean_object *result = o->run();
    int hits = fault_disarm();
    bool done = lean_region_io_is_ok(result);
    if (done) {
        lean_object *value = ok(result);
        if (o->saves)
            lean_region_dec(value);
        else
            free_value(value);
        CHECK_HELD(before);
        CHECK(o->run != save_new || holds("f", new_bytes, new_size));
    } else {
        const char *text = lean_region_io_error_text(result);
        bool right = strstr(text, o->file) && (how == END_EARLY || strstr(text, strerror(error)) ||
                                               (error == ENOMEM && strstr(text, "out of memory")));
        if (!right) fail(__FILE__, __LINE__, text);
        CHECK(how == FAILURE || how == END_EARLY);
        FAILS(result, o->file);
        CHECK_HELD(before);
        CHECK(o->run != save_new || holds("f", old_bytes, old_size));
    }
    /* What a file system reports at close of a file that was only read means nothing, nor does what it reports of a
     * saved one once more, after the close that was made to hear it; without a mapping a file is read. What a batch keeps of
     * the old files is opened only so that nobody takes it for left behind. */
    bool bearable = how != FAILURE || which == MMAP || (which == CLOSE && !(o->saves && nth == 1)) ||
                    (which == OPEN && o->run == save_parts && nth > 2);
    if (hits && !done) CHECK(how == END_EARLY || !bearable || o->saves);
    if (hits && which == CLOSE && how == FAILURE && o->saves && nth == 1) CHECK(!done);
    if (hits && done && !(bearable && how != END_EARLY)) {
        char text[100];
        snprintf(text, sizeof text, "done all the same: %s, call %d, number %d: %s", o->file, which, nth, strerror(error));
        fail(__FILE__, __LINE__, text);
    }
    CHECK(files(true) == 0);
    if (taken) give_back(taken, 4096);
    if (o->run == save_new) save_ok("f", old_data);
    return hits;
}

/* Each single call of each operation once. */
static void each_call(call which, fault how, int error) {
    int all = 0;
    for (size_t i = 0; i < OPERATIONS; i++) {
        for (int nth = 1; strike(&operations[i], which, how, error, nth, 1); nth++, all++) CHECK(nth < 1000);
    }
    CHECK(all > 0);
}

static void interrupted(void) {
    prepare();
    for (int round = 0; round < (scale > 1 ? 1 : 2); round++) {
        each_call(OPEN, INTERRUPT, 0);
        each_call(PREAD, INTERRUPT, 0);
        each_call(WRITE, INTERRUPT, 0);
        each_call(CLOSE, INTERRUPT, 0);
        each_call(RENAME, INTERRUPT, 0);
    }
    clean_up();
}

/* A system without huge pages, or one that does not say: a copy is memory of its own and no mapping of the file, which
 * would end the process if somebody truncated the file meanwhile. */
static void without_huge_pages(void) {
    prepare_files();
    take(file_base("large"), 4096);
    fault_arm(OPEN, FAILURE, EACCES, 2, 1);
    lean_object *value = ok(read_large());
    CHECK(fault_disarm() == 1);
    CHECK(!is_mapped("/large"));
    free_value(value);
    give_back(file_base("large"), 4096);
    each_call(PREAD, SHORT, 0);
    each_call(PREAD, FAILURE, EIO);
    each_call(MMAP, FAILURE, ENOMEM);
    clean_up();
}

/* Somebody truncates the file while it is read and relocated: an error, or all that was wanted had been read. Never a
 * signal, as from a mapping of the file. */
static void cut_short(void) {
    static const char *const names[] = {"large", "small"};
    prepare_files();
    for (int round = 0; round < 2; round++) {
        /* The first copy asks whether there are huge pages; the answer is kept. */
        for (size_t i = 0; i < 2; i++) {
            const char *file = names[i];
            size_t base = file_base(file);
            int hits = 1, refused = 0;
            take(base, 4096);
            for (int nth = 1; hits; nth++) {
                CHECK(nth < 1000);
                fault_cut(file);
                fault_arm(PREAD, CUT, 96, nth, 1);
                if (round == 0 && i == 0 && nth == 1) fault_arm(OPEN, FAILURE, EACCES, 2, 1);
                lean_object *result = read_result(file, NULL);
                hits = fault_disarm() > 0;
                if (lean_region_io_is_ok(result)) {
                    free_value(ok(result));
                } else {
                    CHECK(hits);
                    refused++;
                    FAILS(result, "failed to read", file);
                }
                save_ok(file, i == 0 ? new_data : old_data);
            }
            CHECK(refused > 0);
            give_back(base, 4096);
        }
    }
    clean_up();
}

/* Memory that the system does not take back. */
static void failed_unmapping(void) {
    prepare();
    holdings before = held();
    region r = read_ok("large", NULL);
    CHECK(mapped(r));
    size_t base = base_of(r), bytes = size_of(r);
    lean_region_inc(r.structure);
    fault_arm(MUNMAP, FAILURE, EPERM, 1, 1);
    FAILS(lean_compacted_region_free(r.structure), "failed to free a region: Operation not permitted",
          "its memory stays in use");
    CHECK(fault_disarm() == 1);
    /* It is nobody's region any more, and in the way of the next one. */
    FAILS(lean_compacted_region_free(r.structure), "failed to free a region", "freed before");
    r = read_ok("large", NULL);
    CHECK(!mapped(r));
    free_region(r);
    give_back(base, bytes);
    CHECK_HELD(before);
    clean_up();
}

/* The second file of a batch cannot be renamed, and the first not be put back: there are no links to keep it by, or
 * renaming it fails as well. What is new is said. */
static void half_a_batch(void) {
    prepare();
    for (int round = 0; round < 3; round++) {
        bool links = round > 0, twice = round == 2;
        size_t bytes;
        char *first = slurp("p1", &bytes);
        lean_object *other = array(str("other"), END);
        lean_object *list = array(ctor(0, str("p1"), inc(other), END), ctor(0, str("p2"), other, END), END);
        if (!links) fault_arm(LINK, FAILURE, EPERM, 1, 1);
        fault_arm(RENAME, FAILURE, EIO, 2, twice ? 2 : 1);
        lean_object *result = lean_save_module_data_parts(key, list);
        fault_disarm();
        if (links && !twice) {
            FAILS(result, "failed to write 'p2': Input/output error", "nothing was changed");
            CHECK(holds("p1", first, bytes));
        } else {
            FAILS(result, "failed to write 'p2': Input/output error", "these files are new all the same: 'p1'");
            CHECK(!holds("p1", first, bytes));
        }
        CHECK(files(true) == 0);
        free(first);
        lean_region_dec(list);
        lean_region_dec(ok(save_parts()));
    }
    clean_up();
}

static void short_transfers(void) {
    prepare();
    each_call(PREAD, SHORT, 0);
    each_call(WRITE, SHORT, 0);
    for (size_t i = 0; i < OPERATIONS; i++) {
        int pieces = strike(&operations[i], operations[i].saves ? WRITE : PREAD, PIECES, 0, 1, INT_MAX);
        CHECK(pieces > (operations[i].run == save_new ? 2 * LARGE / 1000 : 1));
    }
    /* The file has become shorter since its size was asked for. */
    each_call(PREAD, END_EARLY, 0);
    clean_up();
}

static void failures(void) {
    static const struct {
        call which;
        int errors[6];
    } table[] = {{OPEN, {EMFILE, EACCES, EIO}},
                 {PREAD, {EIO, EISDIR}},
                 {WRITE, {ENOSPC, EFBIG, EDQUOT, EIO}},
                 {CLOSE, {ENOSPC, EDQUOT, EIO}},
                 {RENAME, {EIO, EACCES, ENOSPC}},
                 {MMAP, {ENOMEM, EPERM, ENODEV, EAGAIN}}};
    prepare();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (const int *error = table[i].errors; *error; error++) {
            each_call(table[i].which, FAILURE, *error);
            if (scale > 1) break;
        }
    clean_up();
}

/* Memory for the data to be saved cannot be had: the buffer, which is mapped and moved as it grows, and tables. */
static void no_memory_to_save(void) {
    prepare();
    /* More than is kept from one save to the next. */
    size_t count = 90000;
    uint8_t scalars[200] = {0};
    lean_object **many = malloc(count * sizeof *many);
    for (size_t i = 0; i < count; i++) {
        lean_object *fields[1] = {box(i)};
        many[i] = lean_region_mk_ctor(3, fields, 1, scalars, sizeof scalars);
    }
    lean_object *data = lean_region_mk_array(many, count);
    free(many);
    save_ok("many", data);
    int all = 0;
    holdings before = held();
    for (int kind = 0; kind < 3; kind++) {
        for (int nth = 1;; nth++) {
            fault_sizes(100000, SIZE_MAX);
            fault_arm(kind == 0 ? MMAP : kind == 1 ? MREMAP : MALLOC, FAILURE, ENOMEM, nth, 1);
            lean_object *result = save("many", data, NULL, NULL);
            int hits = fault_disarm();
            if (!hits) {
                lean_region_dec(ok(result));
                break;
            }
            all++;
            if (kind == 1)
                /* Another mapping does in the place of one that cannot grow. */
                lean_region_dec(ok(result));
            else
                FAILS(result, "failed to write 'many': out of memory: ", " bytes for ", " are not available");
            CHECK(files(true) == 0);
            /* Memory is kept for the next save, as much as after a save that went well. */
            save_ok("many", data);
            CHECK_HELD(before);
        }
    }
#ifdef MEMORY
    CHECK(all > 5);
#else
    CHECK(all > 2);
#endif
    lean_region_dec(data);
    clean_up();
}

#ifdef MEMORY
/* No mapping and no memory for a region. */
static void no_memory_to_read(void) {
    prepare();
    size_t bytes;
    /* More than there may be room for from before. */
    lean_object *data = random_string(20 << 20, 4);
    save_ok("large", data);
    lean_region_dec(data);
    free(slurp("large", &bytes));
    char text[100];
    snprintf(text, sizeof text, "failed to read 'large': out of memory: %zu bytes for the region are not available",
             bytes);
    holdings before = held();
    fault_sizes(bytes, bytes);
    take(file_base("large"), 4096);
    /* The limit of mappings is far, then reached. */
    for (int near = 0; near < 2; near++) {
        if (near) {
            char limit[30];
            snprintf(limit, sizeof limit, "%ld\n", held().mappings + 1);
            spew("limit", limit, strlen(limit));
            fault_map_limit("limit");
        }
        fault_arm(MMAP, FAILURE, ENOMEM, 1, INT_MAX);
        fault_arm(MALLOC, FAILURE, ENOMEM, 1, 1);
        lean_object *result = read_large();
        /* At the base, with huge pages if there are any, without, and from malloc; and to tell why. */
        CHECK(fault_disarm() == (huge_pages ? 5 : 4));
        CHECK(near == !!strstr(lean_region_io_error_text(result), "vm.max_map_count"));
        FAILS(result, text);
        fault_map_limit(NULL);
    }
    give_back(file_base("large"), 4096);
    CHECK(unlink("limit") == 0);
    CHECK_HELD(before);
    clean_up();
}

static void *first_error(void *hits) {
    fault_sizes(0, SIZE_MAX);
    fault_arm(MALLOC, FAILURE, ENOMEM, 1, INT_MAX);
    size_t size = lean_compacted_region_size(8);
    *(int *)hits = fault_disarm();
    CHECK(size == 0);
    char text[200];
    CHECK(lean_region_last_error(text, sizeof text) > 0 && strstr(text, "no live region"));
    return NULL;
}

/* A thread whose first error comes when the C library has no memory: not even to note that the text of the error is to be
 * freed when the thread ends. */
static void no_memory_for_a_first_error(void) {
    int hits = 0;
    pthread_t thread;
    CHECK(!pthread_create(&thread, NULL, first_error, &hits));
    CHECK(!pthread_join(thread, NULL));
    CHECK(hits > 0);
}
#endif

/* A file may not become larger than so many bytes. */
static void too_large_a_file(void) {
    prepare();
    struct rlimit before, small;
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    small = before;
    small.rlim_cur = 65536;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    FAILS(save_new(), "failed to write 'f': File too large", "nothing was changed");
    FAILS(save_parts(), "failed to write 'p1': File too large");
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(holds("f", old_bytes, old_size) && files(true) == 0);
    lean_region_dec(ok(save_new()));
    CHECK(holds("f", new_bytes, new_size));
    clean_up();
}

/* A file system of 256 KiB of our own, or where we may mount none, one that is full after as many bytes. */
static bool mount_small(void) {
    CHECK(mkdir("small_disk", 0777) == 0);
    if (unshare(CLONE_NEWNS) != 0) {
        /* Not root: so be it in a name space of users, where files can be made only by who is known there. */
        char user[32], group[32];
        int n = snprintf(user, sizeof user, "0 %u 1\n", (unsigned)geteuid());
        int m = snprintf(group, sizeof group, "0 %u 1\n", (unsigned)getegid());
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
        spew("/proc/self/uid_map", user, (size_t)n);
        spew("/proc/self/setgroups", "deny", 4);
        spew("/proc/self/gid_map", group, (size_t)m);
    }
    if (mount("none", "/", "none", MS_REC | MS_PRIVATE, "") != 0) return false;
    return mount("small", "small_disk", "tmpfs", 0, "size=256k") == 0;
}

static void full_disk(void) {
    prepare();
    bool real = mount_small();
    printf("full disk: %s\n", real ? "a tmpfs of its own" : "simulated, because no tmpfs can be mounted here");
    save_ok("small_disk/f", old_data);
    char *content = slurp("small_disk/f", &old_size);
    holdings before = held();
    for (int i = 0; i < 3; i++) {
        if (!real) fault_arm(WRITE, FULL, 256 << 10, 1, INT_MAX);
        lean_object *result = save("small_disk/f", new_data, NULL, NULL);
        fault_disarm();
        FAILS(result, "failed to write 'small_disk/f': No space left on device", "nothing was changed");
        CHECK(holds("small_disk/f", content, old_size));
        CHECK_HELD(before);
    }
    CHECK(chdir("small_disk") == 0);
    CHECK(files(false) == 1);
    save_ok("g", old_data);
    CHECK(chdir("..") == 0);
    free(content);
    clean_up();
}

static lean_object *numbered(int i) {
    static const size_t bytes[] = {10, 6000, 70000};
    char text[20];
    snprintf(text, sizeof text, "number %d", i);
    return array(random_string(bytes[i % 3], (unsigned)i), str(text), END);
}

/* A process that has nearly as many mappings as it may have: no more files are mapped, everything is read all the same, and
 * a part of the mappings is left to everybody else. */
static void few_mappings(void) {
    int limit = scale > 1 ? 700 : 1600, many = limit + 100;
    char text[20];
    int n = snprintf(text, sizeof text, "%d\n", limit);
    spew("limit", text, (size_t)n);
    fault_map_limit("limit");
    region *all = malloc((size_t)many * sizeof *all);
    for (int i = 0; i < many; i++) {
        lean_object *data = numbered(i);
        snprintf(text, sizeof text, "n%d", i);
        save_ok(text, data);
        lean_region_dec(data);
    }
    holdings before = held();
    int at_base = 0;
    for (int i = 0; i < many; i++) {
        snprintf(text, sizeof text, "n%d", i);
        all[i] = read_ok(text, NULL);
        at_base += mapped(all[i]);
        /* Once no more is mapped, nothing is. */
        CHECK(mapped(all[i]) == (at_base == i + 1));
        lean_object *data = numbered(i);
        CHECK(same(data, all[i].root));
        lean_region_dec(data);
    }
    long mappings = held().mappings;
    /* Under valgrind nobody counts (`held`). */
    if (mappings && (mappings <= limit * 3 / 4 || mappings > limit - limit / 16)) {
        snprintf(text, sizeof text, "%ld mappings", mappings);
        fail(__FILE__, __LINE__, text);
    }
    CHECK(at_base > limit / 2 && at_base < limit);
    /* What is mapped is shared and not copied. */
    region again = read_ok("n3", NULL);
    CHECK(mapped(again) && begin_of(again) == begin_of(all[3]));
    free_region(again);
    CHECK(held().mappings == mappings);
    for (int i = 0; i < many; i++) free_region(all[i]);
    /* Memory for copies stays reserved. */
    before.mappings = held().mappings < before.mappings + 5 ? held().mappings : before.mappings;
    CHECK_HELD(before);
    again = read_ok("n3", NULL);
    CHECK(mapped(again));
    free_region(again);
    free(all);
    fault_map_limit(NULL);
}

const scenario fault_scenarios[] = {{"interrupted", interrupted},
                                    {"short_transfers", short_transfers},
                                    {"without_huge_pages", without_huge_pages},
                                    {"cut_short", cut_short},
                                    {"failed_unmapping", failed_unmapping},
                                    {"half_a_batch", half_a_batch},
                                    {"failures", failures},
                                    {"no_memory_to_save", no_memory_to_save},
#ifdef MEMORY
                                    {"no_memory_to_read", no_memory_to_read},
                                    {"no_memory_for_a_first_error", no_memory_for_a_first_error},
#endif
                                    {"few_mappings", few_mappings},
                                    {"too_large_a_file", too_large_a_file},
                                    {"full_disk", full_disk},
                                    {0}};
