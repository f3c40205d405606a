# cython: language_level=3
"""Fields of a msgspec struct, read where they lie: a load, where `request.price` is a search.

A struct keeps each field in a place of its own that the field's descriptor on the class tells, as
classes with `__slots__` do. Only for structs whose fields are all set, as decoded ones are.
"""

from cpython.object cimport PyObject

cdef extern from "Python.h":
    ctypedef struct PyMemberDef:
        int type
        Py_ssize_t offset

    ctypedef struct PyMemberDescrObject:
        PyMemberDef* d_member

cdef extern from "structmember.h":
    int T_OBJECT_EX


cdef inline Py_ssize_t place_of(object kind, str name) except -1:
    """Where instances of the class keep a field; TypeError where it is no plain field. O(1)."""
    descriptor = getattr(kind, name)
    if type(descriptor).__name__ != "member_descriptor":
        raise TypeError(f"{kind.__name__}.{name} is no field of a struct")
    cdef PyMemberDef* member = (<PyMemberDescrObject*><void*>descriptor).d_member
    if member.type != T_OBJECT_EX:
        raise TypeError(f"{kind.__name__}.{name} is kept otherwise than as an object")
    return member.offset


cdef inline object field(object message, Py_ssize_t place):
    """A field of an instance of that class, and of no other. O(1)."""
    return <object>(<PyObject**>(<char*><void*>message + place))[0]
