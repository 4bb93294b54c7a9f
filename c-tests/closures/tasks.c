/* In a process with a real Lean: saves tasks and promises that are finished while the save waits for them, a thunk that
 * has not been asked for yet, and closures; reads them back.
 *
 *   tasks save FILE | tasks load FILE */
#define _GNU_SOURCE
#include "objects.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

void lean_initialize(void);
void lean_init_task_manager(void);
void lean_initialize_thread(void);
obj lean_task_spawn_core(obj closure, unsigned priority, uint8_t keep_alive);
obj lean_io_promise_new(void);
obj lean_io_promise_resolve(obj value, obj promise);

enum { TAG_THUNK = 251, TAG_REF = 253, LATE = 200 * 1000 };

static obj late(obj captured, obj unit) {
    (void)unit;
    usleep(LATE);
    return captured;
}

static obj add(obj captured, obj arg) { return box(unbox(captured) + unbox(arg)); }

static void *resolve_later(void *promise) {
    lean_initialize_thread();
    usleep(LATE);
    lean_io_promise_resolve(string("promised"), promise);
    return NULL;
}

static obj spawn_late(obj captured) { return lean_task_spawn_core(closure((void *)late, 2, 1, &captured), 0, 1); }

static int save(const char *file) {
    obj promise = lean_io_promise_new();
    pthread_t thread;
    if (pthread_create(&thread, NULL, resolve_later, promise)) abort();
    obj captured = string("forced");
    obj thunk = alloc(24, TAG_THUNK, 0, 24);
    thunk->rc = 1;
    thunk->word[0] = 0;
    thunk->word[1] = (uintptr_t)closure((void *)late, 2, 1, &captured);
    obj ref = alloc(16, TAG_REF, 0, 16);
    ref->word[0] = (uintptr_t)string("held");
    obj forty = box(40);
    obj function = closure((void *)add, 2, 1, &forty);
    obj all[] = {spawn_late(string("finished")), promise, thunk, ref, function, spawn_late(function)};
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    obj key = name("tasks", 0x123456780000);
    obj result = lean_compacted_region_save(string(file), key, array(6, all), array(0, NULL), box(0), 1);
    clock_gettime(CLOCK_MONOTONIC, &after);
    if (result->tag) {
        printf("error %s\n", text(field(field(result, 0), 0)));
        return 3;
    }
    pthread_join(thread, NULL);
    int64_t waited = (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
    printf("waited %d\n", waited >= LATE * 9 / 10);
    return 0;
}

static int load(const char *file) {
    obj result = lean_compacted_region_read(string(file), array(0, NULL));
    if (result->tag) {
        printf("error %s\n", text(field(field(result, 0), 0)));
        return 3;
    }
    obj root = field(field(result, 0), 0);
    printf("task %s\n", text(field(element(root, 0), 0)));
    /* A promise holds the task of an option. */
    printf("promise %s\n", text(field(field(field(element(root, 1), 0), 0), 0)));
    printf("thunk %s\n", text(field(element(root, 2), 0)));
    printf("ref %s\n", text(field(element(root, 3), 0)));
    printf("closure %" PRIu64 "\n", unbox(apply(element(root, 4), box(2))));
    printf("shared %d\n", field(element(root, 5), 0) == element(root, 4));
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    lean_initialize();
    lean_init_task_manager();
    int code = !strcmp(argv[1], "save") ? save(argv[2]) : load(argv[2]);
    fflush(stdout);
    _exit(code);
}
