/* A library that the test program opens at run time. PLUG_FACTOR makes another build of it. */
#include "objects.h"

#ifndef PLUG_FACTOR
#define PLUG_FACTOR 1000
#endif

obj plug_call(obj inner, obj list, obj arg);

#if PLUG_FACTOR != 1000
obj plug_shift(obj arg);
obj plug_shift(obj arg) { return box(unbox(arg) * 3 + 77); }
#endif

obj plug_call(obj inner, obj list, obj arg) {
    return box(PLUG_FACTOR * (unbox(apply(inner, arg)) + array_size(list)));
}
