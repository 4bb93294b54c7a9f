/* One operation of the loader, between two system calls that a tracer knows it by (getpriority of nobody), and then
 * what is left of it.
 *
 *     operations list
 *     operations OPERATION files
 *     operations OPERATION again
 *     operations OPERATION limit KIND FIRST STEP LAST
 *     operations OPERATION cold|warm DESCRIPTORS MAPPINGS once|lasting
 *
 * in an empty directory; `files` only makes its files, for an image of them; `again` does it for ever, to be killed;
 * `limit` does it in children under limits (limits.c). DESCRIPTORS and MAPPINGS: so many more may be open afterwards,
 * because the call that gives them back is what is refused. `warm` does it a few times before, `lasting` says that
 * calls are still refused afterwards, so that it is not tried again. Prints `ok`, where it did what it always does, or
 * the error's text; the exit code is 1 where something is left that should not be. */
#define _GNU_SOURCE
#include "operations.h"
#include <sys/resource.h>
#include <unistd.h>

size_t scale = 1;

/* The shim that shortens transfers, if it is there. */
__attribute__((weak)) void faults_shim(int on);

static void mark(bool begin) {
    getpriority(PRIO_PROCESS, begin ? 2000001 : 2000002);
    if (faults_shim) faults_shim(begin);
}

typedef struct {
    long descriptors, mappings, objects, regions, temporary;
} state;

static state now(void) {
    lean_region_clear_error();
    return (state){count_descriptors(), count_maps(), (long)lean_region_live_objects(),
                   (long)lean_region_live_regions(), count_temporary()};
}

static int bad;

static void expect(bool good, const char *what, long before, long after) {
    if (good) return;
    say("left: %s: %ld before, %ld after\n", what, before, after);
    bad = 1;
}

static void compare_descriptors(const state *before, const state *after, long more) {
    expect(after->descriptors <= before->descriptors + more, "descriptors", before->descriptors, after->descriptors);
}

static void compare(const state *before, const state *after, long mappings, bool warm) {
    /* What is kept from a first call on shows in one that is not the first. */
    if (warm) expect(after->mappings <= before->mappings + mappings, "mappings", before->mappings, after->mappings);
    expect(after->objects == before->objects, "objects", before->objects, after->objects);
    expect(after->regions == before->regions, "regions", before->regions, after->regions);
}

/* Whether it did what it does when nothing is refused: well, or with an error. */
static bool as_usual(const operation *o, lean_object *result) {
    bool done = lean_region_io_is_ok(result);
    return o->otherwise ? !done && strstr(lean_region_io_error_text(result), o->otherwise) : done;
}

static const char *text_of(lean_object *result) {
    return lean_region_io_is_ok(result) ? "it went well" : lean_region_io_error_text(result);
}

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "list")) {
        for (const operation *o = operations; o->name; o++) printf("%s\n", o->name);
        return 0;
    }
    if (argc != 7 && argc != 6 && argc != 3) return 2;
    const operation *o = operations;
    while (o->name && strcmp(o->name, argv[1])) o++;
    if (!o->name) return 2;
    if (argc == 3) {
        set_up(o);
        say("ready\n");
        while (!strcmp(argv[2], "again")) {
            if (o->prepare) o->prepare();
            lean_region_dec(ok(o->call()));
            if (o->targets[0]) restore(o);
        }
        return 0;
    }
    if (argc == 7) {
        set_up(o);
        return sweep(o, argv[3], atol(argv[4]), atol(argv[5]), atol(argv[6]));
    }
    bool warm = !strcmp(argv[2], "warm"), lasting = !strcmp(argv[5], "lasting");
    long descriptors = atol(argv[3]), mappings = atol(argv[4]);
    set_up(o);
    for (int i = 0; warm && i < 3; i++) {
        if (o->prepare) o->prepare();
        lean_object *result = o->call();
        CHECK(as_usual(o, result));
        if (o->otherwise) lean_region_dec(result);
        else use_up(o, ok(result));
        if (o->targets[0]) restore(o);
    }
    if (warm && o->file && !o->relocates && !o->otherwise) {
        /* Where the file cannot be mapped its content lies in room that is kept from then on. */
        bool occupied = occupy(o->file);
        use_up(o, ok(o->call()));
        if (occupied) give_back(file_base(o->file), 4096);
    }
    if (o->prepare) o->prepare();
    state before = now();
    mark(true);
    lean_object *result = o->call();
    mark(false);
    bool done = as_usual(o, result);
    if (done) {
        say("ok\n");
    } else {
        say("error %s\n", text_of(result));
        expect(names_its_file(o, text_of(result)), "an error without its file", 0, 0);
    }
    if (o->targets[0]) {
        expect(done || targets_are_as_said(o, text_of(result)), "the old files", 0, 0);
        expect(!done || targets_are(o, true), "the new files", 0, 0);
        long temporary = count_temporary();
        say("temporary %ld\n", temporary);
    }
    if (done && !o->otherwise) {
        lean_object *value = inc(lean_region_child(result, 0));
        lean_region_dec(result);
        if (lasting && !o->targets[0]) {
            /* Its regions cannot be freed by calls that are refused. */
            say("end\n");
            _exit(bad);
        }
        use_up(o, value);
    } else {
        lean_region_dec(result);
    }
    /* A compactor is good for one save, a region for one release. */
    state after = now();
    compare_descriptors(&before, &after, descriptors);
    if (!o->prepare) compare(&before, &after, mappings, warm);
    if (!lasting) {
        if (o->prepare) o->prepare();
        result = o->call();
        if (!as_usual(o, result)) {
            say("left: tried again: %s\n", text_of(result));
            bad = 1;
        } else if (o->otherwise) {
            lean_region_dec(result);
        } else {
            use_up(o, ok(result));
            expect(targets_are(o, true), "the new files, tried again", 0, 0);
        }
    }
    say("end\n");
    _exit(bad);
}
