/* A program on the runtime of host.c: `program HOW DIRECTORY`. HOW is
 *
 *   stock      the runtime's own loader is expected to be called
 *   inside     the runtime's callers are used and its own loader is expected to be never called
 *   beside     this library is opened and its functions called directly, those of all generations
 *
 * Exit code 0 if everything was as it should be; then no object is left. */
#include "host.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void host_initialise(void);

#define CHECK(condition) \
    do { \
        if (!(condition)) fail(__LINE__, #condition); \
    } while (0)
static _Noreturn void fail(int line, const char *what) {
    fprintf(stderr, "program.c:%d: %s\n", line, what);
    exit(1);
}

/* The loader in use. */
static object *(*save_)(object *, object *, object *, object *, object *, uint8_t) = inside_save;
static object *(*read_)(object *, object *) = inside_read;
static object *(*free_)(object *) = inside_free;
static size_t (*size_)(size_t) = inside_size;
static uint8_t (*mapped_)(size_t) = inside_mapped;
static object *(*save_parts_)(object *, object *) = inside_save_parts;
static object *(*read_parts_)(object *) = inside_read_parts;

static object *pair(object *a, object *b) {
    object *both[2] = {a, b};
    return mk_ctor(0, 2, both, "", 0);
}
static object *array0(void) { return mk_array(0, NULL); }
static object *array1(object *a) { return mk_array(1, &a); }
static object *array2(object *a, object *b) {
    object *both[2] = {a, b};
    return mk_array(2, both);
}
static object *share(object *o) {
    inc(o);
    return o;
}

/* The value of a successful result (consumed), owned. */
static object *ok(object *result) {
    CHECK(!is_box(result) && result->other == IO_FIELDS);
    if (result->tag != 0) fail(__LINE__, (char *)(result->field[0]->field[0]->word + 3));
    CHECK(IO_FIELDS == 1 || result->field[1] == BOX(0));
    object *value = share(result->field[0]);
    dec(result);
    return value;
}

static void refused(object *result, const char *text) {
    CHECK(!is_box(result) && result->other == IO_FIELDS && result->tag == 1);
    CHECK(IO_FIELDS == 1 || result->field[1] == BOX(0));
    object *error = result->field[0];
    CHECK(error->tag == 18 && error->other == 1);
    const char *found = (char *)(error->field[0]->word + 3);
    if (!strstr(found, text)) fail(__LINE__, found);
    dec(result);
}

typedef struct {
    object *root, *region;
} loaded;

static loaded take_pair(object *p) {
    loaded l = {p->field[0], share(p->field[1])};
    dec(p);
    return l;
}

/* Handle of a region that is one. */
static size_t handle(object *region) {
    CHECK(region->tag == 0 && region->other == 0);
    return region->word[0];
}

static bool is_structure(object *region) { return region->other == 2; }

static size_t size_of(object *region) { return is_structure(region) ? region->word[2] : size_(handle(region)); }
static bool is_mapped(object *region) {
    return is_structure(region) ? ((uint8_t *)region)[48] : mapped_(handle(region));
}

/* As the compiled code of the generation does it: a structure is given away, of a handle the number. */
static object *free_result(object *region) {
    if (is_structure(region)) return free_(region);
    size_t number = handle(region);
    dec(region);
    return free_((object *)number);
}

static object *save(const char *file, object *data, object *deps, object *prev) {
    object *f = mk_string(file), *key = mk_name(file), *d = deps ? deps : array0();
    object *option = prev ? mk_ctor(1, 1, &prev, "", 0) : BOX(0);
    object *result = save_(f, key, data, d, option, 0);
    dec(f);
    dec(key);
    if (!deps) dec(d);
    return result;
}

static object *read_file(const char *file, object *deps) {
    object *f = mk_string(file), *d = deps ? deps : array0();
    object *result = read_(f, d);
    dec(f);
    if (!deps) dec(d);
    return result;
}

static object *save_parts(const char *key, object *parts) {
    object *k = mk_name(key), *result = save_parts_(k, parts);
    dec(k);
    dec(parts);
    return result;
}

static object *read_parts(object *files) {
    object *result = read_parts_(files);
    dec(files);
    return result;
}

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

static size_t used(object *o) {
    switch (o->tag) {
    case 246: return 24;
    case 248: return 24 + o->word[0] * (o->other & 0x7f);
    case 249: return 32 + o->word[0];
    default: return 8;
    }
}

/* Whether `copy` in a region is what `o` is; sizes of constructors are those that `o` was asked with. */
static void check_same(object *o, object *copy) {
    if (is_box(o)) {
        CHECK(o == copy);
        return;
    }
    CHECK(copy->rc == 0 && o->tag == copy->tag && used(o) == used(copy));
    size_t lean_object_byte_size(object *);
    if (o->tag < 244) {
        size_t size = lean_object_byte_size(o), at = 8 + 8 * (size_t)o->other;
        CHECK(copy->cs_sz == size && copy->other == o->other);
        CHECK(!memcmp((char *)o + at, (char *)copy + at, size - at));
        for (int i = 0; i < o->other; i++) check_same(o->field[i], copy->field[i]);
    } else if (o->tag == 246) {
        CHECK(copy->cs_sz == 1 && o->word[0] == copy->word[0]);
        for (size_t i = 0; i < o->word[0]; i++) check_same(o->field[2 + i], copy->field[2 + i]);
    } else if (o->tag == 248 || o->tag == 249) {
        size_t at = o->tag == 248 ? 24 : 24;
        CHECK(copy->cs_sz == 1 && o->word[0] == copy->word[0] && copy->word[1] == copy->word[0]);
        CHECK(!memcmp((char *)o + at, (char *)copy + at, used(o) - at));
    } else if (o->tag == 250) {
#if GMP
        int32_t *a = (int32_t *)o->word, *b = (int32_t *)copy->word;
        CHECK(a[1] == b[1] && b[0] == abs(b[1]));
        CHECK((char *)copy->word[1] == (char *)copy + 24);
        CHECK(!memcmp((void *)o->word[1], (void *)copy->word[1], 8 * (size_t)b[0]));
#else
        CHECK(copy->word[0] == (o->word[0] & 0xff) && o->word[1] == copy->word[1]);
        CHECK((char *)copy->word[2] == (char *)copy + 32);
        CHECK(!memcmp((void *)o->word[2], (void *)copy->word[2], 4 * o->word[1]));
#endif
    } else {
        check_same(o->field[0], copy->field[0]);
        if (o->tag == 251 || o->tag == 252) CHECK(copy->word[1] == 0);
    }
}

static size_t base_of(const char *file) {
    size_t header[11];
    FILE *f = fopen(file, "rb");
    CHECK(f && fread(header, 1, 88, f) == 88);
    fclose(f);
    CHECK(!memcmp(header, "olean\2", 6) && ((uint8_t *)header)[6] == GMP);
    CHECK(!strcmp((char *)header + 7, "4.25.1-rc3"));
    CHECK(!memcmp((char *)header + 40, "0123456789012345678901234567890123456789", 40));
    return header[10];
}

static void take(size_t address, bool back) {
    if (back)
        CHECK(munmap((void *)address, 4096) == 0);
    else
        CHECK(mmap((void *)address, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
              (void *)address);
}

static void free_ok(loaded l) { CHECK(ok(free_result(l.region)) == BOX(0)); }

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

static void find(void *library, const char *name, void *function) {
    void *address = dlsym(library, name);
    if (!address) fail(__LINE__, name);
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
    } else if (!strcmp(how, "beside")) {
        void *library = dlopen(getenv("LEAN_REGION_LIBRARY"), RTLD_NOW | RTLD_LOCAL);
        if (!library) fail(__LINE__, dlerror());
        find(library, "lean_compacted_region_save", &save_);
        find(library, "lean_compacted_region_read", &read_);
        find(library, "lean_compacted_region_free", &free_);
        find(library, "lean_compacted_region_size", &size_);
        find(library, "lean_compacted_region_is_memory_mapped", &mapped_);
        find(library, "lean_save_module_data_parts", &save_parts_);
        find(library, "lean_read_module_data_parts", &read_parts_);
        one_by_one(structures);
        all_at_once(structures);
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
