//! The alina program
