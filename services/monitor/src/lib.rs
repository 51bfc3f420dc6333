//! Collection, alert rules and status
