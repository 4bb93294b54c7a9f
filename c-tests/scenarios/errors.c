/* What is refused, and that nothing is left of it. */
#include "common.h"
#include <sys/stat.h>
#include <unistd.h>

static void wrong_prev(void) {
    lean_object *data = str("x");
    holdings before = held();
    for (int i = 0; i < 3; i++) {
        FAILS(save("f", data, NULL, str("no compactor")), "failed to write 'f'", "`prev` is no compactor");
        FAILS(save("f", data, NULL, array(END)), "`prev` is no compactor");
        FAILS(save("f", data, NULL, box(3)), "`prev` is no compactor");
        CHECK(files(false) == 0);
        CHECK_HELD(before);
    }
    lean_region_dec(data);
}

/* After a failed save the compactor is good for nothing, whatever the failure was. */
static void dirty_compactor(void) {
    lean_object *data = str("x"), *refused = lean_region_mk_closure((const void *)wrong_prev, 1, NULL, 0);
    for (int i = 0; i < 3; i++) {
        lean_object *compactor = ok(save("1", data, NULL, NULL));
        if (i == 0) {
            FAILS(save("2", refused, NULL, inc(compactor)), "Closures cannot be compacted");
        } else if (i == 1) {
            FAILS(save("no/such/2", data, NULL, inc(compactor)), "failed to create file");
        } else {
            CHECK(mkdir("d", 0777) == 0);
            FAILS(save("d", data, NULL, inc(compactor)), "failed to write 'd': Is a directory", "nothing was changed");
            CHECK(rmdir("d") == 0);
        }
        FAILS(save("3", data, NULL, compactor), "failed to write '3'", "`prev` was left unfinished");
        CHECK(!exists("2") && !exists("3") && files(true) == 0);
    }
    lean_region_dec(data);
    lean_region_dec(refused);
}

static void double_free(void) {
    lean_object *data = str("x");
    save_ok("f", data);
    region r = read_ok("f", NULL);
    lean_region_inc(r.structure);
    lean_region_inc(r.structure);
    size_t handle = (size_t)begin_of(r);
    free_region(r);
    CHECK(lean_region_child(r.structure, 1) == box(0));
    FAILS(lean_compacted_region_free(r.structure), "failed to free a region", "freed before");
    CHECK(lean_compacted_region_size(handle) == 0 && lean_compacted_region_is_memory_mapped(handle) == 0);
    FAILS(lean_compacted_region_free(r.structure), "failed to free a region");
    /* By its handle, once. */
    r = read_ok("f", NULL);
    handle = (size_t)begin_of(r);
    CHECK(ok(lean_compacted_region_free((lean_object *)handle)) == box(0));
    /* Whoever frees by the handle has to see to the structure, which still leads to the root. */
    ((lean_object **)r.structure)[2] = box(0);
    FAILS(lean_compacted_region_free(r.structure), "failed to free a region");
    lean_region_dec(data);
}

static void free_junk(void) {
    uint8_t words[25] = {0};
    holdings before = held();
    FAILS(lean_compacted_region_free(box(0)), "failed to free a region");
    FAILS(lean_compacted_region_free(box(12345)), "failed to free a region");
    FAILS(lean_compacted_region_free(NULL), "failed to free a region");
    FAILS(lean_compacted_region_free(str("x")), "failed to free a region");
    FAILS(lean_compacted_region_free(array(str("x"), END)), "failed to free a region");
    FAILS(lean_compacted_region_free(ctor(0, str("x"), str("y"), END)), "failed to free a region");
    lean_object *fields[2] = {str("x"), box(0)};
    FAILS(lean_compacted_region_free(lean_region_mk_ctor(0, fields, 2, words, 25)), "failed to free a region");
    CHECK(lean_compacted_region_size(8) == 0 && lean_compacted_region_is_memory_mapped(0) == 0);
    CHECK_HELD(before);
}

static void freed_dependency(void) {
    lean_object *data = str("x");
    save_ok("f", data);
    region r = read_ok("f", NULL);
    lean_region_inc(r.structure);
    lean_object *deps = deps_of(r.structure, END);
    free_region(r);
    lean_region_dec(r.structure);
    holdings before = held();
    for (int i = 0; i < 3; i++) {
        FAILS(save("g", data, deps, NULL), "dependency region 0 of 1 is no live region");
        FAILS(read_result("f", deps), "dependency region 0 of 1 is no live region");
        CHECK_HELD(before);
    }
    lean_region_dec(deps);
    lean_object *const junk[] = {box(1), str("x"), array(END), lean_region_mk_ctor(0, NULL, 0, (uint8_t *)"12345678", 8)};
    for (size_t i = 0; i < 4; i++) {
        deps = array(junk[i], END);
        FAILS(read_result("f", deps), "dependency region 0 of 1 is no live region");
        lean_region_dec(deps);
    }
    FAILS(read_result("f", data), "the dependency regions are no array");
    FAILS(save("g", data, data, NULL), "the dependency regions are no array");
    CHECK(!exists("g"));
    lean_region_dec(data);
}

static void wrong_names(void) {
    lean_object *data = str("x"), *none = array(END), *key = name("K"), *nul = lean_region_mk_string("a\0b", 3);
    save_ok("old", data);
    CHECK(mkdir("dir", 0777) == 0);
    CHECK(mkdir("full", 0777) == 0);
    spew("full/x", "x", 1);
    FAILS(save("warm/up", data, NULL, NULL), "failed to create file");
    holdings before = held();
    for (int i = 0; i < 3; i++) {
        FAILS(save("no/such/f", data, NULL, NULL),
              "failed to write 'no/such/f': failed to create file: No such file or directory");
        FAILS(save("old/f", data, NULL, NULL), "failed to write 'old/f': failed to create file: Not a directory");
        FAILS(save("", data, NULL, NULL), "failed to write ''");
        FAILS(save("full", data, NULL, NULL), "failed to write 'full': Is a directory", "nothing was changed");
        FAILS(lean_compacted_region_save(nul, key, data, none, box(0), 0), "NUL character");
        FAILS(lean_compacted_region_save(key, key, data, none, box(0), 0), "the file name is no string");
        FAILS(lean_compacted_region_save(box(0), key, data, none, box(0), 0), "the file name is no string");
        lean_object *f = str("f");
        FAILS(lean_compacted_region_save(f, data, data, none, box(0), 0), "the key of a region is no name");
        FAILS(lean_compacted_region_save(f, none, data, none, box(0), 0), "the key of a region is no name");
        lean_region_dec(f);
        FAILS(lean_compacted_region_read(nul, none), "NUL character");
        FAILS(lean_compacted_region_read(box(0), none), "the file name is no string");
        FAILS(read_result("gone", NULL), "failed to open file 'gone': No such file or directory");
        FAILS(read_result("old/f", NULL), "failed to open file 'old/f': Not a directory");
        FAILS(read_result("dir", NULL), "failed to read file 'dir'");
        FAILS(read_result("/dev/null", NULL), "failed to read file '/dev/null'");
        CHECK(files(true) == 0 && files(false) == 3);
        CHECK_HELD(before);
    }
    /* The anonymous name is a key, and so are keys with numbers. */
    lean_object *f = str("f");
    lean_region_dec(ok(lean_compacted_region_save(f, box(0), data, none, box(0), 0)));
    CHECK(file_base("f") == 0);
    lean_region_dec(f);
    lean_region_dec(data);
    lean_region_dec(none);
    lean_region_dec(key);
    lean_region_dec(nul);
}

/* Temporary files that a killed process of this number has left are in nobody's way, and that of the name used first is
 * removed by the next save. */
static void stale_temporaries(void) {
    lean_object *data = str("x");
    char file[8][64];
    for (int i = 0; i < 8; i++) {
        snprintf(file[i], sizeof file[i], "f.tmp.%d.%d", (int)getpid(), i);
        spew(file[i], "stale", 5);
    }
    char left[64];
    snprintf(left, sizeof left, "f.tmp.%d", (int)getpid());
    spew(left, "stale", 5);
    for (int i = 0; i < 3; i++) save_ok("f", data);
    CHECK(!exists(left));
    for (int i = 0; i < 8; i++) {
        size_t bytes;
        char *content = slurp(file[i], &bytes);
        CHECK(bytes == 5 && !memcmp(content, "stale", 5));
        free(content);
        CHECK(unlink(file[i]) == 0);
    }
    CHECK(files(false) == 1);
    lean_region_dec(data);
}

/* Without rights to the directory or the file. Root may do everything, so not as root. */
static void no_rights(void) {
    lean_object *data = str("x");
    save_ok("secret", data);
    CHECK(mkdir("closed", 0555) == 0 && chmod("secret", 0) == 0);
    if (geteuid() == 0) CHECK(seteuid(65534) == 0);
    FAILS(save("closed/f", data, NULL, NULL),
          "failed to write 'closed/f': failed to create file: Permission denied");
    FAILS(read_result("secret", NULL), "failed to open file 'secret': Permission denied");
    if (getuid() == 0) CHECK(seteuid(0) == 0);
    lean_region_dec(data);
}

const scenario error_scenarios[] = {{"wrong_prev", wrong_prev},
                                    {"dirty_compactor", dirty_compactor},
                                    {"double_free", double_free},
                                    {"free_junk", free_junk},
                                    {"freed_dependency", freed_dependency},
                                    {"wrong_names", wrong_names},
                                    {"stale_temporaries", stale_temporaries},
                                    {"no_rights", no_rights},
                                    {0}};
