/* Starts Python inside the benchmark's process and hands the report transport to adapter.pyx.
   PYTHON, ROOT and LIBPYTHON are given on the compiler's command line. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <dlfcn.h>

#include "matching_engine_api.h"

extern int adapter_open(const me_transport_t* transport, void* sink);
extern PyObject* PyInit_adapter(void);

static void must(int is_right, const char* what) {
    if (is_right) return;
    if (PyErr_Occurred()) PyErr_Print();
    fprintf(stderr, "adapter: %s failed\n", what);
    exit(2);
}

static void start_python(void) {
    PyConfig config;
    /* Extension modules look for Python's symbols among the global ones. */
    must(dlopen(LIBPYTHON, RTLD_NOW | RTLD_GLOBAL) != NULL, "dlopen of " LIBPYTHON);
    must(PyImport_AppendInittab("adapter", PyInit_adapter) == 0, "registering the adapter");
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = 0;
    PyConfig_SetBytesString(&config, &config.program_name, PYTHON);
    must(!PyStatus_Exception(Py_InitializeFromConfig(&config)), "starting Python");
    PyConfig_Clear(&config);
    must(PyRun_SimpleString("import sys; sys.path.insert(0, '" ROOT "')") == 0, "setting the path");
}

void engine_init(uint64_t seed, const me_transport_t* transport, void* sink) {
    (void)seed;
    start_python();
    must(PyImport_ImportModule("adapter") != NULL, "importing the adapter");
    must(adapter_open(transport, sink) == 0, "opening the engine");
    PyEval_SaveThread(); /* the engine works without the GIL */
}
