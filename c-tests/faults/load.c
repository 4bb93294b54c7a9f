/* Threads of several processes that save, read and free files which they share and files of their own, while files
 * are truncated, replaced and written over.
 *
 *     load DIRECTORY THREADS PROCESSES ROUNDS SEED [vandal]
 *
 * What is read is looked at whole. `vandal`: one more process truncates the shared files and writes into them; what
 * is read then may be an error, but never something that is no graph; for a library that verifies and relocates
 * every file. Prints what was done, and how many reads met a file that was spoilt. */
#define _GNU_SOURCE
#include "../scenarios/common.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

size_t scale = 1;
#define SHARED 8
#define HELD 4

static const char *directory;
static long rounds, seed;
static bool vandal;
static atomic_long saves, reads, errors, spoilt, bad;

static lean_object *code(lean_object *o) { return o; }

/* A list of as many elements as its end says. */
static lean_object *graph(size_t kind, bool closures) {
    lean_object *list = box(kind);
    for (size_t i = 0; i < 50 + 20 * kind; i++) {
        char text[32];
        snprintf(text, sizeof text, "%zu of %zu", i, kind);
        lean_object *head = str(text);
        if (closures && i % 5 == 0) head = lean_region_mk_closure((void *)code, 2, &head, 1);
        list = ctor(1, head, list, END);
    }
    return list;
}

static bool whole(lean_object *o) {
    size_t n = 0;
    lean_object *at = o;
    for (; !is_scalar(at); n++) {
        if (lean_region_child_count(at) != 2) return false;
        at = lean_region_child(at, 1);
    }
    size_t kind = unbox(at);
    if (n != 50 + 20 * kind) return false;
    for (at = o; !is_scalar(at); at = lean_region_child(at, 1)) {
        char text[32];
        snprintf(text, sizeof text, "%zu of %zu", --n, kind);
        lean_object *head = lean_region_child(at, 0);
        if (lean_region_tag(head) == LEAN_REGION_TAG_CLOSURE) {
            if (lean_region_closure_code(head) != (void *)code) return false;
            head = lean_region_child(head, 0);
        }
        if (strcmp(lean_region_string_text(head), text)) return false;
    }
    return true;
}

/* Every object from each that points to it, whatever it is: what was proved can be walked. */
static void walk(lean_object *o, int depth) {
    if (is_scalar(o) || depth > 5000) return;
    for (size_t i = 0, n = lean_region_child_count(o); i < n; i++) walk(lean_region_child(o, i), depth + 1);
}

static void complain(const char *what, const char *text) {
    bad++;
    fprintf(stderr, "%s: %s\n", what, text);
}

static void *work(void *arg) {
    unsigned state = (unsigned)seed * 7919u + (unsigned)getpid() * 31u + (unsigned)(size_t)arg;
    lean_object *none = lean_region_mk_array(NULL, 0), *held[HELD] = {0};
    for (long round = 0; round < rounds; round++) {
        size_t which = (size_t)rand_r(&state) % (SHARED + 1);
        char path[512], name_text[32];
        snprintf(name_text, sizeof name_text, "K%zu", which);
        if (which < SHARED) snprintf(path, sizeof path, "%s/S%zu", directory, which);
        else snprintf(path, sizeof path, "%s/T%d-%zu", directory, getpid(), (size_t)arg);
        lean_object *file = str(path);
        if (rand_r(&state) % 3 == 0) {
            bool closures = which & 1;
            lean_object *data = graph((size_t)rand_r(&state) % 60, closures), *key = name(name_text);
            lean_object *result = lean_compacted_region_save(file, key, data, none, box(0), closures);
            if (!lean_region_io_is_ok(result)) complain("save", lean_region_io_error_text(result));
            lean_region_dec(result);
            lean_region_dec(data);
            lean_region_dec(key);
            saves++;
        } else {
            lean_object *result = lean_compacted_region_read(file, none);
            reads++;
            if (!lean_region_io_is_ok(result)) {
                const char *text = lean_region_io_error_text(result);
                errors++;
                if (!strstr(text, path)) complain("an error without its file", text);
                if (!strstr(text, "No such file")) {
                    spoilt++;
                    if (!vandal) complain("read", text);
                }
                lean_region_dec(result);
            } else {
                lean_object *pair = lean_region_child(result, 0), *root = lean_region_child(pair, 0);
                if (vandal) walk(root, 0);
                else if (!whole(root)) complain("not what was saved", path);
                lean_object *region = inc(lean_region_child(pair, 1));
                lean_region_dec(result);
                size_t slot = (size_t)rand_r(&state) % HELD;
                if (held[slot]) lean_region_dec(ok(lean_compacted_region_free(held[slot])));
                held[slot] = region;
            }
        }
        lean_region_dec(file);
    }
    for (size_t i = 0; i < HELD; i++)
        if (held[i]) lean_region_dec(ok(lean_compacted_region_free(held[i])));
    lean_region_dec(none);
    return NULL;
}

static int one_process(long threads) {
    pthread_t ids[64];
    holdings before = held();
    for (long i = 0; i < threads; i++) CHECK(!pthread_create(&ids[i], NULL, work, (void *)(size_t)i));
    for (long i = 0; i < threads; i++) CHECK(!pthread_join(ids[i], NULL));
    holdings after = held();
    if (after.descriptors != before.descriptors || after.regions != before.regions || after.objects != before.objects)
        complain("left", "descriptors, regions or objects");
    printf("saves %ld reads %ld errors %ld spoilt %ld bad %ld\n", (long)saves, (long)reads, (long)errors, (long)spoilt,
           (long)bad);
    fflush(stdout);
    return bad != 0;
}

static _Noreturn void damage(void) {
    unsigned state = (unsigned)seed;
    for (;;) {
        char path[512], other[600], byte = (char)rand_r(&state);
        snprintf(path, sizeof path, "%s/S%u", directory, (unsigned)rand_r(&state) % SHARED);
        snprintf(other, sizeof other, "%s.other", path);
        int fd = open(path, O_RDWR);
        struct stat st;
        if (fd >= 0 && !fstat(fd, &st) && st.st_size > 0) {
            off_t at = (off_t)((unsigned)rand_r(&state) % (unsigned)st.st_size);
            switch (rand_r(&state) % 3) {
            case 0: CHECK(ftruncate(fd, at) == 0); break;
            case 1: CHECK(pwrite(fd, &byte, 1, at) == 1); break;
            default: {
                int copy = open(other, O_CREAT | O_TRUNC | O_WRONLY, 0666);
                CHECK(copy >= 0 && write(copy, "olean", 5) == 5);
                close(copy);
                CHECK(rename(other, path) == 0);
            }
            }
        }
        if (fd >= 0) close(fd);
        usleep(300);
    }
}

int main(int argc, char **argv) {
    if (argc < 6) return 2;
    directory = argv[1];
    long threads = atol(argv[2]), processes = atol(argv[3]);
    rounds = atol(argv[4]);
    seed = atol(argv[5]);
    vandal = argc > 6;
    CHECK(threads <= 64 && lean_region_bind() == 0);
    int villain = 0;
    if (vandal && (villain = fork()) == 0) damage();
    int status, wrong = 0;
    if (processes == 1 && !vandal) wrong = one_process(threads);
    else {
        for (long i = 0; i < processes; i++)
            if (fork() == 0) {
                alarm(300);
                _exit(one_process(threads));
            }
        for (long i = 0; i < processes; i++) {
            int pid = wait(&status);
            CHECK(pid > 0 && pid != villain);
            if (status) {
                wrong = 1;
                printf("a process ended with %#x\n", status);
            }
        }
    }
    if (villain) {
        kill(villain, 9);
        waitpid(villain, &status, 0);
    }
    DIR *d = opendir(directory);
    CHECK(d);
    for (struct dirent *e; (e = readdir(d));)
        if (strstr(e->d_name, ".tmp.")) {
            wrong = 1;
            printf("left: %s\n", e->d_name);
        }
    closedir(d);
    return wrong;
}
