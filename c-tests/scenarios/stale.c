/* A file of version 3 remembers the files that its regions came from, and is refused once one of them is another. */
#include "common.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define LOW "low"

static void replace(const char *text) {
    lean_object *low = array(str(text), END);
    save_ok(LOW, low);
    lean_region_dec(low);
}

/* Reads the dependency, and saves what depends on it as `file`. */
static void make_over_it(const char *file) {
    region lower = read_ok(LOW, NULL);
    lean_object *deps = deps_of(lower.structure, END), *high = array(lower.root, str("high"), END);
    lean_region_dec(ok(save_v3(file, high, deps, NULL)));
    lean_region_dec(high);
    lean_region_dec(deps);
    free_region(lower);
}

/* The same over a dependency of this content, which is saved before. */
static void make(const char *file, const char *text) {
    replace(text);
    make_over_it(file);
}

/* The IO result of reading `file` with the dependency as it is now. */
static lean_object *read_over(const char *file) {
    region lower = read_ok(LOW, NULL);
    lean_object *deps = deps_of(lower.structure, END);
    lean_object *result = read_result(file, deps);
    if (lean_region_io_is_ok(result)) {
        region upper = from_pair(ok(result));
        CHECK(lean_region_child(upper.root, 0) == lower.root);
        free_region(upper);
        result = NULL;
    }
    lean_region_dec(deps);
    free_region(lower);
    return result;
}

static void touch(const char *file) {
    struct timeval times[2] = {{1000000000, 5}, {1000000000, 5}};
    CHECK(utimes(file, times) == 0);
}

static void other_content(void) {
    make("high", "content");
    CHECK(!read_over("high"));
    /* Times and inode tell nothing of the content. */
    touch(LOW);
    CHECK(!read_over("high"));
    renew(LOW);
    CHECK(!read_over("high"));
    replace("content");
    CHECK(!read_over("high"));
    /* The same size. */
    replace("CONTENT");
    FAILS(read_over("high"), "failed to read 'high': it is stale", "'low'", "same size and other content",
          "make it anew", "LEAN_REGION_STALE=warn");
    touch(LOW);
    FAILS(read_over("high"), "it is stale", "other content");
    replace("content");
    CHECK(!read_over("high"));
}

static void other_size(void) {
    make("high", "content");
    replace("more content than before");
    FAILS(read_over("high"), "it is stale", "'low', which had 168 bytes and has 192 now");
    replace("content");
    CHECK(!read_over("high"));
}

/* What does not change by a byte, but lies elsewhere now. */
static void other_base(void) {
    make("high", "content");
    lean_object *low = array(str("content"), END), *file = str(LOW), *key = name("Elsewhere"), *none = array(END);
    lean_region_dec(ok(lean_compacted_region_save(file, key, low, none, box(0), 0)));
    lean_region_dec(file);
    lean_region_dec(key);
    lean_region_dec(low);
    lean_region_dec(none);
    region lower = read_ok(LOW, NULL);
    lean_object *deps = deps_of(lower.structure, END);
    FAILS(read_result("high", deps), "it is stale", "where no region that was passed has its place");
    lean_region_dec(deps);
    free_region(lower);
}

/* A file that has not changed for a while is not read again: another one that looks just like it passes. */
static void unchanged_times(void) {
    replace("content");
    sleep(3);
    region lower = read_ok(LOW, NULL);
    lean_object *deps = deps_of(lower.structure, END), *high = array(lower.root, END);
    lean_region_dec(ok(save_v3("high", high, deps, NULL)));
    lean_region_dec(high);
    size_t bytes;
    char *record = slurp("high", &bytes), *digest = NULL;
    /* In the only entry of the record, 24 bytes before the path at the end. */
    digest = record + bytes - strlen(LOW) - 24;
    digest[0] ^= 1;
    spew("high", record, bytes);
    region upper = read_ok("high", deps);
    free_region(upper);
    lean_region_dec(deps);
    free_region(lower);
    touch(LOW);
    FAILS(read_over("high"), "it is stale", "other content");
    digest[0] ^= 1;
    spew("high", record, bytes);
    CHECK(!read_over("high"));
    free(record);
}

/* Where the only entry of the record begins: 72 bytes, and the path that ends the file. */
static char *entry_of(char *file, size_t bytes) { return file + bytes - strlen(LOW) - 72; }

enum { BASE, SIZE, DEVICE, INODE, MODIFIED, CHANGED, FIELDS };
enum { DIGEST = 48, FLAGS = 70, RACY = 1 };

/* Each field alone, beside a digest that shows whether the content was compared. */
static void each_field(void) {
    replace("content");
    /* Older than what is racy. */
    sleep(3);
    make_over_it("high");
    size_t bytes;
    char *file = slurp("high", &bytes), *entry = entry_of(file, bytes);
    CHECK(!(entry[FLAGS] & RACY));
    for (int field = BASE; field < FIELDS; field++) {
        for (int other = 0; other < 2; other++) {
            uint64_t word;
            memcpy(&word, entry + 8 * field, 8);
            uint64_t changed = field == BASE ? word + 0x10000 : word + 8;
            memcpy(entry + 8 * field, &changed, 8);
            entry[DIGEST] ^= (char)other;
            spew("high", file, bytes);
            lean_object *result = read_over("high");
            if (field == BASE) {
                FAILS(result, "it is stale", "'low'", "where no region that was passed has its place");
            } else if (field == SIZE) {
                FAILS(result, "it is stale", "'low', which had 176 bytes and has 168 now");
            } else if (other) {
                FAILS(result, "it is stale", "'low'", "same size and other content");
            } else {
                CHECK(!result);
            }
            entry[DIGEST] ^= (char)other;
            memcpy(entry + 8 * field, &word, 8);
        }
    }
    /* Racy, its content is compared although nothing differs. */
    for (int racy = 0; racy < 2; racy++) {
        for (int other = 0; other < 2; other++) {
            entry[FLAGS] ^= (char)racy;
            entry[DIGEST] ^= (char)other;
            spew("high", file, bytes);
            lean_object *result = read_over("high");
            if (racy && other) {
                FAILS(result, "it is stale", "same size and other content");
            } else {
                CHECK(!result);
            }
            entry[FLAGS] ^= (char)racy;
            entry[DIGEST] ^= (char)other;
        }
    }
    free(file);
}

/* Written right before the save, and again with the same times, as a coarse clock gives them. */
static void racy(void) {
    make("high", "content");
    size_t bytes;
    char *file = slurp("high", &bytes), *entry = entry_of(file, bytes);
    CHECK(entry[FLAGS] & RACY);
    replace("CONTENT");
    struct stat now;
    CHECK(stat(LOW, &now) == 0);
    uint64_t looks[4] = {now.st_dev, now.st_ino, (uint64_t)now.st_mtim.tv_sec * 1000000000 + (uint64_t)now.st_mtim.tv_nsec,
                         (uint64_t)now.st_ctim.tv_sec * 1000000000 + (uint64_t)now.st_ctim.tv_nsec};
    memcpy(entry + 8 * DEVICE, looks, sizeof looks);
    spew("high", file, bytes);
    FAILS(read_over("high"), "it is stale", "same size and other content");
    /* That alone says it. */
    entry[FLAGS] ^= RACY;
    spew("high", file, bytes);
    CHECK(!read_over("high"));
    free(file);
}

/* Threads read one file over one region while what it was made with is another file, or another content. */
enum { READERS = 6 };
static region shared_low;
static atomic_size_t fresh_reads, stale_reads;

static void *keep_checking(void *unused) {
    lean_object *deps = deps_of(shared_low.structure, END);
    for (size_t i = 0; i < 200 / (scale > 10 ? 10 : scale); i++) {
        lean_object *result = read_result("high", deps);
        if (lean_region_io_is_ok(result)) {
            region upper = from_pair(ok(result));
            CHECK(lean_region_child(upper.root, 0) == shared_low.root);
            free_region(upper);
            atomic_fetch_add(&fresh_reads, 1);
        } else {
            FAILS(result, "failed to read 'high': it is stale", "same size and other content");
            atomic_fetch_add(&stale_reads, 1);
        }
    }
    lean_region_dec(deps);
    return unused;
}

static void stale_in_threads(void) {
    make("high", "content");
    for (int other = 0; other < 2; other++) {
        replace(other ? "CONTENT" : "content");
        shared_low = read_ok(LOW, NULL);
        atomic_store(&fresh_reads, 0);
        atomic_store(&stale_reads, 0);
        pthread_t threads[READERS];
        for (size_t i = 0; i < READERS; i++) CHECK(!pthread_create(&threads[i], NULL, keep_checking, NULL));
        for (size_t i = 0; i < READERS; i++) pthread_join(threads[i], NULL);
        CHECK(atomic_load(other ? &fresh_reads : &stale_reads) == 0);
        CHECK(atomic_load(other ? &stale_reads : &fresh_reads) >= READERS);
        free_region(shared_low);
    }
}

/* What is wanted of stale files. */
static void wishes(void) {
    make("high", "content");
    replace("CONTENT");
    FAILS(read_over("high"), "it is stale");
    /* A value without a meaning is said, once. */
    int err = dup(2), said = open("said", O_CREAT | O_RDWR, 0666);
    CHECK(err >= 0 && said >= 0 && dup2(said, 2) == 2);
    CHECK(setenv("LEAN_REGION_STALE", "Ignore!", 1) == 0);
    lean_object *first = read_over("high"), *second = read_over("high");
    CHECK(dup2(err, 2) == 2 && close(err) == 0 && close(said) == 0);
    lean_region_dec(first);
    FAILS(second, "it is stale");
    size_t bytes;
    char *text = slurp("said", &bytes);
    text[bytes] = 0;
    CHECK(!strcmp(text, "lean-region: LEAN_REGION_STALE is 'Ignore!', but must be error, warn or ignore: taken as error\n"));
    free(text);
    CHECK(setenv("LEAN_REGION_STALE", " IGNORE ", 1) == 0);
    CHECK(!read_over("high"));
    CHECK(setenv("LEAN_REGION_STALE", "ignore", 1) == 0);
    CHECK(!read_over("high"));
    CHECK(unsetenv("LEAN_REGION_STALE") == 0);
    FAILS(read_over("high"), "it is stale");
}

static int code(void) { return 5; }

/* Closures, parts of a chain, relocation: the record is there, and the rest as before. */
static void with_the_rest(void) {
    replace("content");
    region lower = read_ok(LOW, NULL);
    lean_object *deps = deps_of(lower.structure, END);
    lean_object *high = array(lower.root, lean_region_mk_closure((void *)code, 2, NULL, 0), END);
    lean_object *compactor = ok(save_v3("closures", high, deps, NULL));
    lean_region_dec(ok(save_v3("chained", high, NULL, compactor)));
    for (int i = 0; i < 2; i++) {
        region one = read_ok("closures", deps);
        lean_object *both = deps_of(lower.structure, one.structure, END);
        region two = read_ok("chained", both);
        CHECK(two.root == one.root && lean_region_closure_code(lean_region_child(one.root, 1)) == (void *)code);
        if (i == 0) {
            region copy = read_ok("closures", deps);
            CHECK(!mapped(copy) && lean_region_closure_code(lean_region_child(copy.root, 1)) == (void *)code);
            free_region(copy);
        }
        lean_region_dec(both);
        free_region(two);
        free_region(one);
    }
    lean_region_dec(high);
    lean_region_dec(deps);
    free_region(lower);
    replace("CONTENT");
    FAILS(read_over("closures"), "it is stale");
}

const scenario stale_scenarios[] = {{"other_content", other_content},
                                    {"other_size", other_size},
                                    {"other_base", other_base},
                                    {"unchanged_times", unchanged_times},
                                    {"each_field", each_field},
                                    {"racy", racy},
                                    {"stale_in_threads", stale_in_threads},
                                    {"wishes", wishes},
                                    {"with_the_rest", with_the_rest},
                                    {0}};
