/* A snapshot with all modules that it was saved over, read in one call by several threads: those of the list beside it,
 * each with its parts, and the snapshot last.
 *
 *   set save FOLDER         three modules in two parts each, and a snapshot over them
 *   set read SNAPSHOT       any snapshot, of Lean too, from any working directory
 */
#include <lean_region.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODULES = 3, PARTS = 2, FILES = MODULES * PARTS };

static lean_object *text(const char *t) { return lean_region_mk_string(t, strlen(t)); }

/* `result`, if it is a success; the end otherwise. */
static lean_object *checked(lean_object *result) {
    if (!lean_region_io_is_ok(result)) {
        fprintf(stderr, "%s\n", lean_region_io_error_text(result));
        exit(1);
    }
    return result;
}

static const char *const suffixes[PARTS] = {"olean", "olean.private"};

static lean_object *path(const char *folder, int module, int part) {
    char name[4096];
    snprintf(name, sizeof name, "%s/m%d.%s", folder, module, suffixes[part]);
    return text(name);
}

/* The second part of a module points into the first: both are saved in one call. */
static void save_module(const char *folder, int module) {
    char name[32];
    snprintf(name, sizeof name, "m%d", module);
    lean_object *known = text(name);
    lean_region_inc(known);
    lean_object *first[2] = {path(folder, module, 0), known};
    lean_object *second[2] = {path(folder, module, 1), lean_region_mk_array((lean_object *[]){known, text("and more")}, 2)};
    lean_object *pairs[PARTS] = {lean_region_mk_ctor(0, first, 2, NULL, 0), lean_region_mk_ctor(0, second, 2, NULL, 0)};
    lean_object *parts = lean_region_mk_array(pairs, PARTS);
    lean_object *key = lean_region_mk_name_str(lean_region_box(0), text(name));
    lean_region_dec(checked(lean_save_module_data_parts(key, parts)));
    lean_region_dec(key);
    lean_region_dec(parts);
}

static int save(const char *folder) {
    lean_object *reads[MODULES], *regions[FILES], *roots[FILES];
    for (int m = 0; m < MODULES; m++) {
        save_module(folder, m);
        lean_object *files = lean_region_mk_array((lean_object *[]){path(folder, m, 0), path(folder, m, 1)}, PARTS);
        reads[m] = checked(lean_read_module_data_parts(files));
        lean_region_dec(files);
        for (int p = 0; p < PARTS; p++) {
            lean_object *pair = lean_region_child(lean_region_child(reads[m], 0), p);
            regions[m * PARTS + p] = lean_region_read_region(pair);
            roots[m * PARTS + p] = lean_region_read_root(pair);
            lean_region_inc(regions[m * PARTS + p]);
        }
    }
    /* The snapshot: a file of version 3, which remembers what its modules were. */
    char name[4096];
    snprintf(name, sizeof name, "%s/x.snap", folder);
    lean_object *file = text(name), *key = lean_region_mk_name_str(lean_region_box(0), text("x"));
    lean_object *deps = lean_region_mk_array(regions, FILES), *root = lean_region_mk_array(roots, FILES);
    lean_region_dec(checked(lean_compacted_region_save(file, key, root, deps, lean_region_box(0), 1)));
    lean_region_dec(root);
    lean_region_dec(deps);
    lean_region_dec(key);
    lean_region_dec(file);
    /* And the list beside it. */
    snprintf(name, sizeof name, "%s/x.snap.deps", folder);
    FILE *list = fopen(name, "w");
    if (!list) return 1;
    for (int m = 0; m < MODULES; m++)
        fprintf(list, "%s{\"olean\":\"m%d.olean\",\"oleanPrivate\":\"m%d.olean.private\"}", m ? "," : "[", m, m);
    fprintf(list, "]\n");
    int bad = fclose(list) != 0;
    for (int m = MODULES; m-- > 0;) bad |= lean_region_free_set(reads[m]) != 0;
    return bad;
}

static int read(const char *snapshot) {
    /* As many threads as usual. The paths in the list are meant from the snapshot's folder, and no Lean is here whose
     * code closures could call. */
    lean_object *file = text(snapshot);
    lean_object *set = checked(lean_region_read_set(file, 0, LEAN_REGION_SET_BESIDE | LEAN_REGION_SET_WITHOUT_CODE));
    lean_region_dec(file);
    lean_object *pairs = lean_region_child(set, 0);
    size_t regions = lean_region_child_count(pairs), bytes = 0, mapped = 0;
    for (size_t i = 0; i < regions; i++) {
        size_t handle = lean_region_read_handle(lean_region_child(pairs, i));
        bytes += lean_compacted_region_size(handle);
        mapped += lean_compacted_region_is_memory_mapped(handle);
    }
    printf("%zu regions, %zu of them mapped\n", regions, mapped);
    lean_object *root = lean_region_read_root(lean_region_child(pairs, regions - 1));
    printf("the snapshot's root has %zu children\n", lean_region_child_count(root));
    /* The snapshot goes first, and each part before the ones in front of it. */
    return bytes == 0 || lean_region_free_set(set) != 0;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: set save FOLDER | set read SNAPSHOT\n");
        return 2;
    }
    int bad = strcmp(argv[1], "save") == 0 ? save(argv[2]) : read(argv[2]);
    printf("left over: %zu objects, %zu regions\n", lean_region_live_objects(), lean_region_live_regions());
    return bad;
}
