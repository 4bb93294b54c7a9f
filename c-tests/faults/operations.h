/* The operations of the loader that the search for faults makes fail, and what is asked after each. */
#ifndef OPERATIONS_H
#define OPERATIONS_H

#include "../scenarios/common.h"

/* Files that a save may leave. */
#define TARGETS 4

typedef struct {
    const char *name;
    /* Does it once; an IO result, owned. */
    lean_object *(*call)(void);
    /* What each call needs anew, made before. */
    void (*prepare)(void);
    /* The files that it makes new; none of a read. */
    const char *targets[TARGETS];
    /* What its error may name in place of a target, and whether it takes what it reads to another address. */
    const char *file;
    bool relocates;
    /* It answers with this error when nothing is refused. */
    const char *otherwise;
} operation;

extern const operation operations[];

/* Makes the files and objects that operations need: files of old content under the targets' names, and what they
 * will hold kept to compare with. */
void set_up(const operation *o);
/* Frees the regions of what a read gave (consumed), after a look at their roots. */
void use_up(const operation *o, lean_object *value);
/* Makes the place unusable where a file wants to lie; whether that was to do. A sanitizer may lie there. */
bool occupy(const char *file);
/* Whether an error's text names a file that the operation works on; freeing works on none. */
bool names_its_file(const operation *o, const char *text);
/* Puts the old content back. */
void restore(const operation *o);

/* Keeps what the targets hold, as their new content or the old one; called by set_up. */
void keep_targets(const operation *o, bool new);

/* What follows makes no system call that an operation makes, and so works while those are refused. */

/* Whether all targets hold their old content, or all the new one. */
bool targets_are(const operation *o, bool new);
/* Whether they are what they were, but for those that the error says are new. */
bool targets_are_as_said(const operation *o, const char *error);
/* Lines of /proc/self/maps, open descriptors, entries of the working directory with ".tmp." in their names. */
long count_maps(void);
long count_descriptors(void);
long count_temporary(void);
/* Does an operation in one child after the other, each under a larger limit of a kind, and prints how they ended. */
int sweep(const operation *o, const char *kind, long first, long step, long last);
/* Prints. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
