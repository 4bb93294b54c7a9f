//! The C entry points. They only translate: arguments in, results and errors out, one panic boundary for all.
