/* A small Lean runtime with a loader of its own that refuses everything and counts its calls: what the tests of
 * hosts run on. What is compiled in:
 *
 *   BATCH, HANDLE, STRUCTURE        the loader functions of that generation
 *   FUSED, MIMALLOC, SMALL, PLAIN   that allocation scheme
 *   IO_FIELDS                       fields of an IO result
 *   GMP                             1: bignums are laid out as GMP's, 0: as Lean's own */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct object {
    int32_t rc;
    uint16_t cs_sz;
    uint8_t other, tag;
    union {
        struct object *field[1];
        size_t word[1];
    };
} object;

#define BOX(n) ((object *)((size_t)(n) << 1 | 1))
static inline bool is_box(object *o) { return (size_t)o & 1; }

/* Calls of the runtime's own loader functions, heartbeats, and living objects: all of them, or with plain malloc,
 * where small ones are made and unmade by anybody, the others. */
extern long host_calls, heartbeats, living;

/* Objects as compiled code makes them; children are consumed. */
object *mk_ctor(uint8_t tag, int fields, object **field, const void *scalars, size_t bytes);
object *mk_string(const char *text);
object *mk_array(int count, object **elements);
object *mk_sarray(int element, const void *bytes, size_t count);
object *mk_number(bool negative, size_t words, const uint64_t *digits);
object *mk_cell(uint8_t tag, object *value);
/* A thunk or task whose value is not there until it is asked for. */
object *mk_lazy(uint8_t tag, object *value);
object *mk_external(void *class, void *data);
object *mk_name(const char *text);
void inc(object *o);
void dec(object *o);
void *lean_register_external_class(void (*finalize)(void *), void (*foreach)(void *, object *));
void lean_mark_mt(object *o);

/* The callers that live in the runtime's library, as compiled Lean code does. The ones that a generation does not
 * have end the program. */
object *inside_save(object *file, object *key, object *data, object *deps, object *prev, uint8_t closures);
object *inside_read(object *file, object *deps);
object *inside_free(object *region);
size_t inside_size(size_t handle);
uint8_t inside_mapped(size_t handle);
object *inside_save_parts(object *module, object *parts);
object *inside_read_parts(object *files);

#endif
