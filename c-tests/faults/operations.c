/* The operations, small enough that each of their system calls can be refused in turn. */
#define _GNU_SOURCE
#include "operations.h"
#include <sys/mman.h>
#include <unistd.h>

#define NODES 1500
#define MANY 80
#define PARTS 3

static lean_object *key, *old_data, *new_data, *with_closures, *parts, *part_names, *many, *previous, *held_region;

static lean_object *code(lean_object *o) { return o; }

static lean_object *graph(int nodes, bool closures) {
    lean_object *list = box(0);
    for (int i = 0; i < nodes; i++) {
        char text[32];
        snprintf(text, sizeof text, "node %d", i);
        lean_object *head = str(text);
        if (closures && i % 2)
            head = lean_region_mk_closure(i % 4 == 1 ? (void *)code : (void *)puts, 2, &head, 1);
        list = ctor(1, head, list, END);
    }
    return list;
}

static lean_object *save_2(void) { return save("out.olean", new_data, NULL, NULL); }
static lean_object *save_3(void) { return save_v3("out.olean", with_closures, NULL, NULL); }
static lean_object *save_sharing(void) { return save("out.olean", new_data, many, NULL); }
static lean_object *save_on(void) { return save("out.olean", new_data, NULL, inc(previous)); }
static lean_object *save_parts(void) { return lean_save_module_data_parts(key, parts); }
static lean_object *read_2(void) { return read_result("two", NULL); }
static lean_object *read_3(void) { return read_result("three", NULL); }
static lean_object *read_many(void) { return read_result("two", many); }
static lean_object *read_parts(void) { return lean_read_module_data_parts(part_names); }
static lean_object *set_name;
static lean_object *read_set(void) { return lean_region_read_set(set_name, 1, 0); }
static lean_object *read_set_by_threads(void) { return lean_region_read_set(set_name, 3, 0); }
static lean_object *read_missing(void) { return read_result("missing", NULL); }
static lean_object *read_damaged(void) { return read_result("damaged", NULL); }
static lean_object *free_one(void) { return lean_compacted_region_free(held_region); }

static void prepare_previous(void) {
    if (previous) lean_region_dec(previous);
    previous = ok(save("before", old_data, NULL, NULL));
}

static void prepare_region(void) { held_region = read_ok("two", NULL).structure; }

#define P {"P.olean", "P.olean.server", "P.olean.private"}
const operation operations[] = {
    {"save-2", save_2, NULL, {"out.olean"}, NULL, false, NULL},
    {"save-2-anew", save_2, NULL, {"out.olean"}, NULL, false, NULL},
    {"save-3", save_3, NULL, {"out.olean"}, NULL, false, NULL},
    {"save-sharing", save_sharing, NULL, {"out.olean"}, NULL, false, NULL},
    {"save-on", save_on, prepare_previous, {"out.olean"}, NULL, false, NULL},
    {"save-parts", save_parts, NULL, P, NULL, false, NULL},
    {"save-parts-anew", save_parts, NULL, P, NULL, false, NULL},
    {"read-2", read_2, NULL, {0}, "two", false, NULL},
    {"read-2-relocated", read_2, NULL, {0}, "two", true, NULL},
    {"read-3", read_3, NULL, {0}, "three", false, NULL},
    {"read-3-relocated", read_3, NULL, {0}, "three", true, NULL},
    {"read-many", read_many, NULL, {0}, "two", false, NULL},
    {"read-parts", read_parts, NULL, {0}, "P.olean", false, NULL},
    {"read-image", read_parts, NULL, {0}, "P.olean", false, NULL},
    {"read-set", read_set, NULL, {0}, "set.snap", false, NULL},
    {"read-set-by-threads", read_set_by_threads, NULL, {0}, "set.snap", false, NULL},
    {"read-missing", read_missing, NULL, {0}, "missing", false, "No such file"},
    {"read-damaged", read_damaged, NULL, {0}, "damaged", false, "invalid header"},
    {"free", free_one, prepare_region, {0}, NULL, false, NULL},
    {0},
};

static lean_object *list_of_parts(lean_object *data) {
    return array(ctor(0, str("P.olean"), inc(data), END),
                 ctor(0, str("P.olean.server"), array(str("server"), inc(data), END), END),
                 ctor(0, str("P.olean.private"), array(str("private"), random_string(9000, 7), END), END), END);
}

/* Dependencies of which each is a region of its own. */
static void make_many(void) {
    lean_object *all[MANY];
    for (int i = 0; i < MANY; i++) {
        char file[32];
        snprintf(file, sizeof file, "dependency%d", i);
        lean_object *data = i == 0 ? inc(new_data) : array(str(file), END);
        save_ok(file, data);
        lean_region_dec(data);
        all[i] = read_ok(file, NULL).structure;
    }
    many = lean_region_mk_array(all, MANY);
}

void set_up(const operation *o) {
    CHECK(lean_region_bind() == 0);
    key = name("Key");
    old_data = array(str("old"), graph(100, false), END);
    new_data = graph(NODES, false);
    with_closures = graph(NODES, true);
    parts = list_of_parts(new_data);
    part_names = array(str("P.olean"), str("P.olean.server"), str("P.olean.private"), END);
    save_ok("two", new_data);
    lean_region_dec(ok(save_v3("three", with_closures, NULL, NULL)));
    spew("damaged", "no region", 9);
    if (strstr(o->name, "sharing") || strstr(o->name, "many")) make_many();
    if (o->targets[0]) {
        if (o->prepare) o->prepare();
        lean_region_dec(ok(o->call()));
        keep_targets(o, true);
        for (int i = 0; i < TARGETS && o->targets[i]; i++) CHECK(unlink(o->targets[i]) == 0);
        lean_object *old_parts = list_of_parts(old_data);
        if (!strstr(o->name, "anew")) {
            if (o->targets[1]) lean_region_dec(ok(lean_save_module_data_parts(key, old_parts)));
            else save_ok(o->targets[0], old_data);
        }
        lean_region_dec(old_parts);
        keep_targets(o, false);
    } else if (!exists("P.olean")) {
        /* An image of them stays good. */
        lean_region_dec(ok(save_parts()));
    }
    if (strstr(o->name, "set")) {
        static const char list[] = "[{\"olean\":\"P.olean\",\"oleanServer\":\"P.olean.server\","
                                   "\"oleanPrivate\":\"P.olean.private\"}]";
        set_name = str("set.snap");
        save_ok("set.snap", new_data);
        spew("set.snap.deps", list, sizeof list - 1);
    }
    /* Where it wants to lie something else does. */
    if (o->relocates) occupy(o->file);
}

static bool names(const char *text, const char *file) {
    char quoted[64];
    /* Of a module the error may be about a part, of a snapshot about its list. */
    snprintf(quoted, sizeof quoted, "'%s", file);
    return strstr(text, quoted) != NULL;
}

bool names_its_file(const operation *o, const char *text) {
    if (o->call == free_one) return true;
    for (int i = 0; i < TARGETS && o->targets[i]; i++)
        if (names(text, o->targets[i])) return true;
    return (o->file && names(text, o->file)) || (strstr(o->name, "set") && names(text, "P.olean"));
}

bool occupy(const char *file) {
    void *place = (void *)file_base(file);
    void *got = mmap(place, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    return got == place;
}

void use_up(const operation *o, lean_object *value) {
    if (o->targets[0] || o->call == free_one) {
        lean_region_dec(value);
        return;
    }
    region r[PARTS + 1];
    bool pair = lean_region_tag(value) == 0;
    size_t n = pair ? 1 : lean_region_child_count(value);
    CHECK(n == (pair ? 1 : strstr(o->name, "set") ? PARTS + 1 : PARTS));
    for (size_t i = 0; i < n; i++) r[i] = from_pair(inc(pair ? value : lean_region_child(value, i)));
    CHECK(same(r[0].root, o->call == read_3 ? with_closures : new_data));
    lean_region_dec(value);
    while (n-- > 0) free_region(r[n]);
}
