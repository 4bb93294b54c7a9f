/* See host.h. */
#include "host.h"
#include <stdlib.h>
#include <string.h>

long host_calls, heartbeats, living;

/* Memory: `front` bytes before an object keep the size that was asked for, except before big objects on plain
 * malloc. */
#define FRONT 16

static void *counted(size_t bytes) {
    size_t *block = malloc(FRONT + bytes);
    memset(block, 0xa5, FRONT + bytes);
    block[0] = bytes;
    living++;
    return (char *)block + FRONT;
}

static void uncount(void *o) {
    living--;
    free((char *)o - FRONT);
}

#if defined(PLAIN)
static bool is_big(object *o) { return o->tag >= 246 && o->tag <= 249; }
void *lean_alloc_object(size_t bytes) { return counted(bytes); }
static object *small(size_t bytes) {
    size_t *block = malloc(8 + bytes);
    block[0] = bytes;
    return (object *)(block + 1);
}
static void release(object *o) {
    if (is_big(o))
        uncount(o);
    else
        free((char *)o - 8);
}
size_t lean_object_byte_size(object *o) { return o->cs_sz ? o->cs_sz : ((size_t *)o)[-1]; }
void lean_inc_heartbeat(void) { heartbeats++; }
#else
static size_t rounded(size_t bytes) { return (bytes + 7) & ~(size_t)7; }
void *lean_alloc_object(size_t bytes) {
    object *o = counted(bytes);
    o->cs_sz = 0;
    return o;
}
static void release(object *o) { uncount(o); }
#if defined(FUSED)
object *lean_alloc_small_object_core(unsigned bytes) {
    if (bytes == 0 || bytes % 8 || bytes > 1024) abort();
    heartbeats++;
    object *o = counted(bytes);
    o->cs_sz = (uint16_t)bytes;
    return o;
}
static object *small(size_t bytes) {
    size_t all = rounded(bytes);
    object *o = all <= 1024 ? lean_alloc_small_object_core((unsigned)all) : counted(all);
    o->cs_sz = (uint16_t)rounded(bytes);
    return o;
}
void lean_inc_heartbeat(void) { heartbeats++; }
size_t lean_object_byte_size(object *o) { return o->cs_sz; }
#elif defined(MIMALLOC)
void *mi_malloc_small(size_t bytes) {
    if (bytes == 0 || bytes > 1024) abort();
    return counted(bytes);
}
void lean_inc_heartbeat(void) { heartbeats++; }
static object *small(size_t bytes) {
    lean_inc_heartbeat();
    object *o = rounded(bytes) <= 1024 ? mi_malloc_small(rounded(bytes)) : counted(rounded(bytes));
    o->cs_sz = (uint16_t)rounded(bytes);
    return o;
}
size_t lean_object_byte_size(object *o) { return o->cs_sz; }
#elif defined(SMALL)
/* Objects of before the heap is there end the program. */
static bool heap;
void *lean_alloc_small(unsigned bytes, unsigned slot) {
    if (!heap || bytes == 0 || bytes % 8 || bytes > 4096 || slot != bytes / 8 - 1) abort();
    heartbeats++;
    return counted(bytes);
}
void host_initialise(void) { heap = true; }
static object *small(size_t bytes) {
    unsigned n = (unsigned)rounded(bytes);
    object *o = lean_alloc_small(n, n / 8 - 1);
    o->cs_sz = 0;
    return o;
}
size_t lean_object_byte_size(object *o) { return o->cs_sz ? o->cs_sz : *(size_t *)((char *)o - FRONT); }
#endif
#endif
#if !defined(SMALL)
void host_initialise(void) {}
#endif

static object *header(object *o, uint8_t tag, uint8_t other) {
    o->rc = 1;
#if defined(PLAIN)
    o->cs_sz = 0;
#endif
    o->tag = tag;
    o->other = other;
    return o;
}

object *mk_ctor(uint8_t tag, int fields, object **field, const void *scalars, size_t bytes) {
    size_t size = 8 + 8 * (size_t)fields + bytes;
    object *o = header(small(size), tag, (uint8_t)fields);
#if !defined(PLAIN)
    if (size % 8) o->word[size / 8 - 1] = 0;
#endif
    for (int i = 0; i < fields; i++) o->field[i] = field[i];
    memcpy(o->field + fields, scalars, bytes);
    return o;
}

static object *big(size_t bytes, uint8_t tag, uint8_t other, size_t size) {
    object *o = header(lean_alloc_object(bytes), tag, other);
    o->cs_sz = 0;
    o->word[0] = o->word[1] = size;
    return o;
}

object *mk_string(const char *text) {
    size_t bytes = strlen(text) + 1;
    object *o = big(32 + bytes, 249, 0, bytes);
    o->word[2] = bytes - 1;
    memcpy(o->word + 3, text, bytes);
    return o;
}

object *mk_array(int count, object **elements) {
    object *o = big(24 + 8 * (size_t)count, 246, 0, (size_t)count);
    for (int i = 0; i < count; i++) o->field[2 + i] = elements[i];
    return o;
}

object *mk_sarray(int element, const void *bytes, size_t count) {
    object *o = big(24 + (size_t)element * count, 248, (uint8_t)element, count);
    memcpy(o->word + 2, bytes, (size_t)element * count);
    return o;
}

#if GMP
void __gmpz_init(void *number) { memset(number, 0, 16); }
object *mk_number(bool negative, size_t words, const uint64_t *digits) {
    object *o = header(small(24), 250, 0);
    int32_t *counts = (int32_t *)&o->word[0];
    /* More room than is used. */
    counts[0] = (int32_t)words + 3;
    counts[1] = negative ? -(int32_t)words : (int32_t)words;
    o->word[1] = (size_t)calloc(words + 3, 8);
    memcpy((void *)o->word[1], digits, 8 * words);
    return o;
}
#define DIGITS(o) ((void *)(o)->word[1])
#else
object *mk_number(bool negative, size_t words, const uint64_t *digits) {
    object *o = header(small(32), 250, 0);
    o->word[0] = 0xa5a5a5a5a5a5a500u | negative;
    o->word[1] = 2 * words;
    o->word[2] = (size_t)malloc(8 * words);
    memcpy((void *)o->word[2], digits, 8 * words);
    return o;
}
#define DIGITS(o) ((void *)(o)->word[2])
#endif

object *mk_cell(uint8_t tag, object *value) {
    bool two = tag == 251 || tag == 252;
    object *o = header(small(two ? 24 : 16), tag, 0);
    o->field[0] = value;
    if (two) o->word[1] = 0;
    return o;
}

/* What stands in for a closure or a running task: an evaluated thunk with the value. */
object *mk_lazy(uint8_t tag, object *value) {
    object *o = mk_cell(tag, NULL);
    o->field[1] = mk_cell(251, value);
    return o;
}

static object *force(object *o) {
    if (!o->field[0]) {
        inc(o->field[1]->field[0]);
        o->field[0] = o->field[1]->field[0];
        dec(o->field[1]);
        o->field[1] = NULL;
    }
    return o->field[0];
}
object *lean_task_get(object *o) { return force(o); }
object *lean_thunk_get_core(object *o) { return force(o); }

typedef struct {
    void (*finalize)(void *);
    void (*foreach)(void *, object *);
} external_class;

void *lean_register_external_class(void (*finalize)(void *), void (*foreach)(void *, object *)) {
    static external_class classes[8];
    static int count;
    if (count == 8) abort();
    classes[count] = (external_class){finalize, foreach};
    return &classes[count++];
}

object *mk_external(void *class, void *data) {
    object *o = header(small(24), 254, 0);
    o->word[0] = (size_t)class;
    o->word[1] = (size_t)data;
    return o;
}

object *mk_name(const char *text) {
    uint64_t hash = 1723;
    for (const char *c = text; *c; c++) hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
    object *fields[2] = {BOX(0), mk_string(text)};
    return mk_ctor(1, 2, fields, &hash, 8);
}

void inc(object *o) {
    if (is_box(o) || o->rc == 0) return;
    if (o->rc > 0)
        o->rc++;
    else
        __atomic_fetch_sub(&o->rc, 1, __ATOMIC_RELAXED);
}

static void each(object *o, void (*visit)(object *)) {
    size_t first = 0, count = 0;
    if (o->tag < 244)
        count = o->other;
    else if (o->tag == 246)
        first = 2, count = o->word[0];
    else if (o->tag == 244 || o->tag == 253)
        count = 1;
    else if (o->tag == 251 || o->tag == 252)
        count = 2;
    else if (o->tag == 245)
        abort();
    for (size_t i = 0; i < count; i++)
        if (o->field[first + i]) visit(o->field[first + i]);
}

void lean_dec_ref_cold(object *o) {
    if (o->rc > 1) abort();
    if (o->rc == 0 || (o->rc < 0 && __atomic_fetch_add(&o->rc, 1, __ATOMIC_ACQ_REL) != -1)) return;
    each(o, dec);
    if (o->tag == 250) free(DIGITS(o));
    if (o->tag == 254) ((external_class *)o->word[0])->finalize((void *)o->word[1]);
    release(o);
}

void dec(object *o) {
    if (is_box(o) || o->rc == 0) return;
    if (o->rc > 1)
        o->rc--;
    else
        lean_dec_ref_cold(o);
}

void lean_mark_mt(object *o) {
    if (is_box(o) || o->rc <= 0) return;
    o->rc = -o->rc;
    each(o, lean_mark_mt);
}

static object *io(uint8_t tag, object *value) {
    object *fields[2] = {value, BOX(0)};
    return mk_ctor(tag, IO_FIELDS, fields, "", 0);
}

object *lean_mk_io_user_error(object *text) { return mk_ctor(18, 1, &text, "", 0); }

/* The harmless function whose error shows how many fields a result has. */
object *lean_io_metadata(object *path) {
    (void)path;
    return io(1, lean_mk_io_user_error(mk_string("no such file")));
}

#if defined(BATCH)
object *lean_get_githash(object *unit) {
    (void)unit;
    return mk_string("0123456789012345678901234567890123456789");
}
object *lean_version_get_major(object *unit) { return (void)unit, BOX(4); }
object *lean_version_get_minor(object *unit) { return (void)unit, BOX(25); }
object *lean_version_get_patch(object *unit) { return (void)unit, BOX(1); }
uint8_t lean_version_get_is_release(object *unit) { return (void)unit, 1; }
object *lean_version_get_special_desc(object *unit) { return (void)unit, mk_string("rc3"); }
#else
object *l_Lean_getGithash___boxed(object *unit) {
    (void)unit;
    return mk_string("0123456789012345678901234567890123456789");
}
object *l_Lean_version_major = BOX(4), *l_Lean_version_minor = BOX(25), *l_Lean_version_patch = BOX(1);
object *l_Lean_version_getIsRelease___boxed(object *unit) { return (void)unit, BOX(1); }
object *l_Lean_version_getSpecialDesc___boxed(object *unit) { return (void)unit, mk_string("rc3"); }
#endif

static object *refuse(void) {
    host_calls++;
    return io(1, lean_mk_io_user_error(mk_string("the runtime's own loader was called")));
}

#if defined(BATCH)
object *lean_save_module_data_parts(object *module, object *parts) { return (void)module, (void)parts, refuse(); }
object *lean_read_module_data_parts(object *files) { return (void)files, refuse(); }
object *inside_save_parts(object *module, object *parts) { return lean_save_module_data_parts(module, parts); }
object *inside_read_parts(object *files) { return lean_read_module_data_parts(files); }
object *inside_save(object *f, object *k, object *d, object *e, object *p, uint8_t c) {
    (void)f, (void)k, (void)d, (void)e, (void)p, (void)c;
    abort();
}
object *inside_read(object *file, object *deps) { (void)file, (void)deps, abort(); }
#else
object *lean_compacted_region_save(object *file, object *key, object *data, object *deps, object *prev,
                                   uint8_t closures) {
    (void)file, (void)key, (void)data, (void)deps, (void)closures;
    dec(prev);
    return refuse();
}
object *lean_compacted_region_read(object *file, object *deps) { return (void)file, (void)deps, refuse(); }
object *inside_save(object *file, object *key, object *data, object *deps, object *prev, uint8_t closures) {
    return lean_compacted_region_save(file, key, data, deps, prev, closures);
}
object *inside_read(object *file, object *deps) { return lean_compacted_region_read(file, deps); }
object *inside_save_parts(object *module, object *parts) { (void)module, (void)parts, abort(); }
object *inside_read_parts(object *files) { (void)files, abort(); }
#endif

#if defined(STRUCTURE)
object *lean_compacted_region_free(object *region) {
    dec(region);
    return refuse();
}
size_t inside_size(size_t handle) { (void)handle, abort(); }
uint8_t inside_mapped(size_t handle) { (void)handle, abort(); }
#else
object *lean_compacted_region_free(object *region) { return (void)region, refuse(); }
size_t lean_compacted_region_size(size_t handle) { return host_calls++, handle; }
uint8_t lean_compacted_region_is_memory_mapped(size_t handle) { return host_calls++, handle == 0; }
size_t inside_size(size_t handle) { return lean_compacted_region_size(handle); }
uint8_t inside_mapped(size_t handle) { return lean_compacted_region_is_memory_mapped(handle); }
#endif
object *inside_free(object *region) { return lean_compacted_region_free(region); }
