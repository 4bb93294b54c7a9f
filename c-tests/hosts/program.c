/* A program on the runtime of host.c: `program HOW DIRECTORY`. HOW is
 *
 *   stock      the runtime's own loader is expected to be called
 *   inside     the runtime's callers are used and its own loader is expected to be never called
 *   beside     this library is opened and its functions called directly, those of all generations
 *
 * Exit code 0 if everything was as it should be; then no object is left. */
#define _GNU_SOURCE
#include "calls.h"
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

/* Every kind of object that this runtime has; lazy ones get their values while they are saved. */
static object *every_kind(void) {
    uint64_t digits[9000];
    for (int i = 0; i < 9000; i++) digits[i] = (uint64_t)i << 32 | 0x80000001u;
    uint8_t bytes[80];
    for (int i = 0; i < 80; i++) bytes[i] = (uint8_t)(i + 1);
    object *many[121], *one = mk_string("field");
    for (int i = 0; i < 121; i++) many[i] = BOX(i);
    object *shared = array2(mk_string("shared"), BOX(3)), *marked = array1(mk_string("marked"));
    lean_mark_mt(marked);
    object *all[] = {BOX(0),
                     mk_ctor(0, 0, NULL, bytes, 8),
                     mk_ctor(7, 1, &one, bytes, 1),
                     mk_ctor(8, 1, (object *[]){BOX(1)}, bytes, 13),
                     mk_ctor(9, 121, many, bytes, 80),
                     mk_string(""),
                     mk_string("a longer string"),
                     array0(),
                     mk_sarray(1, bytes, 5),
                     mk_sarray(8, bytes, 3),
                     shared,
                     share(shared),
                     marked,
                     mk_number(false, 1, digits),
                     mk_number(true, 2, digits),
                     mk_number(false, 9000, digits),
                     mk_cell(251, mk_string("thunk")),
                     mk_lazy(251, mk_string("lazy thunk")),
                     mk_cell(252, mk_string("task")),
                     mk_lazy(252, mk_string("lazy task")),
                     mk_cell(244, mk_cell(252, mk_string("promise"))),
                     mk_cell(253, BOX(5)),
                     mk_cell(253, BOX(5))};
    return mk_array(sizeof all / sizeof *all, all);
}

static void take(size_t address, bool back) {
    if (back)
        CHECK(munmap((void *)address, 4096) == 0);
    else
        CHECK(mmap((void *)address, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
              (void *)address);
}

static void nothing(void *data) { (void)data; }
static void no_one(void *data, object *visit) { (void)data, (void)visit; }

/* One file after the other: v4.31 and later. */
static void one_by_one(bool structures) {
    object *data = every_kind();
    object *compactor = ok(save("a", data, NULL, NULL));
    CHECK(compactor->tag == 254);
    object *second = array2(share(data), mk_string("second"));
    object *again = ok(save("b", second, NULL, share(compactor)));
    CHECK(again == compactor);
    dec(again);
    dec(compactor);
    CHECK(base_of("b") > base_of("a"));

    loaded a = take_pair(ok(read_file("a", NULL)));
    CHECK(is_structure(a.region) == structures && is_mapped(a.region) && size_of(a.region) > 72000);
    check_same(data, a.root);
    object *deps = array1(share(a.region));
    for (int missed = 0; missed < 2; missed++) {
        if (missed) take(base_of("b"), false);
        loaded b = take_pair(ok(read_file("b", deps)));
        if (missed) take(base_of("b"), true);
        CHECK(is_mapped(b.region) == !missed && size_of(b.region) < 300);
        CHECK(b.root->field[2] == a.root);
        check_same(second, b.root);
        free_ok(b);
    }
    /* A root that leads into a dependency, which has missed its address. */
    loaded other = take_pair(ok(read_file("a", NULL)));
    CHECK(!is_mapped(other.region));
    check_same(data, other.root);
    object *these = array1(share(other.region));
    object *third = array1(other.root);
    dec(ok(save("c", third, these, NULL)));
    loaded c = take_pair(ok(read_file("c", these)));
    CHECK(c.root->field[2] == other.root && size_of(c.region) == 128);
    free_ok(c);
    dec(third);
    dec(these);
    free_ok(other);

    /* Once freed, it is a dependency no more, and cannot be freed again. */
    inc(a.region);
    object *kept = a.region;
    free_ok(a);
    refused(read_file("b", deps), "is no live region");
    refused(save("d", second, deps, NULL), "is no live region");
    dec(deps);
    refused(free_result(kept), "failed to free a region");
    refused(free_((object *)(structures ? BOX(1) : (object *)12345)), "failed to free a region");

    void *class = lean_register_external_class(nothing, no_one);
    refused(save("d", second, NULL, mk_external(class, NULL)), "`prev` is no compactor");
    object *external = array1(mk_external(class, NULL));
    refused(save("d", external, NULL, NULL), "external objects cannot be compacted");
    dec(external);
    refused(save("no/such/d", second, NULL, NULL), "failed to create file: No such file or directory");
    refused(read_file("d", NULL), "failed to open file 'd': No such file or directory");
    dec(second);
    dec(data);
}

/* All parts at once: v4.20 to v4.30. */
static void all_at_once(bool structures) {
    object *data = every_kind();
    object *second = array2(share(data), mk_string("second"));
    object *parts = array2(pair(mk_string("p"), share(data)), pair(mk_string("q"), share(second)));
    CHECK(ok(save_parts("P", parts)) == BOX(0));
    CHECK(base_of("q") > base_of("p"));
    for (int missed = 0; missed < 3; missed++) {
        size_t base = missed ? base_of(missed == 1 ? "p" : "q") : 0;
        if (missed) take(base, false);
        object *pairs = ok(read_parts(array2(mk_string("p"), mk_string("q"))));
        if (missed) take(base, true);
        CHECK(pairs->tag == 246 && pairs->word[0] == 2);
        loaded p = take_pair(share(pairs->field[2])), q = take_pair(share(pairs->field[3]));
        dec(pairs);
        CHECK(is_structure(p.region) == structures && is_structure(q.region) == structures);
        CHECK(is_mapped(p.region) == (missed != 1) && is_mapped(q.region) == (missed != 2));
        CHECK(size_of(p.region) > 72000 && size_of(q.region) < 300);
        check_same(data, p.root);
        check_same(second, q.root);
        CHECK(q.root->field[2] == p.root);
        inc(p.region);
        object *kept = p.region;
        free_ok(q);
        free_ok(p);
        refused(free_result(kept), "failed to free a region");
    }
    object *none = ok(read_parts(array0()));
    CHECK(none->tag == 246 && none->word[0] == 0);
    dec(none);
    CHECK(ok(save_parts("P", array0())) == BOX(0));
    refused(read_parts(array2(mk_string("q"), mk_string("p"))), "in the order they were saved");
    refused(read_parts(array2(mk_string("p"), mk_string("gone"))), "failed to open file 'gone'");
    parts = array2(pair(mk_string("r"), share(data)), pair(mk_string("no/such/s"), BOX(0)));
    refused(save_parts("P", parts), "failed to write 'no/such/s'");
    CHECK(access("r", F_OK) != 0);
    dec(second);
    dec(data);
}

static object *(*read_set_)(object *, uint32_t, uint32_t);
static int32_t (*free_set_)(object *);

static object *read_set(const char *file, uint32_t workers) {
    object *f = mk_string(file), *result = read_set_(f, workers, 0);
    dec(f);
    return result;
}

static void write_list(const char *file, const char *json) {
    FILE *f = fopen(file, "w");
    CHECK(f && fputs(json, f) >= 0 && fclose(f) == 0);
}

/* A snapshot with the modules that it was saved over: what the functions above have left. */
static void set(bool structures) {
    loaded a = take_pair(ok(read_file("a", NULL)));
    object *deps = array1(share(a.region));
    loaded b = take_pair(ok(read_file("b", deps)));
    dec(deps);
    object *pairs = ok(read_parts(array2(mk_string("p"), mk_string("q"))));
    loaded p = take_pair(share(pairs->field[2])), q = take_pair(share(pairs->field[3]));
    dec(pairs);
    object *regions[] = {share(q.region), share(p.region), share(b.region), share(a.region)};
    deps = mk_array(4, regions);
    object *roots[] = {a.root, b.root, p.root, q.root}, *root = mk_array(4, roots);
    dec(ok(save("s", root, deps, NULL)));
    dec(root);
    dec(deps);
    free_ok(q);
    free_ok(p);
    free_ok(b);
    free_ok(a);
    object *data = every_kind();
    /* Lazy ones get their values. */
    dec(ok(save("a", data, NULL, NULL)));
    write_list("s.deps", "[{\"oleanServer\":\"b\",\"olean\":\"a\"},{},{\"ir\":\"q\",\"irSig\":\"p\"}]");
    for (uint32_t workers = 0; workers < 5; workers++) {
        size_t base = workers % 2 ? base_of("p") : 0;
        if (base) take(base, false);
        object *result = read_set("s", workers), *all = result->field[0];
        if (base) take(base, true);
        if (result->tag != 0) ok(result);
        CHECK(all->tag == 246 && all->word[0] == 5);
        object *last = all->field[2 + 4];
        for (int i = 0; i < 4; i++) {
            object *one = all->field[2 + i];
            CHECK(is_structure(one->field[1]) == structures && last->field[0]->field[2 + i] == one->field[0]);
            CHECK(is_mapped(one->field[1]) == (i != 2 || !base));
        }
        check_same(data, all->field[2]->field[0]);
        CHECK(is_mapped(last->field[1]) && size_of(last->field[1]) < 200);
        CHECK(free_set_(result) == 0);
    }
    /* Whatever was read is released. */
    long before = living;
    write_list("s.deps", "[{\"olean\":\"a\"},{\"irSig\":\"p\",\"ir\":\"gone\"},{\"olean\":\"gone, too\"}]");
    refused(read_set("s", 3), "failed to open file 'gone'");
    write_list("s.deps", "[{\"olean\":\"a\"},{\"irSig\":\"p\",\"ir\":\"q\"}]");
    CHECK(rename("s", "t") == 0);
    refused(read_set("s", 3), "failed to open file 's'");
    CHECK(living == before);
    loaded again = take_pair(ok(read_file("a", NULL)));
    CHECK(is_mapped(again.region));
    free_ok(again);
    dec(data);
}

static void find(void *library, const char *name, void *function) {
    void *address = dlsym(library, name);
    if (!address) fail_at(__FILE__, __LINE__, name);
    memcpy(function, &address, sizeof address);
}

int main(int argc, char **argv) {
    CHECK(argc == 3 && chdir(argv[2]) == 0);
    host_initialise();
    const char *how = argv[1];
#if defined(STRUCTURE)
    bool structures = true;
#else
    bool structures = false;
#endif
    if (!strcmp(how, "stock")) {
        const char *own = "the runtime's own loader";
#if defined(BATCH)
        refused(save_parts("P", array1(pair(mk_string("p"), BOX(1)))), own);
        refused(read_parts(array1(mk_string("p"))), own);
#else
        refused(save("a", BOX(1), NULL, NULL), own);
        refused(read_file("a", NULL), own);
#endif
        refused(free_(structures ? BOX(0) : (object *)8), own);
        CHECK(host_calls == 3);
        CHECK(structures || (size_(7) == 7 && mapped_(7) == 0 && host_calls == 5));
        /* There if this library is, which does nothing then. */
        void *preloaded = dlsym(RTLD_DEFAULT, "lean_region_read_set");
        if (preloaded) {
            memcpy(&read_set_, &preloaded, sizeof preloaded);
            refused(read_set("s", 1), "LEAN_REGION_MODE=replace");
        }
    } else if (!strcmp(how, "beside")) {
        void *library = dlopen(getenv("LEAN_REGION_LIBRARY"), RTLD_NOW | RTLD_LOCAL);
        if (!library) fail_at(__FILE__, __LINE__, dlerror());
        find(library, "lean_compacted_region_save", &save_);
        find(library, "lean_compacted_region_read", &read_);
        find(library, "lean_compacted_region_free", &free_);
        find(library, "lean_compacted_region_size", &size_);
        find(library, "lean_compacted_region_is_memory_mapped", &mapped_);
        find(library, "lean_save_module_data_parts", &save_parts_);
        find(library, "lean_read_module_data_parts", &read_parts_);
        find(library, "lean_region_read_set", &read_set_);
        find(library, "lean_region_free_set", &free_set_);
        one_by_one(structures);
        all_at_once(structures);
        set(structures);
        CHECK(host_calls == 0);
    } else {
        CHECK(!strcmp(how, "inside"));
#if defined(BATCH)
        all_at_once(structures);
#else
        one_by_one(structures);
#endif
        CHECK(host_calls == 0);
    }
    CHECK(living == 0);
    return 0;
}
