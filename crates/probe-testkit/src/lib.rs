//! The contract's promises as one suite that every probe runs against itself, and the fault proxy that breaks its backend.
