//! Live objects to the bytes of a region: traversal with an explicit stack, the pointer table, maximal sharing, chained parts.
