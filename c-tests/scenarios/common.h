/* What the scenarios share: checks, objects made in one line, saving and reading in one line, and what the
 * process holds. Every scenario runs in a process of its own, in an empty directory. */
#ifndef COMMON_H
#define COMMON_H

#include "api.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program with a message unless `condition` holds. */
#define CHECK(condition) \
    do { \
        if (!(condition)) fail(__FILE__, __LINE__, #condition); \
    } while (0)
_Noreturn void fail(const char *file, int line, const char *what);

/* How much is to be done: smaller under valgrind. */
extern size_t scale;

/* A scenario by its name. */
typedef struct {
    const char *name;
    void (*run)(void);
} scenario;
extern const scenario object_scenarios[], region_scenarios[], reread_scenarios[], stale_scenarios[], set_scenarios[],
    error_scenarios[], thread_scenarios[], fault_scenarios[], limit_scenarios[];

/* Objects, all owned by the caller; children are consumed. Lists of children end with END. */
#define END ((lean_object *)2)
lean_object *str(const char *text);
lean_object *name(const char *text);
lean_object *ctor(unsigned tag, ...);
lean_object *array(lean_object *first, ...);
lean_object *inc(lean_object *o);
lean_object *random_string(size_t bytes, unsigned seed);
/* One object of every kind that a file of version 2 can hold, and some twice. */
lean_object *every_kind(void);

/* Whether two graphs are equal: kinds, scalars, texts, numbers, children. */
bool same(lean_object *a, lean_object *b);

/* The value of a successful IO result (consumed), owned. */
#define ok(result) ok_at(__FILE__, __LINE__, result)
lean_object *ok_at(const char *file, int line, lean_object *result);
/* Checks that an IO result (consumed) is an IO.userError with all these texts; the list ends with NULL. */
#define FAILS(result, ...) fails_at(__FILE__, __LINE__, result, __VA_ARGS__, (char *)NULL)
void fails_at(const char *file, int line, lean_object *result, ...);

/* Saves `data` (borrowed) in `file`; `deps` is an array (borrowed) or NULL for none, `prev` a compactor
 * (consumed) or NULL. Gives the IO result. */
lean_object *save(const char *file, lean_object *data, lean_object *deps, lean_object *prev);
lean_object *save_v3(const char *file, lean_object *data, lean_object *deps, lean_object *prev);
/* The same for success without anything else. */
void save_ok(const char *file, lean_object *data);

typedef struct {
    lean_object *root;
    /* Owned; free_region gives it up. */
    lean_object *structure;
} region;
/* Reads `file`; gives the IO result. */
lean_object *read_result(const char *file, lean_object *deps);
region read_ok(const char *file, lean_object *deps);
/* Takes root and structure out of a pair (consumed). */
region from_pair(lean_object *pair);
void free_region(region r);
bool mapped(region r);
size_t size_of(region r);
size_t base_of(region r);
char *begin_of(region r);
/* An array of region structures; the list ends with END. The structures are borrowed. */
lean_object *deps_of(lean_object *first, ...);

/* Makes `bytes` bytes at `address` unusable, which must be free; give_back undoes it. */
void take(size_t address, size_t bytes);
void give_back(size_t address, size_t bytes);
/* The base address that `file` asks for. */
size_t file_base(const char *file);
/* All bytes of a file (to be freed) and their number. */
char *slurp(const char *file, size_t *bytes);
void spew(const char *file, const void *bytes, size_t count);
bool exists(const char *file);
/* Puts a copy of the file in its place: the same content, and another file. */
void renew(const char *file);

/* What the process holds: descriptors, mappings, objects, regions. */
typedef struct {
    long descriptors, mappings, objects, regions;
} holdings;
holdings held(void);
void check_held(holdings before, const char *file, int line);
#define CHECK_HELD(before) check_held(before, __FILE__, __LINE__)
/* Files in the working directory, with "tmp" in their name or all. */
int files(bool temporary);

#endif
