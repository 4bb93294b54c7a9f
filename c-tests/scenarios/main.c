/* Runs one scenario on the embedded runtime: `program SCENARIO DIRECTORY [SCALE]`, or lists them: `program list`.
 * Exit code 0 if it went well; then nothing is left: no object, no region, no temporary file. */
#define NO_RENAMING
#include "common.h"
#undef NO_RENAMING
#include <dlfcn.h>
#include <malloc.h>
#include <unistd.h>

size_t scale = 1;

static const scenario *const all[] = {
#ifdef FAULTS
    fault_scenarios,
#else
    object_scenarios,
    region_scenarios,
    reread_scenarios,
    stale_scenarios,
    set_scenarios,
    error_scenarios,
    thread_scenarios,
    limit_scenarios,
#endif
};

#ifdef DLOPENED
#define POINTER(name) __typeof__(name) *pointer_##name;
FUNCTIONS(POINTER)

static void look_up(void *library, const char *name, void *pointer) {
    void *address = dlsym(library, name);
    if (!address) fail(__FILE__, __LINE__, name);
    memcpy(pointer, &address, sizeof address);
}

static void load(void) {
    void *library = dlopen(getenv("LEAN_REGION_LIBRARY"), RTLD_NOW | RTLD_LOCAL);
    if (!library) fail(__FILE__, __LINE__, dlerror());
#define LOOK_UP(name) look_up(library, #name, &pointer_##name);
    FUNCTIONS(LOOK_UP)
}
#define CALL(name) pointer_##name
#else
static void load(void) {}
#define CALL(name) name
#endif

int main(int argc, char **argv) {
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        for (const scenario *s = all[i]; s->name; s++) {
            if (argc == 2 && !strcmp(argv[1], "list")) {
                puts(s->name);
            } else if (argc >= 3 && !strcmp(argv[1], s->name)) {
                if (argc > 3) scale = strtoul(argv[3], NULL, 10);
                CHECK(chdir(argv[2]) == 0);
                /* One heap, so that the number of mappings says something. */
                mallopt(M_MMAP_THRESHOLD, 1 << 30);
                mallopt(M_ARENA_MAX, 1);
                load();
                CHECK(CALL(lean_region_bind)() == 0);
                s->run();
                CHECK(CALL(lean_region_live_objects)() == 0);
                CHECK(CALL(lean_region_live_regions)() == 0);
                CHECK(files(true) == 0);
                return 0;
            }
        }
    }
    return argc == 2 ? 0 : 2;
}
