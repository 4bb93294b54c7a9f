/* Forks while threads save, read and free: every child saves, reads and frees as well, and must end.
 *
 *     forks CHILDREN THREADS DIRECTORY
 *
 * prints how many children ended well, badly and not at all. The threads begin at the same time as the forks, so the
 * first children are made while everything is used for the first time. */
#define _GNU_SOURCE
#include "lean_region.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Seconds after which a child counts as hung: what it does takes milliseconds. */
#define PATIENCE 60
/* Children that run at the same time. */
#define TOGETHER 4
/* From so many dependencies on the library keeps what it found out about them. */
#define DEPENDENCIES 70

static const char *directory;
static atomic_bool stop;

static lean_object *str(const char *text) { return lean_region_mk_string(text, strlen(text)); }

static lean_object *graph(int size, int closures) {
    lean_object *list = lean_region_box(0);
    for (int i = 0; i < size; i++) {
        char text[32];
        snprintf(text, sizeof text, "element %d", i);
        lean_object *head = str(text);
        if (closures) head = lean_region_mk_closure((void *)graph, 2, &head, 1);
        lean_object *fields[2] = {head, list};
        list = lean_region_mk_ctor(1, fields, 2, NULL, 0);
    }
    return list;
}

static int failed(lean_object *result, const char *what) {
    if (lean_region_io_is_ok(result)) return 0;
    fprintf(stderr, "%s: %s\n", what, lean_region_io_error_text(result));
    return 1;
}

/* The region that a read gave (consumed), owned. */
static lean_object *region_of(lean_object *result) {
    lean_object *region = lean_region_child(lean_region_child(result, 0), 1);
    lean_region_inc(region);
    lean_region_dec(result);
    return region;
}

/* One round of everything, in a file of the caller's own. */
static int round_of(int who, int number) {
    char path[256];
    snprintf(path, sizeof path, "%s/%d-%d.olean", directory, getpid(), who);
    lean_object *file = str(path), *none = lean_region_mk_array(NULL, 0);
    int closures = number % 2, bad = 0;
    lean_object *data = graph(20 + number % 7, closures);
    lean_object *saved = lean_compacted_region_save(file, lean_region_box(0), data, none, lean_region_box(0), closures);
    bad |= failed(saved, "save");
    lean_region_dec(saved);
    lean_region_dec(data);
    /* The second one finds its base address taken. */
    lean_object *regions[2];
    int held = 0;
    for (int i = 0; i < 2 && !bad; i++) {
        lean_object *read = lean_compacted_region_read(file, none);
        if (failed(read, "read")) bad = 1;
        else regions[held++] = region_of(read);
    }
    if (!bad && number % 8 == 0) {
        /* Dependencies of which each is the same region, for which no file is read: the save shares with it. */
        lean_object *many[DEPENDENCIES];
        for (int i = 0; i < DEPENDENCIES; i++) {
            lean_region_inc(regions[0]);
            many[i] = regions[0];
        }
        lean_object *deps = lean_region_mk_array(many, DEPENDENCIES), *small = graph(3, 0);
        lean_object *shared = lean_compacted_region_save(file, lean_region_box(0), small, deps, lean_region_box(0), 0);
        bad |= failed(shared, "save with dependencies");
        lean_region_dec(shared);
        lean_region_dec(small);
        lean_region_dec(deps);
    }
    while (held > 0) {
        lean_object *freed = lean_compacted_region_free(regions[--held]);
        bad |= failed(freed, "free");
        lean_region_dec(freed);
    }
    lean_region_dec(none);
    lean_region_dec(file);
    unlink(path);
    return bad;
}

static void *work(void *who) {
    for (int number = 0; !stop; number++)
        if (round_of((int)(size_t)who, number)) _exit(3);
    return NULL;
}

int main(int count, char **arguments) {
    if (count != 4) return 2;
    int children = atoi(arguments[1]), threads = atoi(arguments[2]);
    directory = arguments[3];
    pthread_t ids[64];
    if (threads > 64) return 2;
    for (size_t i = 0; i < (size_t)threads; i++)
        if (pthread_create(&ids[i], NULL, work, (void *)i)) return 2;
    int good = 0, bad = 0, hung = 0, running = 0;
    for (int made = 0; made < children || running > 0;) {
        if (made < children && running < TOGETHER) {
            int pid = fork();
            if (pid < 0) return 2;
            if (pid == 0) {
                alarm(PATIENCE);
                _exit(round_of(100, made) || round_of(101, made + 1));
            }
            made++;
            running++;
            continue;
        }
        int status;
        if (wait(&status) < 0) return 2;
        running--;
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) hung++;
        else if (status) bad++;
        else good++;
    }
    stop = 1;
    for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
    printf("good %d bad %d hung %d\n", good, bad, hung);
    return bad || hung;
}
