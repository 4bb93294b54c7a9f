/* A file that points into another: what the other one has is not saved again.
 *
 *   dependency FOLDER
 */
#include <lean_region.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lean_object *text(const char *t) { return lean_region_mk_string(t, strlen(t)); }

/* `result` (borrowed), if it is a success; the end otherwise. */
static lean_object *checked(lean_object *result) {
    if (!lean_region_io_is_ok(result)) {
        fprintf(stderr, "%s\n", lean_region_io_error_text(result));
        exit(1);
    }
    return result;
}

/* Saves `root` (borrowed) beside the regions in `deps` (borrowed). */
static void save(const char *folder, const char *name, lean_object *root, lean_object *deps) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.region", folder, name);
    lean_object *file = text(path), *key = lean_region_mk_name_str(lean_region_box(0), text(name));
    lean_region_dec(checked(lean_compacted_region_save(file, key, root, deps, lean_region_box(0), 0)));
    lean_region_dec(file);
    lean_region_dec(key);
}

static lean_object *read(const char *folder, const char *name, lean_object *deps) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.region", folder, name);
    lean_object *file = text(path);
    lean_object *result = checked(lean_compacted_region_read(file, deps));
    lean_region_dec(file);
    return result;
}

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : ".";
    lean_object *none = lean_region_mk_array(NULL, 0);

    /* A large value in a file of its own. */
    char *letters = malloc(100000);
    memset(letters, 'x', 100000);
    lean_object *large = lean_region_mk_string(letters, 100000);
    free(letters);
    save(folder, "low", large, none);
    lean_region_dec(large);

    /* Read, its objects can be part of another graph. Dependencies are given as an array of regions. */
    lean_object *low = read(folder, "low", none), *region = lean_region_read_region(low);
    lean_region_inc(region);
    lean_object *deps = lean_region_mk_array(&region, 1);
    lean_object *high = lean_region_mk_array((lean_object *[]){lean_region_read_root(low), text("and more")}, 2);
    save(folder, "high", high, deps);
    lean_region_dec(high);

    /* Whoever reads the second file gives it the region of the first. */
    lean_object *both = read(folder, "high", deps);
    lean_object *inside = lean_region_child(lean_region_read_root(both), 0);
    printf("the string has %zu bytes, the file that uses it %zu\n",
           lean_region_string_bytes(inside),
           lean_compacted_region_size(lean_region_read_handle(both)));
    printf("it is %s\n", inside == lean_region_read_root(low) ? "that of the dependency" : "a copy");

    /* A dependency is freed after all that point into it. */
    lean_region_dec(deps);
    lean_region_dec(none);
    int bad = lean_region_free_read(both) | lean_region_free_read(low);
    printf("left over: %zu objects, %zu regions\n", lean_region_live_objects(), lean_region_live_regions());
    return bad != 0;
}
