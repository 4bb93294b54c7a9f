/* Many savers of one file, in threads and in processes, while others read it: each reader finds one complete
 * file. */
#include "common.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAVERS 4
#define ROUNDS (int)(200 / (scale > 10 ? 10 : scale))

/* Content that only one saver writes, large enough for several writes to be seen apart. */
static lean_object *content(unsigned saver) {
    return array(box(saver), random_string(40000 + 9000 * saver, saver), box(saver), END);
}

static void check_content(lean_object *root) {
    lean_object *expected = content((unsigned)unbox(lean_region_child(root, 0)));
    CHECK(same(expected, root));
    lean_region_dec(expected);
}

static atomic_bool finished;

static void *keep_saving(void *saver) {
    lean_object *data = content((unsigned)(size_t)saver);
    for (int i = 0; i < ROUNDS; i++) save_ok("contested", data);
    lean_region_dec(data);
    return NULL;
}

static void *keep_reading(void *unused) {
    int reads = 0;
    while (!atomic_load(&finished) || reads < 10) {
        region r = read_ok("contested", NULL);
        check_content(r.root);
        free_region(r);
        reads++;
    }
    return unused;
}

static void savers_in_threads(void) {
    keep_saving((void *)0);
    pthread_t savers[SAVERS], readers[2];
    for (size_t i = 0; i < SAVERS; i++) CHECK(!pthread_create(&savers[i], NULL, keep_saving, (void *)i));
    for (size_t i = 0; i < 2; i++) CHECK(!pthread_create(&readers[i], NULL, keep_reading, NULL));
    for (size_t i = 0; i < SAVERS; i++) pthread_join(savers[i], NULL);
    atomic_store(&finished, true);
    for (size_t i = 0; i < 2; i++) pthread_join(readers[i], NULL);
    CHECK(files(false) == 1);
}

static void savers_in_processes(void) {
    keep_saving((void *)0);
    pid_t children[SAVERS];
    for (size_t i = 0; i < SAVERS; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            keep_saving((void *)i);
            CHECK(lean_region_live_objects() == 0);
            _exit(0);
        }
    }
    for (size_t i = 0; i < SAVERS; i++) {
        int status;
        while (waitpid(children[i], &status, WNOHANG) == 0) {
            region r = read_ok("contested", NULL);
            check_content(r.root);
            free_region(r);
        }
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    CHECK(files(false) == 1);
}

static void *read_and_free(void *file) {
    for (int i = 0; i < ROUNDS; i++) {
        region r = read_ok(file, NULL);
        check_content(r.root);
        free_region(r);
    }
    return NULL;
}

/* Regions are read and freed by several threads at once. */
static void readers_in_threads(void) {
    static const char *const names[4] = {"r0", "r1", "r2", "r3"};
    pthread_t readers[4];
    for (unsigned i = 0; i < 4; i++) {
        lean_object *data = content(i);
        save_ok(names[i], data);
        lean_region_dec(data);
    }
    for (size_t i = 0; i < 4; i++) CHECK(!pthread_create(&readers[i], NULL, read_and_free, (void *)names[i / 2]));
    for (size_t i = 0; i < 4; i++) pthread_join(readers[i], NULL);
}

const scenario thread_scenarios[] = {{"savers_in_threads", savers_in_threads},
                                     {"savers_in_processes", savers_in_processes},
                                     {"readers_in_threads", readers_in_threads},
                                     {0}};
