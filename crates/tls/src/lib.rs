//! How every client here verifies a server and shows its own certificate: one rustls configuration, read from the same settings everywhere.
