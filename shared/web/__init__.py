"""The HTTP manners that all services share.

How a service's api files get their parts: its wiring makes one frozen `Parts` dataclass, calls `provide(app, parts)`,
and an endpoint asks for it with `parts: Annotated[Parts, part(Parts)]`. Parts are kept on the app, by class, so three
services in one process never see each other's, and there is no global.

An api file starts with `router = strict_router("invoices")`; `build_app` makes the app and `mount` puts the routers on.
"""
