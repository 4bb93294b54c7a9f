/* A file from somewhere else: proved before it is read. A read looks at no more than it needs, and Lean follows
 * pointers without looking, so a file made to do harm must not get that far.
 *
 *   untrusted FILE [DEPENDENCY...]
 */
#include <lean_region.h>
#include <stdio.h>

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: untrusted FILE [DEPENDENCY...]\n");
        return 2;
    }
    const char *const *deps = (const char *const *)argv + 2;

    /* Without a Lean, and without loading anything. Functions without an IO result keep their error for the asking. */
    unsigned char hash[16];
    if (lean_region_verify(argv[1], deps, argc - 2) != 0 || lean_region_hash(argv[1], deps, argc - 2, hash) != 0) {
        char why[1000];
        lean_region_last_error(why, sizeof why);
        printf("refused: %s\n", why);
        return 1;
    }

    /* Equal values have equal hashes, wherever they lie: a hash known from elsewhere says that it is the right file. */
    printf("sound, graphhash ");
    for (int i = 0; i < 16; i++) printf("%02x", hash[i]);
    printf("\n");
    return 0;
}
