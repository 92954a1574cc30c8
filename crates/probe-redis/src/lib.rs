//! Asks Redis whether it answers and can take writes.
