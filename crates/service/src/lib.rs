//! The chassis every service stands on
