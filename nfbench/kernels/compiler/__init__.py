"""How a kernel's Python becomes machine code: numba's decorators, and where machine code is kept between processes."""
