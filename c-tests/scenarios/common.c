#include "common.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Noreturn void fail(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    fflush(stderr);
    _exit(1);
}

lean_object *str(const char *text) { return lean_region_mk_string(text, strlen(text)); }
lean_object *name(const char *text) { return lean_region_mk_name_str(box(0), str(text)); }

static size_t collect(lean_object **out, size_t most, lean_object *first, va_list list) {
    size_t n = 0;
    for (lean_object *o = first; o != END; o = va_arg(list, lean_object *)) {
        CHECK(n < most);
        out[n++] = o;
    }
    return n;
}

lean_object *ctor(unsigned tag, ...) {
    lean_object *fields[16];
    va_list list;
    va_start(list, tag);
    size_t n = collect(fields, 16, va_arg(list, lean_object *), list);
    va_end(list);
    lean_object *made = lean_region_mk_ctor((uint8_t)tag, fields, n, NULL, 0);
    CHECK(made);
    return made;
}

lean_object *array(lean_object *first, ...) {
    lean_object *elements[64];
    va_list list;
    va_start(list, first);
    size_t n = collect(elements, 64, first, list);
    va_end(list);
    return lean_region_mk_array(elements, n);
}

lean_object *deps_of(lean_object *first, ...) {
    lean_object *elements[16];
    va_list list;
    va_start(list, first);
    size_t n = collect(elements, 16, first, list);
    va_end(list);
    for (size_t i = 0; i < n; i++) lean_region_inc(elements[i]);
    return lean_region_mk_array(elements, n);
}

lean_object *inc(lean_object *o) {
    lean_region_inc(o);
    return o;
}

lean_object *random_string(size_t bytes, unsigned seed) {
    char *text = malloc(bytes);
    for (size_t i = 0; i < bytes; i++) {
        seed = seed * 1664525 + 1013904223;
        text[i] = (char)('a' + (seed >> 24) % 26);
    }
    lean_object *made = lean_region_mk_string(text, bytes);
    free(text);
    return made;
}

lean_object *every_kind(void) {
    uint64_t limbs[9000];
    for (size_t i = 0; i < 9000; i++) limbs[i] = 0x8000000000000001u + i;
    uint8_t bytes[64];
    for (size_t i = 0; i < 64; i++) bytes[i] = (uint8_t)(i * 7);
    lean_object *one = ctor(7, str("field"), END);
    lean_object *with_scalars = lean_region_mk_ctor(243, &one, 1, bytes, 13);
    lean_object *all_scalars = lean_region_mk_ctor(0, NULL, 0, bytes, 8);
    lean_object *shared = array(str("shared"), box(3), END);
    return array(box(0), box(SIZE_MAX >> 2), with_scalars, all_scalars, array(END), shared, inc(shared),
                 lean_region_mk_sarray(1, bytes, 0), lean_region_mk_sarray(1, bytes, 63),
                 lean_region_mk_sarray(2, bytes, 62), lean_region_mk_sarray(4, bytes, 60),
                 lean_region_mk_sarray(8, bytes, 56), str(""), str("gr\xc3\xbcn \xe2\x86\x92 \xce\xbb"),
                 lean_region_mk_string("nul\0inside", 10), random_string(100000, 1),
                 lean_region_mk_number(false, false, limbs, 1), lean_region_mk_number(true, true, limbs, 2),
                 lean_region_mk_number(false, false, limbs, 9000), lean_region_mk_thunk(str("value")),
                 lean_region_mk_task(str("value")),
                 lean_region_mk_promise(lean_region_mk_task(array(str("promised"), END))),
                 lean_region_mk_ref(str("content")), lean_region_mk_ref(str("content")),
                 lean_region_mk_name_num(name("Name"), box(5)), END);
}

/* Bytes 4 and 5 of the header. */
static size_t recorded_size(lean_object *o) { return *(uint16_t *)((char *)o + 4); }

static bool same_leaf(lean_object *a, lean_object *b, uint8_t tag) {
    if (tag < 244) {
        size_t at = 8 + 8 * lean_region_child_count(a), size = recorded_size(a);
        return size == recorded_size(b) && size >= at && !memcmp((char *)a + at, (char *)b + at, size - at);
    }
    if (tag == 249) {
        size_t bytes = lean_region_string_bytes(a);
        return bytes == lean_region_string_bytes(b) &&
               !memcmp(lean_region_string_text(a), lean_region_string_text(b), bytes + 1);
    }
    if (tag == 248) {
        size_t element = ((uint8_t *)a)[6], n = lean_region_sarray_size(a);
        return element == ((uint8_t *)b)[6] && n == lean_region_sarray_size(b) &&
               !memcmp(lean_region_sarray_data(a), lean_region_sarray_data(b), n * element);
    }
    if (tag == 250) {
        int32_t sa = ((int32_t *)a)[3], sb = ((int32_t *)b)[3];
        return sa == sb && !memcmp(((void **)a)[2], ((void **)b)[2], 8 * (size_t)abs(sa));
    }
    if (tag == 245)
        return lean_region_closure_code(a) == lean_region_closure_code(b) &&
               lean_region_closure_arity(a) == lean_region_closure_arity(b);
    return true;
}

bool same(lean_object *a, lean_object *b) {
    size_t capacity = 1024, count = 0;
    lean_object **stack = malloc(capacity * sizeof *stack);
    stack[count++] = a;
    stack[count++] = b;
    bool equal = true;
    while (equal && count > 0) {
        b = stack[--count];
        a = stack[--count];
        if (a == b) continue;
        size_t n = is_scalar(a) || is_scalar(b) ? 0 : lean_region_child_count(a);
        equal = !is_scalar(a) && !is_scalar(b) && lean_region_tag(a) == lean_region_tag(b) &&
                n == lean_region_child_count(b) && same_leaf(a, b, lean_region_tag(a));
        if (count + 2 * n > capacity) {
            capacity = 2 * (count + 2 * n);
            stack = realloc(stack, capacity * sizeof *stack);
        }
        for (size_t i = 0; equal && i < n; i++) {
            stack[count++] = lean_region_child(a, i);
            stack[count++] = lean_region_child(b, i);
        }
    }
    free(stack);
    return equal;
}

lean_object *ok_at(const char *file, int line, lean_object *result) {
    if (!result || !lean_region_io_is_ok(result)) {
        const char *text = result ? lean_region_io_error_text(result) : "no result";
        fail(file, line, text ? text : "an error without text");
    }
    lean_object *value = inc(lean_region_child(result, 0));
    lean_region_dec(result);
    return value;
}

void fails_at(const char *file, int line, lean_object *result, ...) {
    if (!result) fail(file, line, "no result");
    if (lean_region_io_is_ok(result)) fail(file, line, "succeeded");
    const char *text = lean_region_io_error_text(result);
    if (!text) fail(file, line, "an error without text");
    va_list list;
    va_start(list, result);
    for (const char *part; (part = va_arg(list, const char *));) {
        if (!strstr(text, part)) {
            fprintf(stderr, "'%s' is not in the error '%s'\n", part, text);
            fail(file, line, "the error has another text");
        }
    }
    va_end(list);
    char last[4096];
    CHECK(lean_region_last_error(last, sizeof last) > 0 && !strncmp(last, text, sizeof last - 1));
    lean_region_dec(result);
}

static lean_object *save_as(const char *file, lean_object *data, lean_object *deps, lean_object *prev, bool v3) {
    lean_object *path = str(file), *key = name(file), *no_deps = deps ? NULL : array(END);
    lean_object *option = prev ? ctor(1, prev, END) : box(0);
    lean_object *result = lean_compacted_region_save(path, key, data, deps ? deps : no_deps, option, v3);
    lean_region_dec(path);
    lean_region_dec(key);
    if (no_deps) lean_region_dec(no_deps);
    return result;
}

lean_object *save(const char *file, lean_object *data, lean_object *deps, lean_object *prev) {
    return save_as(file, data, deps, prev, false);
}

lean_object *save_v3(const char *file, lean_object *data, lean_object *deps, lean_object *prev) {
    return save_as(file, data, deps, prev, true);
}

void save_ok(const char *file, lean_object *data) { lean_region_dec(ok(save(file, data, NULL, NULL))); }

lean_object *read_result(const char *file, lean_object *deps) {
    lean_object *path = str(file), *no_deps = deps ? NULL : array(END);
    lean_object *result = lean_compacted_region_read(path, deps ? deps : no_deps);
    lean_region_dec(path);
    if (no_deps) lean_region_dec(no_deps);
    return result;
}

region from_pair(lean_object *pair) {
    CHECK(lean_region_child_count(pair) == 2);
    region r = {lean_region_child(pair, 0), inc(lean_region_child(pair, 1))};
    CHECK(lean_region_tag(r.structure) == 0 && recorded_size(r.structure) == 56);
    lean_region_dec(pair);
    return r;
}

region read_ok(const char *file, lean_object *deps) {
    region r = from_pair(ok(read_result(file, deps)));
    CHECK(!strcmp(lean_region_string_text(lean_region_child(r.structure, 0)), file));
    CHECK(lean_region_child(r.structure, 1) == r.root);
    CHECK(begin_of(r)[0] == 'o' && !memcmp(begin_of(r), "olean", 5));
    CHECK(lean_compacted_region_size((size_t)begin_of(r)) == size_of(r));
    CHECK(lean_compacted_region_is_memory_mapped((size_t)begin_of(r)) == mapped(r));
    CHECK(!mapped(r) || (size_t)begin_of(r) == base_of(r));
    return r;
}

void free_region(region r) { CHECK(ok(lean_compacted_region_free(r.structure)) == box(0)); }
bool mapped(region r) { return ((uint8_t *)r.structure)[48]; }
size_t size_of(region r) { return ((size_t *)r.structure)[3]; }
size_t base_of(region r) { return ((size_t *)r.structure)[4]; }
char *begin_of(region r) { return (char *)(((size_t *)r.structure)[2] - ((size_t *)r.structure)[5]); }

void take(size_t address, size_t bytes) {
    void *got = mmap((void *)address, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(got == (void *)address);
}

void give_back(size_t address, size_t bytes) { CHECK(munmap((void *)address, bytes) == 0); }

char *slurp(const char *file, size_t *bytes) {
    FILE *f = fopen(file, "rb");
    CHECK(f);
    fseek(f, 0, SEEK_END);
    *bytes = (size_t)ftell(f);
    rewind(f);
    char *content = malloc(*bytes + 1);
    CHECK(fread(content, 1, *bytes, f) == *bytes);
    fclose(f);
    return content;
}

void spew(const char *file, const void *bytes, size_t count) {
    FILE *f = fopen(file, "wb");
    CHECK(f);
    CHECK(fwrite(bytes, 1, count, f) == count);
    CHECK(fclose(f) == 0);
}

size_t file_base(const char *file) {
    size_t bytes, base;
    char *content = slurp(file, &bytes);
    CHECK(bytes >= 88);
    memcpy(&base, content + 80, 8);
    free(content);
    return base;
}

void renew(const char *file) {
    size_t bytes;
    char *content = slurp(file, &bytes);
    spew("renewed", content, bytes);
    free(content);
    CHECK(rename("renewed", file) == 0);
}

bool exists(const char *file) { return access(file, F_OK) == 0; }

static long entries(const char *dir, const char *with) {
    DIR *d = opendir(dir);
    CHECK(d);
    long n = 0;
    for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.' && (!with || strstr(e->d_name, with));
    closedir(d);
    return n;
}

int files(bool temporary) { return (int)entries(".", temporary ? ".tmp." : NULL); }

holdings held(void) {
    holdings h = {.objects = (long)lean_region_live_objects(), .regions = (long)lean_region_live_regions()};
    h.descriptors = entries("/proc/self/fd", NULL) - 1;
    /* valgrind maps memory of its own. */
    if (scale >= 100) return h;
    /* Read without the C library's buffers, which come and go. */
    static char text[1 << 16];
    int fd = open("/proc/self/maps", O_RDONLY);
    CHECK(fd >= 0);
    for (ssize_t n; (n = read(fd, text, sizeof text)) > 0;)
        for (ssize_t i = 0; i < n; i++) h.mappings += text[i] == '\n';
    close(fd);
    return h;
}

void check_held(holdings before, const char *file, int line) {
    holdings now = held();
    /* Two mappings of anonymous memory that come to lie side by side are one to the system. */
    if (now.descriptors != before.descriptors || now.mappings > before.mappings ||
        now.objects != before.objects || now.regions != before.regions) {
        fprintf(stderr, "descriptors %ld -> %ld, mappings %ld -> %ld, objects %ld -> %ld, regions %ld -> %ld\n",
                before.descriptors, now.descriptors, before.mappings, now.mappings, before.objects, now.objects,
                before.regions, now.regions);
        fail(file, line, "the process does not hold what it held before");
    }
}
