// A file that points into another. A region that depends on others holds them: whatever the order in which a program lets
// go of its pointers, the region that is pointed into is freed last.
//
//   dependency FOLDER
#include <lean_region.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct Release {
    void operator()(lean_object *o) const { lean_region_dec(o); }
};
using Object = std::unique_ptr<lean_object, Release>;

static Object text(std::string_view t) { return Object(lean_region_mk_string(t.data(), t.size())); }

static void check(lean_object *result) {
    if (!lean_region_io_is_ok(result)) throw std::runtime_error(lean_region_io_error_text(result));
}

class Region;
using Dependencies = std::vector<std::shared_ptr<const Region>>;

// A region that was read, and those that it points into. Members are destroyed from the last to the first: the region
// goes before them.
class Region {
    Dependencies dependencies;
    struct Free {
        void operator()(lean_object *result) const { lean_region_free_read(result); }
    };
    std::unique_ptr<lean_object, Free> result;

  public:
    // The array of regions for a save or a read.
    static Object array(const Dependencies &regions) {
        std::vector<lean_object *> elements;
        for (const auto &region : regions) {
            elements.push_back(lean_region_read_region(region->result.get()));
            lean_region_inc(elements.back());
        }
        return Object(lean_region_mk_array(elements.data(), elements.size()));
    }
    Region(const std::string &path, Dependencies on) : dependencies(std::move(on)) {
        Object file = text(path), regions = array(dependencies);
        result.reset(lean_compacted_region_read(file.get(), regions.get()));
        check(result.get());
    }
    lean_object *root() const { return lean_region_read_root(result.get()); }
    size_t bytes() const { return lean_compacted_region_size(lean_region_read_handle(result.get())); }
};

static void save(const std::string &path, std::string_view key, const Object &root, const Dependencies &on) {
    Object file = text(path), regions = Region::array(on);
    Object name(lean_region_mk_name_str(lean_region_box(0), text(key).release()));
    Object saved(lean_compacted_region_save(file.get(), name.get(), root.get(), regions.get(), lean_region_box(0), 0));
    check(saved.get());
}

static void run(const std::string &folder) {
    save(folder + "/low.region", "low", text(std::string(100000, 'x')), {});
    auto low = std::make_shared<const Region>(folder + "/low.region", Dependencies{});
    {
        lean_object *elements[] = {low->root(), text("and more").release()};
        save(folder + "/high.region", "high", Object(lean_region_mk_array(elements, 2)), {low});
    }
    Region high(folder + "/high.region", {low});
    low.reset();
    lean_object *inside = lean_region_child(high.root(), 0);
    std::printf("the string has %zu bytes, the file that uses it %zu\n", lean_region_string_bytes(inside), high.bytes());
}

int main(int argc, char **argv) {
    int status = 0;
    try {
        run(argc > 1 ? argv[1] : ".");
    } catch (const std::exception &e) {
        std::printf("error: %s\n", e.what());
        status = 1;
    }
    std::printf("left over: %zu objects, %zu regions\n", lean_region_live_objects(), lean_region_live_regions());
    return status;
}
