//! PostgreSQL and Redis as child processes, found in the Python environment under .alina or on the system
