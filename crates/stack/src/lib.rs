//! The real backends, started on this machine without a container engine: for the demo and for every test.
