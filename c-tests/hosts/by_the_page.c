/* A Lean runtime with nothing but what docs/host-abi.md asks of one: generation handle, plain malloc, bignums that are
 * not GMP's, and none of the functions that may be missing. Its own loader does nothing but say that it was called. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct object {
    int32_t rc;
    uint16_t cs_sz;
    uint8_t other, tag;
    struct object *field[];
} object;

enum { ARRAY = 246, STRING = 249, EXTERNAL = 254 };

int own_loader;

static int is_scalar(const object *o) { return (uintptr_t)o & 1; }
static object *box(size_t n) { return (object *)(n << 1 | 1); }

void *lean_alloc_object(size_t bytes) {
    return malloc(bytes);
}

/* A small object has its size in front. */
static object *small(size_t bytes, uint8_t tag, uint8_t other) {
    size_t *block = malloc(8 + bytes);
    block[0] = bytes;
    object *o = (object *)(block + 1);
    o->rc = 1, o->cs_sz = 0, o->tag = tag, o->other = other;
    return o;
}

static object *ctor(uint8_t tag, uint8_t fields, object *a, object *b) {
    object *o = small(8 + 8 * (size_t)fields, tag, fields);
    if (fields > 0) o->field[0] = a;
    if (fields > 1) o->field[1] = b;
    return o;
}

static object *string(const char *text) {
    size_t bytes = strlen(text) + 1;
    object *o = lean_alloc_object(32 + bytes);
    o->rc = 1, o->cs_sz = 0, o->tag = STRING, o->other = 0;
    o->field[0] = o->field[1] = (object *)bytes, o->field[2] = (object *)(bytes - 1);
    memcpy((char *)o + 32, text, bytes);
    return o;
}

static object *array(size_t count, object **elements) {
    object *o = lean_alloc_object(24 + 8 * count);
    o->rc = 1, o->cs_sz = 0, o->tag = ARRAY, o->other = 0;
    o->field[0] = o->field[1] = (object *)count;
    for (size_t i = 0; i < count; i++) o->field[2 + i] = elements[i];
    return o;
}

typedef struct {
    void (*finalize)(void *);
    void (*foreach)(void *, object *);
} class;

void lean_dec_ref_cold(object *o);
static void dec(object *o) {
    if (is_scalar(o) || o->rc == 0) return;
    if (o->rc > 1) o->rc--;
    else lean_dec_ref_cold(o);
}

void lean_dec_ref_cold(object *o) {
    if (o->rc < -1) {
        o->rc++;
        return;
    }
    if (o->tag == ARRAY)
        for (size_t i = 0; i < (size_t)o->field[0]; i++) dec(o->field[2 + i]);
    else if (o->tag <= 243)
        for (int i = 0; i < o->other; i++) dec(o->field[i]);
    else if (o->tag == EXTERNAL)
        ((class *)o->field[0])->finalize(o->field[1]);
    /* External objects are small ones. */
    if (o->tag == ARRAY || o->tag == STRING) free(o);
    else free((size_t *)o - 1);
}

void lean_mark_mt(object *o) {
    if (!is_scalar(o) && o->rc > 0) o->rc = -o->rc;
}
object *lean_task_get(object *o) { return o->field[0]; }
object *lean_thunk_get_core(object *o) { return o->field[0]; }
object *lean_mk_io_user_error(object *text) { return ctor(7, 1, text, NULL); }
void *lean_register_external_class(void (*finalize)(void *), void (*foreach)(void *, object *)) {
    static class only;
    only.finalize = finalize, only.foreach = foreach;
    return &only;
}

static object *own(void) {
    own_loader++;
    return ctor(1, 1, lean_mk_io_user_error(string("the host's own loader")), NULL);
}
#define LOADER __attribute__((noinline, aligned(32)))
LOADER object *lean_compacted_region_save(object *file, object *key, object *data, object *deps, object *prev) {
    (void)file, (void)key, (void)data, (void)deps, dec(prev);
    return own();
}
LOADER object *lean_compacted_region_read(object *file, object *deps) {
    (void)file, (void)deps;
    return own();
}
LOADER object *lean_compacted_region_free(size_t handle) {
    (void)handle;
    return own();
}
LOADER uint8_t lean_compacted_region_is_memory_mapped(size_t handle) { return (uint8_t)(own_loader++ + handle); }
LOADER size_t lean_compacted_region_size(size_t handle) { return (size_t)own_loader++ + handle; }

/* What the program asks for: everything that the loader is for, called from inside the runtime. */
static object *value(object *result) {
    if (result->tag != 0) {
        printf("error: %s\n", (char *)result->field[0]->field[0] + 32);
        dec(result);
        return NULL;
    }
    object *v = result->field[0];
    if (!is_scalar(v) && v->rc > 0) v->rc++;
    else if (!is_scalar(v) && v->rc < 0) v->rc--;
    dec(result);
    return v;
}

void host_run(const char *path) {
    object *file = string(path), *none = array(0, NULL);
    object *elements[] = {string("first"), box(21), string("first")};
    object *data = ctor(3, 2, array(3, elements), box(42));
    object *key = small(8 + 2 * 8 + 8, 1, 2);
    key->field[0] = box(0), key->field[1] = string("key"), key->field[2] = (object *)0x123456780000;
    object *compactor = value(lean_compacted_region_save(file, key, data, none, box(0)));
    if (compactor) {
        dec(compactor);
        object *pair = value(lean_compacted_region_read(file, none));
        if (pair) {
            object *root = pair->field[0];
            size_t handle = (size_t)pair->field[1]->field[0];
            printf("root: tag %d, count %d, %zu\n", root->tag, root->rc, (size_t)root->field[1] >> 1);
            object *list = root->field[0];
            printf("array: %zu of %s, shared: %d\n", (size_t)list->field[0], (char *)list->field[2] + 32,
                   list->field[2] == list->field[4]);
            printf("mapped: %d, bytes: %zu\n", lean_compacted_region_is_memory_mapped(handle),
                   lean_compacted_region_size(handle));
            dec(pair);
            dec(value(lean_compacted_region_free(handle)));
            object *again = value(lean_compacted_region_free(handle));
            if (again) dec(again);
        }
    }
    dec(file), dec(none), dec(data), dec(key);
    printf("own loader: %d\n", own_loader);
}
