// Numbers of any size through a region: made of limbs, read back as sign and limbs.
//
//   number FOLDER
#include <lean_region.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

static_assert(LEAN_REGION_VERSION_NUMBER >= 1000, "lean_region_number came with 0.1.0");

struct Release {
    void operator()(lean_object *o) const { lean_region_dec(o); }
};
using Object = std::unique_ptr<lean_object, Release>;
struct Free {
    void operator()(lean_object *result) const { lean_region_free_read(result); }
};
using Region = std::unique_ptr<lean_object, Free>;

static Object text(const std::string &t) { return Object(lean_region_mk_string(t.data(), t.size())); }

// Prints the integer `o` in hex; false if it is no number.
static bool print(lean_object *o) {
    bool negative = false;
    std::size_t count = 0;
    if (lean_region_number(o, true, &negative, nullptr, 0, &count) != 0) return false;
    std::vector<std::uint64_t> limbs(count);
    lean_region_number(o, true, nullptr, limbs.data(), count, nullptr);
    std::printf("%s0x", negative ? "-" : "");
    for (std::size_t i = count; i-- > 0;)
        std::printf(i + 1 == count ? "%llx" : "%016llx", static_cast<unsigned long long>(limbs[i]));
    std::printf("%s, %s\n", count == 0 ? "0" : "",
                lean_region_tag(o) == LEAN_REGION_TAG_BIGNUM ? "a bignum" : "a boxed scalar");
    return true;
}

int main(int argc, char **argv) {
    bool good = false;
    {
        const std::uint64_t small[] = {42}, large[] = {0, 0, 1};
        // -42 and 2^128: what is small enough needs no object.
        lean_object *elements[] = {lean_region_mk_number(true, true, small, 1), lean_region_mk_number(false, true, large, 3)};
        Object root(lean_region_mk_array(elements, 2)), none(lean_region_mk_array(nullptr, 0));
        Object file = text(std::string(argc > 1 ? argv[1] : ".") + "/number.region");
        Object key(lean_region_mk_name_str(lean_region_box(0), text("Number").release()));
        Object saved(lean_compacted_region_save(file.get(), key.get(), root.get(), none.get(), lean_region_box(0), 0));
        Region region(lean_compacted_region_read(file.get(), none.get()));
        if (lean_object *read = lean_region_read_root(region.get()))
            good = print(lean_region_child(read, 0)) && print(lean_region_child(read, 1));
    }
    std::printf("left over: %zu objects, %zu regions\n", lean_region_live_objects(), lean_region_live_regions());
    return good ? 0 : 1;
}
