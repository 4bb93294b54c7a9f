/* Lean objects laid out by hand, and the two entry points under test. All objects are static in Lean's sense
 * (reference count 0), so nothing counts or frees them. */
#ifndef OBJECTS_H
#define OBJECTS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct object {
    int32_t rc;
    uint16_t cs_sz;
    uint8_t other;
    uint8_t tag;
    uint64_t word[];
} *obj;

obj lean_compacted_region_save(obj file, obj key, obj data, obj deps, obj prev, uint8_t allow_closures);
obj lean_compacted_region_read(obj file, obj deps);

enum { TAG_CLOSURE = 245, TAG_ARRAY = 246, TAG_STRING = 249 };

static inline obj box(uint64_t n) { return (obj)(uintptr_t)(n << 1 | 1); }
static inline uint64_t unbox(obj o) { return (uint64_t)(uintptr_t)o >> 1; }
static inline int is_scalar(obj o) { return (int)((uintptr_t)o & 1); }
static inline obj field(obj o, int i) { return (obj)(uintptr_t)o->word[i]; }

/* Not zeroed on purpose where the layout has padding: what a closure's padding holds must not reach a file. */
static inline obj alloc(size_t bytes, uint8_t tag, uint8_t other, uint16_t cs_sz) {
    obj o = malloc((bytes + 7) / 8 * 8);
    if (!o) abort();
    memset(o, 0xa5, (bytes + 7) / 8 * 8);
    o->rc = 0;
    o->cs_sz = cs_sz;
    o->other = other;
    o->tag = tag;
    return o;
}

static inline obj ctor1(uint8_t tag, obj a) {
    obj o = alloc(16, tag, 1, 16);
    o->word[0] = (uintptr_t)a;
    return o;
}

static inline obj ctor2(uint8_t tag, obj a, obj b) {
    obj o = alloc(24, tag, 2, 24);
    o->word[0] = (uintptr_t)a;
    o->word[1] = (uintptr_t)b;
    return o;
}

static inline obj string(const char *s) {
    size_t n = strlen(s) + 1;
    obj o = alloc(32 + n, TAG_STRING, 0, 0);
    memset((char *)o + 8, 0, (24 + n + 7) / 8 * 8);
    o->word[0] = n;
    o->word[1] = n;
    o->word[2] = n - 1;
    memcpy(&o->word[3], s, n);
    return o;
}

static inline const char *text(obj o) { return (const char *)&o->word[3]; }

static inline obj array(size_t n, obj *elements) {
    obj o = alloc(24 + 8 * n, TAG_ARRAY, 0, 0);
    o->word[0] = n;
    o->word[1] = n;
    for (size_t i = 0; i < n; i++) o->word[2 + i] = (uintptr_t)elements[i];
    return o;
}

static inline size_t array_size(obj o) { return o->word[0]; }
static inline obj element(obj o, size_t i) { return (obj)(uintptr_t)o->word[2 + i]; }

/* Lean's Name.mkSimple with a hash of our choice, which becomes the base address. */
static inline obj name(const char *s, uint64_t hash) {
    obj o = alloc(32, 1, 2, 32);
    o->word[0] = (uintptr_t)box(0);
    o->word[1] = (uintptr_t)string(s);
    o->word[2] = hash;
    return o;
}

/* A closure; its 4 bytes of padding keep the garbage of alloc. */
static inline obj closure(void *code, uint16_t arity, uint16_t fixed, obj *args) {
    obj o = alloc(24 + 8 * fixed, TAG_CLOSURE, 0, (uint16_t)(24 + 8 * fixed));
    o->word[0] = (uintptr_t)code;
    memcpy(&o->word[1], &arity, 2);
    memcpy((char *)&o->word[1] + 2, &fixed, 2);
    for (size_t i = 0; i < fixed; i++) o->word[2 + i] = (uintptr_t)args[i];
    return o;
}

/* Calls a closure that lacks exactly one argument. */
static inline obj apply(obj f, obj arg) {
    uint16_t arity;
    memcpy(&arity, &f->word[1], 2);
    void *code = (void *)(uintptr_t)f->word[0];
    switch (arity) {
    case 1: return ((obj(*)(obj))code)(arg);
    case 2: return ((obj(*)(obj, obj))code)(field(f, 2), arg);
    case 3: return ((obj(*)(obj, obj, obj))code)(field(f, 2), field(f, 3), arg);
    default: abort();
    }
}

#endif
