/* Many files in one image: each read is then a look into a table. The program does not know of the image. Make it
 * of a folder with `olean image build FOLDER -o all.image`, and name it in the variable LEAN_REGION_IMAGE.
 *
 *   image save FOLDER     100 files
 *   image read FOLDER     all of them, with or without an image
 *   image report FOLDER   the same, and what the library counted, as a line of JSON
 */
#include <lean_region.h>
#include <stdio.h>
#include <string.h>

enum { FILES = 100 };

static lean_object *text(const char *t) { return lean_region_mk_string(t, strlen(t)); }

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: image save|read|report FOLDER\n");
        return 2;
    }
    int save = strcmp(argv[1], "save") == 0, bad = 0;
    lean_object *none = lean_region_mk_array(NULL, 0), *reads[FILES];
    size_t sum = 0;
    for (int i = 0; i < FILES; i++) {
        char path[4096], name[32];
        snprintf(name, sizeof name, "m%03d", i);
        snprintf(path, sizeof path, "%s/%s.olean", argv[2], name);
        lean_object *file = text(path);
        if (save) {
            /* Every key is another one: regions that want the same address would be in each other's way. */
            lean_object *key = lean_region_mk_name_str(lean_region_box(0), text(name));
            lean_object *root = lean_region_mk_array((lean_object *[]){text(name), lean_region_box(i)}, 2);
            lean_object *saved = lean_compacted_region_save(file, key, root, none, lean_region_box(0), 0);
            bad |= !lean_region_io_is_ok(saved);
            lean_region_dec(saved);
            lean_region_dec(root);
            lean_region_dec(key);
        } else {
            reads[i] = lean_compacted_region_read(file, none);
            if (lean_region_io_is_ok(reads[i])) {
                sum += lean_region_unbox(lean_region_child(lean_region_read_root(reads[i]), 1));
            } else {
                fprintf(stderr, "%s\n", lean_region_io_error_text(reads[i]));
                bad = 1;
            }
        }
        lean_region_dec(file);
    }
    if (save) {
        printf("%d files\n", FILES);
    } else {
        printf("the numbers in %d files make %zu\n", FILES, sum);
        for (int i = 0; i < FILES; i++) bad |= lean_region_free_read(reads[i]) != 0;
    }
    lean_region_dec(none);
    if (strcmp(argv[1], "report") == 0) {
        char report[8192];
        lean_region_report(report, sizeof report);
        printf("%s", report);
    }
    printf("left over: %zu objects, %zu regions\n", lean_region_live_objects(), lean_region_live_regions());
    return bad;
}
