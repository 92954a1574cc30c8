//! The probe against real brokers.
