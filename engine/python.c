#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "engine/python.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/builder_py.h"
#include "engine/nursery.h"
#include "engine/sandbox.h"
#include "engine/watch_py.h"

/* faulthandler writes its traceback to this descriptor; each child puts a memory file of its own
 * there */
#define DUMP_FD  9
#define DUMP_MAX 65536

/*
 * State of the signal handlers, which have no argument to reach it by. One child, one job: set once
 * before the program runs, read when the process is told to end or dies.
 */
static struct {
	int place_fd;
	void (*dump)(int);
	int *ends; /* last lines of the top-level statements, in order */
	int n_ends, n_all;
	unsigned long long allowance;
	long rss_kib_before;
	char text[24576], stack[65536];
} watch = { .place_fd = -1 };

static PyObject *builder; /* the module made of builder.py */
static const struct nursery_io *stream;

/* ---- memory: how much room is left under RLIMIT_AS, without /proc ---- */

/* The largest mapping that would be granted now, to 1 MiB. Takes nothing: the pages are never
 * touched. */
static unsigned long long room_left(unsigned long long at_most)
{
	unsigned long long low = 0, high = at_most >> 20;

	while (low < high) {
		unsigned long long mid = (low + high + 1) / 2;
		void *p = mmap(NULL, mid << 20, PROT_NONE,
		               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (p == MAP_FAILED) {
			high = mid - 1;
		} else {
			munmap(p, mid << 20);
			low = mid;
		}
	}
	return low << 20;
}

static unsigned long long space_used(void)
{
	unsigned long long left = room_left(watch.allowance);
	unsigned long long used = left < watch.allowance ? watch.allowance - left : 0;
	struct rusage ru;

	/* what was given back already counts too: it is what was asked for at the worst */
	if (getrusage(RUSAGE_SELF, &ru) == 0 && ru.ru_maxrss > watch.rss_kib_before) {
		unsigned long long peak = (unsigned long long)(ru.ru_maxrss - watch.rss_kib_before)
		                          << 10;
		if (peak > used)
			used = peak < watch.allowance ? peak : watch.allowance;
	}
	return used;
}

/* ---- the handlers ---- */

static int number_at(const char *p)
{
	int n = 0;

	while (*p >= '0' && *p <= '9' && n < 100000000)
		n = n * 10 + (*p++ - '0');
	return n;
}

static int statements_before(int line)
{
	int done = 0;

	while (done < watch.n_ends && watch.ends[done] < line)
		done++;
	return done;
}

/* Writes the place line. Async-signal-safe but for snprintf of integers, which in glibc takes no
 * lock and no memory. */
static void say_place(void)
{
	static const char mark[] = "File \"program.py\", line ";
	char line[200];
	int innermost = 0, module = 0;
	off_t len;

	if (watch.place_fd < 0)
		return;
	if (watch.dump) {
		lseek(DUMP_FD, 0, SEEK_SET);
		watch.dump(SIGUSR2);
		len = lseek(DUMP_FD, 0, SEEK_CUR);
		if (len > (off_t)sizeof(watch.text) - 1)
			len = sizeof(watch.text) - 1;
		ssize_t got = len > 0 ? pread(DUMP_FD, watch.text, (size_t)len, 0) : 0;
		watch.text[got > 0 ? got : 0] = '\0';
		for (char *p = watch.text; (p = strstr(p, mark)); p++) {
			int n = number_at(p + sizeof(mark) - 1);
			char *end = strchr(p, '\n');
			if (!innermost)
				innermost = n;
			if (end && end - p > 12 && strncmp(end - 12, " in <module>", 12) == 0)
				module = n;
		}
	}
	int k = snprintf(line, sizeof(line),
	                 "line=%d module=%d done=%d all=%d space=%llu room=%llu\n", innermost,
	                 module, module ? statements_before(module) : 0, watch.n_all, space_used(),
	                 watch.allowance);
	if (pwrite(watch.place_fd, line, (size_t)k, 0) != k)
		return; /* then the parent knows no place, and says none */
}

static void on_last_words(int sig)
{
	(void)sig;
	say_place();
}

static void on_deadly(int sig)
{
	say_place();
	/* SA_RESETHAND: the fault comes again on return, and then it kills; abort() has to be
	 * helped, as the filter lets no other signal through */
	if (sig == SIGABRT)
		raise(sig);
}

static void handlers_install(void)
{
	static const int deadly[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	stack_t stack = { .ss_sp = watch.stack, .ss_size = sizeof(watch.stack) };
	struct sigaction sa = { .sa_handler = on_last_words, .sa_flags = SA_ONSTACK | SA_RESTART };

	sigaltstack(&stack, NULL);
	sigemptyset(&sa.sa_mask);
	sigaction(SIGUSR2, &sa, NULL);
	sa.sa_handler = on_deadly;
	sa.sa_flags = SA_ONSTACK | SA_RESETHAND | SA_NODEFER;
	for (size_t i = 0; i < sizeof(deadly) / sizeof(*deadly); i++)
		sigaction(deadly[i], &sa, NULL);
}

/* ---- the module _cadforge ---- */

static PyObject *c_refusals(PyObject *self, PyObject *none)
{
	struct sandbox_refusal r[64];
	PyObject *d = PyDict_New();

	(void)self;
	(void)none;
	int n = d ? sandbox_refusals(r, 64) : 0;
	for (int i = 0; i < n; i++) {
		PyObject *v = PyLong_FromUnsignedLong(r[i].count);
		if (!v || PyDict_SetItemString(d, r[i].name, v) < 0) {
			Py_XDECREF(v);
			Py_DECREF(d);
			return NULL;
		}
		Py_DECREF(v);
	}
	return d;
}

static PyObject *c_statements(PyObject *self, PyObject *args)
{
	PyObject *list;
	int all;

	(void)self;
	if (!PyArg_ParseTuple(args, "O!i", &PyList_Type, &list, &all))
		return NULL;
	Py_ssize_t n = PyList_GET_SIZE(list);
	int *ends = malloc((size_t)(n + 1) * sizeof(*ends));
	if (!ends)
		return PyErr_NoMemory();
	for (Py_ssize_t i = 0; i < n; i++)
		ends[i] = (int)PyLong_AsLong(PyList_GET_ITEM(list, i));
	if (PyErr_Occurred()) {
		free(ends);
		return NULL;
	}
	watch.n_ends = 0;
	free(watch.ends);
	watch.ends = ends;
	watch.n_ends = (int)n;
	watch.n_all = all;
	Py_RETURN_NONE;
}

static PyObject *c_memory(PyObject *self, PyObject *none)
{
	(void)self;
	(void)none;
	return Py_BuildValue("(KK)", space_used(), watch.allowance);
}

/* None: nothing within the time, or a notice was taken. */
static PyObject *c_next(PyObject *self, PyObject *args)
{
	int timeout_ms;
	struct frame f;

	(void)self;
	if (!PyArg_ParseTuple(args, "i", &timeout_ms))
		return NULL;
	int got = stream ? nursery_next(stream, timeout_ms, &f) : -1;
	if (got < 0)
		_exit(0); /* nobody is there to hear more */
	if (got == 0)
		Py_RETURN_NONE;
	return Py_BuildValue("(y#y#)", f.json, (Py_ssize_t)f.json_len, (const char *)f.blob,
	                     (Py_ssize_t)f.blob_len);
}

static PyObject *c_notice(PyObject *self, PyObject *args)
{
	const char *json;
	Py_ssize_t json_len;
	Py_buffer blob;

	(void)self;
	if (!PyArg_ParseTuple(args, "y#y*", &json, &json_len, &blob))
		return NULL;
	int told =
		stream ? nursery_notice(stream, json, (size_t)json_len, blob.buf, (size_t)blob.len)
		       : -1;
	PyBuffer_Release(&blob);
	return PyBool_FromLong(told == 1);
}

static PyObject *c_idle(PyObject *self, PyObject *none)
{
	(void)self;
	(void)none;
	if (!stream || nursery_idle(stream) < 0)
		_exit(0);
	Py_RETURN_NONE;
}

static PyMethodDef c_methods[] = {
	{ "idle", c_idle, METH_NOARGS, "all that came is used" },
	{ "next", c_next, METH_VARARGS, "what a watched program's owner says next: JSON, bytes" },
	{ "notice", c_notice, METH_VARARGS, "tells the owner: JSON, bytes; False: not now" },
	{ "refusals", c_refusals, METH_NOARGS, "system calls refused so far, by name" },
	{ "statements", c_statements, METH_VARARGS, "last lines of the top-level statements" },
	{ "memory", c_memory, METH_NOARGS, "bytes used beyond the warm image, and allowed" },
	{ NULL, NULL, 0, NULL },
};
static struct PyModuleDef c_module = { PyModuleDef_HEAD_INIT, .m_name = "_cadforge", .m_size = -1,
	                               .m_methods = c_methods };

/* ---- start ---- */

/* The exception that is set, as text; cleared. */
static void python_error(struct err *e, const char *doing)
{
	PyObject *type, *value, *tb;

	PyErr_Fetch(&type, &value, &tb);
	PyErr_NormalizeException(&type, &value, &tb);
	PyObject *text = value ? PyObject_Str(value) : NULL;
	const char *s = text ? PyUnicode_AsUTF8(text) : NULL;
	err_set(e, ERR_LACKS, "%s: %s: %.300s", doing,
	        type ? ((PyTypeObject *)type)->tp_name : "failed", s ? s : "no message");
	PyErr_Clear();
	Py_XDECREF(text);
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(tb);
}

static int site_packages(const struct python_options *o, char *out, size_t cap, struct err *e)
{
	struct stat st;

	snprintf(out, cap, "%s/lib/python%d.%d/site-packages", o->env_dir, PY_MAJOR_VERSION,
	         PY_MINOR_VERSION);
	if (stat(out, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	return err_set(
		e, ERR_LACKS,
		"%s is not there: %s has to be a virtual environment of Python %d.%d, for which "
		"cadforge-builder is built; ./quickstart build makes one",
		out, o->env_dir, PY_MAJOR_VERSION, PY_MINOR_VERSION);
}

static int interpreter_start(const struct python_options *o, struct err *e)
{
	PyPreConfig pre;
	PyConfig config;
	PyStatus status;
	char program[4200] = "/usr/bin/python3", site[4200] = "";

	if (o->env_dir) {
		if (site_packages(o, site, sizeof(site), e) < 0)
			return -1;
		snprintf(program, sizeof(program), "%s/bin/python3", o->env_dir);
	}
	PyPreConfig_InitIsolatedConfig(&pre);
	pre.utf8_mode = 1;
	status = Py_PreInitialize(&pre);
	if (PyStatus_Exception(status))
		return err_set(e, ERR_LACKS, "Python does not start: %s", status.err_msg);
	PyConfig_InitIsolatedConfig(&config);
	/* .pth files may run anything; without an environment of our own they say where Debian's
	 * packages are */
	config.site_import = o->env_dir ? 0 : 1;
	config.write_bytecode = 0;
	config.install_signal_handlers = 0;
	config.use_hash_seed = 1;
	config.hash_seed = 0;
	status = PyConfig_SetBytesString(&config, &config.program_name, program);
	if (!PyStatus_Exception(status))
		status = PyConfig_SetBytesString(&config, &config.stdio_encoding, "utf-8");
	if (!PyStatus_Exception(status))
		status = PyConfig_SetBytesString(&config, &config.stdio_errors, "backslashreplace");
	if (!PyStatus_Exception(status))
		status = Py_InitializeFromConfig(&config);
	PyConfig_Clear(&config);
	if (PyStatus_Exception(status))
		return err_set(e, ERR_LACKS, "Python does not start: %s; apt-get install python3",
		               status.err_msg);
	if (site[0]) {
		PyObject *path = PySys_GetObject("path"), *dir = PyUnicode_DecodeFSDefault(site);
		if (!path || !dir || PyList_Append(path, dir) < 0) {
			Py_XDECREF(dir);
			python_error(e, "sys.path");
			return -1;
		}
		Py_DECREF(dir);
	}
	return 0;
}

/* OCP names these two libraries and never calls them for a build. Loaded first, ours are taken for
 * them by their sonames, and 200 MB of Mesa stay out of every child. */
static void load_gl_stubs(const char *dir)
{
	static const char *const names[] = { "libX11.so.6", "libGL.so.1" };

	for (size_t i = 0; i < 2 && dir; i++) {
		char path[4200];
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		dlopen(path, RTLD_NOW | RTLD_GLOBAL); /* where absent, the real ones may be there */
	}
}

static PyObject *load_module(const char *name, const char *file, const unsigned char *text)
{
	PyObject *code = Py_CompileString((const char *)text, file, Py_file_input);
	PyObject *module = code ? PyImport_ExecCodeModule(name, code) : NULL;

	Py_XDECREF(code);
	return module;
}

static int load_builder(struct err *e)
{
	PyObject *watching;

	builder = load_module("cadforge_builder", "builder.py", builder_py);
	watching = builder ? load_module("cadforge_watch", "watch.py", watch_py) : NULL;
	Py_XDECREF(watching); /* sys.modules has it */
	PyObject *c = watching ? PyModule_Create(&c_module) : NULL;
	PyObject *ok = c ? PyObject_CallMethod(builder, "begin", "O", c) : NULL;
	Py_XDECREF(c);
	Py_XDECREF(ok);
	if (ok)
		return 0;
	python_error(e, "builder.py");
	return -1;
}

/* faulthandler's own handler for SIGUSR2 is the function that writes a traceback without the help
 * of the interpreter; it is registered to learn its address and then called by ours. */
static void find_dump(void)
{
	struct sigaction sa;
	PyObject *m = PyImport_ImportModule("faulthandler");
	PyObject *f = m ? PyObject_GetAttrString(m, "register") : NULL;
	PyObject *args = f ? Py_BuildValue("(i)", SIGUSR2) : NULL;
	PyObject *kw =
		args ? Py_BuildValue("{s:i,s:O}", "file", DUMP_FD, "all_threads", Py_False) : NULL;
	PyObject *ok = kw ? PyObject_Call(f, args, kw) : NULL;

	if (ok && sigaction(SIGUSR2, NULL, &sa) == 0 && !(sa.sa_flags & SA_SIGINFO))
		watch.dump = sa.sa_handler;
	PyErr_Clear();
	signal(SIGUSR2, SIG_IGN);
	Py_XDECREF(ok);
	Py_XDECREF(kw);
	Py_XDECREF(args);
	Py_XDECREF(f);
	Py_XDECREF(m);
}

const char *const *python_read_only(const struct python_options *o)
{
	static const char *list[16];
	int n = 0;

	if (o->env_dir)
		list[n++] = o->env_dir;
	list[n++] = "/usr/lib";
	list[n++] = "/lib";
	list[n++] = "/lib64";
	list[n++] = "/usr/local/lib";
	list[n++] = "/usr/share/fonts";
	if (o->font)
		list[n++] = o->font;
	list[n] = NULL;
	return list;
}

int python_start(const struct python_options *o, struct buf *versions, struct err *e)
{
	/* big blocks stay in the heap, where a child finds them mapped; and one arena, since there
	 * is one thread */
	mallopt(M_ARENA_MAX, 1);
	load_gl_stubs(o->gl_stubs);
	if (interpreter_start(o, e) < 0 || load_builder(e) < 0)
		return -1;
	find_dump();
	PyObject *r = PyObject_CallMethod(builder, "start", "s", o->font ? o->font : "");
	if (!r) {
		python_error(e, "CadQuery cannot be imported");
		return -1;
	}
	buf_add(versions, PyBytes_AS_STRING(r), (size_t)PyBytes_GET_SIZE(r));
	Py_DECREF(r);
	malloc_trim(0);
	return 0;
}

/* ---- the child ---- */

void python_settle(void)
{
	int fd = memfd_create("dump", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	/* of a fixed size: a program can write there too, and must not keep what it likes in it */
	if (fd >= 0 && (ftruncate(fd, DUMP_MAX) < 0 ||
	                fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)) {
		close(fd);
		fd = -1; /* then a program that is ended names no line */
	}
	if (fd >= 0 && fd != DUMP_FD) {
		dup2(fd, DUMP_FD);
		close(fd);
	}
	PyObject *r = PyObject_CallMethod(builder, "settle", NULL);
	if (!r)
		PyErr_Print();
	Py_XDECREF(r);
}

bool python_rehearse(int step)
{
	PyObject *r = PyObject_CallMethod(builder, "rehearse", "i", step);
	bool more = r && PyObject_IsTrue(r) == 1;

	PyErr_Clear();
	Py_XDECREF(r);
	return more;
}

void python_watch(int place_fd, unsigned long long memory_bytes)
{
	struct rusage ru;

	watch.place_fd = place_fd;
	watch.allowance = memory_bytes;
	if (getrusage(RUSAGE_SELF, &ru) == 0)
		watch.rss_kib_before = ru.ru_maxrss;
	handlers_install();
}

void python_stream(const struct nursery_io *io)
{
	stream = io;
}

static void add_view(struct buf *out, PyObject *o)
{
	Py_buffer view;

	if (PyObject_GetBuffer(o, &view, PyBUF_SIMPLE) < 0) {
		PyErr_Clear();
		return;
	}
	buf_add(out, view.buf, (size_t)view.len);
	PyBuffer_Release(&view);
}

int python_run(enum python_job kind, const char *request, size_t request_len, const void *blob,
               size_t blob_len, struct buf *json, struct buf *out)
{
	static const char *const names[] = { "build", "facts", "convert", "watch" };
	PyObject *r = PyObject_CallMethod(builder, "job", "sy#y#", names[kind], request,
	                                  (Py_ssize_t)request_len, (const char *)blob,
	                                  (Py_ssize_t)blob_len);

	if (r && PyTuple_Check(r) && PyTuple_GET_SIZE(r) == 2) {
		add_view(json, PyTuple_GET_ITEM(r, 0));
		add_view(out, PyTuple_GET_ITEM(r, 1));
	}
	Py_XDECREF(r);
	if (!r || !json->len) {
		/* the program took Python's own parts away from under the report, or the memory is
		 * used up to the last page */
		bool memory = PyErr_ExceptionMatches(PyExc_MemoryError);
		PyErr_Clear();
		buf_clear(json);
		buf_clear(out);
		buf_printf(
			json,
			"{\"ok\":false,\"cause\":\"%s\",\"error\":\"the program left its interpreter "
			"unable to report: %s\",\"traceback\":null}",
			memory ? "memory_limit" : "other_exception",
			memory ? "the memory is used up"
			       : "it changed or removed what Python needs");
	}
	fflush(NULL);
	return buf_failed(json) || buf_failed(out) ? -1 : 0;
}
