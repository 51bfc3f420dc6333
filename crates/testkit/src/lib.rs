//! Real PostgreSQL, Redis and services for tests
