/* A snapshot read with all modules that it was saved over: the same whoever reads them, in the order of the list, and
 * all or nothing. */
#include "common.h"
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* CODE: the part with which a chain of its own begins, that of compiled code. */
enum { MODULES = 12, PARTS = 5, CODE = 3 };

/* What is put behind a module's name for its parts, and their keys in the list. */
static const char *const suffixes[PARTS] = {".olean", ".olean.server", ".olean.private", ".ir.sig", ".ir"};
static const char *const keys[PARTS] = {"olean", "oleanServer", "oleanPrivate", "irSig", "ir"};

/* Which parts a module has: all, one, or compiled code alone; the last one has none. */
static bool has(int module, int part) {
    if (module == MODULES - 1) return false;
    return module % 3 == 0 || (module % 3 == 1 && part == 0) || (module % 3 == 2 && part >= CODE);
}

static const char *file_of(int module, int part) {
    static _Thread_local char names[4][64];
    static _Thread_local int next;
    char *text = names[next++ % 4];
    snprintf(text, sizeof names[0], "m%d%s", module, suffixes[part]);
    return text;
}

/* What a part holds; it points into the one before it, if there is one. */
static lean_object *content(int module, int part, lean_object *before) {
    char text[32];
    snprintf(text, sizeof text, "module %d, part %d", module, part);
    return array(str(text), random_string(3000, (unsigned)(PARTS * module + part)), before, END);
}

/* Regions in the order in which a set has them. */
typedef struct {
    size_t count;
    region of[MODULES * PARTS + 1];
} regions;

static void free_all(regions *all) {
    while (all->count > 0) free_region(all->of[--all->count]);
}

/* Reads all parts one by one, as Lean does. */
static regions read_one_by_one(void) {
    regions all = {0};
    for (int module = 0; module < MODULES; module++) {
        size_t first = all.count;
        for (int part = 0; part < PARTS; part++) {
            if (part == CODE) first = all.count;
            if (!has(module, part)) continue;
            lean_object *siblings[PARTS];
            size_t n = 0;
            for (size_t i = first; i < all.count; i++) siblings[n++] = inc(all.of[i].structure);
            lean_object *deps = lean_region_mk_array(siblings, n);
            all.of[all.count++] = read_ok(file_of(module, part), deps);
            lean_region_dec(deps);
        }
    }
    return all;
}

static void list_of(const char *file, const char *folder) {
    FILE *list = fopen(file, "w");
    CHECK(list);
    for (int module = 0; module < MODULES; module++) {
        fputs(module ? ",{" : "[{", list);
        bool any = false;
        /* Keys come in the order of the alphabet from Lean, and any order is right. */
        for (int part = PARTS - 1; part >= 0; part--) {
            if (!has(module, part)) continue;
            fprintf(list, "%s\"%s\":\"%s%s\"", any ? "," : "", keys[part], folder, file_of(module, part));
            any = true;
        }
        fputs("}", list);
    }
    fputs("]", list);
    CHECK(fclose(list) == 0);
}

static int code(void) { return 5; }

/* Saves the modules, and a snapshot over all of them that has a closure, with its list. */
static void make(void) {
    for (int module = 0; module < MODULES; module++) {
        lean_object *compactor = NULL, *data = NULL;
        for (int part = 0; part < PARTS; part++) {
            if (part == CODE && data) {
                lean_region_dec(data);
                lean_region_dec(compactor);
                compactor = data = NULL;
            }
            if (!has(module, part)) continue;
            data = content(module, part, data ? data : box(0));
            compactor = ok(save(file_of(module, part), data, NULL, compactor));
        }
        if (data) {
            lean_region_dec(data);
            lean_region_dec(compactor);
        }
    }
    regions all = read_one_by_one();
    lean_object *roots[MODULES * PARTS + 1], *structures[MODULES * PARTS];
    for (size_t i = 0; i < all.count; i++) {
        roots[i] = all.of[i].root;
        structures[i] = inc(all.of[i].structure);
    }
    lean_object *captured = str("captured");
    roots[all.count] = lean_region_mk_closure((void *)code, 2, &captured, 1);
    lean_object *root = lean_region_mk_array(roots, all.count + 1);
    lean_object *deps = lean_region_mk_array(structures, all.count);
    lean_region_dec(ok(save_v3("x.snap", root, deps, NULL)));
    lean_region_dec(root);
    lean_region_dec(deps);
    free_all(&all);
    list_of("x.snap.deps", "");
}

static lean_object *read_set(const char *snapshot, uint32_t workers, uint32_t options) {
    lean_object *file = str(snapshot), *result = lean_region_read_set(file, workers, options);
    lean_region_dec(file);
    return result;
}

/* Whether the set in `result` is that of make(): files in the order of the list, contents, pointers. */
static void check(lean_object *result, bool all_mapped) {
    CHECK(lean_region_io_is_ok(result));
    lean_object *pairs = lean_region_child(result, 0);
    size_t at = 0, count = lean_region_child_count(pairs);
    lean_object *last = lean_region_child(pairs, count - 1), *root = lean_region_read_root(last);
    lean_object *before = box(0);
    for (int module = 0; module < MODULES; module++) {
        for (int part = 0; part < PARTS; part++) {
            if (part == 0 || part == CODE) before = box(0);
            if (!has(module, part)) continue;
            lean_object *pair = lean_region_child(pairs, at), *structure = lean_region_read_region(pair);
            lean_object *found = lean_region_read_root(pair);
            CHECK(!strcmp(lean_region_string_text(lean_region_child(structure, 0)), file_of(module, part)));
            CHECK(lean_region_child(structure, 1) == found && lean_region_child(root, at) == found);
            CHECK(lean_region_child(found, 2) == before);
            lean_object *expected = content(module, part, is_scalar(before) ? before : inc(before));
            CHECK(same(expected, found));
            lean_region_dec(expected);
            size_t handle = lean_region_read_handle(pair);
            CHECK(handle && (!all_mapped || lean_compacted_region_is_memory_mapped(handle)));
            before = found;
            at++;
        }
    }
    CHECK(count == at + 1 && lean_region_child_count(root) == at + 1);
    CHECK(lean_region_closure_code(lean_region_child(root, at)) == (void *)code);
    CHECK(!strcmp(lean_region_string_text(lean_region_child(lean_region_read_region(last), 0)), "x.snap"));
}

static const uint32_t worker_counts[] = {1, 3, 4, 0, 100};
#define EACH_COUNT(w) \
    for (const uint32_t *w = worker_counts; w < worker_counts + sizeof worker_counts / sizeof *worker_counts; w++)

/* Stacks of threads that have ended are kept for others: as many as there ever are. */
static void warm_up(void) {
    CHECK(lean_region_free_set(read_set("x.snap", 100, 0)) == 0);
}

/* The same from any number of threads. */
static void any_workers(void) {
    make();
    warm_up();
    holdings before = held();
    EACH_COUNT(workers) {
        lean_object *result = read_set("x.snap", *workers, 0);
        check(result, true);
        CHECK(lean_region_free_set(result) == 0);
        CHECK_HELD(before);
    }
    const char *const wishes[] = {"3", "0", "many", "", "1000000"};
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        setenv("LEAN_IMPORT_WORKERS", wishes[i], 1);
        lean_object *result = read_set("x.snap", 0, 0);
        check(result, true);
        CHECK(lean_region_free_set(result) == 0);
    }
    CHECK_HELD(before);
}

/* Freed one by one, as the pairs of other reads are; by its array; and what is no set. */
static void freed(void) {
    make();
    warm_up();
    holdings before = held();
    lean_object *result = read_set("x.snap", 2, 0), *pairs = lean_region_child(result, 0);
    size_t count = lean_region_child_count(pairs);
    lean_object *kept[MODULES * PARTS + 1];
    for (size_t i = 0; i < count; i++) kept[i] = inc(lean_region_child(pairs, i));
    lean_region_dec(result);
    while (count > 0) CHECK(lean_region_free_read(kept[--count]) == 0);
    CHECK_HELD(before);
    CHECK(lean_region_free_set(ok(read_set("x.snap", 2, 0))) == 0);
    CHECK_HELD(before);
    /* One of them is no live region: all others are freed. */
    result = read_set("x.snap", 2, 0);
    uint8_t handle[8] = {8};
    pairs = array(ctor(0, box(3), lean_region_mk_ctor(0, NULL, 0, handle, 8), END), END);
    lean_object *elements[MODULES * PARTS + 2] = {lean_region_child(pairs, 0)};
    count = lean_region_child_count(lean_region_child(result, 0));
    for (size_t i = 0; i < count; i++) elements[i + 1] = lean_region_child(lean_region_child(result, 0), i);
    for (size_t i = 0; i <= count; i++) inc(elements[i]);
    lean_region_dec(result);
    lean_region_dec(pairs);
    CHECK(lean_region_free_set(lean_region_mk_array(elements, count + 1)) == -1);
    CHECK_HELD(before);
    CHECK(lean_region_free_set(NULL) == 0);
    CHECK(lean_region_free_set(box(4)) == -1);
    CHECK(lean_region_free_set(str("text")) == -1);
    CHECK(lean_region_free_set(read_set("nothing", 1, 0)) == 0);
}

/* Regions that cannot lie where they want to. */
static void relocated(void) {
    make();
    warm_up();
    holdings before = held();
    size_t bases[2] = {file_base("m3.olean"), file_base("x.snap")};
    for (int taken = 1; taken <= 2; taken++) {
        for (int i = 0; i < taken; i++) take(bases[i], 4096);
        EACH_COUNT(workers) {
            lean_object *result = read_set("x.snap", *workers, 0);
            check(result, false);
            /* The first part of module 3. */
            lean_object *moved = lean_region_child(lean_region_child(result, 0), 8);
            CHECK(!lean_compacted_region_is_memory_mapped(lean_region_read_handle(moved)));
            CHECK(lean_region_free_set(result) == 0);
        }
        for (int i = 0; i < taken; i++) give_back(bases[i], 4096);
    }
    CHECK_HELD(before);
}

/* While one set lives, another one shares what nothing changes. */
static void twice(void) {
    make();
    lean_object *first = read_set("x.snap", 2, 0), *second = read_set("x.snap", 3, 0);
    size_t count = lean_region_child_count(lean_region_child(first, 0));
    check(first, true);
    check(second, false);
    /* The snapshot has a closure. */
    CHECK(lean_region_live_regions() == count + 1);
    CHECK(lean_region_free_set(first) == 0);
    check(second, false);
    CHECK(lean_region_free_set(second) == 0);
}

/* Cuts a file short; the next make() puts another one in its place. */
static void truncate_it(const char *file) { CHECK(truncate(file, 50) == 0); }

/* The first one in the order of the list that cannot be read is named, and nothing is left of the others. */
static void failures(void) {
    make();
    warm_up();
    holdings before = held();
    truncate_it("m9.olean.server");
    EACH_COUNT(workers) {
        FAILS(read_set("x.snap", *workers, 0), "m9.olean.server", "50 bytes");
        CHECK_HELD(before);
    }
    truncate_it("m5.ir");
    EACH_COUNT(workers) {
        for (int i = 0; i < 5; i++) FAILS(read_set("x.snap", *workers, 0), "m5.ir'");
        CHECK_HELD(before);
    }
    CHECK(unlink("m0.olean") == 0);
    EACH_COUNT(workers) {
        FAILS(read_set("x.snap", *workers, 0), "failed to open file 'm0.olean'", "working directory");
        CHECK_HELD(before);
    }
    make();
    truncate_it("x.snap");
    FAILS(read_set("x.snap", 3, 0), "x.snap");
    CHECK_HELD(before);
    /* A module that was built anew, of another size and of the same. */
    make();
    lean_object *other = array(str("another one"), END);
    save_ok("m4.olean", other);
    lean_region_dec(other);
    FAILS(read_set("x.snap", 3, 0), "it is stale", "m4.olean", "built anew");
    CHECK_HELD(before);
    make();
    lean_object *equal = content(7, 0, box(0));
    save_ok("m4.olean", equal);
    lean_region_dec(equal);
    FAILS(read_set("x.snap", 3, 0), "it is stale", "m4.olean", "same size and other content");
    CHECK_HELD(before);
    make();
    FAILS(read_set("x.snap", 3, 4), "there is no option 0x4");
    FAILS(lean_region_read_set(box(3), 1, 0), "the file name is no string");
    CHECK_HELD(before);
}

/* Lists that are none. */
static void lists(void) {
    make();
    holdings before = held();
    const struct {
        const char *json, *says;
    } bad[] = {{"", "EOF"}, {"{}", "a list of modules"}, {"[1]", "a module"}, {"[{\"olean\":5}]", "a path"},
               {"[{\"olean\":\"\"}]", "empty path"}, {"[{\"olean\":\"a\\u0000\"}]", "NUL"}, {"[{}", "EOF"},
               {"[{\"olean\":\"\xff\"}]", "unicode"}, {"[]]", "trailing"}, {"olean", "expected"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        spew("x.snap.deps", bad[i].json, strlen(bad[i].json));
        FAILS(read_set("x.snap", 2, 0), "x.snap.deps", "the list of the files", bad[i].says);
    }
    CHECK(unlink("x.snap.deps") == 0);
    FAILS(read_set("x.snap", 2, 0), "x.snap.deps", "No such file");
    CHECK(mkdir("x.snap.deps", 0777) == 0);
    FAILS(read_set("x.snap", 2, 0), "x.snap.deps", "not a regular file");
    CHECK(rmdir("x.snap.deps") == 0);
    /* A list without a module: the snapshot points into regions that nobody passed. */
    spew("x.snap.deps", "[]", 2);
    FAILS(read_set("x.snap", 2, 0), "x.snap");
    CHECK_HELD(before);
    /* What else is in it is not looked at. */
    lean_object *alone = array(str("alone"), END);
    save_ok("alone", alone);
    const char *other = "[{\"lean\":[1,{\"olean\":2}],\"ir\":null}]";
    spew("alone.deps", other, strlen(other));
    lean_object *result = read_set("alone", 2, 0);
    CHECK(lean_region_io_is_ok(result));
    CHECK(lean_region_child_count(lean_region_child(result, 0)) == 1);
    CHECK(same(alone, lean_region_read_root(lean_region_child(lean_region_child(result, 0), 0))));
    CHECK(lean_region_free_set(result) == 0);
    lean_region_dec(alone);
}

/* Relative paths from the working directory, or from where the snapshot lies. */
static void elsewhere(void) {
    CHECK(mkdir("below", 0777) == 0 && chdir("below") == 0);
    make();
    CHECK(chdir("..") == 0);
    FAILS(read_set("below/x.snap", 2, 0), "failed to open file 'm0.olean'");
    lean_object *result = read_set("below/x.snap", 2, LEAN_REGION_SET_BESIDE);
    CHECK(lean_region_io_is_ok(result));
    lean_object *first = lean_region_child(lean_region_child(result, 0), 0);
    CHECK(!strcmp(lean_region_string_text(lean_region_child(lean_region_read_region(first), 0)), "below/m0.olean"));
    CHECK(lean_region_free_set(result) == 0);
    list_of("below/x.snap.deps", "below/");
    CHECK(lean_region_free_set(read_set("below/x.snap", 2, 0)) == 0);
    result = read_set("below/x.snap", 2, LEAN_REGION_SET_BESIDE);
    CHECK(!strstr(lean_region_io_error_text(result), "working directory"));
    FAILS(result, "below/below/m0.olean");
    CHECK(chdir("below") == 0);
    list_of("x.snap.deps", "./");
    CHECK(lean_region_free_set(read_set("x.snap", 2, LEAN_REGION_SET_BESIDE)) == 0);
}

static void *keep_reading(void *workers) {
    for (size_t i = 0; i < 20 / (scale > 5 ? 5 : scale); i++) {
        lean_object *result = read_set("x.snap", (uint32_t)(size_t)workers, 0);
        check(result, false);
        CHECK(lean_region_free_set(result) == 0);
    }
    return NULL;
}

/* Sets read side by side, and in children that were forked meanwhile. */
static void side_by_side(void) {
    make();
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) CHECK(!pthread_create(&threads[i], NULL, keep_reading, (void *)(i + 1)));
    for (int i = 0; i < 10 && scale < 100; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(60);
            keep_reading((void *)3);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    for (size_t i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}

const scenario set_scenarios[] = {
    {"set_any_workers", any_workers}, {"set_freed", freed},       {"set_relocated", relocated},
    {"set_twice", twice},             {"set_failures", failures}, {"set_lists", lists},
    {"set_elsewhere", elsewhere},     {"set_side_by_side", side_by_side}, {NULL, NULL}};
