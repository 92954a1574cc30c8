//! One kept connection to one Redis deployment, shared by every check that uses it: the only crate that knows the client library.
