//! Asks each cache alias to keep, return and forget a value, as the application's cache does.
