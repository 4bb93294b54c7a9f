/* Several regions: chains, dependencies that landed or missed, parts saved and read at once. */
#include "common.h"

#define MISSED 65536

/* Reads `file` while its address is taken, by a region of another file or else by us. */
static region read_missed(const char *file, lean_object *deps) {
    size_t base = file_base(file);
    bool ours = lean_compacted_region_size(base) == 0;
    if (ours) take(base, MISSED);
    else renew(file);
    region r = read_ok(file, deps);
    if (ours) give_back(base, MISSED);
    CHECK(!mapped(r));
    return r;
}

static void chain(void) {
    lean_object *shared = random_string(5000, 1);
    lean_object *first = array(inc(shared), str("equal"), END);
    lean_object *second = array(shared, inc(first), str("equal"), str("new"), END);
    lean_object *compactor = ok(save("1", first, NULL, NULL));
    lean_object *same_one = ok(save("2", second, NULL, inc(compactor)));
    CHECK(same_one == compactor);
    lean_region_dec(compactor);
    /* A root that an earlier part holds, and a scalar. */
    compactor = ok(save("3", first, NULL, same_one));
    lean_region_dec(ok(save("4", box(7), NULL, compactor)));

    region one = read_ok("1", NULL);
    CHECK(size_of(one) > 5000 && file_base("2") == file_base("1") + 65536);
    CHECK(file_base("3") == file_base("2") + 65536 && file_base("4") == file_base("3") + 65536);
    lean_object *deps = deps_of(one.structure, END);
    region two = read_ok("2", deps);
    CHECK(size_of(two) < 300);
    CHECK(lean_region_child(two.root, 0) == lean_region_child(one.root, 0));
    CHECK(lean_region_child(two.root, 1) == one.root);
    CHECK(lean_region_child(two.root, 2) == lean_region_child(one.root, 1));
    CHECK(same(second, two.root));
    region three = read_ok("3", deps), four = read_ok("4", deps);
    CHECK(three.root == one.root && size_of(three) == 96);
    CHECK(four.root == box(7) && size_of(four) == 96);
    free_region(four);
    free_region(three);
    free_region(two);
    /* The later part alone is refused where its pointers are looked at. */
    take(file_base("2"), MISSED);
    FAILS(read_result("2", NULL), "failed to read '2'", "'unreachable' code was reached", "offset 0x", "0x");
    give_back(file_base("2"), MISSED);
    FAILS(read_result("3", NULL), "failed to read '3'", "dependency is missing");
    lean_region_dec(deps);
    free_region(one);
    lean_region_dec(first);
    lean_region_dec(second);
}

/* Each of the two regions landed or missed. */
static void dependencies(void) {
    lean_object *low = array(str("low"), every_kind(), END);
    save_ok("low", low);
    region lower = read_ok("low", NULL);
    lean_object *deps = deps_of(lower.structure, END);
    lean_object *high = array(lean_region_child(lower.root, 0), str("high"), lower.root, END);
    lean_region_dec(ok(save("high", high, deps, NULL)));
    lean_object *whole = array(str("low"), str("high"), inc(low), END);
    for (int i = 0; i < 4; i++) {
        region other = i & 1 ? read_missed("low", NULL) : lower;
        lean_object *these = deps_of(other.structure, END);
        region upper = i & 2 ? read_missed("high", these) : read_ok("high", these);
        CHECK(mapped(upper) == !(i & 2) && size_of(upper) < 300);
        CHECK(lean_region_child(upper.root, 2) == other.root);
        CHECK(same(whole, upper.root));
        free_region(upper);
        lean_region_dec(these);
        if (i & 1) {
            free_region(other);
        } else if (i == 0) {
            /* From here on it is read again. */
            lean_region_dec(high);
            lean_region_dec(deps);
            high = deps = NULL;
        }
    }
    free_region(lower);
    lean_region_dec(whole);
    lean_region_dec(low);
}

/* Saving beside a dependency that missed its address gives the same bytes as beside one that landed. */
static void missed_dependency_same_bytes(void) {
    lean_object *low = array(str("low"), str("more"), END);
    save_ok("low", low);
    region landed = read_ok("low", NULL), missed = read_missed("low", NULL);
    region both[2] = {landed, missed};
    char *content[2];
    size_t bytes[2];
    for (int i = 0; i < 2; i++) {
        lean_object *deps = deps_of(both[i].structure, END);
        lean_object *high = array(both[i].root, lean_region_child(both[i].root, 1), END);
        lean_object *file = str(i ? "m" : "l"), *key = name("High");
        lean_region_dec(ok(lean_compacted_region_save(file, key, high, deps, box(0), 0)));
        content[i] = slurp(i ? "m" : "l", &bytes[i]);
        lean_region_dec(file);
        lean_region_dec(key);
        lean_region_dec(high);
        lean_region_dec(deps);
    }
    CHECK(bytes[0] == bytes[1] && !memcmp(content[0], content[1], bytes[0]));
    free(content[0]);
    free(content[1]);
    free_region(landed);
    free_region(missed);
    lean_region_dec(low);
}

/* A region's structure as data: what is read gives the same region again, wherever things lie. */
static void region_in_data(void) {
    lean_object *low = array(str("low"), END);
    save_ok("low", low);
    region lower = read_ok("low", NULL);
    lean_object *deps = deps_of(lower.structure, END);
    lean_object *data = array(inc(lower.structure), END);
    lean_region_dec(ok(save("data", data, deps, NULL)));
    lean_region_dec(data);
    for (int i = 0; i < 4; i++) {
        region other = i & 1 ? read_missed("low", NULL) : lower;
        lean_object *these = deps_of(other.structure, END);
        region holder = i & 2 ? read_missed("data", these) : read_ok("data", these);
        region inside = {lean_region_child(lean_region_child(holder.root, 0), 1),
                         lean_region_child(holder.root, 0)};
        CHECK(inside.root == other.root && begin_of(inside) == begin_of(other));
        CHECK(size_of(inside) == size_of(other) && base_of(inside) == base_of(other));
        /* It serves as a dependency. */
        lean_object *embedded = deps_of(inside.structure, END);
        lean_object *more = array(other.root, END);
        lean_region_dec(ok(save("more", more, embedded, NULL)));
        region again = read_ok("more", embedded);
        CHECK(lean_region_child(again.root, 0) == other.root && size_of(again) == 96 + 32);
        free_region(again);
        lean_region_dec(more);
        lean_region_dec(embedded);
        lean_region_dec(these);
        if (i & 1) {
            /* Freed through the one in the data, it is gone for the other too. */
            CHECK(ok(lean_compacted_region_free(inside.structure)) == box(0));
            CHECK(lean_region_child(inside.structure, 1) == box(0));
            FAILS(lean_compacted_region_free(other.structure), "failed to free a region");
        }
        free_region(holder);
    }
    lean_region_dec(deps);
    free_region(lower);
    lean_region_dec(low);
}

static lean_object *part(const char *file, lean_object *data) { return ctor(0, str(file), data, END); }

static lean_object *save_parts(const char *key, lean_object *parts) {
    lean_object *n = name(key);
    lean_object *result = lean_save_module_data_parts(n, parts);
    lean_region_dec(n);
    lean_region_dec(parts);
    return result;
}

static lean_object *read_parts(lean_object *names) {
    lean_object *result = lean_read_module_data_parts(names);
    lean_region_dec(names);
    return result;
}

static void parts(void) {
    lean_object *shared = random_string(70000, 2);
    lean_object *p = array(part("a", array(inc(shared), END)), part("b", array(inc(shared), str("b"), END)),
                           part("c", inc(shared)), END);
    CHECK(ok(save_parts("M", p)) == box(0));
    CHECK(file_base("b") == file_base("a") + 2 * 65536 && file_base("c") == file_base("b") + 65536);
    /* The same bytes as from a chain. */
    size_t bytes, chained;
    char *content = slurp("b", &bytes);
    lean_object *key = name("M"), *a = str("a"), *none = array(END);
    lean_object *one = array(inc(shared), END), *two = array(inc(shared), str("b"), END);
    lean_object *compactor = ok(lean_compacted_region_save(a, key, one, none, box(0), 0));
    lean_region_dec(ok(save("chained", two, NULL, compactor)));
    char *other = slurp("chained", &chained);
    CHECK(bytes == chained && !memcmp(content, other, bytes));
    free(content);
    free(other);

    for (int i = 0; i < 3; i++) {
        /* None missed, the first, the second. */
        size_t base = i ? file_base(i == 1 ? "a" : "b") : 0;
        if (i) take(base, MISSED);
        lean_object *pairs = ok(read_parts(array(str("a"), str("b"), str("c"), END)));
        if (i) give_back(base, MISSED);
        CHECK(lean_region_child_count(pairs) == 3);
        region r[3];
        for (size_t k = 0; k < 3; k++) r[k] = from_pair(inc(lean_region_child(pairs, k)));
        lean_region_dec(pairs);
        CHECK(mapped(r[0]) == (i != 1) && mapped(r[1]) == (i != 2) && mapped(r[2]));
        CHECK(same(one, r[0].root) && same(two, r[1].root) && same(shared, r[2].root));
        CHECK(lean_region_child(r[0].root, 0) == lean_region_child(r[1].root, 0));
        CHECK(lean_region_child(r[0].root, 0) == r[2].root);
        for (size_t k = 3; k-- > 0;) free_region(r[k]);
    }
    lean_region_dec(a);
    lean_region_dec(key);
    lean_region_dec(none);
    lean_region_dec(one);
    lean_region_dec(two);
    lean_region_dec(shared);
}

static void no_parts(void) {
    lean_object *empty = array(END), *key = name("M");
    for (int i = 0; i < 2; i++) {
        CHECK(ok(i ? save_module_data_parts(key, empty) : lean_save_module_data_parts(key, empty)) == box(0));
        lean_object *pairs = ok(i ? read_module_data_parts(empty) : lean_read_module_data_parts(empty));
        CHECK(lean_region_tag(pairs) == 246 && lean_region_child_count(pairs) == 0);
        lean_region_dec(pairs);
    }
    CHECK(files(false) == 0);
    lean_region_dec(key);
    lean_region_dec(empty);
}

/* Parts that cannot be read together, or not saved: nothing is left of the others. */
static void wrong_parts(void) {
    CHECK(ok(save_parts("M", array(part("a", str("x")), part("b", array(str("x"), END)), END))) == box(0));
    lean_object *rest = ok(read_parts(array(str("a"), str("b"), END)));
    region first = from_pair(inc(lean_region_child(rest, 0))), second = from_pair(inc(lean_region_child(rest, 1)));
    lean_region_dec(rest);
    free_region(second);
    free_region(first);
    holdings before = held();
    for (int i = 0; i < 3; i++) {
        FAILS(read_parts(array(str("b"), str("a"), END)), "failed to read file 'a'", "in the order they were saved");
        FAILS(read_parts(array(str("a"), str("a"), END)), "failed to read file 'a'", "in the order they were saved");
        FAILS(read_parts(array(str("a"), str("gone"), END)), "failed to open file 'gone': No such file or directory");
        FAILS(read_parts(array(str("a"), box(3), END)), "the file name is no string");
        FAILS(read_parts(str("a")), "the file names are no array");
        FAILS(save_parts("M", array(part("c", str("x")), part("no/such/d", str("y")), END)),
              "failed to write 'no/such/d': failed to create file: No such file or directory");
        FAILS(save_parts("M", array(part("c", str("x")), str("d"), END)), "no pair");
        FAILS(save_parts("M", array(part("c", str("x")), box(0), END)), "no pair");
        FAILS(save_parts("M", str("c")), "the parts are no array");
        CHECK(!exists("c") && files(true) == 0 && files(false) == 2);
        CHECK_HELD(before);
    }
    lean_object *no_name = str("M"), *parts = array(END);
    FAILS(lean_save_module_data_parts(no_name, parts), "the key of a region is no name");
    lean_region_dec(no_name);
    lean_region_dec(parts);
}

/* Pages of addresses that the process has, and of memory. */
static void pages(long *addresses, long *memory) {
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f && fscanf(f, "%ld %ld", addresses, memory) == 2);
    fclose(f);
}

/* Many copies of regions, freed in another order than they were read: addresses and memory come back. */
static void copies(void) {
    enum { MANY = 100, BYTES = 1 << 20 };
    size_t many = scale >= 100 ? 3 : MANY;
    lean_object *data = random_string(BYTES, 9);
    save_ok("copied", data);
    region r[MANY];
    long addresses[3], memory[3], loaded;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < many; i++) r[i] = read_missed("copied", NULL);
        pages(&addresses[round], &loaded);
        for (size_t i = 0; i < many; i++) CHECK(same(data, r[i].root));
        for (size_t i = 0; i < many; i += 2) free_region(r[i]);
        for (size_t i = 1; i < many; i += 2) {
            CHECK(same(data, r[i].root));
            free_region(r[i]);
        }
        pages(&addresses[round], &memory[round]);
        if (scale < 100) CHECK(loaded - memory[round] > MANY * (BYTES / 4096) * 9L / 10);
    }
    /* Of the last one round, of addresses one chunk in which there is room, of memory a huge page. */
    if (scale < 100) CHECK(addresses[2] - addresses[0] < 40 << 8 && memory[2] - memory[0] < 8 << 8);
    lean_region_dec(data);
}

const scenario region_scenarios[] = {
    {"chain", chain},
    {"dependencies", dependencies},
    {"missed_dependency_same_bytes", missed_dependency_same_bytes},
    {"region_in_data", region_in_data},
    {"parts", parts},
    {"no_parts", no_parts},
    {"wrong_parts", wrong_parts},
    {"copies", copies},
    {0}};
