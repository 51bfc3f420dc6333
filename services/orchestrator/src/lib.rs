//! Agents, durable runs, workflows and tools
