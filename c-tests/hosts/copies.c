/* Copies of roots on the runtime of host.c, with the library preloaded: `copies HOW DIRECTORY`. HOW is
 *
 *   save       the files that are read then, half of them small
 *   unused     reads them and looks at nothing but their roots, which are copies where regions are structures
 *   used       looks into each region as soon as it has been read: there are no copies after a while
 *   plain      there are none at all
 *   chain      saves the roots of regions that live one after the other with one compactor
 *
 * `unused` and `plain` save what they have read, into `over` with the regions as dependencies and into `alone` without:
 * the same bytes. Exit code 0 if everything was as it should be; then no object is left. */
#define _GNU_SOURCE
#include "calls.h"
#include <fcntl.h>
#include <unistd.h>

/* After BATCH reads the library looks whether the regions are used. */
enum { FILES = 700, FEW = 64, BATCH = 256 };

static const char *name_of(int i) {
    static char name[16];
    snprintf(name, sizeof name, "f%d", i);
    return name;
}

/* The root is an object of 24 bytes at the end of the file. */
static object *data_of(int i) {
    static uint8_t bytes[30000];
    bytes[0] = (uint8_t)i;
    return pair(mk_sarray(1, bytes, i % 2 ? sizeof bytes : 10), mk_string(name_of(i)));
}

static bool lies_in(loaded l) {
    size_t begin = is_structure(l.region) ? (size_t)l.root - l.region->word[4] : handle(l.region);
    return (size_t)l.root - begin < size_of(l.region);
}

/* Whether a page of the region is in memory of this process. */
static bool is_touched(int i) {
    static int pages = -1;
    if (pages < 0) pages = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    CHECK(pages >= 0);
    size_t first = base_of(name_of(i)) / 4096;
    for (size_t page = 0; page < (i % 2 ? 8 : 1); page++) {
        uint64_t entry;
        CHECK(pread(pages, &entry, 8, (off_t)(8 * (first + page))) == 8);
        if (entry >> 63) return true;
    }
    return false;
}

static loaded read_one(int i) { return take_pair(ok(read_file(name_of(i), NULL))); }

static void check(int i, loaded l) {
    CHECK(is_mapped(l.region));
    object *expected = data_of(i);
    check_same(expected, l.root);
    dec(expected);
}

/* The roots, what is below them, and the regions' structures, over the regions, each of which is given twice. */
static void save_over(const char *file, loaded *all, int count, bool deps_given) {
    object *regions[2 * FEW], *parts[3 * FEW];
    for (int i = 0; i < count; i++) {
        regions[2 * i] = share(all[i].region);
        regions[2 * i + 1] = share(all[i].region);
        parts[3 * i] = all[i].root;
        parts[3 * i + 1] = all[i].root->field[1];
        parts[3 * i + 2] = share(all[i].region);
    }
    object *deps = mk_array(2 * (size_t)count, regions), *data = mk_array(3 * (size_t)count, parts);
    dec(ok(save(file, data, deps_given ? deps : NULL, NULL)));
    dec(data);
    dec(deps);
}

/* A compactor that is kept knows objects by their addresses: what it has seen must not be taken for the copy of another
 * root that lies there later. */
static void save_a_chain(void) {
    object *compactor = NULL;
    free_ok(read_one(FILES - 1));
    for (int i = 0; i < 10; i++) {
        loaded one = read_one(i);
        object *data = pair(one.root, BOX(i));
        char name[16];
        snprintf(name, sizeof name, "part%d", i);
        compactor = ok(save(name, data, NULL, compactor));
        dec(data);
        free_ok(one);
    }
    dec(compactor);
    object *deps[10];
    loaded parts[10];
    for (int i = 0; i < 10; i++) {
        object *before = mk_array((size_t)i, deps);
        for (int j = 0; j < i; j++) inc(deps[j]);
        char name[16];
        snprintf(name, sizeof name, "part%d", i);
        parts[i] = take_pair(ok(read_file(name, before)));
        dec(before);
        deps[i] = parts[i].region;
        object *expected = data_of(i);
        check_same(expected, parts[i].root->field[0]);
        dec(expected);
    }
    for (int i = 9; i >= 0; i--) free_ok(parts[i]);
}

static void read_unused(bool copied) {
    static loaded all[FILES];
    for (int i = 0; i < FILES; i++) all[i] = read_one(i);
    /* The first read looks how many page faults there are so far. Where a read had to wait there is no copy. */
    int copies = 0;
    size_t low = SIZE_MAX, high = 0;
    for (int i = 1; i < FEW; i++) {
        bool copy = !lies_in(all[i]);
        CHECK(is_touched(i) == !copy);
        if (!copy) continue;
        copies++;
        if ((size_t)all[i].root < low) low = (size_t)all[i].root;
        if ((size_t)all[i].root > high) high = (size_t)all[i].root;
    }
    CHECK(copied ? copies > FEW / 2 && high - low < FEW * 64 : copies == 0);
    save_over("over", all + 1, FEW, true);
    save_over("alone", all + 1, FEW, false);
    for (int i = 0; i < FILES; i++) check(i, all[i]);

    /* A copy's place is taken again by the next one, and what others hold stays as it is. */
    for (int step = 2; step < 5; step++) {
        for (int i = 0; i < FILES; i += step) free_ok(all[i]);
        for (int i = FILES - 1; i >= 0; i--)
            if (i % step == 0) all[i] = read_one(i);
        for (int i = 0; i < FILES; i++) check(i, all[i]);
    }

    /* The same file read again is the same region, and its root stays as long as somebody has it. */
    if (is_structure(all[1].region)) {
        loaded again = read_one(1);
        CHECK(again.root == all[1].root);
        free_ok(all[1]);
        check(1, again);
        all[1] = again;
    }
    for (int i = 0; i < FILES; i++) free_ok(all[i]);
}

static void read_used(void) {
    static loaded all[FILES];
    int copies = 0;
    for (int i = 0; i < FILES; i++) {
        all[i] = read_one(i);
        check(i, all[i]);
        copies += !lies_in(all[i]);
    }
    CHECK(copies <= BATCH && (copies > 0) == is_structure(all[0].region));
    for (int i = 0; i < FILES; i++) free_ok(all[i]);
}

int main(int argc, char **argv) {
    CHECK(argc == 3 && chdir(argv[2]) == 0);
    host_initialise();
    const char *how = argv[1];
    if (!strcmp(how, "save")) {
        for (int i = 0; i < FILES; i++) {
            object *data = data_of(i);
            dec(ok(save(name_of(i), data, NULL, NULL)));
            dec(data);
        }
    } else if (!strcmp(how, "used")) {
        read_used();
    } else if (!strcmp(how, "chain")) {
        save_a_chain();
    } else {
        CHECK(!strcmp(how, "unused") || !strcmp(how, "plain"));
#if defined(STRUCTURE)
        read_unused(!strcmp(how, "unused"));
#else
        read_unused(false);
#endif
    }
    CHECK(host_calls == 0 && living == 0);
    return 0;
}
