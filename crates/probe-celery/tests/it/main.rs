//! The probe against real workers on real brokers.
