//! Typed clients between services: deadline, retry, circuit breaker, trace context
