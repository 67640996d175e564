//! The HTTP contract: routes, wire types, problem+json, OpenAPI, Swagger page.
