from .swapped import swap

swap()
