/* The part of a Lean runtime that binding looks at, in the shapes of several releases, for the tests of
 * src/host. What is compiled in:
 *
 *   BATCH, HANDLE, STRUCTURE        the loader functions of that generation; none of them: a runtime of before
 *   FUSED, MIMALLOC, SMALL, PLAIN   that allocation scheme; none of them: plain malloc
 *   OUTSIDE                         mimalloc in another library, which this one calls inside
 *   STRANGE                         an allocator that no Lean has had
 *   GMP_OUTSIDE                     calls GMP in another library
 *   REFS                            lean_st_ref_get, with a result of its time
 *   IO_FIELDS=n                     IO results with n fields (default 1)
 *   NO_PROBE                        without the function whose result shows that
 *   VERSION_FUNCTIONS               version and githash as functions, as older releases have them
 *   VERSION_DATA                    version as data that initialise() fills in
 *   NO_THUNKS                       without lean_thunk_get_core, which every runtime has
 *
 * It counts heartbeats and living objects, except for small ones under plain malloc, whose memory does not
 * come from here; and it keeps the size that it was last asked for. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef IO_FIELDS
#define IO_FIELDS 1
#endif

typedef struct {
    int32_t rc;
    uint16_t cs_sz;
    uint8_t other;
    uint8_t tag;
} object;

long heartbeats, objects, asked;

/* Memory with its size 16 bytes in front. */
static object *fresh(size_t bytes) {
    char *block = malloc(16 + bytes);
    memset(block, 0xa5, 16 + bytes);
    *(size_t *)block = bytes;
    objects++;
    asked = (long)bytes;
    return (object *)(block + 16);
}

void *lean_alloc_object(size_t bytes) {
    object *o = fresh(bytes);
    o->cs_sz = 0;
    return o;
}

void lean_inc_heartbeat(void) { heartbeats++; }

#if defined(FUSED)
void *lean_alloc_small_object_core(unsigned bytes) {
    if (bytes == 0 || bytes % 8 != 0 || bytes > 1024) abort();
    object *o = fresh(bytes);
    o->cs_sz = (uint16_t)bytes;
    heartbeats++;
    return o;
}
#elif defined(MIMALLOC)
void *mi_malloc_small(size_t bytes) {
    if (bytes == 0 || bytes % 8 != 0 || bytes > 1024) abort();
    return fresh(bytes);
}
#elif defined(SMALL)
void *lean_alloc_small(unsigned bytes, unsigned slot) {
    if (bytes == 0 || bytes % 8 != 0 || bytes > 4096 || slot != bytes / 8 - 1) abort();
    heartbeats++;
    return fresh(bytes);
}
#elif !defined(PLAIN) && !defined(OUTSIDE) && !defined(STRANGE)
#define PLAIN
#endif

static object *small(size_t bytes, uint8_t other, uint8_t tag) {
#if defined(PLAIN)
    size_t *block = malloc(8 + bytes);
    *block = bytes;
    object *o = (object *)(block + 1);
#else
    object *o = fresh(bytes);
#endif
    o->rc = 1;
#if defined(OUTSIDE)
    o->cs_sz = (uint16_t)bytes;
#else
    o->cs_sz = 0;
#endif
    o->other = other;
    o->tag = tag;
    return o;
}

#if defined(GMP_OUTSIDE)
void __gmpz_init(void *number);
void uses_gmp(void *number) { __gmpz_init(number); }
#endif

/* Releases constructors and strings, which is all that the tests release. */
void lean_dec_ref_cold(object *o) {
    if (o->rc < -1) o->rc++;
    if (o->rc != 1) return;
    object **field = (object **)(o + 1);
    for (int i = 0; o->tag < 244 && i < o->other; i++) {
        if ((uintptr_t)field[i] & 1) continue;
        if (field[i]->rc == 1)
            lean_dec_ref_cold(field[i]);
        else if (field[i]->rc > 0)
            field[i]->rc--;
        else if (field[i]->rc < -1)
            field[i]->rc++;
    }
#if defined(PLAIN)
    if (o->tag < 244 || o->tag > 249) {
        if (((size_t *)o)[-1] > 4096) abort();
        free((char *)o - 8);
        return;
    }
#endif
    objects--;
    free((char *)o - 16);
}

/* Of constructors. */
size_t lean_object_byte_size(object *o) {
    if (o->cs_sz != 0) return o->cs_sz;
#if defined(PLAIN)
    return ((size_t *)o)[-1];
#else
    return ((size_t *)o)[-2];
#endif
}

void lean_mark_mt(object *o) { (void)o; }
void *lean_task_get(object *o) { return o; }
#ifndef NO_THUNKS
void *lean_thunk_get_core(object *o) { return o; }
#endif
void *lean_register_external_class(void (*finalize)(void *), void (*foreach)(void *, void *)) {
    static void *class_of_all[2];
    memcpy(&class_of_all[0], &finalize, sizeof finalize);
    memcpy(&class_of_all[1], &foreach, sizeof foreach);
    return class_of_all;
}

void *lean_mk_io_user_error(object *text) {
    object *o = small(16, 1, 18);
    ((void **)o)[1] = text;
    return o;
}

#ifndef NO_PROBE
void *lean_io_metadata(object *path) {
    (void)path;
    object *o = small(8 + 8 * IO_FIELDS, IO_FIELDS, 1);
    for (int i = 1; i <= IO_FIELDS; i++) ((uintptr_t *)o)[i] = 1;
    return o;
}
#endif

#if defined(REFS)
/* The value, owned, in an IO result where these have two fields. */
void *lean_st_ref_get(object *o) {
    object *value = ((object **)o)[1];
    if (value->rc > 0)
        value->rc++;
    else if (value->rc < 0)
        value->rc--;
#if IO_FIELDS == 2
    object *result = small(24, 2, 0);
    ((void **)result)[1] = value;
    ((uintptr_t *)result)[2] = 1;
    return result;
#else
    return value;
#endif
}
#endif

#if defined(BATCH)
void *lean_read_module_data_parts(void *files) { return files; }
void *lean_save_module_data_parts(void *module, void *parts) { return module ? module : parts; }
uint8_t lean_compacted_region_is_memory_mapped(size_t region) { return region != 0; }
#elif defined(HANDLE) || defined(STRUCTURE)
void *lean_compacted_region_read(void *file, void *regions) { return file ? file : regions; }
#if defined(HANDLE)
uint8_t lean_compacted_region_is_memory_mapped(size_t region) { return region != 0; }
size_t lean_compacted_region_size(size_t region) { return region; }
#endif
#endif

#if defined(VERSION_FUNCTIONS) || defined(VERSION_DATA)
static void *string(const char *text) {
    size_t bytes = strlen(text) + 1;
    object *o = fresh(32 + bytes);
    o->rc = 1;
    o->cs_sz = 0;
    o->other = 0;
    o->tag = 249;
    size_t *word = (size_t *)o;
    word[1] = word[2] = bytes;
    word[3] = bytes - 1;
    memcpy(word + 4, text, bytes);
    return o;
}

#define BOX(n) ((void *)((uintptr_t)(n) << 1 | 1))
#endif

#if defined(VERSION_FUNCTIONS)
void *lean_version_get_major(void *unit) { return unit == BOX(0) ? BOX(4) : 0; }
void *lean_version_get_minor(void *unit) { return unit == BOX(0) ? BOX(20) : 0; }
void *lean_version_get_patch(void *unit) { return unit == BOX(0) ? BOX(1) : 0; }
uint8_t lean_version_get_is_release(void *unit) { return unit != BOX(0); }
void *lean_version_get_special_desc(void *unit) { return unit == BOX(0) ? string("") : 0; }
void *lean_get_githash(void *unit) { return unit == BOX(0) ? string("") : 0; }
#elif defined(VERSION_DATA)
void *l_Lean_version_major, *l_Lean_version_minor, *l_Lean_version_patch, *l_Lean_githash;
void *l_Lean_version_getIsRelease___boxed(void *unit) { return unit == BOX(0) ? BOX(1) : 0; }
void *l_Lean_version_getSpecialDesc___boxed(void *unit) { return unit == BOX(0) ? string("rc2") : 0; }
void initialise(void) {
    l_Lean_version_major = BOX(4);
    l_Lean_version_minor = BOX(33);
    l_Lean_version_patch = BOX(0);
    l_Lean_githash = string("0123456789abcdef0123456789abcdef01234567");
}
#endif
