"""Hand-written array kernels: arrays in, arrays out, no autograd.

Every public function takes NumPy arrays (C order is arranged here, never assumed of the caller), checks them
once, allocates the result unless ``out=`` is given, and runs a Numba kernel. Images are N,C,H,W; convolution
weights O,C/groups,kH,kW. float32 and float64 come back as they went in, and mixing them raises.

One folder holds one family of operators: ``reference.py`` (loops that are obviously right), ``cpu.py`` (the
Numba kernel) and ``__init__.py`` (validation, allocation, launch). Importing this package imports no Numba:
a kernel is loaded, and compiled or read from the cache, the first time that it is called.
"""

if __name__ != "scratchgan.kernels":
    raise ImportError(
        f"this package was imported as {__name__!r}, but it is scratchgan.kernels: install the checkout "
        "(pip install -e .) and write `from scratchgan import kernels`"
    )
