/* The same file read again while its region is alive: one region with several holders where nothing in it can change,
 * and a copy of its own where something can. */
#include "common.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

/* Everything that stays as it is. */
static lean_object *constant(void) {
    uint64_t limbs[40] = {1, 2};
    limbs[39] = 3;
    uint8_t bytes[64] = {5};
    lean_object *one = ctor(7, str("field"), END);
    return array(lean_region_mk_ctor(243, &one, 1, bytes, 13), array(END), random_string(70000, 1),
                 lean_region_mk_sarray(4, bytes, 60), lean_region_mk_number(true, true, limbs, 40),
                 lean_region_mk_name_num(name("Name"), box(5)), box(8), END);
}

static long mappings(void) { return held().mappings; }

/* A second read shares with `first` exactly if `shared`; both are whole, and freed. */
static void check_second(const char *file, region first, lean_object *deps, lean_object *data, bool shared) {
    region second = read_ok(file, deps);
    CHECK((begin_of(second) == begin_of(first)) == shared);
    CHECK(mapped(second) == shared && second.structure != first.structure);
    CHECK(lean_region_live_regions() == (shared ? 1 : 2));
    CHECK(!data || same(data, second.root));
    free_region(second);
    CHECK(mapped(first) && (!data || same(data, first.root)));
}

/* Read from many places: through links and other paths it is one region. */
static void one_region(void) {
    lean_object *data = constant();
    save_ok("constant", data);
    CHECK(link("constant", "hard") == 0 && symlink("constant", "soft") == 0);
    region first = read_ok("constant", NULL);
    long before = mappings();
    check_second("constant", first, NULL, data, true);
    check_second("./constant", first, NULL, data, true);
    check_second("hard", first, NULL, data, true);
    check_second("soft", first, NULL, data, true);
    enum { MANY = 300 };
    region all[MANY];
    for (size_t i = 0; i < MANY; i++) all[i] = read_ok(i % 2 ? "hard" : "constant", NULL);
    CHECK(mappings() == before && lean_region_live_regions() == 1);
    /* The first one goes first, then from both ends. */
    free_region(first);
    for (size_t i = 0; i < MANY / 2; i++) {
        CHECK(same(data, all[i].root));
        free_region(all[i]);
        free_region(all[MANY - 1 - i]);
    }
    CHECK(lean_region_live_regions() == 0);
    lean_region_dec(data);
}

/* Another file at the same base address is a copy: renamed into place, written anew, or touched. */
static void other_files(void) {
    lean_object *data = constant();
    save_ok("file", data);
    region first = read_ok("file", NULL);
    check_second("file", first, NULL, data, true);
    struct timeval times[2] = {{1, 0}, {1, 0}};
    CHECK(utimes("file", times) == 0);
    check_second("file", first, NULL, data, false);
    renew("file");
    check_second("file", first, NULL, data, false);
    save_ok("file", data);
    check_second("file", first, NULL, data, false);
    /* As it is now it is as good as any. */
    free_region(first);
    first = read_ok("file", NULL);
    check_second("file", first, NULL, data, true);
    free_region(first);
    lean_region_dec(data);
}

static int code(void) { return 5; }

/* What can change is nobody else's. */
static void changing(void) {
    lean_object *changing[] = {lean_region_mk_ref(str("content")), lean_region_mk_thunk(str("value")),
                               lean_region_mk_task(str("value")),
                               lean_region_mk_promise(lean_region_mk_task(str("promised"))),
                               lean_region_mk_closure((void *)code, 2, NULL, 0)};
    for (size_t i = 0; i < sizeof changing / sizeof *changing; i++) {
        lean_object *data = array(str("before"), changing[i], constant(), END);
        lean_region_dec(ok(save_v3("changing", data, NULL, NULL)));
        region first = read_ok("changing", NULL);
        check_second("changing", first, NULL, data, false);
        check_second("changing", first, NULL, data, false);
        free_region(first);
        lean_region_dec(data);
    }
    /* Version 3 alone changes nothing. */
    lean_object *data = constant();
    lean_region_dec(ok(save_v3("unchanging", data, NULL, NULL)));
    region first = read_ok("unchanging", NULL);
    check_second("unchanging", first, NULL, data, true);
    /* A structure in a region is written to when its region is freed. */
    lean_object *deps = deps_of(first.structure, END), *holder = array(inc(first.structure), END);
    lean_region_dec(ok(save("holder", holder, deps, NULL)));
    lean_region_dec(holder);
    region one = read_ok("holder", deps), two = read_ok("holder", deps);
    CHECK(mapped(one) && !mapped(two));
    free_region(one);
    free_region(two);
    lean_region_dec(deps);
    free_region(first);
    lean_region_dec(data);
}

/* What points elsewhere than the file says is a copy; with all dependencies in their places it is shared. */
static void with_dependencies(void) {
    lean_object *low = array(str("low"), END);
    save_ok("low", low);
    region lower = read_ok("low", NULL);
    lean_object *deps = deps_of(lower.structure, END), *high = array(lower.root, END);
    lean_region_dec(ok(save("high", high, deps, NULL)));
    lean_region_dec(high);
    region upper = read_ok("high", deps), again = read_ok("high", deps);
    CHECK(begin_of(upper) == begin_of(again) && mapped(again));
    renew("low");
    region copy = read_ok("low", NULL);
    CHECK(!mapped(copy));
    lean_object *others = deps_of(copy.structure, END);
    region moved = read_ok("high", others);
    CHECK(!mapped(moved) && lean_region_child(moved.root, 0) == copy.root);
    free_region(moved);
    free_region(upper);
    free_region(again);
    /* At its base address, but changed to point to the copy. */
    moved = read_ok("high", others);
    CHECK(mapped(moved) && lean_region_child(moved.root, 0) == copy.root);
    again = read_ok("high", deps);
    CHECK(!mapped(again) && lean_region_child(again.root, 0) == lower.root);
    free_region(again);
    free_region(moved);
    lean_region_dec(others);
    lean_region_dec(deps);
    free_region(copy);
    free_region(lower);
    lean_region_dec(low);
}

/* A structure like `structure`, as a program makes it that copies all fields. */
static lean_object *copy_of(lean_object *structure) {
    lean_object *fields[2] = {inc(lean_region_child(structure, 0)), lean_region_child(structure, 1)};
    return lean_region_mk_ctor(0, fields, 2, (uint8_t *)structure + 24, 25);
}

/* Freed twice, by itself and by copies, a structure takes nothing away from others. */
static void freed_twice(void) {
    lean_object *data = constant();
    save_ok("file", data);
    region first = read_ok("file", NULL), second = read_ok("file", NULL), third = read_ok("file", NULL);
    lean_object *copies[] = {copy_of(first.structure), copy_of(second.structure), copy_of(second.structure)};
    lean_region_inc(first.structure);
    free_region(first);
    FAILS(lean_compacted_region_free(first.structure), "it was freed before");
    FAILS(lean_compacted_region_free(copies[0]), "it was freed before");
    /* A copy frees as well as what it was made of. */
    CHECK(ok(lean_compacted_region_free(copies[1])) == box(0));
    FAILS(lean_compacted_region_free(copies[2]), "it was freed before");
    FAILS(lean_compacted_region_free(second.structure), "it was freed before");
    CHECK(lean_region_live_regions() == 1 && same(data, third.root));
    /* A handle does not say which of several goes. */
    region fourth = read_ok("file", NULL);
    FAILS(lean_compacted_region_free((lean_object *)begin_of(third)), "2 structures share");
    free_region(third);
    lean_object *handle = (lean_object *)begin_of(fourth);
    CHECK(same(data, fourth.root));
    CHECK(ok(lean_compacted_region_free(handle)) == box(0));
    CHECK(lean_region_live_regions() == 0);
    FAILS(lean_compacted_region_free(fourth.structure), "it was freed before");
    lean_region_dec(data);
}

#define THREADS 4
static const char *const names[THREADS] = {"file", "hard", "./file", "soft"};
static atomic_size_t shared_reads;

static void *keep_reading(void *name) {
    lean_object *data = constant();
    region kept[3] = {{0}};
    for (size_t i = 0; i < 600 / (scale > 10 ? 10 : scale); i++) {
        region *r = &kept[i % 3];
        if (r->structure) {
            CHECK(same(data, r->root));
            free_region(*r);
        }
        *r = read_ok(name, NULL);
        if (mapped(*r)) atomic_fetch_add(&shared_reads, 1);
    }
    for (size_t i = 0; i < 3; i++) free_region(kept[i]);
    lean_region_dec(data);
    return NULL;
}

/* Threads read and free one file: it comes and goes all the while. */
static void in_threads(void) {
    lean_object *data = constant();
    save_ok("file", data);
    lean_region_dec(data);
    CHECK(link("file", "hard") == 0 && symlink("file", "soft") == 0);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) CHECK(!pthread_create(&threads[i], NULL, keep_reading, (void *)names[i]));
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    CHECK(atomic_load(&shared_reads) > 0 && lean_region_live_regions() == 0);
}

/* Regions of both kinds that one thread reads are freed by another, in any order. */
#define HELD 12
static pthread_mutex_t exchange = PTHREAD_MUTEX_INITIALIZER;
static struct {
    region r;
    bool changes;
} board[HELD];

static void *swap_regions(void *seed) {
    lean_object *data = constant(), *changing = array(lean_region_mk_ref(str("content")), constant(), END);
    uint64_t state = (uint64_t)(size_t)seed * 0x9e3779b97f4a7c15 + 1;
    for (size_t i = 0; i < 400 / (scale > 10 ? 10 : scale); i++) {
        state = state * 6364136223846793005 + 1442695040888963407;
        size_t at = (size_t)(state >> 33) % HELD;
        bool changes = state >> 63;
        region mine = read_ok(changes ? "changing" : i % 2 ? "file" : "hard", NULL), old;
        pthread_mutex_lock(&exchange);
        old = board[at].r;
        bool old_changes = board[at].changes;
        board[at].r = mine;
        board[at].changes = changes;
        /* What changes is its reader's own, wherever the others of that file lie. */
        for (size_t j = 0; j < HELD; j++)
            CHECK(j == at || !changes || !board[j].r.structure || begin_of(board[j].r) != begin_of(mine));
        pthread_mutex_unlock(&exchange);
        if (old.structure) {
            CHECK(same(old_changes ? changing : data, old.root));
            free_region(old);
        }
    }
    lean_region_dec(data);
    lean_region_dec(changing);
    return NULL;
}

static void any_order(void) {
    lean_object *data = constant(), *changing = array(lean_region_mk_ref(str("content")), constant(), END);
    save_ok("file", data);
    lean_region_dec(ok(save_v3("changing", changing, NULL, NULL)));
    lean_region_dec(data);
    lean_region_dec(changing);
    CHECK(link("file", "hard") == 0);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) CHECK(!pthread_create(&threads[i], NULL, swap_regions, (void *)i));
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    size_t left = 0, apart = 0;
    for (size_t i = 0; i < HELD; i++) {
        left += board[i].r.structure != NULL;
        bool first = board[i].r.structure != NULL;
        for (size_t j = 0; j < i; j++)
            first = first && !(board[j].r.structure && begin_of(board[j].r) == begin_of(board[i].r));
        apart += first;
    }
    CHECK(left > 0 && lean_region_live_regions() == apart);
    for (size_t i = HELD; i-- > 0;) {
        if (board[i].r.structure) free_region(board[i].r);
    }
    CHECK(lean_region_live_regions() == 0);
}

/* What depends on a region that several hold, and that region, go in any order. */
static void dependencies_in_any_order(void) {
    enum { KEPT = 4 };
    lean_object *low = array(str("low"), END);
    save_ok("low", low);
    region lower = read_ok("low", NULL);
    lean_object *deps = deps_of(lower.structure, END), *high = array(lower.root, str("high"), END);
    lean_object *changing = array(lower.root, lean_region_mk_ref(lower.root), END);
    lean_region_dec(ok(save("high", high, deps, NULL)));
    lean_region_dec(ok(save_v3("changing", changing, deps, NULL)));
    lean_region_dec(high);
    lean_region_dec(changing);
    lean_region_dec(deps);
    free_region(lower);
    holdings before = held();
    /* Every order of the four, by taking them apart into places that are left. */
    for (size_t order = 0; order < 24; order++) {
        region r[KEPT];
        r[0] = read_ok("low", NULL);
        r[1] = read_ok("low", NULL);
        lean_object *over = deps_of(r[1].structure, END);
        r[2] = read_ok("high", over);
        r[3] = read_ok("changing", over);
        region again = read_ok("high", over), own = read_ok("changing", over);
        lean_region_dec(over);
        CHECK(begin_of(r[0]) == begin_of(r[1]) && begin_of(again) == begin_of(r[2]));
        CHECK(begin_of(own) != begin_of(r[3]) && lean_region_child(own.root, 0) == r[0].root);
        size_t places[KEPT] = {0, 1, 2, 3};
        size_t rest = order;
        for (size_t left = KEPT; left > 0; left--) {
            size_t at = rest % left;
            rest /= left;
            size_t i = places[at];
            places[at] = places[left - 1];
            free_region(r[i]);
            if (left == KEPT / 2) {
                free_region(own);
                free_region(again);
            }
        }
        CHECK_HELD(before);
    }
    lean_region_dec(low);
}

const scenario reread_scenarios[] = {
    {"one_region", one_region},   {"other_files", other_files}, {"changing", changing},
    {"with_dependencies", with_dependencies}, {"freed_twice", freed_twice}, {"in_threads", in_threads},
    {"any_order", any_order},     {"dependencies_in_any_order", dependencies_in_any_order},
    {0}};
