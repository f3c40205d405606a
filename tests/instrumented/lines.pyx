# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Some lines run and some do not: what coverage must say of this file is known."""

cdef int chosen(int number) noexcept nogil:
    # Without the GIL, as the engine is.
    if number > 2:
        number += 1
        return number
    elif number == 2:
        return 5  # not run
    while number < 0:
        number += 1  # not run
    return 0

cdef inline int forgotten(int number) noexcept nogil:  # not run
    return number + 1  # not run

def ask(int number):
    """Run with 0 and 3."""
    if chosen(number) == 4:
        return "four"
    if chosen(number) < 0:
        raise ValueError("never")  # not run
    return [
        chosen(number)
        for _ in range(2)
    ]
