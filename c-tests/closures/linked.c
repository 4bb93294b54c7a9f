/* A library that the test program is linked with. */
#include "objects.h"

obj linked_length(obj captured, obj arg);

obj linked_length(obj captured, obj arg) { return box(strlen(text(captured)) + unbox(arg)); }
