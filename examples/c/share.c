/* Saves a graph and reads it back: what was one object before is one object after, and is in the file once.
 *
 *   share FOLDER
 */
#include <lean_region.h>
#include <stdio.h>
#include <string.h>

static lean_object *text(const char *t) { return lean_region_mk_string(t, strlen(t)); }

int main(int argc, char **argv) {
    char path[4096];
    snprintf(path, sizeof path, "%s/share.region", argc > 1 ? argv[1] : ".");

    /* An array with the same string three times. An array owns its elements: one reference for each place. */
    lean_object *shared = text("said once");
    lean_region_inc(shared);
    lean_region_inc(shared);
    lean_object *root = lean_region_mk_array((lean_object *[]){shared, shared, shared}, 3);

    /* Arguments are borrowed, except the last but one. The key decides at which address the file wants to lie. */
    lean_object *file = text(path), *none = lean_region_mk_array(NULL, 0);
    lean_object *key = lean_region_mk_name_str(lean_region_box(0), text("Share"));
    lean_object *saved = lean_compacted_region_save(file, key, root, none, lean_region_box(0), 0);
    int good = lean_region_io_is_ok(saved);
    if (!good) fprintf(stderr, "%s\n", lean_region_io_error_text(saved));
    lean_region_dec(saved);
    lean_region_dec(key);
    lean_region_dec(root);

    /* The objects of a region are not counted: they are there until the region is freed. */
    lean_object *read = lean_compacted_region_read(file, none);
    lean_region_dec(file);
    lean_region_dec(none);
    if (!lean_region_io_is_ok(read)) {
        fprintf(stderr, "%s\n", lean_region_io_error_text(read));
        lean_region_dec(read);
        return 1;
    }
    lean_object *again = lean_region_read_root(read);
    lean_object *first = lean_region_child(again, 0), *last = lean_region_child(again, 2);
    printf("%zu elements, \"%s\", %s\n", lean_region_child_count(again), lean_region_string_text(first),
           first == last ? "one object" : "several objects");
    good = good && lean_region_free_read(read) == 0;

    printf("left over: %zu objects, %zu regions\n", lean_region_live_objects(), lean_region_live_regions());
    return !good;
}
