/* Every operation of the loader with its n-th request for memory refused, n = 1, 2, ..., alone and with all after it,
 * until it asks for no more: it succeeds, or gives an error that names the file and memory, and holds nothing then.
 * For a library built with the feature fault-injection.
 *
 *     memory DIRECTORY [BEGINNING OF OPERATIONS' NAMES]
 *
 * prints each operation with the requests it makes and how many of the refusals it reported. */
#define _GNU_SOURCE
#include "lean_region.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern uint64_t lean_region_fault_memory(uint64_t first, uint64_t last);
extern int64_t lean_region_fault_live(void);

/* Dependencies, and parts of a module. */
#define MANY 80
#define PARTS 8
#define NODES 3000

static const char *directory;

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1); \
        } \
    } while (0)

static lean_object *str(const char *text) { return lean_region_mk_string(text, strlen(text)); }

static lean_object *path(const char *name) {
    char text[512];
    snprintf(text, sizeof text, "%s/%s", directory, name);
    return str(text);
}

static lean_object *inc(lean_object *o) {
    lean_region_inc(o);
    return o;
}

static lean_object *graph(int nodes, int closures) {
    lean_object *list = lean_region_box(0);
    for (int i = 0; i < nodes; i++) {
        char text[32];
        snprintf(text, sizeof text, "node %d", i);
        lean_object *head = str(text);
        if (closures && i % 2) head = lean_region_mk_closure(i % 4 == 1 ? (void *)graph : (void *)puts, 2, &head, 1);
        lean_object *fields[2] = {head, list};
        list = lean_region_mk_ctor(1, fields, 2, NULL, 0);
    }
    return list;
}

/* What the operations need, made before memory is refused. */
static lean_object *none, *key, *other_key, *plain, *with_closures, *file_out, *file_two, *file_three, *file_hashed,
    *file_many[MANY], *parts, *part_names, *deps, *chain, *missing, *damaged, *region;

static lean_object *pair(lean_object *a, lean_object *b) {
    lean_object *fields[2] = {a, b};
    return lean_region_mk_ctor(0, fields, 2, NULL, 0);
}

static lean_object *save_two(void) {
    return lean_compacted_region_save(file_out, key, plain, none, lean_region_box(0), 0);
}
static lean_object *save_three(void) {
    return lean_compacted_region_save(file_out, key, with_closures, none, lean_region_box(0), 1);
}
static lean_object *save_sharing(void) {
    return lean_compacted_region_save(file_out, key, plain, deps, lean_region_box(0), 0);
}
static lean_object *save_on(void) {
    lean_object *some = inc(chain);
    some = lean_region_mk_ctor(1, &some, 1, NULL, 0);
    return lean_compacted_region_save(file_out, key, plain, none, some, 0);
}
static lean_object *save_parts(void) { return lean_save_module_data_parts(other_key, parts); }
static lean_object *read_two(void) { return lean_compacted_region_read(file_two, none); }
static lean_object *read_three(void) { return lean_compacted_region_read(file_three, none); }
static lean_object *read_with_many(void) { return lean_compacted_region_read(file_two, deps); }
static lean_object *read_parts(void) { return lean_read_module_data_parts(part_names); }
static lean_object *read_missing(void) { return lean_compacted_region_read(missing, none); }
static lean_object *read_damaged(void) { return lean_compacted_region_read(damaged, none); }
/* What needs no runtime, with its outcome made a result like that of the others, for which no memory is refused. */
static uint64_t asked_before;

static lean_object *result_of(int status) {
    char text[4096];
    if (status == 0) return lean_region_mk_ctor(0, (lean_object *[]){lean_region_box(0)}, 1, NULL, 0);
    CHECK(lean_region_last_error(text, sizeof text) > 0);
    lean_object *error = str(text);
    error = lean_region_mk_ctor(18, &error, 1, NULL, 0);
    return lean_region_mk_ctor(1, &error, 1, NULL, 0);
}
static lean_object *verify(void) {
    const char *dependency = lean_region_string_text(file_many[1]);
    int status = lean_region_verify(lean_region_string_text(file_three), &dependency, 1);
    asked_before = lean_region_fault_memory(0, 0);
    return result_of(status);
}
static lean_object *hash(void) {
    const char *dependency = lean_region_string_text(file_many[1]);
    uint8_t bytes[16];
    int status = lean_region_hash(lean_region_string_text(file_hashed), &dependency, 1, bytes);
    asked_before = lean_region_fault_memory(0, 0);
    return result_of(status);
}
static lean_object *free_one(void) { return lean_compacted_region_free(region); }

static void prepare_chain(void) {
    if (chain) lean_region_dec(chain);
    lean_object *saved = lean_compacted_region_save(file_out, key, deps, none, lean_region_box(0), 0);
    CHECK(lean_region_io_is_ok(saved));
    chain = inc(lean_region_child(saved, 0));
    lean_region_dec(saved);
}
static void prepare_region(void) {
    lean_object *read = lean_compacted_region_read(file_two, none);
    CHECK(lean_region_io_is_ok(read));
    region = inc(lean_region_child(lean_region_child(read, 0), 1));
    lean_region_dec(read);
}

/* The regions that a read gave, a pair of root and region or an array of such pairs: each owned, to be freed when
 * nothing leads to their roots any more. */
static size_t regions_of(lean_object *value, lean_object **regions) {
    if (lean_region_tag(value) != 246) {
        regions[0] = inc(lean_region_child(value, 1));
        return 1;
    }
    size_t count = lean_region_child_count(value);
    CHECK(count <= PARTS);
    for (size_t i = 0; i < count; i++) regions_of(lean_region_child(value, i), regions + i);
    return count;
}

static const struct operation {
    const char *name;
    lean_object *(*call)(void);
    void (*prepare)(void);
    int reads;
    /* What its error says when memory is not the cause. */
    const char *otherwise;
    const char *file;
} operations[] = {
    {"save-2", save_two, NULL, 0, NULL, "out"},
    {"save-3", save_three, NULL, 0, NULL, "out"},
    {"save-sharing", save_sharing, NULL, 0, NULL, "out"},
    {"save-on", save_on, prepare_chain, 0, NULL, "out"},
    {"save-parts", save_parts, NULL, 0, NULL, "part"},
    {"read-2", read_two, NULL, 1, NULL, "two"},
    {"read-3", read_three, NULL, 1, NULL, "three"},
    {"read-with-many", read_with_many, NULL, 1, NULL, "two"},
    {"read-parts", read_parts, NULL, 1, NULL, "part"},
    {"read-missing", read_missing, NULL, 1, "No such file", "missing"},
    {"read-damaged", read_damaged, NULL, 1, "invalid header", "damaged"},
    {"verify", verify, NULL, 0, NULL, NULL},
    {"hash", hash, NULL, 0, NULL, NULL},
    {"free", free_one, prepare_region, 0, NULL, NULL},
};

static int entries(const char *where) {
    DIR *dir = opendir(where);
    CHECK(dir);
    int n = 0;
    while (readdir(dir)) n++;
    closedir(dir);
    return n;
}

struct held {
    int64_t memory;
    size_t objects, regions;
    int files, descriptors;
};

static struct held held(void) {
    lean_region_clear_error();
    return (struct held){lean_region_fault_live(), lean_region_live_objects(), lean_region_live_regions(),
                         entries(directory), entries("/proc/self/fd")};
}

/* Does it once; 1 if it failed for want of memory. */
static int once(const struct operation *o, uint64_t first, uint64_t last, uint64_t *asked) {
    if (o->prepare) o->prepare();
    lean_region_fault_memory(first, last);
    lean_object *result = o->call();
    *asked = lean_region_fault_memory(0, 0);
    if (asked_before) *asked = asked_before;
    asked_before = 0;
    CHECK(result);
    int refused = 0;
    size_t count = 0;
    lean_object *regions[PARTS];
    if (lean_region_io_is_ok(result)) {
        CHECK(!o->otherwise);
        if (o->reads) count = regions_of(lean_region_child(result, 0), regions);
    } else {
        const char *text = lean_region_io_error_text(result);
        refused = strstr(text, "memory") != NULL;
        if ((o->file && !strstr(text, o->file)) || !(refused || (o->otherwise && strstr(text, o->otherwise)))) {
            fprintf(stderr, "%s, %llu to %llu: %s\n", o->name, (unsigned long long)first, (unsigned long long)last,
                    text);
            exit(1);
        }
    }
    lean_region_dec(result);
    while (count-- > 0) {
        lean_object *freed = lean_compacted_region_free(regions[count]);
        CHECK(lean_region_io_is_ok(freed));
        lean_region_dec(freed);
    }
    return refused;
}

static void exhaust(const struct operation *o) {
    uint64_t asked = 0, most = 0;
    int reported = 0;
    /* What is kept between calls comes to its size, and all notes for the report are written: those about parts whose
     * place is taken, as the dependencies are parts of the same names. */
    for (int i = 0; i < (o->reads ? 40 : 3); i++) once(o, 0, 0, &asked);
    struct held before = held();
    for (int lasting = 0; lasting < 2; lasting++) {
        for (uint64_t n = 1;; n++) {
            reported += once(o, n, lasting ? UINT64_MAX : n, &asked);
            if (asked < n) break;
            if (most < n) most = n;
            uint64_t again;
            CHECK(!once(o, 0, 0, &again));
            struct held now = held();
            if (now.memory != before.memory) {
                /* Room for copies is taken in large pieces, now and then: what leaks does so each time. */
                once(o, n, lasting ? UINT64_MAX : n, &asked);
                CHECK(!once(o, 0, 0, &again));
                struct held later = held();
                if (later.memory == now.memory) before.memory = now.memory;
                now = later;
            }
            if (memcmp(&now, &before, sizeof now)) {
                fprintf(stderr,
                        "%s, request %llu%s: memory %lld, objects %zu, regions %zu, files %d, descriptors %d; "
                        "before %lld, %zu, %zu, %d, %d\n",
                        o->name, (unsigned long long)n, lasting ? " and all after it" : "", (long long)now.memory,
                        now.objects, now.regions, now.files, now.descriptors, (long long)before.memory, before.objects,
                        before.regions, before.files, before.descriptors);
                exit(1);
            }
        }
    }
    printf("%s: %llu requests, %d refusals reported\n", o->name, (unsigned long long)most, reported);
    fflush(stdout);
}

static void setup(void) {
    CHECK(!lean_region_bind());
    none = lean_region_mk_array(NULL, 0);
    key = lean_region_mk_name_str(lean_region_box(0), str("Key"));
    other_key = lean_region_mk_name_str(lean_region_box(0), str("Parts"));
    plain = graph(NODES, 0);
    with_closures = graph(NODES, 1);
    file_out = path("out");
    file_two = path("two");
    file_three = path("three");
    missing = path("missing");
    damaged = path("damaged");
    lean_object *saved = lean_compacted_region_save(file_two, key, plain, none, lean_region_box(0), 0);
    CHECK(lean_region_io_is_ok(saved));
    lean_region_dec(saved);
    saved = lean_compacted_region_save(file_three, key, with_closures, none, lean_region_box(0), 1);
    CHECK(lean_region_io_is_ok(saved));
    lean_region_dec(saved);
    /* Hashing takes long in a library that was built for tests. */
    lean_object *few = graph(200, 1);
    file_hashed = path("hashed");
    saved = lean_compacted_region_save(file_hashed, key, few, none, lean_region_box(0), 1);
    CHECK(lean_region_io_is_ok(saved));
    lean_region_dec(saved);
    lean_region_dec(few);
    FILE *bad = fopen(lean_region_string_text(damaged), "w");
    CHECK(bad && fputs("no region", bad) >= 0 && !fclose(bad));
    lean_object *pairs[MANY], *names[MANY], *regions[MANY];
    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof name, "part%d", i);
        file_many[i] = path(name);
        lean_object *small = lean_region_box((size_t)i);
        pairs[i] = pair(inc(file_many[i]), pair(small, inc(i == 0 ? plain : small)));
        names[i] = inc(file_many[i]);
    }
    parts = lean_region_mk_array(pairs, MANY);
    part_names = lean_region_mk_array(names, MANY);
    saved = save_parts();
    CHECK(lean_region_io_is_ok(saved));
    lean_region_dec(saved);
    lean_object *read = read_parts();
    CHECK(lean_region_io_is_ok(read));
    lean_object *many = lean_region_child(read, 0);
    for (int i = 0; i < MANY; i++) regions[i] = inc(lean_region_child(lean_region_child(many, (size_t)i), 1));
    lean_region_dec(read);
    deps = lean_region_mk_array(regions, MANY);
    for (int i = 0; i < PARTS; i++) inc(pairs[i]), inc(names[i]);
    parts = lean_region_mk_array(pairs, PARTS);
    part_names = lean_region_mk_array(names, PARTS);
}

int main(int count, char **arguments) {
    if (count < 2) return 2;
    directory = arguments[1];
    setup();
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        if (count < 3 || !strncmp(arguments[2], operations[i].name, strlen(arguments[2]))) exhaust(&operations[i]);
    return 0;
}
