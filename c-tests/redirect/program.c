/* A program that lives beside the runtime of host.c and does what its arguments say, one after the other; what the
 * runtime and lean-region export is looked up when it is needed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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

static void *find(const char *name) {
    void *address = dlsym(RTLD_DEFAULT, name);
    if (!address) {
        printf("%s is not there\n", name);
        exit(90);
    }
    return address;
}

/* The function NAME, taking and returning what TYPE says. */
#define CALL(name, type) ((type)find(name))

static object *region;
static void *last_loaded;

static void show(const char *what, object *result) {
    if (result->tag == 0)
        printf("%s: ok\n", what);
    else
        printf("%s: %s\n", what, (const char *)(result->field[0]->field[0]->word + 3));
}

static void keep_region(object *result) {
    show("read", result);
    if (result->tag != 0) return;
    region = result->field[0]->field[1];
    /* A handle is boxed. */
    if (region->other == 0) region = region->field[0];
}

static void status(const char *what, int status) {
    char text[512] = "";
    if (status != 0) CALL("lean_region_last_error", size_t (*)(char *, size_t))(text, sizeof text);
    printf("%s: %d%s%s\n", what, status, *text ? " " : "", text);
}

static void *leave_thread(void *code) { exit((int)(intptr_t)code); }

/* Of the library loaded last: looked up by its handle, as a look-up among all libraries keeps it loaded with this program.
 * What it keeps for a thread is gone when the thread has ended. */
static void *attach_thread(void *result) {
    int (*attach)(void) = (int (*)(void))dlsym(last_loaded, "lean_region_attach");
    *(int *)result = attach ? attach() : -2;
    return NULL;
}

static void wait_for(const char *what, pid_t child) {
    int how;
    if (waitpid(child, &how, 0) != child || !WIFEXITED(how)) abort();
    printf("%s: %d\n", what, WEXITSTATUS(how));
}

static pid_t leave_in_vfork(void (*leave)(int)) {
    pid_t child = vfork();
    if (child == 0) leave(5);
    return child;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
#define IS(name) (strcmp(word, name) == 0)
#define ARGUMENT (i + 1 < argc ? argv[++i] : (abort(), ""))
        if (IS("load")) {
            if (!(last_loaded = dlopen(ARGUMENT, RTLD_NOW | RTLD_GLOBAL))) {
                puts(dlerror());
                return 91;
            }
        } else if (IS("read")) {
            keep_region(CALL("inside_read", object * (*)(const char *))(ARGUMENT));
        } else if (IS("save")) {
            show("save", CALL("inside_save", object * (*)(const char *))(ARGUMENT));
        } else if (IS("free")) {
            show("free", CALL("inside_free", object * (*)(object *))(region));
        } else if (IS("size")) {
            printf("size: %zu\n", CALL("inside_size", size_t(*)(object *))(region));
        } else if (IS("mapped")) {
            printf("mapped: %d\n", CALL("inside_mapped", int (*)(object *))(region));
        } else if (IS("exported-read")) {
            /* What another library's call of the name leads to: lean-region's export if it is preloaded. */
            object *name = CALL("inside_string", object * (*)(const char *))(ARGUMENT);
            object *none = CALL("inside_array", object * (*)(object *))(NULL);
            keep_region(CALL("lean_compacted_region_read", object * (*)(object *, object *))(name, none));
        } else if (IS("catch-read")) {
            /* The same from C++, which catches what the host throws. */
            object *name = CALL("inside_string", object * (*)(const char *))(ARGUMENT);
            object *none = CALL("inside_array", object * (*)(object *))(NULL);
            int caught = CALL("catches", int (*)(void *, void *, void *))(find("lean_compacted_region_read"), name, none);
            printf("caught: %d\n", caught);
        } else if (IS("read-nothing")) {
            object *result = CALL("lean_compacted_region_read", object * (*)(object *, object *))(NULL, NULL);
            puts(result ? "an answer" : "no answer");
        } else if (IS("unload")) {
            dlclose(last_loaded);
        } else if (IS("buffered")) {
            /* Left in the buffer until the process ends. */
            setvbuf(stdout, NULL, _IOFBF, BUFSIZ);
            puts(ARGUMENT);
        } else if (IS("host-calls")) {
            printf("host calls: %d\n", *(int *)find("host_calls"));
        } else if (IS("attach")) {
            status("attach", CALL("lean_region_attach", int (*)(void))());
        } else if (IS("thread-attach")) {
            pthread_t thread;
            int result;
            pthread_create(&thread, NULL, attach_thread, &result);
            pthread_join(thread, NULL);
            printf("attach: %d\n", result);
        } else if (IS("bind")) {
            status("bind", CALL("lean_region_bind", int (*)(void))());
        } else if (IS("detach")) {
            status("detach", CALL("lean_region_detach", int (*)(void))());
        } else if (IS("report")) {
            char text[4096];
            CALL("lean_region_report", size_t (*)(char *, size_t))(text, sizeof text);
            fputs(text, stdout);
        } else if (IS("fork")) {
            /* A child that does the rest of the arguments; the parent waits and leaves. */
            pid_t child = fork();
            if (child > 0) {
                wait_for("child", child);
                return 0;
            }
        } else if (IS("vfork-leave")) {
            wait_for("child", leave_in_vfork(CALL("inside_leave", void (*)(int))));
        } else if (IS("exit")) {
            exit(atoi(ARGUMENT));
        } else if (IS("thread-exit")) {
            pthread_t thread;
            pthread_create(&thread, NULL, leave_thread, (void *)(intptr_t)atoi(ARGUMENT));
            pthread_join(thread, NULL);
        } else if (IS("leave")) {
            CALL("inside_leave", void (*)(int))(atoi(ARGUMENT));
        } else if (IS("Leave")) {
            CALL("inside_Leave", void (*)(int))(atoi(ARGUMENT));
        } else {
            printf("what is '%s'?\n", word);
            return 92;
        }
    }
    return 0;
}
