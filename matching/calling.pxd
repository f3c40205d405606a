"""A method called with all its arguments and none by name, without what Python does for the rest.

Cython takes arguments apart for any way of calling: it clears an array, copies each into it, and
counts each as used and as no longer used, which writes to thirteen objects. That is a tenth of the
time of a command. A call with all arguments in order needs none of it, and goes straight on.
"""

from cpython.object cimport PyObject

cdef extern from *:
    """
    #define CX_ARGUMENTS 13
    typedef PyObject *(*cx_whole_call)(PyObject *self, PyObject **given);
    static cx_whole_call cx_whole;
    static PyObject *cx_any_way;  /* the method as Cython made it */

    static PyObject *cx_call(PyObject *self, PyObject *const *given, Py_ssize_t count,
                             PyObject *names) {
        PyObject **all, *answer;
        Py_ssize_t size = count + (names == NULL ? 0 : PyTuple_GET_SIZE(names));
        if (count == CX_ARGUMENTS && names == NULL)
            return cx_whole(self, (PyObject **)given);
        all = PyMem_New(PyObject *, size + 1);
        if (all == NULL)
            return PyErr_NoMemory();
        all[0] = self;
        for (Py_ssize_t at = 0; at < size; at++)
            all[at + 1] = given[at];
        answer = PyObject_Vectorcall(cx_any_way, all, (size_t)count + 1, names);
        PyMem_Free(all);
        return answer;
    }
    static PyMethodDef cx_method = {
        NULL, (PyCFunction)(void (*)(void))cx_call, METH_FASTCALL | METH_KEYWORDS, NULL
    };
    static int cx_call_without_names(PyTypeObject *type, const char *name, cx_whole_call whole) {
        /* Once, of one method, while the module is made. */
        PyObject *text, *method;
        int failed;
        cx_any_way = PyObject_GetAttrString((PyObject *)type, name);
        text = cx_any_way == NULL ? NULL : PyObject_GetAttrString(cx_any_way, "__doc__");
        cx_method.ml_name = name;
        cx_method.ml_doc = text == NULL ? NULL : PyUnicode_AsUTF8(text);  /* kept, as `text` is */
        cx_whole = whole;
        method = cx_method.ml_doc == NULL ? NULL : PyDescr_NewMethod(type, &cx_method);
        failed = method == NULL || PyDict_SetItemString(type->tp_dict, name, method);
        Py_XDECREF(method);
        PyType_Modified(type);
        return failed ? -1 : 0;
    }
    """
    ctypedef struct PyTypeObject:
        pass
    ctypedef object (*WholeCall "cx_whole_call")(object self, PyObject** given)
    int call_without_names "cx_call_without_names"(
        PyTypeObject* type, const char* name, WholeCall whole
    ) except -1
