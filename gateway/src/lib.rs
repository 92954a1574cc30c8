//! health-gateway as a library: everything but the command line.
