/* Operations under limits: of memory, of the size of files, of descriptors, of processes and of mappings. */
#define _GNU_SOURCE
#include "operations.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Bytes of a line of /proc/self/status. */
static long status_of(const char *line) {
    char text[4096], *found;
    FILE *f = fopen("/proc/self/status", "r");
    CHECK(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    CHECK((found = strstr(text, line)));
    return atol(found + strlen(line) + 1) * 1024;
}

/* Where all mappings are used up. */
static char *range;
static size_t bytes_of_range;

/* All mappings but some are used up: every second page of a range becomes one of its own. */
static void use_up_mappings(long but) {
    char most[32];
    FILE *f = fopen("/proc/sys/vm/max_map_count", "r");
    CHECK(f && fgets(most, sizeof most, f));
    fclose(f);
    long limit = atol(most);
    CHECK(limit < 300000);
    bytes_of_range = (size_t)limit * 8192;
    range = mmap(NULL, bytes_of_range, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(range != MAP_FAILED);
    long made = 0;
    while (mprotect(range + made * 8192, 4096, PROT_READ) == 0) made++;
    for (long i = 0; i < but; i += 2) CHECK(mprotect(range + (made - 1 - i / 2) * 8192, 4096, PROT_NONE) == 0);
}

/* The number of the next descriptor, which is what the limit is of: there may be others above it, and gaps. */
static long next_descriptor(void) {
    int next = dup(STDIN_FILENO);
    CHECK(next >= 0 && close(next) == 0);
    return next;
}

/* The resource that is limited; -1 for mappings. */
static int limit_to(const char *kind, long much) {
    int which = RLIMIT_AS;
    struct rlimit limit = {(rlim_t)much, RLIM_INFINITY};
    if (!strcmp(kind, "maps")) {
        use_up_mappings(much);
        return -1;
    }
    if (!strcmp(kind, "as")) limit.rlim_cur += (rlim_t)status_of("VmSize:");
    else if (!strcmp(kind, "data")) which = RLIMIT_DATA, limit.rlim_cur += (rlim_t)status_of("VmData:");
    else if (!strcmp(kind, "fsize")) which = RLIMIT_FSIZE, signal(SIGXFSZ, SIG_IGN);
    else if (!strcmp(kind, "nofile")) which = RLIMIT_NOFILE, limit.rlim_cur += (rlim_t)next_descriptor();
    else if (!strcmp(kind, "nproc")) which = RLIMIT_NPROC;
    else CHECK(!"a kind of limit");
    struct rlimit now;
    CHECK(getrlimit(which, &now) == 0);
    limit.rlim_max = now.rlim_max;
    CHECK(setrlimit(which, &limit) == 0);
    /* Nothing limits the processes of root. */
    if (which == RLIMIT_NPROC && geteuid() == 0) CHECK(setgid(65534) == 0 && setuid(65534) == 0);
    /* Who gets no threads does all in one: no error tells that this limit holds. */
    if (which == RLIMIT_NPROC && much == 0) CHECK(fork() < 0);
    return which;
}

/* What was limited is as before. */
static void lift(int which) {
    if (which < 0) {
        CHECK(munmap(range, bytes_of_range) == 0);
        return;
    }
    struct rlimit now;
    CHECK(getrlimit(which, &now) == 0);
    now.rlim_cur = now.rlim_max;
    CHECK(setrlimit(which, &now) == 0);
}

/* The child's exit code: 0 it went well, 10 an error, else something is left or wrong. */
#define REFUSED 10
static _Noreturn void once(const operation *o, const char *kind, long much) {
    int which = limit_to(kind, much);
    lean_object *result = o->call();
    if (!result) _exit(3);
    /* Output is a file as well, and who looks at the result needs memory. */
    lift(which);
    bool done = lean_region_io_is_ok(result);
    const char *text = done ? "" : lean_region_io_error_text(result);
    if (!done && !names_its_file(o, text)) {
        say("left: an error without its file: %s\n", text);
        _exit(2);
    }
    if (o->targets[0] && !(done ? targets_are(o, true) : targets_are_as_said(o, text))) {
        say("left: the files after %s\n", done ? "success" : text);
        _exit(2);
    }
    if (o->targets[0] && count_temporary()) {
        say("left: a temporary file\n");
        _exit(2);
    }
    if (done && !o->targets[0]) use_up(o, inc(lean_region_child(result, 0)));
    if (!done) say("%ld: %.400s\n", much, text);
    _exit(done ? 0 : REFUSED);
}

int sweep(const operation *o, const char *kind, long first, long step, long last) {
    long tried = 0, good = 0, refused = 0;
    CHECK(chmod(".", 0777) == 0);
    for (long much = first; much <= last; much += step) {
        if (o->prepare) o->prepare();
        if (o->targets[0]) restore(o);
        int pid = fork(), status;
        CHECK(pid >= 0);
        if (pid == 0) {
            alarm(60);
            once(o, kind, much);
        }
        CHECK(waitpid(pid, &status, 0) == pid);
        tried++;
        if (WIFSIGNALED(status)) say("left: signal %d at %ld\n", WTERMSIG(status), much);
        else if (WEXITSTATUS(status) == REFUSED) refused++;
        else if (WEXITSTATUS(status) == 0) good++;
        else say("left: exit code %d at %ld\n", WEXITSTATUS(status), much);
    }
    say("tried %ld good %ld refused %ld\n", tried, good, refused);
    return 0;
}
