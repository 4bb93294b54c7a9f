/* A Lean runtime as far as redirecting its loader goes: what binding looks for, and loader functions that
 * answer with made-up regions and count their calls. BATCH, HANDLE or STRUCTURE says of which generation.
 * CRAMPED: one loader function is too short and has no room behind it; IMMOVABLE: one begins with a loop.
 * The inside_... functions are the callers that live in the same library, as compiled Lean code does. Objects
 * are never released. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct object {
    int32_t rc;
    uint16_t cs_sz;
    uint8_t other, tag;
    union {
        struct object *field[6];
        size_t word[6];
    };
} object;

#define BOX(n) ((object *)((size_t)(n) << 1 | 1))

static object *fresh(size_t bytes, uint8_t other, uint8_t tag) {
    size_t *block = calloc(1, 8 + bytes);
    block[0] = bytes;
    object *o = (object *)(block + 1);
    o->rc = 1;
    o->other = other;
    o->tag = tag;
    return o;
}

void *lean_alloc_object(size_t bytes) { return malloc(bytes); }
void lean_inc_heartbeat(void) {}
void lean_dec_ref_cold(object *o) { (void)o; }
void lean_mark_mt(object *o) { (void)o; }
object *lean_task_get(object *o) { return o; }
object *lean_thunk_get_core(object *o) { return o; }
void *lean_register_external_class(void *finalize, void *foreach) {
    static void *of_all[2];
    of_all[0] = finalize;
    of_all[1] = foreach;
    return of_all;
}
object *lean_mk_io_user_error(object *text) {
    object *o = fresh(16, 1, 18);
    o->field[0] = text;
    return o;
}

#ifndef IO_FIELDS
#define IO_FIELDS 1
#endif

static object *io(uint8_t tag, object *value) {
    object *o = fresh(8 + 8 * IO_FIELDS, IO_FIELDS, tag);
    o->field[0] = value;
    for (int i = 1; i < IO_FIELDS; i++) o->field[i] = BOX(0);
    return o;
}

/* The harmless function whose result shows how many fields one has. */
object *lean_io_metadata(object *path) {
    (void)path;
    return io(1, BOX(0));
}

object *inside_string(const char *text) {
    size_t bytes = strlen(text) + 1;
    object *o = fresh(32 + bytes, 0, 249);
    o->word[0] = o->word[1] = bytes;
    o->word[2] = bytes - 1;
    memcpy(o->word + 3, text, bytes);
    return o;
}

object *inside_array(object *element) {
    object *o = fresh(32, 0, 246);
    o->word[0] = o->word[1] = element ? 1 : 0;
    o->field[2] = element;
    return o;
}

static object *pair(object *a, object *b) {
    object *o = fresh(24, 2, 0);
    o->field[0] = a;
    o->field[1] = b;
    return o;
}

/* How often the functions below were called. */
int host_calls;

#if defined(THROWS)
void throw_something(void);
#endif

static object *answer(object *fname, object *value) {
    const char *name = (const char *)(fname->word + 3);
    host_calls++;
#if defined(THROWS)
    if (strstr(name, "throw")) throw_something();
#endif
    return strstr(name, "bad") ? io(1, lean_mk_io_user_error(inside_string("bad file"))) : io(0, value);
}

/* A region of 4096 bytes, mapped. */
static object *region(object *fname) {
#if defined(STRUCTURE)
    object *o = fresh(56, 2, 0);
    o->cs_sz = 56;
    o->field[0] = fname;
    o->field[1] = BOX(7);
    o->word[2] = 4096;
    ((uint8_t *)o)[48] = 1;
    return o;
#else
    static const size_t handle[2] = {4096, 1};
    (void)fname;
    object *o = fresh(16, 0, 0);
    o->cs_sz = 16;
    o->word[0] = (size_t)handle;
    return o;
#endif
}

static void write_file(object *fname) {
    FILE *file = fopen((const char *)(fname->word + 3), "w");
    if (file) {
        fputs("hello", file);
        fclose(file);
    }
}

/* The name M, with a hash to derive a base address from. */
static object *key(void) {
    object *name = fresh(32, 2, 1);
    name->field[0] = BOX(0);
    name->field[1] = inside_string("M");
    name->word[2] = 0x123456789abcdef;
    return name;
}

#if defined(BATCH)
object *lean_save_module_data_parts(object *module, object *parts) {
    (void)module;
    for (size_t i = 0; i < parts->word[0]; i++) write_file(parts->field[2 + i]->field[0]);
    return answer(parts->field[2]->field[0], BOX(0));
}
object *lean_read_module_data_parts(object *files) {
    return answer(files->field[2], inside_array(pair(BOX(7), region(files->field[2]))));
}
object *inside_save(const char *file) {
    return lean_save_module_data_parts(key(), inside_array(pair(inside_string(file), BOX(1))));
}
object *inside_read(const char *file) {
    object *result = lean_read_module_data_parts(inside_array(inside_string(file)));
    /* The only element in place of the array. */
    return result->tag == 0 ? io(0, result->field[0]->field[2]) : result;
}
#else
object *lean_compacted_region_save(object *fname, object *name, object *data, object *deps, object *prev,
                                   uint8_t allow_closures) {
    (void)name, (void)data, (void)deps, (void)prev, (void)allow_closures;
    write_file(fname);
    return answer(fname, BOX(0));
}
object *lean_compacted_region_read(object *fname, object *deps) {
    (void)deps;
    return answer(fname, pair(BOX(7), region(fname)));
}
/* Only hosts whose regions are structures say whether closures are allowed; of others this is what a register held. */
#if defined(HANDLE)
#define ALLOW_CLOSURES 0xff
#else
#define ALLOW_CLOSURES 0
#endif
object *inside_save(const char *file) {
    return lean_compacted_region_save(inside_string(file), key(), BOX(1), inside_array(0), BOX(0), ALLOW_CLOSURES);
}
object *inside_read(const char *file) { return lean_compacted_region_read(inside_string(file), inside_array(0)); }
#endif

#if defined(IMMOVABLE)
object *lean_compacted_region_free(object *region);
__asm__(".text\n.p2align 4\n.globl lean_compacted_region_free\n.type lean_compacted_region_free,@function\n"
        "lean_compacted_region_free:\n nop\n nop\n 1: nop\n nop\n nop\n xorl %eax,%eax\n testl %eax,%eax\n jne 1b\n ret\n"
        ".size lean_compacted_region_free,.-lean_compacted_region_free\n");
#else
object *lean_compacted_region_free(object *region) {
    (void)region;
    host_calls++;
    return io(0, BOX(0));
}
#endif

#if defined(BATCH) || defined(HANDLE)
#define SHORT(name, body, after)                                                                              \
    __asm__(".text\n.p2align 4\n.globl " name "\n.type " name ",@function\n" name ":\n" body "\n.size " name ",.-" name \
            "\n" after "\n")
size_t lean_compacted_region_size(size_t region);
uint8_t lean_compacted_region_is_memory_mapped(size_t region);
#ifdef CRAMPED
SHORT("lean_compacted_region_is_memory_mapped", "movb 8(%rdi),%al\n ret", "ud2");
#else
SHORT("lean_compacted_region_is_memory_mapped", "movzbl 8(%rdi),%eax\n ret", ".p2align 4");
#endif
SHORT("lean_compacted_region_size", "movq (%rdi),%rax\n ret", ".p2align 4");

size_t inside_size(size_t region) { return lean_compacted_region_size(region); }
int inside_mapped(size_t region) { return lean_compacted_region_is_memory_mapped(region); }
#else
size_t inside_size(object *region) { return region->word[2]; }
int inside_mapped(object *region) { return ((uint8_t *)region)[48]; }
#endif

object *inside_free(object *region) { return lean_compacted_region_free(region); }
_Noreturn void inside_leave(int status) { _exit(status); }
_Noreturn void inside_Leave(int status) { _Exit(status); }
