"""The host side of hartscale: one module a concern, the Python standard library only."""
