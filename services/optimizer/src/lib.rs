//! Scoring, prompt versions, experiments and promotion
