/* A program on the runtime of host.c with this library preloaded: `image WHAT DIRECTORY`. WHAT is
 *
 *   save       files for an image: p, and q which points into it; c, which something may write to; r, with a small root
 *   read       both lie in the image that is in use; what becomes of them while they live, and afterwards
 *   changed    q was written to since the image was built
 *   detach     the library is not detached while a region of the image lives (then there is no report)
 *   copied     the root of r is a copy that lies beside its region, as this library saves all that is saved here
 *   around     the image is to be gone round: every file is relocated
 *
 * Exit code 0 if everything was as it should be; then no object is left. */
#define _GNU_SOURCE
#include "calls.h"
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

/* What p holds, and what q does. */
static object *first_data(void) { return array2(mk_string("first"), BOX(7)); }
static object *second_data(object *first) { return array2(share(first), mk_string("second")); }

static size_t file_size(const char *file) {
    struct stat s;
    CHECK(stat(file, &s) == 0);
    return (size_t)s.st_size;
}

/* Mapped, and not where the file wants to be: in the image. */
static bool in_image(const char *file, loaded l) {
    CHECK(size_of(l.region) == file_size(file));
    return is_mapped(l.region) && (size_t)l.root - base_of(file) >= file_size(file);
}

#if defined(BATCH)
static void save_one(const char *file, object *data) {
    CHECK(ok(save_parts(file, array1(pair(mk_string(file), data)))) == BOX(0));
}
static void save_both(object *first, object *second) {
    object *parts = array2(pair(mk_string("p"), share(first)), pair(mk_string("q"), share(second)));
    CHECK(ok(save_parts("P", parts)) == BOX(0));
}
static loaded read_one(const char *file) {
    object *pairs = ok(read_parts(array1(mk_string(file))));
    loaded l = take_pair(share(pairs->field[2]));
    dec(pairs);
    return l;
}
static void read_both(loaded out[2]) {
    object *pairs = ok(read_parts(array2(mk_string("p"), mk_string("q"))));
    for (int i = 0; i < 2; i++) out[i] = take_pair(share(pairs->field[2 + i]));
    dec(pairs);
}
#else
static void save_one(const char *file, object *data) {
    dec(ok(save(file, data, NULL, NULL)));
    dec(data);
}
static void save_both(object *first, object *second) {
    object *compactor = ok(save("p", first, NULL, NULL));
    dec(ok(save("q", second, NULL, compactor)));
}
static loaded read_one(const char *file) { return take_pair(ok(read_file(file, NULL))); }
static loaded read_over(const char *file, loaded dep) {
    object *deps = array1(share(dep.region));
    loaded l = take_pair(ok(read_file(file, deps)));
    dec(deps);
    return l;
}
static void read_both(loaded out[2]) {
    out[0] = read_one("p");
    out[1] = read_over("q", out[0]);
}
#endif

static void check_both(loaded both[2]) {
    object *first = first_data(), *second = second_data(first);
    check_same(first, both[0].root);
    check_same(second, both[1].root);
    CHECK(both[1].root->field[2] == both[0].root);
    dec(second);
    dec(first);
}

static bool both_in_image(loaded both[2]) {
    check_both(both);
    bool p = in_image("p", both[0]), q = in_image("q", both[1]);
    CHECK(p == q);
    return p;
}

static void free_both(loaded both[2]) {
    free_ok(both[1]);
    free_ok(both[0]);
}

static void *find(const char *name) {
    void *address = dlsym(RTLD_DEFAULT, name);
    if (!address) fail_at(__FILE__, __LINE__, name);
    return address;
}

/* Detaching is refused for what lives, or done if that is nothing. */
static void detach(const char *reason) {
    int (*detach)(void);
    size_t (*last_error)(char *, size_t);
    *(void **)&detach = find("lean_region_detach");
    *(void **)&last_error = find("lean_region_last_error");
    char text[512];
    CHECK(detach() == (reason ? -1 : 0));
    if (!reason) return;
    last_error(text, sizeof text);
    if (!strstr(text, reason)) fail_at(__FILE__, __LINE__, text);
}

static void read_twice(void) {
    loaded once[2], again[2], later[2];
    read_both(once);
    CHECK(both_in_image(once));

    /* Of two handles to the same memory nobody could tell which was freed: one that lives is not given out again. */
    read_both(again);
    bool shared = is_structure(once[0].region);
    CHECK(both_in_image(again) == shared);
    CHECK((again[0].root == once[0].root) == shared);
#if !defined(BATCH)
    /* What q was linked against is the p of the image, and no other. */
    if (!shared) {
        free_ok(once[1]);
        once[1] = read_over("q", once[0]);
        CHECK(both_in_image(once));
        loaded other = read_over("q", again[0]);
        CHECK(!in_image("q", other) && other.root->field[2] == again[0].root);
        free_ok(other);
    }
#endif
    free_both(again);
    check_both(once);

    /* One of them lives: the batch call is served whole or not at all, one file after the other as each is free. */
    for (int lives = 0; lives < 2; lives++) {
        if (lives == 1) read_both(once);
        CHECK(in_image("p", once[0]) && in_image("q", once[1]));
        free_ok(once[!lives]);
        read_both(again);
        check_both(again);
#if defined(BATCH)
        bool p = false;
#else
        bool p = shared || lives == 1;
#endif
        CHECK(in_image("p", again[0]) == p && in_image("q", again[1]) == shared);
        free_both(again);
        free_ok(once[lives]);
    }

    /* Freed, it is given out again, and cannot be freed twice. */
    read_both(once);
    CHECK(both_in_image(once));
    object *kept = share(once[0].region);
    object *root = once[0].root;
    free_both(once);
    refused(free_result(kept), "failed to free a region");
    read_both(later);
    CHECK(both_in_image(later) && later[0].root == root);
    free_both(later);
}

/* Something may write to it, so that a process has it from the image once. */
static void read_changing(void) {
    loaded c = read_one("c");
    CHECK(in_image("c", c));
    for (int freed = 0; freed < 2; freed++) {
        if (freed) free_ok(c);
        loaded other = read_one("c");
        CHECK(!in_image("c", other) && other.root != c.root);
        CHECK(!strcmp((char *)(other.root->field[2]->field[0]->word + 3), "changes"));
        free_ok(other);
    }
}

static void read_changed(void) {
    loaded both[2];
    read_both(both);
    check_both(both);
#if defined(BATCH)
    CHECK(!in_image("p", both[0]) && !in_image("q", both[1]));
#else
    CHECK(in_image("p", both[0]) && !in_image("q", both[1]));
#endif
    free_both(both);
}

static void read_and_detach(void) {
    loaded both[2];
    read_both(both);
    CHECK(both_in_image(both));
    detach("2 regions of this library are still in use");
    free_ok(both[1]);
    detach("1 regions of this library are still in use");
    free_ok(both[0]);
    detach(NULL);
}

static void read_around(void) {
    loaded both[2];
    read_both(both);
    check_both(both);
    CHECK(!is_mapped(both[0].region) && !is_mapped(both[1].region));
    free_both(both);
}

static void read_root(void) {
    loaded r = read_one("r");
    object *expected = pair(mk_string("small"), BOX(7));
    check_same(expected, r.root);
    dec(expected);
    /* A structure says how far its root lies behind the region, a handle is where that begins. */
    size_t behind = is_structure(r.region) ? r.region->word[4] : (size_t)r.root - handle(r.region);
    CHECK(behind >= size_of(r.region));
    free_ok(r);
}

int main(int argc, char **argv) {
    CHECK(argc == 3 && chdir(argv[2]) == 0);
    host_initialise();
    const char *what = argv[1];
    if (!strcmp(what, "save")) {
        object *first = first_data(), *second = second_data(first);
        save_both(first, second);
        dec(second);
        dec(first);
        save_one("c", array1(mk_cell(253, mk_string("changes"))));
        save_one("r", pair(mk_string("small"), BOX(7)));
    } else if (!strcmp(what, "read")) {
        read_twice();
        read_changing();
    } else if (!strcmp(what, "changed")) {
        read_changed();
    } else if (!strcmp(what, "detach")) {
        read_and_detach();
    } else if (!strcmp(what, "copied")) {
        read_root();
    } else {
        CHECK(!strcmp(what, "around"));
        read_around();
    }
    CHECK(host_calls == 0 && living == 0);
    return 0;
}
