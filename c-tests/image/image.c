/* Reads and frees as the words on the command line say, one word an operation, and prints what came of each:
 *
 *   save             the files that the tests build images of, in this directory
 *   read:FILE        a read with no dependencies, or read:FILE:N,M with the regions that earlier reads gave
 *   batch:FILE,FILE  the batch call
 *   save-small       files whose roots are constructors: S.olean in two parts, F.olean, L.olean
 *   rooted:N         whether the root of read N lies in its region
 *   both:FILE:N,M    saves a file over the regions of reads N and M, with their roots and the structures of the regions
 *   over:FILE:N,M    saves a file that remembers the regions of reads N and M, which its root leads to
 *   free:N           frees what read number N gave
 *   threads:FILE     eight threads read the file many times
 *   save-many:N      N small files, m0.olean and so on
 *   read-many:N      reads them all and keeps them; says where from, and how many mappings there are then
 *   live             how many regions are alive
 *   touch:N          writes into the region of read N, which has to be one of its own
 *   advised:N        whether the region of read N is to be read in large pieces
 *   take:ADDRESS     makes a page unusable there
 *   sh:COMMAND       runs a command
 *   report           prints the library's report
 *
 * A region that lies mapped elsewhere than at its base address is one of the image. */
#include "../scenarios/common.h"
#include <pthread.h>

static region regions[64];
static size_t count;

static const char *place(region r) {
    if (!mapped(r)) return "relocated";
    return (size_t)begin_of(r) == base_of(r) ? "file" : "image";
}

/* What every file holds, by its name: its text comes first in an array. */
static const char *text_of(region r) {
    lean_object *first = lean_region_child(r.root, 0);
    return lean_region_is_scalar(first) ? "scalar" : lean_region_string_text(first);
}

static lean_object *deps_in(const char *list) {
    lean_object *elements[64];
    size_t n = 0;
    for (; list && *list; n++) {
        char *end;
        elements[n] = inc(regions[strtoul(list, &end, 10)].structure);
        list = *end == ',' ? end + 1 : end;
    }
    return lean_region_mk_array(elements, n);
}

static void remember(region r) {
    printf("%s %zu %s\n", place(r), size_of(r), text_of(r));
    regions[count++] = r;
}

static void read_one(char *file) {
    char *list = strchr(file, ':');
    if (list) *list++ = 0;
    lean_object *deps = deps_in(list);
    lean_object *result = read_result(file, deps);
    lean_region_dec(deps);
    if (!lean_region_io_is_ok(result)) {
        printf("error %s\n", lean_region_io_error_text(result));
        lean_region_dec(result);
        count++;
        return;
    }
    remember(from_pair(ok(result)));
}

static void read_batch(char *list) {
    lean_object *names[16];
    size_t n = 0;
    for (char *file = strtok(list, ","); file; file = strtok(NULL, ",")) names[n++] = str(file);
    lean_object *files = lean_region_mk_array(names, n);
    lean_object *pairs = ok(lean_read_module_data_parts(files));
    lean_region_dec(files);
    for (size_t i = 0; i < n; i++) remember(from_pair(inc(lean_region_child(pairs, i))));
    lean_region_dec(pairs);
}

static void save_over(char *file) {
    char *list = strchr(file, ':');
    *list++ = 0;
    lean_object *deps = deps_in(list);
    lean_object *root = array(str("over"), regions[strtoul(list, NULL, 10)].root, END);
    lean_region_dec(ok(save_v3(file, root, deps, NULL)));
    printf("saved\n");
}

static void save_small(void) {
    lean_object *first = ctor(0, str("small"), random_string(9000, 5), END);
    lean_object *second = ctor(0, str("smaller"), inc(first), END);
    lean_object *compactor = ok(save("S.olean", first, NULL, NULL));
    lean_region_dec(ok(save("S.olean.server", second, NULL, compactor)));
    /* One that is as large as a copy can be, and one that is larger. */
    lean_object *full = ctor(0, str("full"), str("2"), str("3"), str("4"), str("5"), str("6"), str("7"), END);
    lean_object *large = ctor(0, str("large"), str("2"), str("3"), str("4"), str("5"), str("6"), str("7"), str("8"), END);
    save_ok("F.olean", full);
    save_ok("L.olean", large);
    lean_region_dec(second);
    lean_region_dec(first);
    lean_region_dec(full);
    lean_region_dec(large);
}

static const char *rooted(region r) {
    size_t at = (size_t)r.root - (size_t)begin_of(r);
    return at < size_of(r) ? "in its region" : "elsewhere";
}

static void save_both(char *file) {
    char *list = strchr(file, ':'), *second = strchr(list, ',');
    *list++ = 0;
    lean_object *deps = deps_in(list);
    region a = regions[strtoul(list, NULL, 10)], b = regions[strtoul(second + 1, NULL, 10)];
    lean_object *root = array(b.root, inc(b.structure), str("between"), a.root, inc(a.structure), END);
    lean_region_dec(ok(save(file, root, deps, NULL)));
    lean_region_dec(root);
    lean_region_dec(deps);
    printf("saved\n");
}

static void free_one(lean_object *structure) {
    lean_object *result = lean_compacted_region_free(structure);
    if (lean_region_io_is_ok(result)) printf("freed\n");
    else printf("error %s\n", lean_region_io_error_text(result));
    lean_region_dec(result);
}

#define THREADS 8
#define READS 50
static const char *shared_file;
static char *places[THREADS * READS];

static void *reader(void *arg) {
    size_t first = (size_t)arg * READS;
    for (size_t i = 0; i < READS; i++) {
        region r = from_pair(ok(read_result(shared_file, NULL)));
        CHECK(!strcmp(text_of(r), "first"));
        places[first + i] = begin_of(r);
        free_region(r);
    }
    return NULL;
}

static void in_threads(const char *file) {
    pthread_t threads[THREADS];
    shared_file = file;
    for (size_t i = 0; i < THREADS; i++) CHECK(!pthread_create(&threads[i], NULL, reader, (void *)i));
    for (size_t i = 0; i < THREADS; i++) CHECK(!pthread_join(threads[i], NULL));
    size_t same_place = 0;
    for (size_t i = 0; i < THREADS * READS; i++) same_place += places[i] == places[0];
    printf("%zu of %d at one place\n", same_place, THREADS * READS);
}

static void save_all(void) {
    lean_object *text = str("first");
    lean_object *first = array(text, random_string(9000, 3), END);
    lean_object *second = array(str("second"), inc(first), END);
    lean_object *third = array(str("third"), inc(second), inc(first), END);
    lean_object *compactor = ok(save("A.olean", first, NULL, NULL));
    compactor = ok(save("A.olean.server", second, NULL, compactor));
    lean_region_dec(ok(save("A.olean.private", third, NULL, compactor)));
    /* A module whose second part has its root in the first. */
    lean_object *whole = array(str("whole"), END);
    compactor = ok(save("Z.olean", whole, NULL, NULL));
    lean_region_dec(ok(save("Z.olean.server", whole, NULL, compactor)));
    lean_object *other = array(str("other"), every_kind(), END);
    save_ok("B.olean", other);
    /* Something that changes. */
    lean_object *changing = array(str("changing"), lean_region_mk_ref(str("value")), END);
    save_ok("R.olean", changing);
    lean_region_dec(third);
    lean_region_dec(second);
    lean_region_dec(first);
    lean_region_dec(whole);
    lean_region_dec(other);
    lean_region_dec(changing);
}

static const char *many_name(size_t i) {
    static char name[32];
    sprintf(name, "m%zu.olean", i);
    return name;
}

static void save_many(size_t n) {
    for (size_t i = 0; i < n; i++) {
        char text[32];
        sprintf(text, "number %zu", i);
        lean_object *data = array(str(text), END);
        save_ok(many_name(i), data);
        lean_region_dec(data);
    }
}

static bool advised(const char *address) {
    FILE *maps = fopen("/proc/self/smaps", "r");
    CHECK(maps);
    char line[512];
    bool here = false, flag = false;
    while (fgets(line, sizeof line, maps)) {
        size_t start, end;
        if (sscanf(line, "%zx-%zx ", &start, &end) == 2) here = start <= (size_t)address && (size_t)address < end;
        if (here && !strncmp(line, "VmFlags:", 8)) flag = strstr(line, " hg") != NULL;
    }
    fclose(maps);
    return flag;
}

static void read_many(size_t n) {
    size_t image = 0, file = 0, relocated = 0, failed = 0;
    for (size_t i = 0; i < n; i++) {
        lean_object *result = read_result(many_name(i), NULL);
        if (!lean_region_io_is_ok(result)) {
            failed++;
            lean_region_dec(result);
            continue;
        }
        region r = from_pair(ok(result));
        char text[32];
        sprintf(text, "number %zu", i);
        CHECK(!strcmp(text_of(r), text));
        const char *from = place(r);
        image += !strcmp(from, "image");
        file += !strcmp(from, "file");
        relocated += !strcmp(from, "relocated");
    }
    printf("%zu from the image, %zu mapped, %zu relocated, %zu failed; %ld mappings\n", image, file, relocated,
           failed, held().mappings);
}

size_t scale = 1;

static void report(void) {
    static char text[1 << 16];
    CHECK(lean_region_report(text, sizeof text) <= sizeof text);
    printf("%s", text);
}

int main(int argc, char **argv) {
    CHECK(lean_region_bind() == 0);
    for (int i = 1; i < argc; i++) {
        char *word = argv[i], *rest = strchr(word, ':');
        if (rest) *rest++ = 0;
        size_t n = rest ? strtoul(rest, NULL, 10) : 0;
        if (!strcmp(word, "save")) save_all();
        else if (!strcmp(word, "save-many")) save_many(n);
        else if (!strcmp(word, "read-many")) read_many(n);
        else if (!strcmp(word, "read")) read_one(rest);
        else if (!strcmp(word, "batch")) read_batch(rest);
        else if (!strcmp(word, "over")) save_over(rest);
        else if (!strcmp(word, "save-small")) save_small();
        else if (!strcmp(word, "rooted")) printf("%s\n", rooted(regions[n]));
        else if (!strcmp(word, "both")) save_both(rest);
        else if (!strcmp(word, "free")) {
            /* Somebody else still holds the structure. */
            free_one(inc(regions[n].structure));
        } else if (!strcmp(word, "threads")) in_threads(rest);
        else if (!strcmp(word, "live")) printf("%zu alive\n", lean_region_live_regions());
        else if (!strcmp(word, "touch")) {
            /* A region that something may write to lies in memory that can be written. */
            volatile char *header = begin_of(regions[n]);
            *header = *header;
            printf("written\n");
        } else if (!strcmp(word, "advised"))
            printf("%s\n", advised(begin_of(regions[n])) ? "large" : "as it comes");
        else if (!strcmp(word, "take")) take(strtoul(rest, NULL, 0), 4096);
        else if (!strcmp(word, "sh")) CHECK(system(rest) == 0);
        else if (!strcmp(word, "report")) report();
        else {
            fprintf(stderr, "%s: no such operation\n", word);
            return 2;
        }
    }
    return 0;
}
