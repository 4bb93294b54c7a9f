// A snapshot with all modules that it was saved over, read in one call by several threads and held by one pointer, whose
// deleter frees the regions from the last to the first.
//
//   set SNAPSHOT
#include <lean_region.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string_view>

struct Release {
    void operator()(lean_object *o) const { lean_region_dec(o); }
};
using Object = std::unique_ptr<lean_object, Release>;

struct FreeSet {
    void operator()(lean_object *result) const { lean_region_free_set(result); }
};
using Set = std::unique_ptr<lean_object, FreeSet>;

static Set read(std::string_view snapshot) {
    Object file(lean_region_mk_string(snapshot.data(), snapshot.size()));
    Set set(lean_region_read_set(file.get(), 0, LEAN_REGION_SET_BESIDE | LEAN_REGION_SET_WITHOUT_CODE));
    if (!lean_region_io_is_ok(set.get())) throw std::runtime_error(lean_region_io_error_text(set.get()));
    return set;
}

int main(int argc, char **argv) {
    int status = 0;
    try {
        Set set = read(argc > 1 ? argv[1] : "");
        lean_object *pairs = lean_region_child(set.get(), 0);
        std::printf("%zu regions\n", lean_region_child_count(pairs));
        // What is there is there as long as the set is.
        lean_object *first = lean_region_read_root(lean_region_child(pairs, 0));
        if (const char *name = lean_region_string_text(first)) std::printf("the first one holds \"%s\"\n", name);
    } catch (const std::exception &e) {
        std::printf("error: %s\n", e.what());
        status = 1;
    }
    std::printf("left over: %zu objects, %zu regions\n", lean_region_live_objects(), lean_region_live_regions());
    return status;
}
