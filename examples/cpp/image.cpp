// Region files read with or without an image, which the program does not know of: name it in LEAN_REGION_IMAGE, and the
// same reads are looks into a table.
//
//   image FILE...
#include <lean_region.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

struct Release {
    void operator()(lean_object *o) const { lean_region_dec(o); }
};
using Object = std::unique_ptr<lean_object, Release>;

struct Free {
    void operator()(lean_object *result) const { lean_region_free_read(result); }
};
using Region = std::unique_ptr<lean_object, Free>;

static Region read(std::string_view path) {
    Object file(lean_region_mk_string(path.data(), path.size())), none(lean_region_mk_array(nullptr, 0));
    Region region(lean_compacted_region_read(file.get(), none.get()));
    if (!lean_region_io_is_ok(region.get())) throw std::runtime_error(lean_region_io_error_text(region.get()));
    return region;
}

// How many reads the image answered, as the library's report has it.
static unsigned long served() {
    std::string report(lean_region_report(nullptr, 0) + 64, '\0');
    lean_region_report(report.data(), report.size());
    const std::string key = "\"served\":";
    size_t at = report.find(key);
    return at == std::string::npos ? 0 : std::stoul(report.substr(at + key.size()));
}

int main(int argc, char **argv) {
    int status = 0;
    try {
        std::vector<Region> regions;
        for (int i = 1; i < argc; i++) regions.push_back(read(argv[i]));
        std::printf("%zu files, %lu of them from an image\n", regions.size(), served());
    } catch (const std::exception &e) {
        std::printf("error: %s\n", e.what());
        status = 1;
    }
    std::printf("left over: %zu objects, %zu regions\n", lean_region_live_objects(), lean_region_live_regions());
    return status;
}
