/* The loader's calls as the compiled code of each generation makes them, and what programs on the runtime of host.c
 * check of their answers. */
#ifndef CALLS_H
#define CALLS_H

#include "host.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void host_initialise(void);

#define CHECK(condition) \
    do { \
        if (!(condition)) fail_at(__FILE__, __LINE__, #condition); \
    } while (0)
static inline _Noreturn void fail_at(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
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

static inline object *pair(object *a, object *b) {
    object *both[2] = {a, b};
    return mk_ctor(0, 2, both, "", 0);
}
static inline object *array0(void) { return mk_array(0, NULL); }
static inline object *array1(object *a) { return mk_array(1, &a); }
static inline object *array2(object *a, object *b) {
    object *both[2] = {a, b};
    return mk_array(2, both);
}
static inline object *share(object *o) {
    inc(o);
    return o;
}

/* The value of a successful result (consumed), owned. */
static inline object *ok(object *result) {
    CHECK(!is_box(result) && result->other == IO_FIELDS);
    if (result->tag != 0) fail_at(__FILE__, __LINE__, (char *)(result->field[0]->field[0]->word + 3));
    CHECK(IO_FIELDS == 1 || result->field[1] == BOX(0));
    object *value = share(result->field[0]);
    dec(result);
    return value;
}

static inline void refused(object *result, const char *text) {
    CHECK(!is_box(result) && result->other == IO_FIELDS && result->tag == 1);
    CHECK(IO_FIELDS == 1 || result->field[1] == BOX(0));
    object *error = result->field[0];
    CHECK(error->tag == 18 && error->other == 1);
    const char *found = (char *)(error->field[0]->word + 3);
    if (!strstr(found, text)) fail_at(__FILE__, __LINE__, found);
    dec(result);
}

typedef struct {
    object *root, *region;
} loaded;

static inline loaded take_pair(object *p) {
    loaded l = {p->field[0], share(p->field[1])};
    dec(p);
    return l;
}

/* Handle of a region that is one. */
static inline size_t handle(object *region) {
    CHECK(region->tag == 0 && region->other == 0);
    return region->word[0];
}

static inline bool is_structure(object *region) { return region->other == 2; }

static inline size_t size_of(object *region) {
    return is_structure(region) ? region->word[2] : size_(handle(region));
}
static inline bool is_mapped(object *region) {
    return is_structure(region) ? ((uint8_t *)region)[48] : mapped_(handle(region));
}

/* As the compiled code of the generation does it: a structure is given away, of a handle the number. */
static inline object *free_result(object *region) {
    if (is_structure(region)) return free_(region);
    size_t number = handle(region);
    dec(region);
    return free_((object *)number);
}

static inline object *save(const char *file, object *data, object *deps, object *prev) {
    object *f = mk_string(file), *key = mk_name(file), *d = deps ? deps : array0();
    object *option = prev ? mk_ctor(1, 1, &prev, "", 0) : BOX(0);
    object *result = save_(f, key, data, d, option, 0);
    dec(f);
    dec(key);
    if (!deps) dec(d);
    return result;
}

static inline object *read_file(const char *file, object *deps) {
    object *f = mk_string(file), *d = deps ? deps : array0();
    object *result = read_(f, d);
    dec(f);
    if (!deps) dec(d);
    return result;
}

static inline object *save_parts(const char *key, object *parts) {
    object *k = mk_name(key), *result = save_parts_(k, parts);
    dec(k);
    dec(parts);
    return result;
}

static inline object *read_parts(object *files) {
    object *result = read_parts_(files);
    dec(files);
    return result;
}

static inline size_t base_of(const char *file) {
    size_t header[11];
    FILE *f = fopen(file, "rb");
    CHECK(f && fread(header, 1, 88, f) == 88);
    fclose(f);
    CHECK(!memcmp(header, "olean\2", 6) && ((uint8_t *)header)[6] == GMP);
    CHECK(!strcmp((char *)header + 7, "4.25.1-rc3"));
    CHECK(!memcmp((char *)header + 40, "0123456789012345678901234567890123456789", 40));
    return header[10];
}

static inline void free_ok(loaded l) { CHECK(ok(free_result(l.region)) == BOX(0)); }

static inline size_t used(object *o) {
    switch (o->tag) {
    case 246: return 24;
    case 248: return 24 + o->word[0] * (o->other & 0x7f);
    case 249: return 32 + o->word[0];
    default: return 8;
    }
}

/* Whether `copy` in a region is what `o` is; sizes of constructors are those that `o` was asked with. */
static inline void check_same(object *o, object *copy) {
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
        size_t at = 24;
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

#endif
