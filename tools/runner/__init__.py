"""The host side of hartscale: one module a concern, the Python standard library, and SciPy for one fit (scaling.py)."""
