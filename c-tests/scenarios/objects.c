/* Objects of every kind, saved and read: mapped and relocated. */
#include "common.h"
#include <pthread.h>

static void check_both_ways(const char *file, lean_object *data) {
    region first = read_ok(file, NULL);
    renew(file);
    region second = read_ok(file, NULL);
    CHECK(mapped(first) && !mapped(second));
    CHECK(same(data, first.root));
    CHECK(same(data, second.root));
    CHECK(same(first.root, second.root));
    CHECK(is_scalar(data) || first.root != second.root);
    free_region(first);
    free_region(second);
}

static void kinds(void) {
    lean_object *all = every_kind();
    save_ok("all", all);
    check_both_ways("all", all);
    for (size_t i = 0; i < lean_region_child_count(all); i++) {
        char file[32];
        snprintf(file, sizeof file, "kind%zu", i);
        save_ok(file, lean_region_child(all, i));
        check_both_ways(file, lean_region_child(all, i));
    }
    lean_region_dec(all);
}

/* Equal content is stored once, except that of references and numbers. */
static void sharing(void) {
    uint64_t limbs[2] = {1, 1};
    lean_object *strings = array(str("equal"), str("equal"), str("other"), END);
    lean_object *refs = array(lean_region_mk_ref(box(1)), lean_region_mk_ref(box(1)), END);
    lean_object *numbers = array(lean_region_mk_number(false, false, limbs, 2),
                                 lean_region_mk_number(false, false, limbs, 2), END);
    save_ok("strings", strings);
    save_ok("refs", refs);
    save_ok("numbers", numbers);
    region s = read_ok("strings", NULL), r = read_ok("refs", NULL), n = read_ok("numbers", NULL);
    CHECK(lean_region_child(s.root, 0) == lean_region_child(s.root, 1));
    CHECK(lean_region_child(s.root, 0) != lean_region_child(s.root, 2));
    CHECK(lean_region_child(r.root, 0) != lean_region_child(r.root, 1));
    CHECK(lean_region_child(n.root, 0) != lean_region_child(n.root, 1));
    CHECK(size_of(s) == 96 + 40 + 40 + 48);
    free_region(s);
    free_region(r);
    free_region(n);
    lean_region_dec(strings);
    lean_region_dec(refs);
    lean_region_dec(numbers);
}

static lean_object *code(lean_object *a) { return a; }

static void closures(void) {
    lean_object *fixed = str("captured");
    lean_object *data = array(lean_region_mk_closure((const void *)code, 2, &fixed, 1), str("x"), END);
    FAILS(save("refused", data, NULL, NULL), "failed to write 'refused'", "Closures cannot be compacted");
    CHECK(!exists("refused"));
    lean_region_dec(ok(save_v3("allowed", data, NULL, NULL)));
    check_both_ways("allowed", data);
    lean_object *plain = str("no closure in it");
    lean_region_dec(ok(save_v3("without", plain, NULL, NULL)));
    check_both_ways("without", plain);
    lean_region_dec(plain);
    lean_region_dec(data);
}

/* A list of 10 million cells on a stack of 8 MB: made, saved, read, released. */
static void *deep(void *unused) {
    size_t cells = 10000000 / scale;
    lean_object *list = box(0);
    for (size_t i = 0; i < cells; i++) {
        lean_object *fields[2] = {box(i), list};
        list = lean_region_mk_ctor(1, fields, 2, NULL, 0);
    }
    save_ok("deep", list);
    region first = read_ok("deep", NULL);
    renew("deep");
    region second = read_ok("deep", NULL);
    CHECK(size_of(first) == 96 + 24 * cells && mapped(first) && !mapped(second));
    lean_object *a = first.root, *b = second.root;
    for (size_t i = cells; i-- > 0;) {
        CHECK(lean_region_child(a, 0) == box(i) && lean_region_child(b, 0) == box(i));
        a = lean_region_child(a, 1);
        b = lean_region_child(b, 1);
    }
    CHECK(a == box(0) && b == box(0));
    free_region(first);
    free_region(second);
    lean_region_dec(list);
    return unused;
}

static void deep_list(void) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstacksize(&attributes, 8 << 20) == 0);
    CHECK(pthread_create(&thread, &attributes, deep, NULL) == 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
}

const scenario object_scenarios[] = {
    {"kinds", kinds}, {"sharing", sharing}, {"closures", closures}, {"deep_list", deep_list}, {0}};
