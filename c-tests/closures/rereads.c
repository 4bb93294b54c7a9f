/* In a process with a real Lean: files that are read again and again while their regions are alive, freed in any
 * order and by threads.
 *
 *   rereads CONSTANT CHANGING MODULE: the first two are made, the third is a module of Lean */
#define _GNU_SOURCE
#include "objects.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

void lean_initialize(void);
void lean_init_task_manager(void);
void lean_initialize_thread(void);
obj lean_compacted_region_free(obj region);

enum { TAG_REF = 253, KEPT = 3, THREADS = 4, ROUNDS = 150 };

typedef struct {
    obj root, structure;
} region;

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            printf("line %d: %s\n", __LINE__, #condition); \
            fflush(stdout); \
            _exit(4); \
        } \
    } while (0)

static obj value(obj result) {
    if (result->tag) {
        printf("error %s\n", text(field(field(result, 0), 0)));
        fflush(stdout);
        _exit(3);
    }
    return field(result, 0);
}

static region read_file(const char *file) {
    obj pair = value(lean_compacted_region_read(string(file), array(0, NULL)));
    return (region){field(pair, 0), field(pair, 1)};
}

static void free_region(region r) { value(lean_compacted_region_free(r.structure)); }

/* Behind two objects and three words. */
static int mapped(region r) { return ((uint8_t *)r.structure)[48]; }

static void save(const char *file, const char *key, uint64_t hash, obj root) {
    value(lean_compacted_region_save(string(file), name(key, hash), root, array(0, NULL), box(0), 1));
}

static const char *constant_file, *changing_file;

static void check_constant(region r) {
    CHECK(array_size(r.root) == 2 && !strcmp(text(element(r.root, 0)), "first"));
    CHECK(!strcmp(text(field(element(r.root, 1), 0)), "second"));
}

/* The reference is the region's first object, and its text the region's own. */
static void set_text(region r, char letter) { ((char *)text(field(element(r.root, 0), 0)))[0] = letter; }
static char text_of(region r) { return text(field(element(r.root, 0), 0))[0]; }

static const char *compare(const char *file) {
    region one = read_file(file), two = read_file(file), three = read_file(file);
    const char *words = one.root == two.root && two.root == three.root ? "the same"
        : one.root != two.root && two.root != three.root && one.root != three.root ? "copies" : "mixed";
    CHECK(one.structure != two.structure && two.structure != three.structure);
    CHECK(mapped(one) && mapped(two) == (one.root == two.root));
    free_region(two);
    free_region(one);
    free_region(three);
    return words;
}

/* Three regions of each kind, freed in the order that `order` says. */
static void in_order(unsigned order) {
    region all[2 * KEPT];
    int here[2 * KEPT];
    for (int i = 0; i < 2 * KEPT; i++) {
        all[i] = read_file(i % 2 ? changing_file : constant_file);
        here[i] = 1;
        if (i % 2) set_text(all[i], (char)('a' + i));
    }
    for (unsigned left = 2 * KEPT; left > 0; left--) {
        unsigned at = order % left;
        order /= left;
        int i = 0;
        while (!here[i] || at-- > 0) i++;
        free_region(all[i]);
        here[i] = 0;
        for (int j = 0; j < 2 * KEPT; j++) {
            if (here[j] && j % 2) CHECK(text_of(all[j]) == 'a' + j);
            if (here[j] && j % 2 == 0) check_constant(all[j]);
        }
    }
}

static void *keep_reading(void *number) {
    lean_initialize_thread();
    char mine = (char)('a' + (size_t)number);
    region kept[KEPT][2] = {{{0}}};
    for (size_t i = 0; i < ROUNDS; i++) {
        region *pair = kept[i % KEPT];
        if (i >= KEPT) {
            check_constant(pair[0]);
            CHECK(text_of(pair[1]) == mine);
            free_region(pair[i % 2]);
            free_region(pair[1 - i % 2]);
        }
        pair[0] = read_file(constant_file);
        pair[1] = read_file(changing_file);
        set_text(pair[1], mine);
    }
    for (int i = 0; i < KEPT; i++) {
        free_region(kept[i][0]);
        free_region(kept[i][1]);
    }
    return NULL;
}

/* How many mappings there are of this file. */
static int mappings(const char *file) {
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps);
    char line[4096];
    int count = 0;
    while (fgets(line, sizeof line, maps)) count += strstr(line, file) != NULL;
    fclose(maps);
    return count;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    lean_initialize();
    lean_init_task_manager();
    constant_file = argv[1];
    changing_file = argv[2];
    obj constant[] = {string("first"), ctor1(1, string("second"))};
    obj ref = alloc(16, TAG_REF, 0, 16);
    ref->word[0] = (uintptr_t)string("?");
    save(constant_file, "constant", 0x123456780000, array(2, constant));
    save(changing_file, "changing", 0x234567890000, array(1, &ref));
    for (int i = 1; i < 4; i++) printf("%s\n", compare(argv[i]));
    for (unsigned order = 0; order < 720; order++) in_order(order);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) CHECK(!pthread_create(&threads[i], NULL, keep_reading, (void *)i));
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    printf("left %d\n", mappings(constant_file) + mappings(changing_file) + mappings(argv[3]));
    fflush(stdout);
    _exit(0);
}
