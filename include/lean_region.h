#ifndef LEAN_REGION_H
#define LEAN_REGION_H

/* Generated from src/capi by cbindgen; do not edit. See build.rs. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * lean-region for C and C++: Lean objects saved into region files (.olean) and read back, with a Lean or without.
 *
 * Bind:    nothing to do; the Lean of the process serves, or else a small runtime in here (lean_region_bind).
 * Make:    lean_region_mk_... answer owned objects and consume their object arguments; lean_region_dec releases.
 * Save:    lean_compacted_region_save(file, key, root, dependencies, previous, closures).
 * Read:    lean_compacted_region_read(file, dependencies); then lean_region_read_root, and lean_region_free_read.
 * Set:     lean_region_read_set reads a snapshot with all its modules by several threads; lean_region_free_set.
 * Look:    lean_region_tag and LEAN_REGION_TAG_..., lean_region_child, lean_region_string_text, lean_region_number.
 * Distrust: lean_region_verify proves a file from elsewhere before it is read; lean_region_hash compares contents.
 * Fail:    IO results carry an error (lean_region_io_is_ok); other functions say NULL or -1: lean_region_last_error.
 * Examples are in examples/c and examples/cpp of the sources, and docs/embedding.md walks through them.
 */

#ifndef LEAN_MAX_CTOR_FIELDS
/** Any Lean object. `lean/lean.h`, when it is included first, brings its own definition. */
typedef struct lean_object lean_object;
#endif

/**
 * What `lean_region_tag` answers: constructors have a tag from 0 to this one.
 */
#define LEAN_REGION_TAG_MAX_CTOR 243

/**
 * `lean_region_tag` of a promise.
 */
#define LEAN_REGION_TAG_PROMISE 244

/**
 * `lean_region_tag` of a closure.
 */
#define LEAN_REGION_TAG_CLOSURE 245

/**
 * `lean_region_tag` of an array of objects.
 */
#define LEAN_REGION_TAG_ARRAY 246

/**
 * `lean_region_tag` of an array of structures, which no release of Lean makes.
 */
#define LEAN_REGION_TAG_STRUCT_ARRAY 247

/**
 * `lean_region_tag` of an array of scalars, such as a `ByteArray`.
 */
#define LEAN_REGION_TAG_SARRAY 248

/**
 * `lean_region_tag` of a string.
 */
#define LEAN_REGION_TAG_STRING 249

/**
 * `lean_region_tag` of a bignum: a `Nat` from 2^63 on, an `Int` outside 32 bits.
 */
#define LEAN_REGION_TAG_BIGNUM 250

/**
 * `lean_region_tag` of a thunk.
 */
#define LEAN_REGION_TAG_THUNK 251

/**
 * `lean_region_tag` of a task.
 */
#define LEAN_REGION_TAG_TASK 252

/**
 * `lean_region_tag` of a mutable reference.
 */
#define LEAN_REGION_TAG_REF 253

/**
 * `lean_region_tag` of an object of the host's own, such as a compactor; no file holds one.
 */
#define LEAN_REGION_TAG_EXTERNAL 254

/**
 * `lean_region_tag` of a boxed scalar, which is no object.
 */
#define LEAN_REGION_TAG_SCALAR 255

/**
 * For `lean_region_read_set`: relative paths in the list are meant from the folder of the snapshot, and not from the
 * working directory.
 */
#define LEAN_REGION_SET_BESIDE 1

/**
 * For `lean_region_read_set`: closures whose library is not loaded in this process have no code (NULL), and must not
 * be called. Otherwise such a snapshot is refused.
 */
#define LEAN_REGION_SET_WITHOUT_CODE 2

/**
 * The major version of the library that this header belongs to.
 */
#define LEAN_REGION_VERSION_MAJOR 0

/**
 * The minor version of the library that this header belongs to.
 */
#define LEAN_REGION_VERSION_MINOR 1

/**
 * The patch version of the library that this header belongs to.
 */
#define LEAN_REGION_VERSION_PATCH 0

/**
 * The version as one number that can be compared: 1000000 * major + 1000 * minor + patch. A program compares it with
 * `lean_region_version_number()` to learn whether the library that it runs with is the one it was built for.
 */
#define LEAN_REGION_VERSION_NUMBER 1000

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of this library.
 *
 * @return a string that lives as long as the process
 */
const char *lean_region_version(void);

/**
 * Learns which Lean runtime the process has, without changing it: the one that is loaded, or else the embedded
 * runtime. Every other function does the same at its first call; this one tells whether it worked. The choice is
 * made once.
 *
 * @return 0 on success, -1 if a runtime is loaded that cannot be used (see lean_region_last_error)
 */
int32_t lean_region_bind(void);

/**
 * Swaps this library in: the loader functions of the Lean runtime in this process lead here from now on, or as
 * LEAN_REGION_MODE says. A preloaded library does this by itself; call it for a runtime that was loaded later. Doing
 * it twice changes nothing.
 *
 * @return 0 on success; -1 if no runtime is loaded or it cannot be redirected (see lean_region_last_error), and then the
 *         runtime is untouched and this library's functions of its names pass calls on to it
 *
 * # Safety
 * No other thread is in a loader function or calls one meanwhile. No region and no compactor of the runtime's own is
 * alive.
 */
int32_t lean_region_attach(void);

/**
 * Undoes lean_region_attach, or what the preloaded library did.
 *
 * @return 0 on success; -1 if not attached, or a region of this library is still alive, which the runtime could not free
 *         (see lean_region_last_error)
 *
 * # Safety
 * No other thread is in a loader function or calls one meanwhile. No compactor of this library is alive.
 */
int32_t lean_region_detach(void);

/**
 * What was attached to and what the loader did so far, as one line of JSON: what LEAN_REGION_REPORT writes when the
 * process ends.
 *
 * @param out      where the text goes, terminated; may be NULL if capacity is 0
 * @param capacity bytes at `out`; a longer text is cut
 * @return bytes of the whole text without its terminator
 *
 * May be called from several threads at once, where the runtime can allocate.
 *
 * # Safety
 * The runtime can allocate on this thread. `out` points to `capacity` writable bytes.
 */
size_t lean_region_report(char *out,
                          size_t capacity);

/**
 * What went wrong in the last call on this thread that failed.
 *
 * @param out      where the text goes, terminated; may be NULL if capacity is 0
 * @param capacity bytes at `out`; a longer text is cut
 * @return bytes of the whole text without its terminator; 0 if nothing has failed
 *
 * # Safety
 * `out` points to `capacity` writable bytes.
 */
size_t lean_region_last_error(char *out, size_t capacity);

/**
 * Forgets the last error of this thread.
 */
void lean_region_clear_error(void);

/**
 * Proves a region file without loading it: that header and sections are sound, every object is whole, every pointer
 * leads to the start of an object in the file or in a dependency, and none leads back to where it came from. For files
 * from somewhere else, before they are read: a read looks at no more than it needs. It cannot show that the file holds
 * what its maker says.
 *
 * @param file       the file's path
 * @param deps       paths of the files that it may point into, in any order; may be NULL if `dep_count` is 0. Their
 *                   objects are proved too, but not where their pointers lead: verify each by a call of its own
 * @param dep_count  paths at `deps`
 * @return 0 if the file is sound; -1 if it is not, or a file cannot be read or memory is short: lean_region_last_error
 *         names file, place and reason
 *
 * Owns and keeps nothing, and needs no Lean. The files are read into memory whole. May be called from several threads
 * at once. Nothing may change the file between this call and the read of it.
 *
 * # Safety
 * `file` is a terminated string; `deps` points to `dep_count` of them.
 */
int32_t lean_region_verify(const char *file,
                           const char *const *deps,
                           size_t dep_count);

/**
 * The hash of what a region file holds (the graphhash that `olean hash` prints): the same for equal values, wherever
 * and in which order their objects lie in the file and however they are shared. Proves the file first, as
 * `lean_region_verify` does.
 *
 * @param file      the file's path
 * @param deps      paths of all files that it and its dependencies point into; may be NULL if `dep_count` is 0
 * @param dep_count paths at `deps`
 * @param out       where the 16 bytes of the hash go
 * @return 0 on success; -1 if the file is not sound or points into a file that is not given, or a file cannot be read
 *         (see lean_region_last_error), and then `out` is as it was
 *
 * Owns and keeps nothing, and needs no Lean. May be called from several threads at once.
 *
 * # Safety
 * `file` is a terminated string; `deps` points to `dep_count` of them; `out` to 16 writable bytes.
 */
int32_t lean_region_hash(const char *file,
                         const char *const *deps,
                         size_t dep_count,
                         uint8_t *out);

/**
 * The value of a natural number or an integer, be it a boxed scalar or a bignum: the other way of
 * `lean_region_mk_number`.
 *
 * @param number   borrowed
 * @param integer  whether to take it as an `Int`: a boxed scalar does not say which of the two it is
 * @param negative where its sign goes: whether it is below zero; may be NULL
 * @param limbs    where its magnitude goes, lowest limb first; may be NULL if `capacity` is 0
 * @param capacity limbs that have room there; what is beyond is left out
 * @param count    where the number of limbs of the whole magnitude goes, 0 for zero; may be NULL
 * @return 0 on success; -1 if `number` is no number (see lean_region_last_error), and then nothing is written
 *
 * May be called from several threads at once.
 *
 * # Safety
 * `number` is a scalar or a live object; the pointers that are not NULL lead to a `bool`, to `capacity` limbs and to a
 * `size_t`, all writable.
 */
int32_t lean_region_number(lean_object *number,
                           bool integer,
                           bool *negative,
                           uint64_t *limbs,
                           size_t capacity,
                           size_t *count);

/**
 * The root of what was read: the object that was saved.
 *
 * @param result borrowed: the result of `lean_compacted_region_read`, or a pair out of the array that
 *               `lean_read_module_data_parts` answers with
 * @return borrowed, and not from `result`: the root lives until the region is freed, and needs no reference. NULL if
 *         `result` is that of a failed read, or anything else (see lean_region_last_error)
 *
 * May be called from several threads at once.
 *
 * # Safety
 * `result` is NULL, a scalar or a live object.
 */
lean_object *lean_region_read_root(lean_object *result);

/**
 * The region of what was read, as the host has it: a structure (v4.32 and later, and without Lean) or a boxed
 * `USize`. It is what the array of dependencies of a save or a read is made of: take a reference for each place there
 * (`lean_region_inc`).
 *
 * @param result borrowed: see `lean_region_read_root`
 * @return borrowed from `result`; NULL as for `lean_region_read_root`
 *
 * May be called from several threads at once.
 *
 * # Safety
 * `result` is NULL, a scalar or a live object.
 */
lean_object *lean_region_read_region(lean_object *result);

/**
 * The handle of the region of what was read, which is what `lean_compacted_region_size` and
 * `lean_compacted_region_is_memory_mapped` take.
 *
 * @param result borrowed: see `lean_region_read_root`
 * @return the handle, good until the region is freed; 0 where `lean_region_read_root` answers NULL
 *
 * May be called from several threads at once.
 *
 * # Safety
 * `result` is NULL, a scalar or a live object.
 */
size_t lean_region_read_handle(lean_object *result);

/**
 * Frees the region of what was read, in the way of the host, and releases the result: what a destructor calls.
 *
 * @param result consumed: the result of `lean_compacted_region_read`, or an owned pair of root and region. That of a
 *               failed read is released, and this is a success. NULL is one too
 * @return 0 on success; -1 if its region is no live one (see lean_region_last_error), as when it was freed before; the
 *         result is released all the same
 *
 * May be called from several threads at once.
 *
 * # Safety
 * `result` is NULL or a live object of which the caller owns the only reference. No object of the region is used any
 * more, by no thread and no other region.
 */
int32_t lean_region_free_read(lean_object *result);

/**
 * Saves the graph below `data` into the file `fname` (`CompactedRegion.save`).
 *
 * @param fname          borrowed String: the file; it is replaced atomically
 * @param key            borrowed Name: the file's base address is derived from its stored hash
 * @param data           borrowed object: the root; everything reachable from it is saved
 * @param deps           borrowed Array of regions: pointers into them stay pointers; ignored if `prev` is given
 * @param prev           consumed Option: none, or the compactor that an earlier save returned, to share with it
 * @param allow_closures nonzero: closures are saved and the file has version 3. Hosts of v4.31 do not pass this
 *                       argument, and it is not read there
 * @return an IO result, owned: the compactor, for `prev` of a later save; or an `IO.userError` whose text begins
 *         `failed to write '<fname>': `, and then the file is as it was before and `prev` good for nothing
 *
 * May be called from several threads at once with different compactors. A compactor belongs to one thread at
 * a time, and must be released before the dependency regions are freed.
 *
 * # Safety
 * All arguments are scalars or live objects of the host. Nothing reachable from `data` changes meanwhile, except
 * references, tasks and thunks through the host's own functions.
 */
lean_object *lean_compacted_region_save(lean_object *fname,
                                        lean_object *key,
                                        lean_object *data,
                                        lean_object *deps,
                                        lean_object *prev,
                                        uint8_t allow_closures);

/**
 * Reads the region in the file `fname` (`CompactedRegion.read`): maps it at its base address, or relocates it.
 *
 * @param fname borrowed String: the file
 * @param deps  borrowed Array of regions that the file's pointers may lead into; they must outlive the region
 * @return an IO result, owned: the pair of root and region, the region a structure (v4.32 and later, and without
 *         Lean) or a boxed USize handle (v4.31); or an `IO.userError` that names the file, the place and the cause.
 *         The root is not counted; it lives until the region is freed
 *
 * May be called from several threads at once.
 *
 * # Safety
 * Both arguments are scalars or live objects of the host. Nobody writes into the file while the region lives
 * (replacing it by rename is fine).
 */
lean_object *lean_compacted_region_read(lean_object *fname,
                                        lean_object *deps);

/**
 * Frees a region.
 *
 * @param region consumed: the region's structure, or its handle where regions are handles
 * @return an IO result, owned: unit; or an `IO.userError` if this is no live region of this library, as after it
 *         was freed once
 *
 * May be called from several threads at once.
 *
 * # Safety
 * No object of the region is used any more, by no thread and no other region. Where the host's regions are
 * structures, `region` is a scalar, a live object, or a handle of a live region.
 */
lean_object *lean_compacted_region_free(lean_object *region);

/**
 * The size of a region in bytes, which is the size of its file.
 *
 * @param region a handle, as in a boxed USize of `lean_compacted_region_read`
 * @return bytes; 0 if there is no live region with this handle
 *
 * May be called from several threads at once.
 */
size_t lean_compacted_region_size(size_t region);

/**
 * Whether a region lies mapped at its base address.
 *
 * @param region a handle, as in a boxed USize of `lean_compacted_region_read`
 * @return 1 if so; 0 if its content was read and relocated, or if there is no live region with this handle
 *
 * May be called from several threads at once.
 */
uint8_t lean_compacted_region_is_memory_mapped(size_t region);

/**
 * Saves all parts of a module, sharing what they have in common (`saveModuleDataParts`). Every file is complete
 * before the first is put under its name.
 *
 * @param mod   borrowed Name: the key of the first part's base address
 * @param parts borrowed Array of pairs of String (the file) and object (the root)
 * @return an IO result, owned: unit; or an `IO.userError`
 *
 * May be called from several threads at once.
 *
 * # Safety
 * As `lean_compacted_region_save`.
 */
lean_object *lean_save_module_data_parts(lean_object *mod,
                                         lean_object *parts);

/**
 * Reads all parts of a module, each of which may point into the ones before it (`readModuleDataParts`).
 *
 * @param fnames borrowed Array of String: the files, in the order they were saved; it may be empty
 * @return an IO result, owned: an Array of pairs of root and region, as `lean_compacted_region_read` returns them;
 *         or an `IO.userError`, and then none of them is left mapped
 *
 * May be called from several threads at once.
 *
 * # Safety
 * As `lean_compacted_region_read`.
 */
lean_object *lean_read_module_data_parts(lean_object *fnames);

/**
 * The same as `lean_save_module_data_parts`.
 *
 * # Safety
 * As `lean_save_module_data_parts`.
 */
lean_object *save_module_data_parts(lean_object *mod, lean_object *parts);

/**
 * The same as `lean_read_module_data_parts`.
 *
 * # Safety
 * As `lean_read_module_data_parts`.
 */
lean_object *read_module_data_parts(lean_object *fnames);

/**
 * The boxed scalar `value`; its top bit is lost.
 */
lean_object *lean_region_box(size_t value);

/**
 * The value of a boxed scalar.
 */
size_t lean_region_unbox(lean_object *scalar);

/**
 * Whether an object is a boxed scalar.
 */
bool lean_region_is_scalar(lean_object *object);

/**
 * Takes a reference more.
 *
 * # Safety
 * `object` is a scalar or a live object.
 */
void lean_region_inc(lean_object *object);

/**
 * Gives up a reference; the last one releases the object and what it owns.
 *
 * # Safety
 * `object` is a scalar or a live object of which the caller owns a reference.
 */
void lean_region_dec(lean_object *object);

/**
 * Objects of the embedded runtime that are alive.
 */
size_t lean_region_live_objects(void);

/**
 * Regions of this library that are alive.
 */
size_t lean_region_live_regions(void);

/**
 * Tag of an object; 255 for a boxed scalar.
 *
 * # Safety
 * `object` is a scalar or a live object.
 */
uint8_t lean_region_tag(lean_object *object);

/**
 * Children of an object: fields of a constructor, elements of an array, captured arguments of a closure, the value
 * of a thunk, task, reference or promise; none of anything else.
 *
 * # Safety
 * `object` is a scalar or a live object.
 */
size_t lean_region_child_count(lean_object *object);

/**
 * A child of an object, borrowed from it: see `lean_region_child_count`. NULL behind the last one.
 *
 * # Safety
 * `object` is a scalar or a live object; of a task or thunk the value must be there.
 */
lean_object *lean_region_child(lean_object *object, size_t index);

/**
 * A constructor.
 *
 * @param tag          0 to 243
 * @param fields       consumed objects
 * @param field_count  at most 255
 * @param scalars      bytes behind the fields: `USize` first, then by falling size
 * @param scalar_bytes fewer than 1024
 * @return owned; NULL if an argument is out of range
 *
 * # Safety
 * The pointers lead to as many values as the counts say.
 */
lean_object *lean_region_mk_ctor(uint8_t tag,
                                 lean_object *const *fields,
                                 size_t field_count,
                                 const uint8_t *scalars,
                                 size_t scalar_bytes);

/**
 * Bytes behind the fields of a constructor, borrowed; NULL if `object` is none. Their number is not recorded by every
 * runtime.
 *
 * # Safety
 * `object` is a scalar or a live object.
 */
uint8_t *lean_region_ctor_scalars(lean_object *object);

/**
 * A string.
 *
 * @param text  UTF-8
 * @param bytes its length without any terminator
 * @return owned; NULL if `text` is no UTF-8
 *
 * # Safety
 * `text` points to `bytes` readable bytes.
 */
lean_object *lean_region_mk_string(const char *text, size_t bytes);

/**
 * The text of a string, terminated, borrowed; NULL if `object` is none.
 *
 * # Safety
 * `object` is a scalar or a live object.
 */
const char *lean_region_string_text(lean_object *object);

/**
 * Bytes of a string without its terminator; 0 if `object` is none.
 *
 * # Safety
 * `object` is a scalar or a live object.
 */
size_t lean_region_string_bytes(lean_object *object);

/**
 * An array.
 *
 * @param elements consumed objects
 * @return owned
 *
 * # Safety
 * `elements` points to `count` objects.
 */
lean_object *lean_region_mk_array(lean_object *const *elements, size_t count);

/**
 * An array of scalars.
 *
 * @param element_size 1, 2, 4 or 8
 * @param data         the elements
 * @param bytes        their bytes, a multiple of `element_size`
 * @return owned; NULL if an argument is out of range
 *
 * # Safety
 * `data` points to `bytes` readable bytes.
 */
lean_object *lean_region_mk_sarray(uint8_t element_size, const uint8_t *data, size_t bytes);

/**
 * The elements of an array of scalars, borrowed; NULL if `object` is none. Their number is `lean_region_sarray_size`.
 *
 * # Safety
 * `object` is a scalar or a live object.
 */
uint8_t *lean_region_sarray_data(lean_object *object);

/**
 * Elements of an array of scalars; 0 if `object` is none.
 *
 * # Safety
 * `object` is a scalar or a live object.
 */
size_t lean_region_sarray_size(lean_object *object);

/**
 * The name `prefix.string` (both consumed), with its hash.
 *
 * @return owned
 *
 * # Safety
 * `prefix` is a name (`lean_region_box(0)` is the anonymous one), `string` a string; the caller owns both.
 */
lean_object *lean_region_mk_name_str(lean_object *prefix, lean_object *string);

/**
 * The name `prefix.number` (both consumed), with its hash.
 *
 * @return owned
 *
 * # Safety
 * `prefix` is a name, `number` a natural number; the caller owns both.
 */
lean_object *lean_region_mk_name_num(lean_object *prefix, lean_object *number);

/**
 * An integer or natural number of any size.
 *
 * @param negative whether its sign is minus; a natural number has none
 * @param integer  whether it is an `Int`, whose small values end at 2^31 and not at 2^63
 * @param limbs    its magnitude, lowest limb first
 * @param count    limbs
 * @return owned; NULL if it needs a bignum and the runtime offers no way to make one
 *
 * # Safety
 * `limbs` points to `count` readable limbs.
 */
lean_object *lean_region_mk_number(bool negative, bool integer, const uint64_t *limbs, size_t count);

/**
 * An evaluated thunk with `value` (consumed).
 *
 * @return owned
 *
 * # Safety
 * The caller owns `value`.
 */
lean_object *lean_region_mk_thunk(lean_object *value);

/**
 * A finished task with `value` (consumed).
 *
 * @return owned
 *
 * # Safety
 * The caller owns `value`.
 */
lean_object *lean_region_mk_task(lean_object *value);

/**
 * A promise that `task` (consumed) resolves.
 *
 * @return owned
 *
 * # Safety
 * The caller owns `task`, which is a task.
 */
lean_object *lean_region_mk_promise(lean_object *task);

/**
 * A mutable reference to `value` (consumed).
 *
 * @return owned
 *
 * # Safety
 * The caller owns `value`.
 */
lean_object *lean_region_mk_ref(lean_object *value);

/**
 * A closure.
 *
 * @param code  what it calls; it must be code of a loaded library for the closure to be saved
 * @param arity parameters of `code`
 * @param args  consumed objects: the first arguments
 * @param count fewer than `arity`
 * @return owned; NULL if there are too many arguments
 *
 * # Safety
 * `code` is a function of `arity` objects that returns one; `args` points to `count` objects.
 */
lean_object *lean_region_mk_closure(const void *code, uint16_t arity, lean_object *const *args, size_t count);

/**
 * The code of a closure; NULL if `object` is none.
 *
 * # Safety
 * `object` is a scalar or a live object.
 */
const void *lean_region_closure_code(lean_object *object);

/**
 * The arity of a closure; 0 if `object` is none.
 *
 * # Safety
 * `object` is a scalar or a live object.
 */
uint16_t lean_region_closure_arity(lean_object *object);

/**
 * Whether an IO result is a success. Its value, or its error, is `lean_region_child(result, 0)`.
 *
 * # Safety
 * `result` is a live IO result.
 */
bool lean_region_io_is_ok(lean_object *result);

/**
 * The text of the `IO.userError` in a failed IO result, terminated, borrowed; NULL if it is a success or another
 * error.
 *
 * # Safety
 * `result` is a live IO result.
 */
const char *lean_region_io_error_text(lean_object *result);

/**
 * Reads a snapshot of `lean --incr-save` or `--incr-header-save` with all modules that it was saved over: those that
 * the list beside it (its name and `.deps`) names, some of them at once by threads of their own, and then the
 * snapshot over all.
 *
 * @param snapshot borrowed String: the file
 * @param workers  threads that read, the calling one among them, which have ended when this returns; 0 for what
 *                 LEAN_IMPORT_WORKERS says, or else as many as there are cores, but not more than four
 * @param options  0, or LEAN_REGION_SET_... added up
 * @return an IO result, owned: an Array of pairs of root and region as `lean_compacted_region_read` makes them (see
 *         `lean_region_read_root`): of the modules, in the order of the list whoever read them, each with its parts
 *         in the order `olean`, `oleanServer`, `oleanPrivate`, `irSig`, `ir`, and last the snapshot's. Or an
 *         `IO.userError`: of the list, of the first file in this order that cannot be read, or of the snapshot, and
 *         then every region has been released
 *
 * A region is freed before those that it points into: the snapshot first, each part before the ones in front of it.
 * `lean_region_free_set` does that. May be called from several threads at once, where this library serves reads: not
 * in the modes off and observe.
 *
 * # Safety
 * `snapshot` is a scalar or a live object of the host. Nobody writes into the files while the regions live (replacing
 * them by rename is fine).
 */
lean_object *lean_region_read_set(lean_object *snapshot,
                                  uint32_t workers,
                                  uint32_t options);

/**
 * Frees all regions of a set, from the last to the first, and releases the result: what a destructor calls.
 *
 * @param result consumed: the result of `lean_region_read_set`, or the Array in it, or that of
 *               `lean_read_module_data_parts`. That of a failed read is released, and this is a success. NULL is one too
 * @return 0 on success; -1 (see lean_region_last_error) if one of them is no live region, as when it was freed before:
 *         all others are freed; or if `result` is no set, or there is no memory for the list of its regions: then none
 *         is freed. The result is released in each case
 *
 * May be called from several threads at once.
 *
 * # Safety
 * `result` is NULL or a live object of which the caller owns the only reference, in it also. No object of the
 * regions is used any more, by no thread and no other region.
 */
int32_t lean_region_free_set(lean_object *result);

/**
 * The version of the library that is loaded, as `LEAN_REGION_VERSION_NUMBER` says that of the header.
 *
 * @return 1000000 * major + 1000 * minor + patch. Cannot fail
 */
uint32_t lean_region_version_number(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LEAN_REGION_H */
