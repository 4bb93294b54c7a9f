// Saves a graph with sharing and reads it back. Nothing but the header is needed: two deleters make objects and
// regions release themselves.
//
//   share FOLDER
#include <lean_region.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

// A reference to an object: given up when the pointer goes.
struct Release {
    void operator()(lean_object *o) const { lean_region_dec(o); }
};
using Object = std::unique_ptr<lean_object, Release>;

// The result of a read: its region is freed with it, and no object of the region may be used after that.
struct Free {
    void operator()(lean_object *result) const { lean_region_free_read(result); }
};
using Region = std::unique_ptr<lean_object, Free>;

static Object text(std::string_view t) { return Object(lean_region_mk_string(t.data(), t.size())); }

static Object again(const Object &o) {
    lean_region_inc(o.get());
    return Object(o.get());
}

// An IO result's error as an exception of this program; no exception ever comes out of the library.
static void check(lean_object *result) {
    if (!lean_region_io_is_ok(result)) throw std::runtime_error(lean_region_io_error_text(result));
}

static void run(const std::string &path) {
    Object none(lean_region_mk_array(nullptr, 0)), file = text(path);
    {
        Object shared = text("said once"), second = again(shared);
        // What is handed to a function that consumes it is released from its pointer.
        lean_object *elements[] = {shared.release(), second.release()};
        Object root(lean_region_mk_array(elements, 2));
        Object key(lean_region_mk_name_str(lean_region_box(0), text("Share").release()));
        Object saved(lean_compacted_region_save(file.get(), key.get(), root.get(), none.get(), lean_region_box(0), 0));
        check(saved.get());
    }
    Region region(lean_compacted_region_read(file.get(), none.get()));
    check(region.get());
    lean_object *root = lean_region_read_root(region.get());
    std::printf("\"%s\", %s\n", lean_region_string_text(lean_region_child(root, 0)),
                lean_region_child(root, 0) == lean_region_child(root, 1) ? "one object" : "several objects");
}

int main(int argc, char **argv) {
    int status = 0;
    try {
        run(std::string(argc > 1 ? argv[1] : ".") + "/share.region");
        // And what cannot be read is an exception, with everything released on the way.
        Object none(lean_region_mk_array(nullptr, 0)), file = text("/nothing/here");
        Region region(lean_compacted_region_read(file.get(), none.get()));
        check(region.get());
        status = 1;
    } catch (const std::exception &e) {
        std::printf("error: %s\n", e.what());
    }
    std::printf("left over: %zu objects, %zu regions\n", lean_region_live_objects(), lean_region_live_regions());
    return status;
}
