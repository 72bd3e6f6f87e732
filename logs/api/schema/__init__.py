"""The OpenAPI document of the store's HTTP interface, served at /schema/."""
