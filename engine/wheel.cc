/*
 * The functions are found by their mangled names, which spell out their parameters: a version that
 * takes others has other names and is not used at all. Objects of the kernel's are rooms of bytes,
 * larger than any version's, that its own constructors fill; none is destroyed, since the child
 * ends after its job.
 */
#include "engine/wheel.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <new>
#include <streambuf>
#include <typeinfo>

namespace
{

const int FORMAT_V4 = 4; /* BinTools_FormatVersion_VERSION_4 */

/* Room for one of the kernel's objects; zeros are a null shape, and a progress nobody follows. */
template <size_t Bytes>
struct room {
	alignas(64) char bytes[Bytes] = {};
};
using shape_room = room<256>;
using progress_room = room<256>;
using maker_room = room<16384>;

class in_bytes : public std::streambuf
{
      public:
	in_bytes(const void *bytes, size_t len)
	{
		char *p = static_cast<char *>(const_cast<void *>(bytes));
		setg(p, p, p + len);
	}

      protected:
	pos_type seekoff(off_type off, std::ios_base::seekdir from,
	                 std::ios_base::openmode) override
	{
		off_type base = from == std::ios_base::beg   ? 0
		                : from == std::ios_base::cur ? gptr() - eback()
		                                             : egptr() - eback();
		return seekpos(pos_type(base + off), std::ios_base::in);
	}
	pos_type seekpos(pos_type to, std::ios_base::openmode) override
	{
		off_type at = to;
		if (at < 0 || at > egptr() - eback())
			return pos_type(off_type(-1));
		setg(eback(), eback() + at, egptr());
		return to;
	}
};

/* Appends to a buf; tells where it is, which the kernel's writer asks at every shape. */
class out_bytes : public std::streambuf
{
      public:
	explicit out_bytes(struct buf *to) : out(to), start(to->len)
	{
	}

      protected:
	int_type overflow(int_type c) override
	{
		if (c == traits_type::eof())
			return 0;
		char one = static_cast<char>(c);
		buf_add(out, &one, 1);
		return buf_failed(out) ? traits_type::eof() : c;
	}
	std::streamsize xsputn(const char *s, std::streamsize n) override
	{
		buf_add(out, s, static_cast<size_t>(n));
		return buf_failed(out) ? 0 : n;
	}
	pos_type seekoff(off_type off, std::ios_base::seekdir from,
	                 std::ios_base::openmode) override
	{
		bool asks = off == 0 && from == std::ios_base::cur;
		return asks ? pos_type(off_type(out->len - start)) : pos_type(off_type(-1));
	}

      private:
	struct buf *out;
	size_t start;
};

} // namespace

struct wheel {
	void (*read)(void *shape, std::istream &, const void *progress);
	void (*write)(const void *shape, std::ostream &, bool triangles, bool normals, int version,
	              const void *progress);
	void (*clean)(const void *shape, bool even_polygons);
	void (*mesh)(void *mesher, const void *shape, double linear, bool relative, double angular,
	             bool parallel);
	/* for the warm-up alone */
	void *const &(*pool)(int threads);
	void (*pool_init)(void *pool, int threads);
	void (*cylinder)(void *maker, double radius, double height);
	const void *(*made)(void *maker);
	char version[24];
};

namespace
{

/* Returns what the thing being handled calls itself. */
void name_of_exception(char *out, size_t cap)
{
	const std::type_info *t = abi::__cxa_current_exception_type();
	int status = -1;
	char *name = t ? abi::__cxa_demangle(t->name(), nullptr, nullptr, &status) : nullptr;

	snprintf(out, cap, "%s", name ? name : "an unknown error");
	free(name);
}

template <typename Work>
int guarded(struct err *e, Work work)
{
	char name[120];

	try {
		work();
		return 0;
	} catch (const std::bad_alloc &) {
		return err_set(e, ERR_MEM,
		               "the shape cannot be meshed: out of memory; use a simpler shape");
	} catch (...) {
		name_of_exception(name, sizeof(name));
		if (strcmp(name, "Standard_OutOfMemory") == 0)
			return err_set(
				e, ERR_MEM,
				"the shape cannot be meshed: out of memory; use a simpler shape");
		return err_set(e, ERR_INPUT,
		               "the shape cannot be meshed (%s); build it another way", name);
	}
}

bool is_null(const shape_room &s)
{
	void *p;

	/* a shape is a handle first; zeros are the null one in every version */
	memcpy(&p, s.bytes, sizeof(p));
	return !p;
}

/* A cylinder from the kernel itself, through all that a job does. */
int try_out(const struct wheel *w, struct err *e)
{
	struct buf bytes = {}, meshed = {};
	int rc = guarded(e, [&] {
		maker_room maker;
		progress_room progress;
		out_bytes to(&bytes);
		std::ostream out(&to);
		w->cylinder(maker.bytes, 5, 9);
		w->write(w->made(maker.bytes), out, false, false, FORMAT_V4, progress.bytes);
	});
	if (rc == 0)
		rc = wheel_mesh(w, bytes.data, bytes.len, 0.1, 0.1, &meshed, e);
	/* its circles alone get dozens of points of 24 bytes */
	if (rc == 0 && (bytes.len < 500 || meshed.len < bytes.len + 1000))
		rc = err_set(e, ERR_LACKS, "a cylinder of %zu bytes has %zu when it is meshed",
		             bytes.len, meshed.len);
	buf_release(&bytes);
	buf_release(&meshed);
	return rc;
}

int find_symbol(void *library, const char *name, void *out, struct err *e)
{
	void *p = dlsym(library, name);

	if (!p)
		return err_set(e, ERR_LACKS, "the kernel in CadQuery's wheel has no %s", name);
	memcpy(out, &p, sizeof(p));
	return 0;
}

void *load(const char *dir, const char *name, char *file, size_t cap, struct err *e)
{
	char pattern[4200];
	glob_t found = {};
	void *library = nullptr;

	snprintf(pattern, sizeof(pattern), "%s/%s-*.so*", dir, name);
	if (glob(pattern, 0, nullptr, &found) != 0 || found.gl_pathc != 1) {
		err_set(e, ERR_LACKS, "%zu libraries %s, one was expected", found.gl_pathc,
		        pattern);
	} else {
		snprintf(file, cap, "%s", found.gl_pathv[0]);
		library = dlopen(found.gl_pathv[0], RTLD_NOW | RTLD_LOCAL);
		if (!library)
			err_set(e, ERR_LACKS, "%s", dlerror());
	}
	globfree(&found);
	return library;
}

} // namespace

int wheel_find(char *out, size_t cap, const char *python_env, struct err *e)
{
	static const char *const systems[] = { "/usr/local/lib/python3*/dist-packages",
		                               "/usr/lib/python3/dist-packages" };
	bool own = python_env && python_env[0];
	char pattern[4300];
	glob_t found = {};
	int rc = 0;

	if (own) {
		snprintf(pattern, sizeof(pattern),
		         "%s/lib/python3*/site-packages/cadquery_ocp*.libs", python_env);
		glob(pattern, 0, nullptr, &found);
	} else {
		for (const char *s : systems) {
			snprintf(pattern, sizeof(pattern), "%s/cadquery_ocp*.libs", s);
			glob(pattern, found.gl_pathc ? GLOB_APPEND : 0, nullptr, &found);
		}
	}
	if (found.gl_pathc == 1)
		snprintf(out, cap, "%s", found.gl_pathv[0]);
	else
		rc = err_set(e, ERR_LACKS, "%zu folders cadquery_ocp*.libs in %s, one was expected",
		             found.gl_pathc, own ? python_env : "the system's Python");
	globfree(&found);
	return rc;
}

struct wheel *wheel_open(const char *dir, struct err *e)
{
	struct wheel *w = static_cast<struct wheel *>(calloc(1, sizeof(*w)));
	char file[4200] = "";
	int status;

	if (!w) {
		err_set(e, ERR_MEM, "out of memory");
		return nullptr;
	}
	/* what the kernel has to say goes to our errors, never to a stream */
	std::cout.rdbuf(nullptr);
	std::cerr.rdbuf(nullptr);
	void *prim = load(dir, "libTKPrim", file, sizeof(file), e);
	void *lib = prim ? load(dir, "libTKMesh", file, sizeof(file), e) : nullptr;
	if (!lib ||
	    find_symbol(lib, "_ZN8BinTools4ReadER12TopoDS_ShapeRSiRK21Message_ProgressRange",
	                &w->read, e) < 0 ||
	    find_symbol(
		    lib,
		    "_ZN8BinTools5WriteERK12TopoDS_ShapeRSobb22BinTools_FormatVersionRK21Message_"
		    "ProgressRange",
		    &w->write, e) < 0 ||
	    find_symbol(lib, "_ZN9BRepTools5CleanERK12TopoDS_Shapeb", &w->clean, e) < 0 ||
	    find_symbol(lib, "_ZN24BRepMesh_IncrementalMeshC1ERK12TopoDS_Shapedbdb", &w->mesh, e) <
	            0 ||
	    find_symbol(lib, "_ZN14OSD_ThreadPool11DefaultPoolEi", &w->pool, e) < 0 ||
	    find_symbol(lib, "_ZN14OSD_ThreadPool4InitEi", &w->pool_init, e) < 0 ||
	    find_symbol(prim, "_ZN24BRepPrimAPI_MakeCylinderC1Edd", &w->cylinder, e) < 0 ||
	    find_symbol(prim, "_ZN24BRepBuilderAPI_MakeShape5ShapeEv", &w->made, e) < 0)
		goto fail;
	{
		const char *so = strstr(strrchr(file, '/'), ".so.");
		snprintf(w->version, sizeof(w->version), "%s", so ? so + 4 : "");
	}
	{
		pid_t pid = fork();
		if (pid < 0) {
			err_errno(e, ERR_LACKS, "fork");
			goto fail;
		}
		if (pid == 0) {
			struct err why = {};
			alarm(20);
			w->pool_init(w->pool(-1), 1);
			_exit(try_out(w, &why) == 0 ? 0 : 1);
		}
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
			err_set(e, ERR_LACKS, "the kernel in %s does not mesh a cylinder (%s %d)",
			        dir, WIFSIGNALED(status) ? "signal" : "status",
			        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
			goto fail;
		}
	}
	/* threads of a pool do not survive a fork: the first job of a child would wait for them */
	w->pool_init(w->pool(-1), 1);
	if (try_out(w, e) < 0)
		goto fail;
	return w;
fail:
	free(w);
	return nullptr;
}

void wheel_close(struct wheel *w)
{
	free(w);
}

void wheel_rehearse(const struct wheel *w)
{
	struct err e = {};

	try_out(w, &e);
}

const char *wheel_version(const struct wheel *w)
{
	return w->version;
}

int wheel_mesh(const struct wheel *w, const void *bytes, size_t len, double linear, double angular,
               struct buf *out, struct err *e)
{
	size_t start = out->len;
	bool empty = false;

	int rc = guarded(e, [&] {
		shape_room shape;
		progress_room progress;
		maker_room mesher;
		in_bytes from(bytes, len);
		std::istream in(&from);
		w->read(shape.bytes, in, progress.bytes);
		empty = is_null(shape);
		if (empty)
			return;
		/* of faces and, by true, polygons of edges */
		w->clean(shape.bytes, true);
		w->mesh(mesher.bytes, shape.bytes, linear, true, angular, false);
		out_bytes to(out);
		std::ostream stream(&to);
		w->write(shape.bytes, stream, true, false, FORMAT_V4, progress.bytes);
	});
	if (rc == 0 && empty)
		rc = err_set(e, ERR_INPUT, "the shape cannot be meshed: the BREP holds no shape");
	if (rc == 0 && (buf_failed(out) || out->len == start))
		rc = err_set(e, ERR_MEM,
		             "the shape cannot be meshed: out of memory; use a simpler shape");
	return rc;
}
