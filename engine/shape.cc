/*
 * The order of work is: bytes -> TopoDS_Shape (bounded before anything walks it) -> figures ->
 * triangles. Where OCCT has a slow general way and the answer is known in closed form, the closed
 * form is used: the box of a torus, whether a bore goes through, which pairs of solids can be the
 * nearest. Measured beside each.
 */
#include "engine/shape_inside.hxx"

#include <BRepAdaptor_Curve.hxx>
#include <BRepAdaptor_Surface.hxx>
#include <BRepBndLib.hxx>
#include <BRepClass3d_SolidClassifier.hxx>
#include <BRepCheck_Analyzer.hxx>
#include <BRepExtrema_DistShapeShape.hxx>
#include <BRepGProp_Domain.hxx>
#include <BRepGProp_Face.hxx>
#include <BRepGProp_Sinert.hxx>
#include <BRepGProp_Vinert.hxx>
#include <BRepMesh_IncrementalMesh.hxx>
#include <BRepPrimAPI_MakeBox.hxx>
#include <BRepPrimAPI_MakeCylinder.hxx>
#include <BRepTools.hxx>
#include <BRepTopAdaptor_FClass2d.hxx>
#include <BRep_Builder.hxx>
#include <BRep_Tool.hxx>
#include <BinTools.hxx>
#include <BndLib_Add3dCurve.hxx>
#include <Bnd_Box.hxx>
#include <ElCLib.hxx>
#include <ElSLib.hxx>
#include <GProp_GProps.hxx>
#include <Geom2dAdaptor_Curve.hxx>
#include <Geom2d_Curve.hxx>
#include <Message.hxx>
#include <Message_Messenger.hxx>
#include <OSD_ThreadPool.hxx>
#include <Poly_Triangulation.hxx>
#include <Precision.hxx>
#include <Standard_Failure.hxx>
#include <Standard_OutOfMemory.hxx>
#include <Standard_Version.hxx>
#include <TColgp_HArray1OfPnt.hxx>
#include <Poly_HArray1OfTriangle.hxx>
#include <TopExp.hxx>
#include <TopExp_Explorer.hxx>
#include <TopTools_IndexedMapOfShape.hxx>
#include <TopoDS.hxx>
#include <TopoDS_Iterator.hxx>
#include <gp_Cylinder.hxx>
#include <gp_Sphere.hxx>
#include <gp_Torus.hxx>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <istream>
#include <map>
#include <new>
#include <streambuf>
#include <tuple>
#include <unordered_map>
#include <vector>

namespace
{

/* No sane part nests its compounds this deep, and every walk of OCCT's recurses once a level. */
const int NESTING_MAX = 200;
/* Walks of the tree visit a shared sub-shape once for each place it is used in. */
const double OCCURRENCES_PER_FACE = 64;
/* The search for the least distance is bounded by counts and not by a clock, so that the same shape
 * gets the same figures. BRepExtrema takes half a millisecond for two plane faces and some ten for
 * two curved ones (2026-11-22, one Xeon core). */
const int DISTANCE_FACES_MAX = 300;
const double DISTANCE_LOOKS_MAX = 2e7;
const double DISTANCE_SLACK = 1e-7; /* mm; no engineer's gap is decided below it */
const int DISTANCE_SOLIDS_MAX = 2000;
/* A bore may have a slit; a half-pipe or a fillet is no bore. */
const double HOLE_TURN_MIN = 0.9;
const size_t HOLE_PIECES_MAX = 2000;

/* ---- reading ---- */

/* A stream over bytes that stay where they are. */
class byte_stream : public std::streambuf
{
      public:
	byte_stream(const void *bytes, size_t len)
	{
		char *p = static_cast<char *>(const_cast<void *>(bytes));
		setg(p, p, p + len);
	}
	size_t used() const
	{
		return static_cast<size_t>(gptr() - eback());
	}

      protected:
	pos_type seekoff(off_type off, std::ios_base::seekdir from,
	                 std::ios_base::openmode) override
	{
		off_type size = egptr() - eback();
		off_type base = from == std::ios_base::beg   ? 0
		                : from == std::ios_base::cur ? gptr() - eback()
		                                             : size;
		if (off < -base || off > size - base)
			return pos_type(off_type(-1));
		setg(eback(), eback() + (base + off), egptr());
		return pos_type(base + off);
	}
	pos_type seekpos(pos_type pos, std::ios_base::openmode which) override
	{
		return seekoff(off_type(pos), std::ios_base::beg, which);
	}
};

bool has(const void *bytes, size_t len, const char *word, size_t *at)
{
	size_t look = std::min<size_t>(len, 256);
	const void *p = memmem(bytes, look, word, strlen(word));

	if (p)
		*at = static_cast<size_t>(static_cast<const char *>(p) -
		                          static_cast<const char *>(bytes));
	return p != nullptr;
}

/* The version digit after @word at @at; gives up when it is none that this kernel reads. */
void check_version(const char *text, size_t len, size_t at, const char *word, int newest)
{
	size_t digit = at + strlen(word);
	int v = digit < len ? text[digit] - '0' : -1;

	if (v < 1 || v > newest)
		give_up(SHAPE_DAMAGED, ERR_INPUT,
		        "BREP: byte %zu: version %.1s, this kernel (%s) reads 1 to %d; export it with an older version",
		        digit, digit < len ? text + digit : "?", OCC_VERSION_COMPLETE, newest);
}

/* OCCT reads words of text BREP into fixed buffers. */
void check_words(const char *text, size_t len)
{
	size_t from = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = static_cast<unsigned char>(text[i]);
		if (c <= ' ')
			from = i + 1;
		else if (i - from > 200)
			give_up(SHAPE_DAMAGED, ERR_INPUT,
			        "BREP: byte %zu: a word of more than 200 characters; the file is damaged",
			        from);
		if (c == 0)
			give_up(SHAPE_DAMAGED, ERR_INPUT,
			        "BREP: byte %zu: a NUL byte in text; the file is damaged", i);
	}
}

struct occurrences {
	double faces, all;
	bool done;
};

/* How often a walk will meet a face, and anything, below @s: a few bytes of compounds that hold the
 * same compound twice would otherwise keep every later step busy for ever. */
occurrences count_occurrences(const TopoDS_Shape &s,
                              std::unordered_map<const TopoDS_TShape *, occurrences> &seen,
                              int depth)
{
	const TopoDS_TShape *t = s.TShape().get();

	if (!t)
		give_up(SHAPE_DAMAGED, ERR_INPUT,
		        "BREP: a sub-shape is missing; the file is damaged: export it again");
	if (depth > NESTING_MAX)
		give_up(SHAPE_OVER_LIMIT, ERR_INPUT,
		        "BREP: nested deeper than %d levels; use flat compounds", NESTING_MAX);
	auto it = seen.find(t);
	if (it != seen.end()) {
		if (!it->second.done)
			give_up(SHAPE_DAMAGED, ERR_INPUT,
			        "BREP: a sub-shape contains itself; the file is damaged: export it again");
		return it->second;
	}
	seen[t] = { 0, 0, false };
	occurrences n = { s.ShapeType() == TopAbs_FACE ? 1.0 : 0.0, 1.0, true };
	for (TopoDS_Iterator i(s, Standard_False, Standard_False); i.More(); i.Next()) {
		/* the kernel looks things up by it, in tables of four */
		if (static_cast<unsigned>(i.Value().Orientation()) > TopAbs_EXTERNAL)
			give_up(SHAPE_DAMAGED, ERR_INPUT,
			        "BREP: a sub-shape has no orientation; the file is damaged: export it again");
		occurrences below = count_occurrences(i.Value(), seen, depth + 1);
		n.faces += below.faces;
		n.all += below.all;
	}
	seen[t] = n;
	return n;
}

void check_read(const TopoDS_Shape &s, const struct shape_limits *l)
{
	std::unordered_map<const TopoDS_TShape *, occurrences> seen;
	occurrences n = count_occurrences(s, seen, 0);
	double faces_max = static_cast<double>(l->faces_max);

	if (n.faces > faces_max)
		give_up(SHAPE_OVER_LIMIT, ERR_INPUT,
		        "shape has %.0f faces, at most %ld are scored; use fewer or simpler features",
		        n.faces, l->faces_max);
	if (n.all > 1e6 + OCCURRENCES_PER_FACE * faces_max)
		give_up(SHAPE_OVER_LIMIT, ERR_INPUT,
		        "shape has %.0f sub-shapes, at most %.0f are scored; use fewer or simpler features",
		        n.all, 1e6 + OCCURRENCES_PER_FACE * faces_max);
	if (n.all < 2 && s.ShapeType() != TopAbs_VERTEX)
		give_up(SHAPE_EMPTY, ERR_INPUT,
		        "shape is empty (a %s with nothing in it); a cut or an intersection may have removed everything",
		        s.ShapeType() == TopAbs_COMPOUND ? "compound" : "shape");

	int i = 0;
	for (TopExp_Explorer x(s, TopAbs_FACE); x.More(); x.Next(), i++) {
		TopLoc_Location where;
		if (BRep_Tool::Surface(TopoDS::Face(x.Current()), where).IsNull())
			give_up(SHAPE_DAMAGED, ERR_INPUT,
			        "BREP: face %d has no surface (triangles alone are no solid); export the exact shape",
			        i + 1);
	}
}

TopoDS_Shape read_brep(const void *bytes, size_t len, bool keep_triangles,
                       const struct shape_limits *l)
{
	static const char binary[] = "Open CASCADE Topology V";
	static const char text[] = "CASCADE Topology V";
	const char *chars = static_cast<const char *>(bytes);
	byte_stream buffer(bytes, len);
	std::istream in(&buffer);
	TopoDS_Shape s;

	/* OCCT's text reader goes on for a long while when words stop coming */
	in.exceptions(std::ios::badbit | std::ios::failbit);
	size_t at = 0;

	if (len == 0)
		give_up(SHAPE_DAMAGED, ERR_INPUT, "BREP: no bytes; export the shape again");
	try {
		if (has(bytes, len, binary, &at)) {
			check_version(chars, len, at, binary, 4);
			BinTools::Read(s, in);
		} else if (has(bytes, len, text, &at)) {
			check_version(chars, len, at, text, 3);
			check_words(chars, len);
			BRepTools::Read(s, in, BRep_Builder());
		} else {
			give_up(SHAPE_DAMAGED, ERR_INPUT,
			        "BREP: byte 0: neither binary nor text BREP begins so; export the shape as BREP");
		}
	} catch (const Standard_OutOfMemory &) {
		throw;
	} catch (const Standard_Failure &f) {
		give_up(SHAPE_DAMAGED, ERR_INPUT,
		        "BREP: near byte %zu of %zu: %s; the file is damaged or cut off: export it again",
		        buffer.used(), len, f.DynamicType()->Name());
	} catch (const std::ios_base::failure &) {
		give_up(SHAPE_DAMAGED, ERR_INPUT,
		        "BREP: near byte %zu of %zu: something else was expected; the file is damaged or cut off: export it again",
		        buffer.used(), len);
	}
	if (s.IsNull() || in.bad())
		give_up(SHAPE_DAMAGED, ERR_INPUT,
		        "BREP: near byte %zu of %zu: no shape could be read; the file is damaged or cut off: export it again",
		        buffer.used(), len);
	check_read(s, l);
	if (!keep_triangles)
		BRepTools::Clean(s, Standard_True);
	return s;
}

/* ---- box ---- */

void box_add(box3 &b, const gp_Pnt &p)
{
	for (int i = 0; i < 3; i++) {
		b.lo[i] = std::min(b.lo[i], p.Coord(i + 1));
		b.hi[i] = std::max(b.hi[i], p.Coord(i + 1));
	}
}

bool box_holds(const box3 &b, const gp_Pnt &p)
{
	for (int i = 0; i < 3; i++)
		if (!(p.Coord(i + 1) >= b.lo[i] && p.Coord(i + 1) <= b.hi[i]))
			return false;
	return true;
}

void box_add(box3 &b, const Bnd_Box &o)
{
	double c[6];

	if (o.IsVoid())
		return;
	o.Get(c[0], c[1], c[2], c[3], c[4], c[5]);
	box_add(b, gp_Pnt(c[0], c[1], c[2]));
	box_add(b, gp_Pnt(c[3], c[4], c[5]));
}

bool box_holds(const box3 &b, const Bnd_Box &o, double slack)
{
	double c[6];

	if (o.IsVoid())
		return true;
	o.Get(c[0], c[1], c[2], c[3], c[4], c[5]);
	for (int i = 0; i < 3; i++)
		if (!(c[i] >= b.lo[i] - slack && c[i + 3] <= b.hi[i] + slack))
			return false;
	return true;
}

/* Where the normal of a sphere or torus is along x, y or z. */
void extreme_points(const BRepAdaptor_Surface &surface, std::vector<gp_Pnt> &out)
{
	static const gp_Dir along[3] = { gp_Dir(1, 0, 0), gp_Dir(0, 1, 0), gp_Dir(0, 0, 1) };
	bool sphere = surface.GetType() == GeomAbs_Sphere;
	gp_Ax3 frame = sphere ? surface.Sphere().Position() : surface.Torus().Position();
	gp_XYZ center = frame.Location().XYZ();

	for (const gp_Dir &d : along) {
		for (int sign = -1; sign <= 1; sign += 2) {
			gp_XYZ n = d.XYZ() * sign;
			if (sphere) {
				out.push_back(gp_Pnt(center + n * surface.Sphere().Radius()));
				continue;
			}
			gp_XYZ z = frame.Direction().XYZ();
			gp_XYZ flat = n - z * n.Dot(z);
			if (flat.Modulus() < 1e-12) /* a whole circle is extreme: any point of it */
				flat = frame.XDirection().XYZ();
			flat.Normalize();
			for (int side = -1; side <= 1; side += 2)
				out.push_back(gp_Pnt(center +
				                     flat * (side * surface.Torus().MajorRadius()) +
				                     n * surface.Torus().MinorRadius()));
		}
	}
}

/* The least box, without tolerances. A face reaches furthest at an edge or where its normal is
 * along an axis; planes, cylinders, cones and extrusions have no such inner point of their own,
 * spheres and tori six or twelve, and only free-form faces are left to OCCT's search, which takes
 * 25 ms for a torus (2026-11-22). */
bool least_box(const TopoDS_Shape &s, box3 &b)
{
	TopTools_IndexedMapOfShape points, edges, faces;
	std::vector<BRepAdaptor_Curve> free_edges;

	for (int i = 0; i < 3; i++) {
		b.lo[i] = INFINITY;
		b.hi[i] = -INFINITY;
	}
	TopExp::MapShapes(s, TopAbs_VERTEX, points);
	TopExp::MapShapes(s, TopAbs_EDGE, edges);
	TopExp::MapShapes(s, TopAbs_FACE, faces);
	for (int i = 1; i <= points.Extent(); i++)
		box_add(b, BRep_Tool::Pnt(TopoDS::Vertex(points(i))));
	for (int i = 1; i <= edges.Extent(); i++) {
		const TopoDS_Edge &edge = TopoDS::Edge(edges(i));
		if (BRep_Tool::Degenerated(edge))
			continue;
		BRepAdaptor_Curve c(edge);
		Bnd_Box cb;
		if (Precision::IsInfinite(c.FirstParameter()) ||
		    Precision::IsInfinite(c.LastParameter()))
			return false;
		switch (c.GetType()) {
		case GeomAbs_Line:
			box_add(b, c.Value(c.FirstParameter()));
			box_add(b, c.Value(c.LastParameter()));
			break;
		case GeomAbs_Circle:
		case GeomAbs_Ellipse:
			BndLib_Add3dCurve::Add(c, 0, cb);
			box_add(b, cb);
			break;
		default:
			free_edges.push_back(c);
		}
	}
	for (const BRepAdaptor_Curve &c : free_edges) {
		Bnd_Box rough, exact;
		BndLib_Add3dCurve::Add(c, 0, rough);
		if (box_holds(b, rough, 1e-7))
			continue;
		BndLib_Add3dCurve::AddOptimal(c, 1e-8, exact);
		exact.SetGap(0);
		box_add(b, exact);
	}
	for (int i = 1; i <= faces.Extent(); i++) {
		const TopoDS_Face &face = TopoDS::Face(faces(i));
		BRepAdaptor_Surface surface(face, Standard_False);
		std::vector<gp_Pnt> extremes;
		Bnd_Box rough, exact;
		switch (surface.GetType()) {
		case GeomAbs_Plane:
		case GeomAbs_Cylinder:
		case GeomAbs_Cone:
		case GeomAbs_SurfaceOfExtrusion:
			break;
		case GeomAbs_Sphere:
		case GeomAbs_Torus:
			extreme_points(surface, extremes);
			extremes.erase(
				std::remove_if(extremes.begin(), extremes.end(),
			                       [&](const gp_Pnt &p) { return box_holds(b, p); }),
				extremes.end());
			if (!extremes.empty()) {
				BRepTopAdaptor_FClass2d inside(face, Precision::PConfusion());
				for (const gp_Pnt &p : extremes) {
					double u, v;
					if (surface.GetType() == GeomAbs_Sphere)
						ElSLib::Parameters(surface.Sphere(), p, u, v);
					else
						ElSLib::Parameters(surface.Torus(), p, u, v);
					if (inside.Perform(gp_Pnt2d(u, v)) != TopAbs_OUT)
						box_add(b, p);
				}
			}
			break;
		default:
			BRepBndLib::Add(face, rough, Standard_False);
			rough.SetGap(0);
			if (!box_holds(b, rough, 1e-7)) {
				BRepBndLib::AddOptimal(face, exact, Standard_False, Standard_False);
				exact.SetGap(0);
				box_add(b, exact);
			}
		}
	}
	for (int i = 0; i < 3; i++)
		if (!std::isfinite(b.lo[i]) || !std::isfinite(b.hi[i]) ||
		    Precision::IsInfinite(b.lo[i]) || Precision::IsInfinite(b.hi[i]))
			return false;
	return true;
}

/* ---- topology ---- */

/* Genus of one closed shell, or -1 when Euler's formula says that it is no closed 2-manifold.
 * Degenerate edges (a sphere's poles) are points, and vertices already. A face is a disc with
 * wires - 1 holes: what is closed in OCCT is cut open by its seam edges. */
int shell_genus(const TopoDS_Shape &shell)
{
	TopTools_IndexedMapOfShape vertices, edges, faces;
	long euler = 0;

	TopExp::MapShapes(shell, TopAbs_VERTEX, vertices);
	TopExp::MapShapes(shell, TopAbs_EDGE, edges);
	TopExp::MapShapes(shell, TopAbs_FACE, faces);
	euler += vertices.Extent();
	for (int i = 1; i <= edges.Extent(); i++)
		if (!BRep_Tool::Degenerated(TopoDS::Edge(edges(i))))
			euler--;
	for (int i = 1; i <= faces.Extent(); i++) {
		long wires = 0;
		for (TopoDS_Iterator w(faces(i)); w.More(); w.Next())
			wires += w.Value().ShapeType() == TopAbs_WIRE;
		euler += 2 - wires;
	}
	if (euler > 2 || euler % 2 != 0)
		return -1;
	return static_cast<int>((2 - euler) / 2);
}

int count(const TopoDS_Shape &s, TopAbs_ShapeEnum kind)
{
	TopTools_IndexedMapOfShape m;

	TopExp::MapShapes(s, kind, m);
	return m.Extent();
}

bool all_shells_closed(const TopoDS_Shape &s)
{
	bool any = false;

	for (TopExp_Explorer x(s, TopAbs_SHELL); x.More(); x.Next()) {
		any = true;
		if (!BRep_Tool::IsClosed(x.Current()))
			return false;
	}
	return any;
}

void measure_topology(const TopoDS_Shape &s, struct geometry *g)
{
	TopTools_IndexedMapOfShape shells;

	g->solids = count(s, TopAbs_SOLID);
	g->faces = count(s, TopAbs_FACE);
	g->edges = count(s, TopAbs_EDGE);
	g->vertices = count(s, TopAbs_VERTEX);
	TopExp::MapShapes(s, TopAbs_SHELL, shells);
	g->shells = shells.Extent();

	bool manifold = true;
	int closed = 0, genus = 0;
	for (int i = 1; i <= shells.Extent(); i++) {
		if (!BRep_Tool::IsClosed(shells(i)))
			continue;
		closed++;
		int one = shell_genus(shells(i));
		if (one < 0)
			manifold = false;
		genus += one;
	}
	g->genus = closed && manifold ? genus : -1;
	TopExp_Explorer loose(s, TopAbs_FACE, TopAbs_SHELL);
	g->closed = closed > 0 && closed == shells.Extent() && !loose.More();
}

/* ---- distance ---- */

struct solid_parts {
	box3 box;
	std::vector<TopoDS_Face> faces;
	std::vector<box3> boxes; /* of the faces, never too small */
};

struct gap {
	double d;
	int a, b;
	bool operator<(const gap &o) const
	{
		return std::tie(d, a, b) < std::tie(o.d, o.a, o.b);
	}
};

bool box_within(const box3 &in, const box3 &out)
{
	for (int i = 0; i < 3; i++)
		if (in.lo[i] < out.lo[i] || in.hi[i] > out.hi[i])
			return false;
	return true;
}

/* Is @inner, whose surface does not touch that of @outer, inside its material? */
bool inside(const TopoDS_Shape &inner, const TopoDS_Shape &outer)
{
	TopExp_Explorer x(inner, TopAbs_VERTEX);

	if (!x.More())
		return false;
	BRepClass3d_SolidClassifier c(outer, BRep_Tool::Pnt(TopoDS::Vertex(x.Current())),
	                              Precision::Confusion());
	return c.State() == TopAbs_IN;
}

/* Nearest boxes first, of solids and then of their faces: once the boxes are as far apart as the
 * best pair, so is all that is left. Without that, 130 boxes in a grid take a second. */
double min_distance(const TopoDS_Shape &s)
{
	TopTools_IndexedMapOfShape solids;
	std::vector<solid_parts> parts;
	std::vector<gap> pairs;
	double best = INFINITY, looks = 0;
	int measured = 0;

	TopExp::MapShapes(s, TopAbs_SOLID, solids);
	int n = solids.Extent();
	if (n < 2 || n > DISTANCE_SOLIDS_MAX)
		return NAN;
	for (int i = 1; i <= n; i++) {
		solid_parts p;
		if (!least_box(solids(i), p.box))
			return NAN;
		for (TopExp_Explorer x(solids(i), TopAbs_FACE); x.More(); x.Next()) {
			Bnd_Box b;
			box3 c = { { INFINITY, INFINITY, INFINITY },
				   { -INFINITY, -INFINITY, -INFINITY } };
			BRepBndLib::Add(x.Current(), b, Standard_False);
			if (b.IsVoid())
				continue;
			box_add(c, b);
			for (int k = 0; k < 3; k++) {
				c.lo[k] = std::max(c.lo[k], p.box.lo[k]);
				c.hi[k] = std::min(c.hi[k], p.box.hi[k]);
			}
			p.faces.push_back(TopoDS::Face(x.Current()));
			p.boxes.push_back(c);
		}
		parts.push_back(p);
	}
	for (int i = 0; i < n; i++)
		for (int k = i + 1; k < n; k++)
			pairs.push_back({ box_gap(parts[static_cast<size_t>(i)].box,
			                          parts[static_cast<size_t>(k)].box),
			                  i, k });
	std::sort(pairs.begin(), pairs.end());
	for (const gap &pair : pairs) {
		const solid_parts &p = parts[static_cast<size_t>(pair.a)];
		const solid_parts &q = parts[static_cast<size_t>(pair.b)];
		std::vector<gap> near;

		if (pair.d >= best - DISTANCE_SLACK)
			break;
		looks += static_cast<double>(p.faces.size()) * static_cast<double>(q.faces.size());
		if (looks > DISTANCE_LOOKS_MAX)
			return NAN;
		for (size_t i = 0; i < p.boxes.size(); i++) {
			if (box_gap(p.boxes[i], q.box) >= best - DISTANCE_SLACK)
				continue;
			for (size_t k = 0; k < q.boxes.size(); k++) {
				double d = box_gap(p.boxes[i], q.boxes[k]);
				if (d < best - DISTANCE_SLACK)
					near.push_back(
						{ d, static_cast<int>(i), static_cast<int>(k) });
			}
		}
		std::sort(near.begin(), near.end());
		for (const gap &f : near) {
			if (f.d >= best - DISTANCE_SLACK)
				break;
			if (++measured > DISTANCE_FACES_MAX)
				return NAN;
			BRepExtrema_DistShapeShape d(p.faces[static_cast<size_t>(f.a)],
			                             q.faces[static_cast<size_t>(f.b)],
			                             Extrema_ExtFlag_MIN);
			if (!d.IsDone() || d.NbSolution() < 1)
				return NAN;
			best = std::min(best, d.Value());
			if (best < Precision::Confusion())
				return 0;
		}
		if ((box_within(p.box, q.box) && inside(solids(pair.a + 1), solids(pair.b + 1))) ||
		    (box_within(q.box, p.box) && inside(solids(pair.b + 1), solids(pair.a + 1))))
			return 0;
	}
	return best;
}

/* ---- holes ---- */

/* One concave cylindrical face, seen along its axis line. */
struct bore_piece {
	int face;         /* index in the solid's face map */
	gp_XYZ dir, foot; /* the axis; its point nearest to the origin */
	double radius;
	double t0, t1; /* along the axis, from the foot */
	double a0, a1; /* angles, in the frame of bore_frame() */
};

struct edge_use {
	int face;
	bool reversed;
	TopoDS_Edge edge;
};

struct solid_map {
	TopTools_IndexedMapOfShape faces, edges;
	std::vector<std::vector<edge_use>> uses; /* of edge i + 1 */
};

gp_XYZ axis_direction(gp_XYZ d)
{
	for (int i = 1; i <= 3; i++) {
		if (std::fabs(d.Coord(i)) < 1e-9) {
			d.SetCoord(i, 0);
			continue;
		}
		if (d.Coord(i) < 0)
			d.Reverse();
		break;
	}
	for (int i = 1; i <= 3; i++)
		if (std::fabs(d.Coord(i)) < 1e-12)
			d.SetCoord(i, 0); /* and no minus zero */
	d.Normalize();
	return d;
}

void bore_frame(const gp_XYZ &dir, gp_XYZ &x, gp_XYZ &y)
{
	gp_XYZ help = std::fabs(dir.X()) < 0.6 ? gp_XYZ(1, 0, 0) : gp_XYZ(0, 1, 0);

	x = help - dir * help.Dot(dir);
	x.Normalize();
	y = dir.Crossed(x);
}

bool bore_piece_of(const TopoDS_Face &face, int index, bore_piece &out)
{
	BRepAdaptor_Surface surface(face, Standard_False);
	double u0, u1, v0, v1;
	gp_XYZ x, y;

	if (surface.GetType() != GeomAbs_Cylinder)
		return false;
	gp_Cylinder c = surface.Cylinder();
	bool outward = c.Position().Direct() != (face.Orientation() == TopAbs_REVERSED);
	if (outward || !(c.Radius() > 0))
		return false;
	BRepTools::UVBounds(face, u0, u1, v0, v1);
	gp_XYZ along = c.Position().Direction().XYZ(), at = c.Position().Location().XYZ();
	out.face = index;
	out.radius = c.Radius();
	out.dir = axis_direction(along);
	double here = at.Dot(out.dir), sense = along.Dot(out.dir) < 0 ? -1 : 1;
	out.foot = at - out.dir * here;
	out.t0 = here + std::min(sense * v0, sense * v1);
	out.t1 = here + std::max(sense * v0, sense * v1);
	bore_frame(out.dir, x, y);
	gp_XYZ ux = c.Position().XDirection().XYZ(), uy = c.Position().YDirection().XYZ();
	double from = std::atan2(ux.Dot(y), ux.Dot(x));
	double turn = ux.Crossed(uy).Dot(out.dir) < 0 ? -1 : 1;
	out.a0 = from + std::min(turn * u0, turn * u1);
	out.a1 = from + std::max(turn * u0, turn * u1);
	return out.t1 > out.t0 && std::isfinite(out.t0) && std::isfinite(out.t1);
}

double bore_slack(const bore_piece &p)
{
	return 1e-6 * std::max(p.radius, 1e-1) + 1e-11 * p.foot.Modulus();
}

bool same_bore(const bore_piece &p, const bore_piece &q)
{
	double slack = bore_slack(p);

	return std::fabs(p.radius - q.radius) < slack && (p.foot - q.foot).Modulus() < 2 * slack &&
	       (p.dir - q.dir).Modulus() < 1e-7;
}

/* The share of the full turn that the pieces over the slab [t0, t1] cover together. */
double turn_share(const std::vector<const bore_piece *> &pieces, double t0, double t1)
{
	const double full = 2 * M_PI;
	std::vector<std::pair<double, double>> arcs;

	for (const bore_piece *p : pieces) {
		if (p->t0 > t0 + 1e-9 * (1 + std::fabs(t0)) ||
		    p->t1 < t1 - 1e-9 * (1 + std::fabs(t1)))
			continue;
		double span = p->a1 - p->a0;
		if (span >= full - 1e-9)
			return 1;
		double a = std::fmod(p->a0, full);
		a = a < 0 ? a + full : a;
		arcs.push_back({ a, std::min(a + span, full) });
		if (a + span > full)
			arcs.push_back({ 0, a + span - full });
	}
	std::sort(arcs.begin(), arcs.end());
	double covered = 0, upto = 0;
	for (const auto &arc : arcs) {
		double from = std::max(arc.first, upto);
		if (arc.second > from) {
			covered += arc.second - from;
			upto = arc.second;
		}
	}
	return covered / full;
}

/* Does the wall of the bore narrow where it ends at edge @u of the face next to it? 1: yes, a floor
 * or a tip; -1: no, it opens; 0: this edge does not tell. */
int narrows_at(const edge_use &u, const TopoDS_Face &next, const bore_piece &bore, double *t)
{
	double first, last;
	Handle(Geom2d_Curve) trace = BRep_Tool::CurveOnSurface(u.edge, next, first, last);
	if (trace.IsNull() || !std::isfinite(first) || !std::isfinite(last))
		return 0;
	BRepAdaptor_Surface surface(next, Standard_False);
	gp_Pnt2d uv;
	gp_Vec2d step;
	gp_Pnt p;
	gp_Vec du, dv;
	trace->D1((first + last) / 2, uv, step);
	surface.D1(uv.X(), uv.Y(), p, du, dv);
	gp_XYZ tangent = (du * step.X() + dv * step.Y()).XYZ();
	gp_XYZ normal = du.Crossed(dv).XYZ();
	if (tangent.Modulus() < 1e-12 || normal.Modulus() < 1e-12)
		return 0;
	tangent.Normalize();
	normal.Normalize();
	if (std::fabs(tangent.Dot(bore.dir)) > 0.999)
		return 0; /* a side of the wall, not an end of it */
	*t = p.XYZ().Dot(bore.dir);
	gp_XYZ inward = normal.Crossed(tangent) * (u.reversed ? -1 : 1);
	gp_XYZ radial = p.XYZ() - bore.foot - bore.dir * *t;
	if (radial.Modulus() < 1e-12)
		return 0;
	radial.Normalize();
	double s = inward.Dot(radial);
	if (std::fabs(s) > 1e-3)
		return s < 0 ? 1 : -1;
	/* a rounded floor or a rounded mouth begins along the wall: look at its middle */
	double u0, u1, v0, v1;
	BRepTools::UVBounds(next, u0, u1, v0, v1);
	gp_XYZ mid = surface.Value((u0 + u1) / 2, (v0 + v1) / 2).XYZ() - bore.foot;
	double far = (mid - bore.dir * mid.Dot(bore.dir)).Modulus();
	return far < bore.radius * (1 - 1e-6) ? 1 : -1;
}

bool is_through(const solid_map &m, const std::vector<const bore_piece *> &pieces, double t0,
                double t1)
{
	std::vector<int> own;

	for (const bore_piece *p : pieces)
		own.push_back(p->face);
	std::sort(own.begin(), own.end());
	for (const bore_piece *p : pieces) {
		for (TopExp_Explorer x(m.faces(p->face), TopAbs_EDGE); x.More(); x.Next()) {
			int e = m.edges.FindIndex(x.Current());
			if (!e || BRep_Tool::Degenerated(TopoDS::Edge(x.Current())))
				continue;
			for (const edge_use &u : m.uses[static_cast<size_t>(e - 1)]) {
				double t = 0;
				if (std::binary_search(own.begin(), own.end(), u.face))
					continue;
				int narrow = narrows_at(u, TopoDS::Face(m.faces(u.face)), *p, &t);
				if (narrow <= 0)
					continue;
				/* a step in the middle of a wall is no floor */
				if (std::min(std::fabs(t - t0), std::fabs(t - t1)) <=
				    0.25 * (t1 - t0))
					return false;
			}
		}
	}
	return true;
}

void map_solid(const TopoDS_Shape &solid, solid_map &m)
{
	TopExp::MapShapes(solid, TopAbs_FACE, m.faces);
	TopExp::MapShapes(solid, TopAbs_EDGE, m.edges);
	m.uses.resize(static_cast<size_t>(m.edges.Extent()));
	for (int f = 1; f <= m.faces.Extent(); f++) {
		TopoDS_Shape forward = m.faces(f).Oriented(TopAbs_FORWARD);
		for (TopExp_Explorer x(forward, TopAbs_EDGE); x.More(); x.Next()) {
			int e = m.edges.FindIndex(x.Current());
			if (e)
				m.uses[static_cast<size_t>(e - 1)].push_back(
					{ f, x.Current().Orientation() == TopAbs_REVERSED,
				          TopoDS::Edge(x.Current()) });
		}
	}
}

void add_hole(std::vector<hole> &out, const bore_piece &bore, double t0, double t1, bool through)
{
	hole h;
	gp_XYZ mid = bore.foot + bore.dir * ((t0 + t1) / 2);

	for (int i = 0; i < 3; i++) {
		h.axis[i] = bore.dir.Coord(i + 1);
		h.center_mm[i] = mid.Coord(i + 1);
	}
	h.diameter_mm = 2 * bore.radius;
	h.depth_mm = t1 - t0;
	h.through = through;
	out.push_back(h);
}

/* Cuts the axis where pieces begin and end, keeps the stretches whose wall goes (nearly) all the
 * way round, and joins neighbours. */
void holes_on_axis(const solid_map &m, const std::vector<const bore_piece *> &pieces,
                   std::vector<hole> &out)
{
	std::vector<double> cuts;
	double slack = 1e-7 + bore_slack(*pieces[0]);

	if (pieces.size() > HOLE_PIECES_MAX)
		return;
	double turn = 0;
	for (const bore_piece *p : pieces) {
		cuts.push_back(p->t0);
		cuts.push_back(p->t1);
		turn += p->a1 - p->a0;
	}
	if (turn < HOLE_TURN_MIN * 2 * M_PI)
		return;
	std::sort(cuts.begin(), cuts.end());
	double from = NAN, upto = NAN;
	for (size_t i = 0; i < cuts.size(); i++) {
		bool last = i + 1 == cuts.size();
		if (!last && cuts[i + 1] - cuts[i] < slack)
			continue;
		bool wall = !last && turn_share(pieces, cuts[i], cuts[i + 1]) >= HOLE_TURN_MIN;
		if (wall) {
			from = std::isnan(from) ? cuts[i] : from;
			upto = cuts[i + 1];
		} else if (!std::isnan(from)) {
			std::vector<const bore_piece *> own;
			for (const bore_piece *p : pieces)
				if (p->t1 > from + slack && p->t0 < upto - slack)
					own.push_back(p);
			add_hole(out, *own[0], from, upto, is_through(m, own, from, upto));
			from = NAN;
		}
	}
}

void holes_in_solid(const TopoDS_Shape &solid, std::vector<hole> &out)
{
	std::vector<bore_piece> pieces;
	solid_map m;
	int f = 0;

	for (TopExp_Explorer x(solid, TopAbs_FACE); x.More(); x.Next()) {
		bore_piece p;
		f++;
		if (bore_piece_of(TopoDS::Face(x.Current()), 0, p)) {
			if (m.faces.IsEmpty())
				map_solid(solid, m);
			p.face = m.faces.FindIndex(x.Current());
			pieces.push_back(p);
		}
	}
	/* the same axis within the slack: neighbours in a grid of coarser cells */
	typedef std::tuple<long, long, long> cell;
	std::map<cell, std::vector<size_t>> grid;
	auto cell_of = [](const bore_piece &p, int dx, int dy, int dz) {
		const double size = 1e-2;
		return cell(static_cast<long>(std::floor(p.foot.X() / size)) + dx,
		            static_cast<long>(std::floor(p.foot.Y() / size)) + dy,
		            static_cast<long>(std::floor(p.foot.Z() / size)) + dz);
	};
	std::vector<std::vector<const bore_piece *>> groups;
	std::vector<size_t> heads;
	for (size_t i = 0; i < pieces.size(); i++) {
		bool found = false;
		for (int k = 0; k < 27 && !found; k++) {
			auto it =
				grid.find(cell_of(pieces[i], k % 3 - 1, k / 3 % 3 - 1, k / 9 - 1));
			if (it == grid.end())
				continue;
			for (size_t g : it->second) {
				if (same_bore(*groups[g][0], pieces[i])) {
					groups[g].push_back(&pieces[i]);
					found = true;
					break;
				}
			}
		}
		if (!found) {
			grid[cell_of(pieces[i], 0, 0, 0)].push_back(groups.size());
			groups.push_back({ &pieces[i] });
		}
	}
	for (const auto &g : groups)
		holes_on_axis(m, g, out);
}

/* By place, so that the order does not hang on how the kernel numbered the faces. */
bool hole_before(const hole &p, const hole &q)
{
	for (int i = 0; i < 3; i++) {
		double a = std::round(p.center_mm[i] * 1e6), b = std::round(q.center_mm[i] * 1e6);
		if (a != b)
			return a < b;
	}
	if (p.diameter_mm != q.diameter_mm)
		return p.diameter_mm < q.diameter_mm;
	for (int i = 0; i < 3; i++)
		if (p.axis[i] != q.axis[i])
			return p.axis[i] < q.axis[i];
	return false;
}

/* ---- what does not depend on the place ---- */

/* A shape without its location: what a part is by itself is asked once, however many times an
 * assembly holds it. */
typedef std::pair<const TopoDS_TShape *, TopAbs_Orientation> leaf_key;

leaf_key key_of(const TopoDS_Shape &s)
{
	return leaf_key(s.TShape().get(), s.Orientation());
}

/* May @s be asked where it was made, in place of where it lies? Not when its location scales or
 * mirrors (a damaged file's may), nor so far out that coordinates lose the digits which the
 * kernel's tolerances stand on. */
bool moved_rigidly(const TopoDS_Shape &s)
{
	if (s.Location().IsIdentity())
		return true;
	const gp_Trsf &t = s.Location().Transformation();
	return std::fabs(t.ScaleFactor() - 1) < 1e-12 && !t.IsNegative() &&
	       t.TranslationPart().Modulus() < 1e5;
}

/* BRepCheck has nothing to say of a compound but what it says of its members, and a millisecond to
 * spend on each: 260 copies of a part cost 250 ms at once, asked once 1 ms (2026-11-22). */
bool all_valid(const TopoDS_Shape &s, std::map<leaf_key, bool> &checked)
{
	if (s.ShapeType() == TopAbs_COMPOUND) {
		for (TopoDS_Iterator i(s); i.More(); i.Next())
			if (!all_valid(i.Value(), checked))
				return false;
		return true;
	}
	if (!moved_rigidly(s))
		return BRepCheck_Analyzer(s).IsValid();
	auto found = checked.find(key_of(s));
	if (found != checked.end())
		return found->second;
	bool valid = BRepCheck_Analyzer(s.Located(TopLoc_Location())).IsValid();
	checked[key_of(s)] = valid;
	return valid;
}

/* ---- volume, area, inertia ---- */

/* Integrals over a flat region in its own plane: of 1, u, v, uu, uv, vv. */
struct flat_moments {
	double a, u, v, uu, uv, vv;
};

/* Green's theorem for the homogeneous 1, u, v, uu ... : the integral of one of degree k is that of
 * it times (u dv - v du) along the border, over k + 2. */
void add_segment(flat_moments &m, const gp_XY &p, const gp_XY &q)
{
	double w = p.Crossed(q), pu = p.X(), pv = p.Y(), qu = q.X(), qv = q.Y();

	m.a += w / 2;
	m.u += w * (pu + qu) / 6;
	m.v += w * (pv + qv) / 6;
	m.uu += w * (pu * pu + pu * qu + qu * qu) / 12;
	m.vv += w * (pv * pv + pv * qv + qv * qv) / 12;
	m.uv += w * (2 * pu * pv + pu * qv + qu * pv + 2 * qu * qv) / 24;
}

/* An arc of a circle or an ellipse: center + x cos t + y sin t. Eight Gauss points on an eighth of
 * a turn are exact to rounding for the fourth power of sines. */
void add_arc(flat_moments &m, const gp_XY &center, const gp_XY &x, const gp_XY &y, double t0,
             double t1)
{
	static const double at[4] = { 0.1834346424956498, 0.5255324099163290, 0.7966664774136267,
		                      0.9602898564975363 };
	static const double weight[4] = { 0.3626837833783620, 0.3137066458778873,
		                          0.2223810344533745, 0.1012285362903763 };
	int n = std::max(1, static_cast<int>(std::ceil(std::fabs(t1 - t0) / (M_PI / 4))));

	for (int i = 0; i < 8 * n; i++) {
		int k = i % 8;
		double half = (t1 - t0) / n / 2, mid = t0 + half * (2 * (i / 8) + 1);
		double t = mid + (k < 4 ? half : -half) * at[k % 4];
		double c = std::cos(t), s = std::sin(t);
		gp_XY p = center + x * c + y * s, d = y * c - x * s;
		double w = half * weight[k % 4] * p.Crossed(d);
		m.a += w / 2;
		m.u += w * p.X() / 3;
		m.v += w * p.Y() / 3;
		m.uu += w * p.X() * p.X() / 4;
		m.uv += w * p.X() * p.Y() / 4;
		m.vv += w * p.Y() * p.Y() / 4;
	}
}

/* The moments of a face in a plane about @origin (in the plane's u, v), when its border is of
 * segments and arcs; false: ask OCCT. */
bool flat_face(const TopoDS_Face &face, const gp_XY &origin, flat_moments &m)
{
	bool any = false;

	m = flat_moments();
	for (TopExp_Explorer x(face.Oriented(TopAbs_FORWARD), TopAbs_EDGE); x.More(); x.Next()) {
		const TopoDS_Edge &edge = TopoDS::Edge(x.Current());
		double t0, t1;
		if (edge.Orientation() != TopAbs_FORWARD && edge.Orientation() != TopAbs_REVERSED)
			continue;
		Handle(Geom2d_Curve) trace = BRep_Tool::CurveOnSurface(edge, face, t0, t1);
		if (trace.IsNull() || Precision::IsInfinite(t0) || Precision::IsInfinite(t1))
			return false;
		if (edge.Orientation() == TopAbs_REVERSED)
			std::swap(t0, t1);
		Geom2dAdaptor_Curve c(trace);
		gp_Ax22d frame;
		double r1, r2;
		any = true;
		switch (c.GetType()) {
		case GeomAbs_Line:
			add_segment(m, c.Value(t0).XY() - origin, c.Value(t1).XY() - origin);
			continue;
		case GeomAbs_Circle:
			frame = c.Circle().Axis();
			r1 = r2 = c.Circle().Radius();
			break;
		case GeomAbs_Ellipse:
			frame = c.Ellipse().Axis();
			r1 = c.Ellipse().MajorRadius();
			r2 = c.Ellipse().MinorRadius();
			break;
		default:
			return false;
		}
		add_arc(m, frame.Location().XY() - origin, frame.XDirection().XY() * r1,
		        frame.YDirection().XY() * r2, t0, t1);
	}
	return any;
}

/* OCCT's sum of integrals about a point, with a door to put our own in. */
class flat_props : public GProp_GProps
{
      public:
	/* Of the cone from @about over a flat face whose plane, axes @x, @y and normal @n, is @d
	 * along @n from it. */
	flat_props(const gp_Pnt &about, const flat_moments &m, double d, bool reversed,
	           const gp_XYZ &n, const gp_XYZ &x, const gp_XYZ &y)
	    : GProp_GProps(about)
	{
		double s = reversed ? -d : d, xx[3][3];

		dim = s * m.a / 3;
		gp_XYZ first = (n * (d * m.a) + x * m.u + y * m.v) * (s / 4);
		g = gp_Pnt(std::fabs(dim) > 0 ? first / dim : gp_XYZ(0, 0, 0));
		for (int i = 1; i <= 3; i++) {
			for (int k = 1; k <= 3; k++) {
				double ni = n.Coord(i), nk = n.Coord(k), xi = x.Coord(i),
				       xk = x.Coord(k), yi = y.Coord(i), yk = y.Coord(k);
				xx[i - 1][k - 1] =
					s / 5 *
					(d * d * m.a * ni * nk + d * m.u * (ni * xk + xi * nk) +
				         d * m.v * (ni * yk + yi * nk) + m.uu * xi * xk +
				         m.uv * (xi * yk + yi * xk) + m.vv * yi * yk);
			}
		}
		inertia = gp_Mat(xx[1][1] + xx[2][2], -xx[0][1], -xx[0][2], -xx[1][0],
		                 xx[0][0] + xx[2][2], -xx[1][2], -xx[2][0], -xx[2][1],
		                 xx[0][0] + xx[1][1]);
	}
};

/* Adds the area of @face, and to @volume, unless NULL, the cone over it from @about. Flat faces,
 * most of an engineer's, are done in closed form: an eighth of the time of two integrations
 * (2026-11-22). */
void add_face(const TopoDS_Face &face, const gp_Pnt &about, double *area, GProp_GProps *volume)
{
	bool solid_side =
		face.Orientation() == TopAbs_FORWARD || face.Orientation() == TopAbs_REVERSED;
	BRepAdaptor_Surface surface(face, Standard_False);
	flat_moments m;

	if (surface.GetType() == GeomAbs_Plane && moved_rigidly(face)) {
		gp_Ax3 frame = surface.Plane().Position();
		gp_XYZ x = frame.XDirection().XYZ(), y = frame.YDirection().XYZ();
		gp_XYZ n = x.Crossed(y), from = frame.Location().XYZ() - about.XYZ();
		if (flat_face(face, gp_XY(-from.Dot(x), -from.Dot(y)), m)) {
			*area += m.a;
			if (volume && solid_side)
				volume->Add(flat_props(about, m, from.Dot(n),
				                       face.Orientation() == TopAbs_REVERSED, n, x,
				                       y));
			return;
		}
	}
	BRepGProp_Face f;
	BRepGProp_Domain border;
	BRepGProp_Sinert s;
	BRepGProp_Vinert v;
	bool whole = face.NbChildren() == 0; /* all of a surface that is bounded by itself */
	f.Load(face);
	if (!whole)
		border.Init(face);
	s.SetLocation(about);
	if (whole)
		s.Perform(f);
	else
		s.Perform(f, border);
	*area += s.Mass();
	if (!volume || !solid_side)
		return;
	v.SetLocation(about);
	if (!whole)
		border.Init(face); /* it was walked to its end */
	if (whole)
		v.Perform(f);
	else
		v.Perform(f, border);
	volume->Add(v);
}

/* A solid where it was made, or where it lies when that is not moved_rigidly(). */
struct solid_mass {
	double area, volume;
	bool closed;
	gp_Pnt center;
	gp_Mat inertia; /* about its center */
};

solid_mass mass_of(const TopoDS_Shape &solid, gp_Pnt about)
{
	solid_mass m = {};
	gp_XYZ sum(0, 0, 0);
	int n = 0;

	/* near the part: about a far point its inertia would be lost to cancellation */
	for (TopExp_Explorer x(solid, TopAbs_VERTEX); x.More(); x.Next(), n++)
		sum += BRep_Tool::Pnt(TopoDS::Vertex(x.Current())).XYZ();
	if (n)
		about = gp_Pnt(sum / n);
	m.closed = all_shells_closed(solid);
	GProp_GProps volume(about);
	for (TopExp_Explorer x(solid, TopAbs_FACE); x.More(); x.Next())
		add_face(TopoDS::Face(x.Current()), about, &m.area, m.closed ? &volume : nullptr);
	if (m.closed) {
		m.volume = volume.Mass();
		m.center = volume.CentreOfMass();
		m.inertia = volume.MatrixOfInertia();
	}
	return m;
}

void measure_mass(const TopoDS_Shape &s, const gp_Pnt &middle, struct geometry *g)
{
	std::map<leaf_key, solid_mass> known;
	std::vector<solid_mass> closed;
	double area = 0, volume = 0;
	gp_XYZ first(0, 0, 0);

	for (TopExp_Explorer x(s, TopAbs_FACE, TopAbs_SOLID); x.More(); x.Next())
		add_face(TopoDS::Face(x.Current()), middle, &area, nullptr);
	for (TopExp_Explorer x(s, TopAbs_SOLID); x.More(); x.Next()) {
		const TopoDS_Shape &solid = x.Current();
		solid_mass m;
		if (!moved_rigidly(solid)) {
			m = mass_of(solid, middle);
		} else {
			const gp_Trsf &move = solid.Location().Transformation();
			auto found = known.find(key_of(solid));
			if (found == known.end())
				found = known.emplace(key_of(solid),
				                      mass_of(solid.Located(TopLoc_Location()),
				                              middle.Transformed(move.Inverted())))
				                .first;
			m = found->second;
			if (!solid.Location().IsIdentity()) {
				gp_Mat turn = move.VectorialPart();
				m.center.Transform(move);
				m.inertia =
					turn.Multiplied(m.inertia).Multiplied(turn.Transposed());
			}
		}
		area += m.area;
		if (!m.closed)
			continue;
		volume += m.volume;
		first += (m.center.XYZ() - middle.XYZ()) * m.volume;
		closed.push_back(m);
	}
	g->area_mm2 = area;
	if (closed.empty())
		return;
	g->volume_mm3 = volume;
	if (!(std::fabs(volume) > 0))
		return;
	gp_XYZ center = middle.XYZ() + first / volume;
	gp_Mat inertia(0, 0, 0, 0, 0, 0, 0, 0, 0);
	for (const solid_mass &m : closed) {
		gp_XYZ d = m.center.XYZ() - center;
		inertia += m.inertia;
		for (int i = 1; i <= 3; i++)
			for (int k = 1; k <= 3; k++)
				inertia(i, k) += m.volume * ((i == k ? d.SquareModulus() : 0) -
				                             d.Coord(i) * d.Coord(k));
	}
	static const int row[6] = { 1, 2, 3, 1, 1, 2 }, column[6] = { 1, 2, 3, 2, 3, 3 };
	for (int i = 0; i < 3; i++)
		g->center_of_mass_mm[i] = center.Coord(i + 1);
	for (int i = 0; i < 6; i++)
		g->inertia_mm5[i] = inertia.Value(row[i], column[i]);
}

/* ---- all figures ---- */

void measure(const TopoDS_Shape &s, struct geometry *g)
{
	box3 box;

	measure_topology(s, g);
	std::map<leaf_key, bool> checked;
	g->valid = all_valid(s, checked);

	g->volume_mm3 = g->area_mm2 = NAN;
	for (int i = 0; i < 3; i++)
		g->center_of_mass_mm[i] = NAN;
	for (int i = 0; i < 6; i++)
		g->inertia_mm5[i] = NAN;
	gp_Pnt middle(0, 0, 0);
	bool bounded = least_box(s, box);
	for (int i = 0; i < 3; i++) {
		g->box_min_mm[i] = bounded ? box.lo[i] : NAN;
		g->box_max_mm[i] = bounded ? box.hi[i] : NAN;
		if (bounded)
			middle.SetCoord(i + 1, (box.lo[i] + box.hi[i]) / 2);
	}

	if (bounded && g->faces)
		measure_mass(s, middle, g);

	g->min_distance_mm = bounded ? min_distance(s) : NAN;

	std::vector<hole> holes;
	for (TopExp_Explorer x(s, TopAbs_SOLID); x.More(); x.Next())
		holes_in_solid(x.Current(), holes);
	std::sort(holes.begin(), holes.end(), hole_before);
	g->holes = nullptr;
	g->n_holes = static_cast<int>(holes.size());
	if (!holes.empty()) {
		g->holes = static_cast<hole *>(malloc(holes.size() * sizeof(hole)));
		if (!g->holes)
			throw std::bad_alloc();
		memcpy(g->holes, holes.data(), holes.size() * sizeof(hole));
	}
}

/* ---- mesh ---- */

void take_triangles(const TopoDS_Shape &s, long triangles_max, struct soup *out)
{
	struct err e = {};
	std::vector<gp_Pnt> placed;
	size_t total = 0;

	for (TopExp_Explorer x(s, TopAbs_FACE); x.More(); x.Next()) {
		TopLoc_Location where;
		const Handle(Poly_Triangulation) &t =
			BRep_Tool::Triangulation(TopoDS::Face(x.Current()), where);
		if (t.IsNull())
			continue;
		Handle(TColgp_HArray1OfPnt) nodes = t->MapNodeArray();
		Handle(Poly_HArray1OfTriangle) corners = t->MapTriangleArray();
		if (nodes.IsNull() || corners.IsNull())
			continue;
		total += static_cast<size_t>(corners->Length());
		if (total > static_cast<size_t>(triangles_max))
			give_up(SHAPE_OVER_LIMIT, ERR_INPUT,
			        "mesh has more than %ld triangles; use fewer curved features or less detail",
			        triangles_max);
		const gp_Trsf &move = where.Transformation();
		/* a copy: the array is the triangulation's own, which other places of the same
		 * face share */
		placed.resize(static_cast<size_t>(nodes->Length()) + 1);
		for (int i = 1; i <= nodes->Length(); i++) {
			placed[static_cast<size_t>(i)] = nodes->Value(nodes->Lower() + i - 1);
			if (!where.IsIdentity())
				placed[static_cast<size_t>(i)].Transform(move);
		}
		bool reversed = x.Current().Orientation() == TopAbs_REVERSED;
		for (int i = corners->Lower(); i <= corners->Upper(); i++) {
			int n[3];
			float c[9];
			corners->Value(i).Get(n[0], n[1], n[2]);
			if (reversed)
				std::swap(n[1], n[2]);
			for (int k = 0; k < 3; k++) {
				/* Map...Array count from 1, as the triangles do */
				const gp_Pnt &p = placed.at(static_cast<size_t>(n[k]));
				for (int d = 0; d < 3; d++)
					c[3 * k + d] = static_cast<float>(p.Coord(d + 1));
			}
			if (soup_add(out, c, &e) < 0)
				throw std::bad_alloc();
		}
	}
	if (out->n_tri == 0 && TopExp_Explorer(s, TopAbs_FACE).More())
		give_up(SHAPE_EMPTY, ERR_INPUT,
		        "no face of the shape could be meshed; look for a dimension that is NaN, infinite or 0");
	if (out->n_tri == 0)
		give_up(SHAPE_EMPTY, ERR_INPUT,
		        "shape has no surface to mesh (points, curves or nothing); extrude it or combine solids");
}

} // namespace

void geometry_release(struct geometry *g)
{
	free(g->holes);
	g->holes = nullptr;
	g->n_holes = 0;
}

struct shape *shape_read_brep(const void *bytes, size_t len, bool meshed,
                              const struct shape_limits *l, enum shape_fault *fault, struct err *e)
{
	struct shape *s = new (std::nothrow) shape;

	if (!s) {
		*fault = SHAPE_NO_MEMORY;
		err_set(e, ERR_MEM, "reading the shape: out of memory");
		return nullptr;
	}
	if (guard("reading the shape", fault, e,
	          [&] { s->topo = read_brep(bytes, len, meshed, l); }) < 0) {
		shape_free(s);
		return nullptr;
	}
	s->meshed = meshed;
	return s;
}

void shape_free(struct shape *s)
{
	enum shape_fault fault;

	if (s)
		guard("freeing the shape", &fault, nullptr, [&] { delete s; });
}

int shape_measure(const struct shape *s, struct geometry *out, enum shape_fault *fault,
                  struct err *e)
{
	struct geometry g = {};

	if (guard("measuring the shape", fault, e, [&] { measure(s->topo, &g); }) < 0) {
		geometry_release(&g);
		return -1;
	}
	*out = g;
	return 0;
}

int shape_mesh(const struct shape *s, double linear, bool relative, double angular,
               long triangles_max, struct soup *out, enum shape_fault *fault, struct err *e)
{
	struct soup m = {};

	if (guard("meshing the shape", fault, e, [&] {
		    if (!s->meshed)
			    BRepMesh_IncrementalMesh(s->topo, linear, relative, angular,
			                             Standard_False);
		    take_triangles(s->topo, triangles_max, &m);
	    }) < 0) {
		soup_release(&m);
		return -1;
	}
	*out = m;
	return 0;
}

int shape_warm_up(struct err *e)
{
	enum shape_fault fault = SHAPE_SOUND;

	return guard("warming up the CAD kernel", &fault, e, [] {
		/* Threads of a pool do not survive a fork: the first job of a child would wait for
		 * them for ever. 1 means none beside the caller (0 would mean "as many as there are
		 * processors"). */
		OSD_ThreadPool::DefaultPool()->Init(1);
		/* what OCCT has to say goes to our errors, never to a stream */
		Message::DefaultMessenger()->ChangePrinters().Clear();
		std::cout.rdbuf(nullptr);
		std::cerr.rdbuf(nullptr);

		BRep_Builder builder;
		TopoDS_Compound both;
		builder.MakeCompound(both);
		builder.Add(both, BRepPrimAPI_MakeBox(10, 20, 30).Solid());
		builder.Add(both, BRepPrimAPI_MakeCylinder(
					  gp_Ax2(gp_Pnt(40, 0, 0), gp_Dir(0, 0, 1)), 5, 9)
		                          .Shape());
		std::stringstream bytes;
		BinTools::Write(both, bytes);
		std::string all = bytes.str();
		struct shape_limits limits = { 1000, 100000 };
		struct shape s = { read_brep(all.data(), all.size(), false, &limits), false };
		struct geometry g = {};
		struct soup m = {};
		measure(s.topo, &g);
		geometry_release(&g);
		BRepMesh_IncrementalMesh(s.topo, 0.1, Standard_True, 0.1, Standard_False);
		take_triangles(s.topo, 100000, &m);
		soup_release(&m);
	});
}

const char *shape_kernel_version(void)
{
	return OCC_VERSION_COMPLETE;
}
