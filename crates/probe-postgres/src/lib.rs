//! Asks PostgreSQL whether it answers a query in the role that the application needs.
