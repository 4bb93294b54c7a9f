/* Saves closures of the main program, of a linked library and of an opened one; loads them and calls them.
 *
 *   program COMMAND FILE... [library to open]
 *
 * Exit code 3: the entry point under test answered with an error, whose text is printed. */
#define _GNU_SOURCE
#include "objects.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <link.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

obj linked_length(obj captured, obj arg);

#ifdef OTHER_PROGRAM
obj other_function(obj arg);
obj other_function(obj arg) { return box(unbox(arg) ^ 0x55); }
#define FACTOR 7
#else
#define FACTOR 3
#endif

static obj main_times(obj captured, obj arg) { return box(FACTOR * unbox(captured) * unbox(arg)); }
static obj main_next(obj arg) { return box(unbox(arg) + 1); }

static int show_base(struct dl_phdr_info *info, size_t size, void *data) {
    (void)size, (void)data;
    const char *slash = strrchr(info->dlpi_name, '/');
    printf("base %s 0x%" PRIxPTR "\n", *info->dlpi_name ? slash ? slash + 1 : info->dlpi_name : "program",
           (uintptr_t)info->dlpi_addr);
    return 0;
}

static void *open_plug(const char *path) {
    void *plug = dlopen(path, RTLD_NOW);
    if (!plug) {
        fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
    return plug;
}

/* The value of an IO result, or the end of the process. */
static obj value(obj result) {
    if (result->tag == 0) return field(result, 0);
    printf("error %s\n", text(field(field(result, 0), 0)));
    exit(3);
}

static obj no_deps(void) { return array(0, NULL); }

static obj key(uint64_t i) { return name("closures", 0x123456780000 + (i << 32)); }

static obj save(const char *file, uint64_t k, obj data, obj deps, obj prev, int allow) {
    return value(lean_compacted_region_save(string(file), key(k), data, deps, prev, (uint8_t)allow));
}

/* Reads a file; stores its region where asked. */
static obj load(const char *file, obj deps, obj *region) {
    obj pair = value(lean_compacted_region_read(string(file), deps));
    if (region) *region = field(pair, 1);
    return field(pair, 0);
}

/* Closures of the program, of the linked library and, if it was opened, of the plug, which captures the first and
 * an array that holds both. */
static obj closures(void *plug) {
    obj five = box(5);
    obj of_main = closure((void *)main_times, 2, 1, &five);
    obj word = string("captured");
    obj of_linked = closure((void *)linked_length, 2, 1, &word);
    obj both[] = {of_main, of_linked};
    obj list = array(2, both);
    obj last = closure((void *)main_next, 1, 0, NULL);
    if (plug) {
        obj captured[] = {of_main, list};
        last = closure(dlsym(plug, "plug_call"), 3, 2, captured);
    }
    obj all[] = {of_main, of_linked, last, of_main};
    return array(4, all);
}

static void call_all(obj root) {
    printf("shared %d\n", element(root, 0) == element(root, 3));
    for (size_t i = 0; i < array_size(root); i++)
        printf("result %zu %" PRIu64 "\n", i, unbox(apply(element(root, i), box(11))));
}

obj lean_compacted_region_free(obj region);

/* The structure of a region that lies at its base address, unless moved says where it lies; never looked into. */
static obj pretend_region(uint64_t base, uint64_t moved) {
    obj o = alloc(56, 0, 2, 56);
    memset(o->word, 0, 48);
    o->word[0] = (uintptr_t)string("pretended");
    o->word[1] = (moved ? moved : base) + 96;
    o->word[2] = 65536;
    o->word[3] = base;
    o->word[4] = 96;
    return o;
}

static double milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* The shortest of five reads and of five saves with these dependencies. */
static void time_calls(const char *what, const char *file, obj deps) {
    double read = 1e9, write = 1e9;
    for (int i = 0; i < 5; i++) {
        obj region;
        double start = milliseconds();
        save(file, 5, string("data"), deps, box(0), 1);
        double middle = milliseconds();
        load(file, deps, &region);
        double end = milliseconds();
        value(lean_compacted_region_free(region));
        if (middle - start < write) write = middle - start;
        if (end - middle < read) read = end - middle;
    }
    printf("%s-read %.3f\n%s-save %.3f\n", what, read, what, write);
}

/* The sum of a field of the mapping around an address in /proc/self/smaps, in KiB; -1: no such mapping. */
static long smaps(uintptr_t address, const char *what) {
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    int inside = 0;
    long n = -1;
    while (f && fgets(line, sizeof line, f)) {
        uintptr_t from, to;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
            inside = from <= address && address < to;
        else if (inside && !strncmp(line, what, strlen(what)))
            n = strtol(line + strlen(what), NULL, 10);
    }
    if (f) fclose(f);
    return n;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 3) return 2;
    const char *command = argv[1], *file = argv[2];
    const char *second = argc > 3 ? argv[3] : NULL;

    if (!strcmp(command, "save") || !strcmp(command, "load")) {
        void *plug = second ? open_plug(second) : NULL;
        dl_iterate_phdr(show_base, NULL);
        if (*command == 's') {
            save(file, 0, closures(plug), no_deps(), box(0), 1);
            return 0;
        }
        call_all(load(file, no_deps(), NULL));
    } else if (!strcmp(command, "not-allowed")) {
        save(file, 0, closures(NULL), no_deps(), box(0), 0);
    } else if (!strcmp(command, "without")) {
        /* Closures allowed, none there. */
        save(file, 0, string("no closures"), no_deps(), box(0), 1);
        printf("text %s\n", text(load(file, no_deps(), NULL)));
    } else if (!strcmp(command, "outside")) {
        /* Code on a page of our own, data, and an address that nobody has. */
        unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        void *code = !strcmp(second, "code") ? page : !strcmp(second, "data") ? stdout : (void *)64;
        printf("address %p\n", code);
        obj one = closure(code, 2, 0, NULL);
        save(file, 0, one, no_deps(), box(0), 1);
    } else if (!strcmp(command, "chain") && argc > 4) {
        /* Three parts: the second and the third refer to closures of the first. */
        obj first = closures(NULL);
        obj prev = save(file, 1, first, no_deps(), box(0), 1);
        obj three = box(3);
        obj again[] = {element(first, 1), element(first, 0), closure((void *)main_times, 2, 1, &three), element(first, 1)};
        prev = save(second, 1, array(4, again), no_deps(), ctor1(1, prev), 1);
        save(argv[4], 1, array(4, again), no_deps(), ctor1(1, prev), 1);
    } else if (!strcmp(command, "chain-refused") && argc > 4) {
        /* A part that does not allow closures, in a chain that does: with a new closure, and with an old one. */
        obj first = closures(NULL);
        obj fresh = closure((void *)main_next, 1, 0, NULL);
        obj prev = save(file, 1, first, no_deps(), box(0), 1);
        save(second, 1, ctor1(0, !strcmp(argv[4], "old") ? element(first, 0) : fresh), no_deps(), ctor1(1, prev), 0);
    } else if (!strcmp(command, "load-chain") && argc > 4) {
        obj regions[2];
        call_all(load(file, no_deps(), &regions[0]));
        call_all(load(second, array(1, regions), &regions[1]));
        call_all(load(argv[4], array(2, regions), NULL));
    } else if (!strcmp(command, "regions-save") && second) {
        /* A region structure inside the data of another one, as an Environment holds them. */
        save(file, 2, closures(NULL), no_deps(), box(0), 1);
        obj region;
        obj root = load(file, no_deps(), &region);
        region->rc = 0;
        field(region, 0)->rc = 0;
        obj pair[] = {region, element(root, 0)};
        obj deps = array(1, &region);
        save(second, 3, array(2, pair), deps, box(0), 1);
    } else if (!strcmp(command, "regions-load") && second) {
        obj region;
        obj root = load(file, no_deps(), &region);
        obj data = load(second, array(1, &region), NULL);
        obj inside = element(data, 0);
        printf("path %d\n", !strcmp(text(field(inside, 0)), file));
        printf("root %d\n", field(inside, 1) == root);
        printf("closure %d\n", element(data, 1) == element(root, 0));
        call_all(field(inside, 1));
    } else if (!strcmp(command, "many")) {
        size_t n = strtoul(second, NULL, 10);
        obj *regions = malloc(n * sizeof(obj));
        if (!regions) abort();
        /* In an order that is neither ascending nor descending. */
        for (size_t i = 0; i < n; i++) regions[i] = pretend_region(0x200000000000 + (i * 7919 % n << 17), 0);
        time_calls("fast", file, array(n, regions));
        regions[n / 2] = pretend_region(regions[n / 2]->word[3], 0x600000000000);
        time_calls("relocating", file, array(n, regions));
    } else if (!strcmp(command, "pages")) {
        /* Much data and one closure: only the closure's page becomes private. */
        static obj strings[20000];
        for (int i = 0; i < 20000; i++) {
            char s[64];
            snprintf(s, sizeof s, "string number %d, so that there are many pages", i);
            strings[i] = string(s);
        }
        strings[10000] = closure((void *)main_next, 1, 0, NULL);
        save(file, 4, array(20000, strings), no_deps(), box(0), 1);
    } else if (!strcmp(command, "pages-load")) {
        dl_iterate_phdr(show_base, NULL);
        obj root = load(file, no_deps(), NULL);
        printf("size %ld\n", smaps((uintptr_t)root, "Size:"));
        printf("private %ld\n", smaps((uintptr_t)root, "Anonymous:"));
        printf("result %" PRIu64 "\n", unbox(apply(element(root, 10000), box(1))));
    } else {
        return 2;
    }
    return 0;
}
