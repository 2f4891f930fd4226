/*
 * shape_inside.hxx - what lies behind engine/shape.h, for the few C++ files that ask the kernel.
 *
 * Every door of such a file is a C function whose body runs in guard(), so that no exception of
 * OCCT leaves it.
 */
#ifndef ENGINE_SHAPE_INSIDE_HXX
#define ENGINE_SHAPE_INSIDE_HXX

#include "engine/shape.h"

#include <Standard_Failure.hxx>
#include <Standard_OutOfMemory.hxx>
#include <TopoDS_Shape.hxx>

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <exception>
#include <new>

struct shape {
	TopoDS_Shape topo;
	bool meshed; /* its triangles came with it and are kept */
};

namespace
{

/* What went wrong on our side of the door, carried to guard(). */
struct trouble {
	enum shape_fault fault;
	enum err_kind kind;
	char text[400];
};

[[noreturn]] inline void give_up(enum shape_fault fault, enum err_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

inline void give_up(enum shape_fault fault, enum err_kind kind, const char *fmt, ...)
{
	trouble t;
	va_list ap;

	t.fault = fault;
	t.kind = kind;
	va_start(ap, fmt);
	vsnprintf(t.text, sizeof(t.text), fmt, ap);
	va_end(ap);
	throw t;
}

/* Runs @work; nothing it throws gets past. @doing says what OCCT was at. */
template <typename Work>
int guard(const char *doing, enum shape_fault *fault, struct err *e, Work work)
{
	*fault = SHAPE_SOUND;
	try {
		work();
		return 0;
	} catch (const trouble &t) {
		*fault = t.fault;
		return err_set(e, t.kind, "%s", t.text);
	} catch (const std::bad_alloc &) {
		*fault = SHAPE_NO_MEMORY;
		return err_set(e, ERR_MEM, "%s: out of memory; use a simpler shape", doing);
	} catch (const Standard_OutOfMemory &) {
		*fault = SHAPE_NO_MEMORY;
		return err_set(e, ERR_MEM, "%s: out of memory; use a simpler shape", doing);
	} catch (const Standard_Failure &f) {
		const char *said = f.GetMessageString();
		*fault = SHAPE_DAMAGED;
		return err_set(e, ERR_INPUT, "%s: the CAD kernel gave up (%s%s%.200s); %s", doing,
		               f.DynamicType()->Name(), said && *said ? ": " : "", said ? said : "",
		               "the shape is damaged: rebuild or export it again");
	} catch (const std::exception &x) {
		*fault = SHAPE_DAMAGED;
		return err_set(e, ERR_INPUT, "%s: %.200s; the shape is damaged: export it again",
		               doing, x.what());
	} catch (...) {
		*fault = SHAPE_DAMAGED;
		return err_set(e, ERR_INPUT, "%s: failed; the shape is damaged: export it again",
		               doing);
	}
}

/* ---- boxes ---- */

struct box3 {
	double lo[3], hi[3];
};

const box3 NO_BOX = { { INFINITY, INFINITY, INFINITY }, { -INFINITY, -INFINITY, -INFINITY } };

inline void box_add(box3 &b, const double p[3])
{
	for (int i = 0; i < 3; i++) {
		b.lo[i] = std::min(b.lo[i], p[i]);
		b.hi[i] = std::max(b.hi[i], p[i]);
	}
}

/* Between their nearest points; 0 when they touch. */
inline double box_gap(const box3 &p, const box3 &q)
{
	double sum = 0;

	for (int i = 0; i < 3; i++) {
		double one = std::max({ 0.0, q.lo[i] - p.hi[i], p.lo[i] - q.hi[i] });
		sum += one * one;
	}
	return std::sqrt(sum);
}

} // namespace

#endif
