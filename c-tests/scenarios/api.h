/* The library's API, linked, or looked up at run time when DLOPENED is defined. */
#ifndef API_H
#define API_H

#include "lean_region.h"

#ifdef DLOPENED

#define FUNCTIONS(X) \
    X(lean_region_version) \
    X(lean_region_bind) \
    X(lean_region_last_error) \
    X(lean_region_clear_error) \
    X(lean_compacted_region_save) \
    X(lean_compacted_region_read) \
    X(lean_compacted_region_free) \
    X(lean_compacted_region_size) \
    X(lean_compacted_region_is_memory_mapped) \
    X(lean_save_module_data_parts) \
    X(lean_read_module_data_parts) \
    X(save_module_data_parts) \
    X(read_module_data_parts) \
    X(lean_region_read_set) \
    X(lean_region_free_set) \
    X(lean_region_read_root) \
    X(lean_region_read_region) \
    X(lean_region_read_handle) \
    X(lean_region_free_read) \
    X(lean_region_inc) \
    X(lean_region_dec) \
    X(lean_region_live_objects) \
    X(lean_region_live_regions) \
    X(lean_region_tag) \
    X(lean_region_child_count) \
    X(lean_region_child) \
    X(lean_region_mk_ctor) \
    X(lean_region_ctor_scalars) \
    X(lean_region_mk_string) \
    X(lean_region_string_text) \
    X(lean_region_string_bytes) \
    X(lean_region_mk_array) \
    X(lean_region_mk_sarray) \
    X(lean_region_sarray_data) \
    X(lean_region_sarray_size) \
    X(lean_region_mk_name_str) \
    X(lean_region_mk_name_num) \
    X(lean_region_mk_number) \
    X(lean_region_mk_thunk) \
    X(lean_region_mk_task) \
    X(lean_region_mk_promise) \
    X(lean_region_mk_ref) \
    X(lean_region_mk_closure) \
    X(lean_region_closure_code) \
    X(lean_region_closure_arity) \
    X(lean_region_io_is_ok) \
    X(lean_region_io_error_text)

#define POINTER(name) extern __typeof__(name) *pointer_##name;
FUNCTIONS(POINTER)
#undef POINTER

#ifndef NO_RENAMING
#define lean_region_version pointer_lean_region_version
#define lean_region_bind pointer_lean_region_bind
#define lean_region_last_error pointer_lean_region_last_error
#define lean_region_clear_error pointer_lean_region_clear_error
#define lean_compacted_region_save pointer_lean_compacted_region_save
#define lean_compacted_region_read pointer_lean_compacted_region_read
#define lean_compacted_region_free pointer_lean_compacted_region_free
#define lean_compacted_region_size pointer_lean_compacted_region_size
#define lean_compacted_region_is_memory_mapped pointer_lean_compacted_region_is_memory_mapped
#define lean_save_module_data_parts pointer_lean_save_module_data_parts
#define lean_read_module_data_parts pointer_lean_read_module_data_parts
#define save_module_data_parts pointer_save_module_data_parts
#define read_module_data_parts pointer_read_module_data_parts
#define lean_region_read_set pointer_lean_region_read_set
#define lean_region_free_set pointer_lean_region_free_set
#define lean_region_read_root pointer_lean_region_read_root
#define lean_region_read_region pointer_lean_region_read_region
#define lean_region_read_handle pointer_lean_region_read_handle
#define lean_region_free_read pointer_lean_region_free_read
#define lean_region_inc pointer_lean_region_inc
#define lean_region_dec pointer_lean_region_dec
#define lean_region_live_objects pointer_lean_region_live_objects
#define lean_region_live_regions pointer_lean_region_live_regions
#define lean_region_tag pointer_lean_region_tag
#define lean_region_child_count pointer_lean_region_child_count
#define lean_region_child pointer_lean_region_child
#define lean_region_mk_ctor pointer_lean_region_mk_ctor
#define lean_region_ctor_scalars pointer_lean_region_ctor_scalars
#define lean_region_mk_string pointer_lean_region_mk_string
#define lean_region_string_text pointer_lean_region_string_text
#define lean_region_string_bytes pointer_lean_region_string_bytes
#define lean_region_mk_array pointer_lean_region_mk_array
#define lean_region_mk_sarray pointer_lean_region_mk_sarray
#define lean_region_sarray_data pointer_lean_region_sarray_data
#define lean_region_sarray_size pointer_lean_region_sarray_size
#define lean_region_mk_name_str pointer_lean_region_mk_name_str
#define lean_region_mk_name_num pointer_lean_region_mk_name_num
#define lean_region_mk_number pointer_lean_region_mk_number
#define lean_region_mk_thunk pointer_lean_region_mk_thunk
#define lean_region_mk_task pointer_lean_region_mk_task
#define lean_region_mk_promise pointer_lean_region_mk_promise
#define lean_region_mk_ref pointer_lean_region_mk_ref
#define lean_region_mk_closure pointer_lean_region_mk_closure
#define lean_region_closure_code pointer_lean_region_closure_code
#define lean_region_closure_arity pointer_lean_region_closure_arity
#define lean_region_io_is_ok pointer_lean_region_io_is_ok
#define lean_region_io_error_text pointer_lean_region_io_error_text
#endif

#endif

/* Boxed scalars, as every C program for Lean makes them. */
static inline lean_object *box(size_t n) { return (lean_object *)(n << 1 | 1); }
static inline size_t unbox(lean_object *o) { return (size_t)o >> 1; }
static inline bool is_scalar(lean_object *o) { return (size_t)o & 1; }

#endif
