"""The HTTP routes, by topic. Each module has `routes(services)`, which makes its router."""
