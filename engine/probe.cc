#include "engine/probe.h"

#include "engine/shape_inside.hxx"

#include <BRepAdaptor_Surface.hxx>
#include <BRepTools.hxx>
#include <BRep_Tool.hxx>
#include <ElSLib.hxx>
#include <Poly_HArray1OfTriangle.hxx>
#include <Poly_Triangulation.hxx>
#include <Precision.hxx>
#include <TColgp_HArray1OfPnt.hxx>
#include <TopExp.hxx>
#include <TopExp_Explorer.hxx>
#include <TopTools_IndexedDataMapOfShapeListOfShape.hxx>
#include <TopTools_IndexedMapOfShape.hxx>
#include <TopTools_ListOfShape.hxx>
#include <TopoDS.hxx>
#include <TopoDS_Face.hxx>
#include <gp_Cone.hxx>
#include <gp_Cylinder.hxx>
#include <gp_Pln.hxx>
#include <gp_Sphere.hxx>
#include <gp_Torus.hxx>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <tuple>
#include <vector>

namespace
{

/* Pairs of round faces are compared one by one. */
const size_t ROUND_FACES_MAX = 4000;
/* Of a pin and of its bore this much must go round, or they hold nothing. */
const double JOINT_TURN_MIN = 0.9 * M_PI;
/* Pressed in, or two meshes of one size. */
const double JOINT_PRESS_MM = 0.05;
const double SLOT_TURN_SLACK = 0.05; /* of a half turn */
const double OPEN_TURN_MIN = M_PI / 2;
const double PARALLEL_MIN = 1 - 1e-4; /* of unit vectors' product: 0.8 degrees */

/* ---- turning ---- */

void turned(const struct probe *p, const double in[3], double out[3])
{
	for (int i = 0; i < 3; i++) {
		out[i] = 0;
		for (int k = 0; k < 3; k++)
			if (p->turn[i][k])
				out[i] += p->turn[i][k] * in[k];
	}
}

void turned(const struct probe *p, const gp_XYZ &in, double out[3])
{
	const double c[3] = { in.X(), in.Y(), in.Z() };

	turned(p, c, out);
}

/* The first component that is not 0 is positive, as in struct hole. */
void point_axis(double d[3])
{
	int sign = 0;

	for (int i = 0; i < 3; i++) {
		if (std::fabs(d[i]) < 1e-9)
			d[i] = 0;
		else if (!sign)
			sign = d[i] < 0 ? -1 : 1;
	}
	for (int i = 0; i < 3; i++)
		d[i] = sign < 0 && d[i] != 0 ? -d[i] : d[i];
}

/* ---- triangles ---- */

struct face_triangles {
	Handle(TColgp_HArray1OfPnt) nodes;
	Handle(Poly_HArray1OfTriangle) corners;
	gp_Trsf move;
	bool moved;
};

bool triangles_of(const TopoDS_Face &face, face_triangles &out)
{
	TopLoc_Location where;
	const Handle(Poly_Triangulation) &t = BRep_Tool::Triangulation(face, where);

	if (t.IsNull())
		return false;
	out.nodes = t->MapNodeArray();
	out.corners = t->MapTriangleArray();
	out.moved = !where.IsIdentity();
	out.move = where.Transformation();
	return !out.nodes.IsNull() && !out.corners.IsNull();
}

gp_XYZ node_of(const face_triangles &t, int i)
{
	gp_Pnt p = t.nodes->Value(t.nodes->Lower() + i - 1);

	if (t.moved)
		p.Transform(t.move);
	return p.XYZ();
}

void add_triangles(const struct probe *p, const TopoDS_Face &face, int solid,
                   std::vector<double> &xyz, std::vector<int> &solid_of)
{
	face_triangles t;

	if (!triangles_of(face, t))
		return;
	bool reversed = face.Orientation() == TopAbs_REVERSED;
	for (int i = t.corners->Lower(); i <= t.corners->Upper(); i++) {
		int n[3];
		double c[9];
		bool finite = true;
		t.corners->Value(i).Get(n[0], n[1], n[2]);
		if (reversed)
			std::swap(n[1], n[2]);
		for (int k = 0; k < 3; k++) {
			if (n[k] < 1 || n[k] > t.nodes->Length())
				give_up(SHAPE_DAMAGED, ERR_INPUT,
				        "a triangle names corner %d of %d; the shape is damaged: export it again",
				        n[k], t.nodes->Length());
			turned(p, node_of(t, n[k]), c + 3 * k);
		}
		for (double x : c)
			finite = finite && std::isfinite(x);
		if (!finite)
			continue;
		xyz.insert(xyz.end(), c, c + 9);
		solid_of.push_back(solid);
	}
}

void take_triangles(struct probe *p, const TopoDS_Shape &s)
{
	std::vector<double> xyz;
	std::vector<int> solid_of;
	TopTools_IndexedMapOfShape solids;
	int next;

	TopExp::MapShapes(s, TopAbs_SOLID, solids);
	next = solids.Extent();
	p->solids = next;
	for (int i = 1; i <= solids.Extent(); i++)
		for (TopExp_Explorer x(solids(i), TopAbs_FACE); x.More(); x.Next())
			add_triangles(p, TopoDS::Face(x.Current()), i - 1, xyz, solid_of);
	for (TopExp_Explorer x(s, TopAbs_FACE, TopAbs_SOLID); x.More(); x.Next())
		add_triangles(p, TopoDS::Face(x.Current()), next++, xyz, solid_of);
	if (solid_of.empty())
		give_up(SHAPE_EMPTY, ERR_INPUT,
		        "shape has no triangles to check; extrude it or combine solids");
	p->n_tri = solid_of.size();
	p->xyz = static_cast<double *>(malloc(xyz.size() * sizeof(double)));
	p->solid_of = static_cast<int *>(malloc(solid_of.size() * sizeof(int)));
	if (!p->xyz || !p->solid_of)
		throw std::bad_alloc();
	memcpy(p->xyz, xyz.data(), xyz.size() * sizeof(double));
	memcpy(p->solid_of, solid_of.data(), solid_of.size() * sizeof(int));
}

void take_geometry(struct probe *p, const struct geometry *g)
{
	box3 b = NO_BOX;
	double corner[3];

	turned(p, g->box_min_mm, corner);
	box_add(b, corner);
	turned(p, g->box_max_mm, corner);
	box_add(b, corner);
	bool bounded = true;
	for (int i = 0; i < 3; i++)
		bounded = bounded && std::isfinite(g->box_min_mm[i]) &&
		          std::isfinite(g->box_max_mm[i]);
	if (!bounded) {
		b = NO_BOX;
		for (size_t i = 0; i < 3 * p->n_tri; i++)
			box_add(b, p->xyz + 3 * i);
	}
	memcpy(p->box_min_mm, b.lo, sizeof(b.lo));
	memcpy(p->box_max_mm, b.hi, sizeof(b.hi));
	p->volume_mm3 = g->volume_mm3;
	turned(p, g->center_of_mass_mm, p->center_of_mass_mm);
	if (g->n_holes <= 0)
		return;
	p->holes = static_cast<struct hole *>(
		malloc(static_cast<size_t>(g->n_holes) * sizeof(struct hole)));
	if (!p->holes)
		throw std::bad_alloc();
	for (int i = 0; i < g->n_holes; i++) {
		struct hole h = g->holes[i];
		turned(p, g->holes[i].axis, h.axis);
		turned(p, g->holes[i].center_mm, h.center_mm);
		point_axis(h.axis);
		p->holes[i] = h;
	}
	p->n_holes = g->n_holes;
}

/* ---- faces ---- */

/* One face of the B-rep, in its own place; groups of them become a probe_face. */
struct round_face {
	enum surface_kind surface;
	gp_XYZ at, dir; /* a point of the axis or plane; zero when it has none */
	double radius, major, slope, turn;
	double t0, t1; /* along the axis, from the point of it that is nearest to the origin */
	enum side side;
	box3 box; /* of its triangles, turned */
	int solid, whole;
	std::vector<int> walls; /* of a half cylinder: the flat faces along it that it runs into */
};

/* Two half cylinders and the two flat walls between them. */
struct round_slot {
	int a, b; /* among the round faces */
};

} // namespace

/* What was found of the B-rep, kept for the next question. */
struct probe_inside {
	bool known;
	std::vector<round_face> faces;
	std::vector<round_slot> slots;
};

namespace
{

enum side side_of(const BRepAdaptor_Surface &s, const TopoDS_Face &face, const round_face &f,
                  double u, double v)
{
	gp_Pnt p;
	gp_Vec du, dv;

	s.D1(u, v, p, du, dv);
	gp_XYZ n = du.XYZ().Crossed(dv.XYZ()), out = p.XYZ() - f.at;
	if (face.Orientation() == TopAbs_REVERSED)
		n.Reverse();
	if (f.surface != SURFACE_SPHERE)
		out -= f.dir * out.Dot(f.dir);
	if (f.surface == SURFACE_TORUS) {
		if (out.Modulus() < 1e-12)
			return SIDE_ANY;
		out = p.XYZ() - f.at - out * (f.major / out.Modulus());
	}
	double d = n.Dot(out);
	return d > 0 ? SIDE_OUT : d < 0 ? SIDE_IN : SIDE_ANY;
}

/* False when the face has no triangles: it is no larger than a tolerance. */
bool round_face_of(const struct probe *p, const TopoDS_Face &face, int solid, round_face &f)
{
	BRepAdaptor_Surface s(face, Standard_False);
	face_triangles t;
	double u0, u1, v0, v1;

	if (!triangles_of(face, t))
		return false;
	f = round_face();
	f.solid = solid;
	f.box = NO_BOX;
	f.radius = f.major = f.turn = NAN;
	for (int i = 1; i <= t.nodes->Length(); i++) {
		double c[3];
		turned(p, node_of(t, i), c);
		box_add(f.box, c);
	}
	BRepTools::UVBounds(face, u0, u1, v0, v1);
	if (!std::isfinite(u0) || !std::isfinite(u1) || !std::isfinite(v0) || !std::isfinite(v1))
		return false;
	switch (s.GetType()) {
	case GeomAbs_Plane:
		f.surface = SURFACE_PLANE;
		f.at = s.Plane().Location().XYZ();
		f.dir = s.Plane().Axis().Direction().XYZ();
		return true;
	case GeomAbs_Cylinder:
		f.surface = SURFACE_CYLINDER;
		f.at = s.Cylinder().Location().XYZ();
		f.dir = s.Cylinder().Axis().Direction().XYZ();
		f.radius = s.Cylinder().Radius();
		break;
	case GeomAbs_Cone: {
		f.surface = SURFACE_CONE;
		f.dir = s.Cone().Axis().Direction().XYZ();
		f.at = s.Cone().Apex().XYZ();
		f.slope = std::fabs(s.Cone().SemiAngle());
		double a = s.Cone().RefRadius() + v0 * std::sin(s.Cone().SemiAngle());
		double b = s.Cone().RefRadius() + v1 * std::sin(s.Cone().SemiAngle());
		f.radius = std::max(std::fabs(a), std::fabs(b));
		break;
	}
	case GeomAbs_Torus:
		f.surface = SURFACE_TORUS;
		f.at = s.Torus().Location().XYZ();
		f.dir = s.Torus().Axis().Direction().XYZ();
		f.radius = s.Torus().MinorRadius();
		f.major = s.Torus().MajorRadius();
		break;
	case GeomAbs_Sphere:
		f.surface = SURFACE_SPHERE;
		f.at = s.Sphere().Location().XYZ();
		f.dir = gp_XYZ(0, 0, 0);
		f.radius = s.Sphere().Radius();
		break;
	default:
		f.surface = SURFACE_FREEFORM;
		return true;
	}
	f.turn = std::min(u1 - u0, 2 * M_PI);
	f.side = side_of(s, face, f, (u0 + u1) / 2, (v0 + v1) / 2);
	if (f.surface == SURFACE_CYLINDER) {
		double here = f.at.Dot(f.dir);
		f.t0 = here + v0;
		f.t1 = here + v1;
	}
	return true;
}

double slack_of(const round_face &f)
{
	return 1e-5 * std::max(1.0, std::isnan(f.radius) ? 1.0 : f.radius);
}

bool same_surface(const round_face &a, const round_face &b)
{
	double slack = slack_of(a);

	if (a.surface != b.surface || a.side != b.side)
		return false;
	if (a.surface == SURFACE_FREEFORM)
		return false; /* no two pieces of a free form are known to be one */
	if (a.surface != SURFACE_SPHERE && std::fabs(a.dir.Dot(b.dir)) < 1 - 1e-10)
		return false;
	if (a.surface != SURFACE_PLANE && !(std::fabs(a.radius - b.radius) < slack) &&
	    a.surface != SURFACE_CONE)
		return false;
	gp_XYZ off = b.at - a.at;
	switch (a.surface) {
	case SURFACE_PLANE:
		return std::fabs(off.Dot(a.dir)) < slack;
	case SURFACE_CYLINDER:
		return (off - a.dir * off.Dot(a.dir)).Modulus() < slack;
	case SURFACE_CONE:
		return std::fabs(a.slope - b.slope) < 1e-7 && off.Modulus() < 1e-4 + slack;
	case SURFACE_TORUS:
		return off.Modulus() < slack && std::fabs(a.major - b.major) < slack;
	default:
		return off.Modulus() < slack;
	}
}

int root_of(std::vector<int> &up, int i)
{
	while (up[static_cast<size_t>(i)] != i)
		i = up[static_cast<size_t>(i)] =
			up[static_cast<size_t>(up[static_cast<size_t>(i)])];
	return i;
}

/* Adds @f, of the same surface and solid, to @into. */
void merge_faces(round_face &into, const round_face &f)
{
	box_add(into.box, f.box.lo);
	box_add(into.box, f.box.hi);
	if (into.surface == SURFACE_CONE)
		into.radius = std::max(into.radius, f.radius);
	/* pieces side by side along the axis do not turn further */
	bool same = f.dir.Dot(into.dir) > 0, apart = false;
	if (f.surface == SURFACE_CYLINDER) {
		double t0 = same ? f.t0 : -f.t1, t1 = same ? f.t1 : -f.t0;
		apart = t0 > into.t1 - 1e-6 || t1 < into.t0 + 1e-6;
		into.t0 = std::min(into.t0, t0);
		into.t1 = std::max(into.t1, t1);
	}
	into.turn = apart ? std::max(into.turn, f.turn) : std::min(into.turn + f.turn, 2 * M_PI);
}

bool is_half_bore(const round_face &f)
{
	return f.surface == SURFACE_CYLINDER && f.side == SIDE_IN &&
	       std::fabs(f.turn - M_PI) < SLOT_TURN_SLACK;
}

/* The faces of one solid (or of what is in none), joined over their edges, after those in @in. */
void add_round_faces(const struct probe *p, const TopTools_IndexedMapOfShape &faces,
                     const TopTools_IndexedDataMapOfShapeListOfShape &at_edge, int solid,
                     struct probe_inside &in)
{
	std::vector<round_face> own;
	std::vector<int> up, index, place;
	std::vector<std::pair<int, int>> meet;

	for (int k = 1; k <= faces.Extent(); k++) {
		round_face f;
		bool seen = round_face_of(p, TopoDS::Face(faces(k)), solid, f);
		index.push_back(seen ? static_cast<int>(own.size()) : -1);
		if (!seen)
			continue;
		up.push_back(static_cast<int>(own.size()));
		own.push_back(f);
	}
	for (int k = 1; k <= at_edge.Extent(); k++) {
		const TopTools_ListOfShape &l = at_edge(k);
		if (l.Extent() < 2)
			continue;
		int first = faces.FindIndex(l.First()), last = faces.FindIndex(l.Last());
		int a = first ? index[static_cast<size_t>(first - 1)] : -1;
		int b = last ? index[static_cast<size_t>(last - 1)] : -1;
		if (a < 0 || b < 0 || a == b)
			continue;
		const round_face &f = own[static_cast<size_t>(a)], &g = own[static_cast<size_t>(b)];
		if (!same_surface(f, g)) {
			bool flat = f.surface == SURFACE_PLANE || g.surface == SURFACE_PLANE;
			if (flat && (f.side == SIDE_IN || g.side == SIDE_IN) &&
			    std::fabs(f.dir.Dot(g.dir)) < 1e-6)
				meet.push_back({ a, b });
			continue;
		}
		a = root_of(up, a);
		b = root_of(up, b);
		up[static_cast<size_t>(std::max(a, b))] = std::min(a, b);
	}
	for (size_t k = 0; k < own.size(); k++) {
		int root = root_of(up, static_cast<int>(k));
		if (root != static_cast<int>(k))
			merge_faces(own[static_cast<size_t>(root)], own[k]);
	}
	size_t base = in.faces.size();
	place.resize(own.size());
	for (size_t k = 0; k < own.size(); k++) {
		if (root_of(up, static_cast<int>(k)) != static_cast<int>(k))
			continue;
		place[k] = static_cast<int>(in.faces.size());
		in.faces.push_back(own[k]);
	}
	for (const auto &m : meet) {
		int a = place[static_cast<size_t>(root_of(up, m.first))];
		int b = place[static_cast<size_t>(root_of(up, m.second))];
		if (in.faces[static_cast<size_t>(a)].surface == SURFACE_PLANE)
			std::swap(a, b);
		round_face &f = in.faces[static_cast<size_t>(a)];
		if (is_half_bore(f) &&
		    std::find(f.walls.begin(), f.walls.end(), b) == f.walls.end())
			f.walls.push_back(b);
	}
	for (size_t i = base; i < in.faces.size(); i++) {
		const round_face &a = in.faces[i];
		for (size_t k = i + 1; a.walls.size() == 2 && k < in.faces.size(); k++) {
			const round_face &b = in.faces[k];
			if (b.walls.size() != 2 ||
			    !std::is_permutation(a.walls.begin(), a.walls.end(), b.walls.begin()) ||
			    std::fabs(a.radius - b.radius) > slack_of(a) ||
			    std::fabs(a.dir.Dot(b.dir)) < 1 - 1e-10)
				continue;
			in.slots.push_back({ static_cast<int>(i), static_cast<int>(k) });
			break;
		}
	}
}

struct probe_inside &inside_of(const struct probe *p)
{
	struct probe_inside &in = *p->inside;
	const TopoDS_Shape &s = p->shape->topo;
	TopTools_IndexedMapOfShape solids, loose;
	TopTools_IndexedDataMapOfShapeListOfShape at_edge;

	if (in.known)
		return in;
	in.faces.clear();
	in.slots.clear();
	TopExp::MapShapes(s, TopAbs_SOLID, solids);
	for (int i = 1; i <= solids.Extent(); i++) {
		TopTools_IndexedMapOfShape faces;
		TopTools_IndexedDataMapOfShapeListOfShape edges;
		TopExp::MapShapes(solids(i), TopAbs_FACE, faces);
		TopExp::MapShapesAndAncestors(solids(i), TopAbs_EDGE, TopAbs_FACE, edges);
		add_round_faces(p, faces, edges, i - 1, in);
	}
	for (TopExp_Explorer x(s, TopAbs_FACE, TopAbs_SOLID); x.More(); x.Next())
		loose.Add(x.Current());
	for (int k = 1; k <= loose.Extent(); k++)
		TopExp::MapShapesAndAncestors(loose(k), TopAbs_EDGE, TopAbs_FACE, at_edge);
	add_round_faces(p, loose, at_edge, solids.Extent(), in);
	for (size_t k = 0; k < in.faces.size(); k++) {
		round_face &f = in.faces[k];
		f.whole = static_cast<int>(k);
		for (size_t i = 0; i < k && in.faces.size() <= ROUND_FACES_MAX; i++) {
			if (in.faces[i].whole != static_cast<int>(i) ||
			    !same_surface(in.faces[i], f))
				continue;
			f.whole = static_cast<int>(i);
			break;
		}
	}
	in.known = true;
	return in;
}

/* A number to sort by: what differs by rounding alone is equal. */
double coarse(double x)
{
	return std::isnan(x) ? -1 : std::round(x * 1e4);
}

std::tuple<int, double, double, double, double, double> order_of(const struct probe_face &f)
{
	return std::make_tuple(static_cast<int>(f.surface), coarse(f.middle_mm[0]),
	                       coarse(f.middle_mm[1]), coarse(f.middle_mm[2]), coarse(f.radius_mm),
	                       coarse(f.turn_rad));
}

bool face_before(const struct probe_face &a, const struct probe_face &b)
{
	return order_of(a) < order_of(b);
}

struct probe_face face_of(const struct probe *p, const round_face &f)
{
	struct probe_face out = {};

	out.surface = f.surface;
	out.radius_mm = f.radius;
	out.major_mm = f.major;
	out.turn_rad = f.turn;
	out.side = f.side;
	out.whole = f.whole;
	for (int i = 0; i < 3; i++) {
		out.axis[i] = NAN;
		out.middle_mm[i] = (f.box.lo[i] + f.box.hi[i]) / 2;
	}
	if (f.dir.Modulus() > 0.5) {
		turned(p, f.dir, out.axis);
		point_axis(out.axis);
	}
	return out;
}

/* Copies @v into memory of malloc's. */
template <typename T>
T *copied(const std::vector<T> &v)
{
	T *m = static_cast<T *>(malloc((v.size() + 1) * sizeof(T)));

	if (!m)
		throw std::bad_alloc();
	if (!v.empty())
		memcpy(m, v.data(), v.size() * sizeof(T));
	return m;
}

/* ---- joints ---- */

/* All of one solid's cylinder on one axis, of one radius and one side, that overlap or follow. */
struct shaft {
	int solid;
	gp_XYZ dir, foot;
	double radius, t0, t1, turn;
	enum side side;
};

/* @together: pieces of several solids, the halves of a clamp, make one too. */
void find_shafts(const std::vector<round_face> &faces, bool together, std::vector<shaft> &out)
{
	for (const round_face &f : faces) {
		if (f.surface != SURFACE_CYLINDER || f.side == SIDE_ANY)
			continue;
		shaft s = { together ? -1 : f.solid,
			    f.dir,
			    f.at - f.dir * f.at.Dot(f.dir),
			    f.radius,
			    f.t0,
			    f.t1,
			    f.turn,
			    f.side };
		double c[3] = { s.dir.X(), s.dir.Y(), s.dir.Z() };
		point_axis(c);
		if (gp_XYZ(c[0], c[1], c[2]).Dot(s.dir) < 0) {
			s.t0 = -f.t1;
			s.t1 = -f.t0;
		}
		s.dir = gp_XYZ(c[0], c[1], c[2]);
		bool found = false;
		for (shaft &o : out) {
			if (o.solid != s.solid || o.side != s.side ||
			    std::fabs(o.radius - s.radius) > 1e-4 ||
			    o.dir.Dot(s.dir) < PARALLEL_MIN || (o.foot - s.foot).Modulus() > 1e-3 ||
			    s.t0 > o.t1 + 1e-4 || o.t0 > s.t1 + 1e-4)
				continue;
			o.t0 = std::min(o.t0, s.t0);
			o.t1 = std::max(o.t1, s.t1);
			o.turn = std::min(o.turn + s.turn, 2 * M_PI);
			found = true;
			break;
		}
		if (!found)
			out.push_back(s);
		if (out.size() > ROUND_FACES_MAX)
			give_up(SHAPE_OVER_LIMIT, ERR_INPUT,
			        "more than %zu cylinders, too many to look for joints among; use fewer round features",
			        ROUND_FACES_MAX);
	}
}

void find_joints(const struct probe *p, double clearance, std::vector<probe_joint> &out)
{
	std::vector<shaft> shafts;
	struct pair {
		int a, b;
		gp_XYZ dir, foot;
	};
	std::vector<pair> known;

	find_shafts(inside_of(p).faces, false, shafts);
	for (const shaft &pin : shafts) {
		if (pin.side != SIDE_OUT || pin.turn < JOINT_TURN_MIN)
			continue;
		for (const shaft &bore : shafts) {
			double gap = bore.radius - pin.radius;
			double along = std::min(pin.t1, bore.t1) - std::max(pin.t0, bore.t0);
			if (bore.side != SIDE_IN || bore.solid == pin.solid ||
			    bore.turn < JOINT_TURN_MIN || !(gap <= clearance + 1e-6) ||
			    !(gap >= -JOINT_PRESS_MM) || bore.dir.Dot(pin.dir) < PARALLEL_MIN ||
			    (bore.foot - pin.foot).Modulus() >
			            std::max(clearance, JOINT_PRESS_MM) ||
			    !(along > 0.1 * std::min(pin.t1 - pin.t0, bore.t1 - bore.t0)))
				continue;
			bool seen = false;
			int a = std::min(pin.solid, bore.solid),
			    b = std::max(pin.solid, bore.solid);
			for (const pair &k : known)
				seen = seen || (k.a == a && k.b == b &&
				                k.dir.Dot(pin.dir) >= PARALLEL_MIN &&
				                (k.foot - pin.foot).Modulus() <
				                        2 * std::max(clearance, JOINT_PRESS_MM));
			if (seen)
				continue;
			known.push_back({ a, b, pin.dir, pin.foot });
			struct probe_joint j = {};
			double mid = (std::min(pin.t1, bore.t1) + std::max(pin.t0, bore.t0)) / 2;
			turned(p, pin.dir, j.axis);
			point_axis(j.axis);
			turned(p, pin.foot + pin.dir * mid, j.middle_mm);
			j.diameter_mm = 2 * pin.radius;
			j.clearance_mm = gap;
			out.push_back(j);
		}
	}
	std::sort(out.begin(), out.end(), [](const probe_joint &a, const probe_joint &b) {
		for (int i = 0; i < 3; i++)
			if (coarse(a.middle_mm[i]) != coarse(b.middle_mm[i]))
				return a.middle_mm[i] < b.middle_mm[i];
		return coarse(a.diameter_mm) < coarse(b.diameter_mm);
	});
}

/* ---- holes ---- */

/* Does a ray inside of solid @solid (-1: of all) meet a triangle of it no further than @reach away?
 */
bool meets(const struct probe *p, int solid, const double from[3], const gp_XYZ &dir, double reach)
{
	gp_XYZ o(from[0], from[1], from[2]);

	for (size_t i = 0; i < p->n_tri; i++) {
		if (solid >= 0 && p->solid_of[i] != solid)
			continue;
		const double *c = p->xyz + 9 * i;
		gp_XYZ a(c[0], c[1], c[2]);
		gp_XYZ e1 = gp_XYZ(c[3], c[4], c[5]) - a, e2 = gp_XYZ(c[6], c[7], c[8]) - a;
		gp_XYZ h = dir.Crossed(e2), s = o - a, q = s.Crossed(e1);
		double det = e1.Dot(h);
		if (det == 0)
			continue;
		double u = s.Dot(h) / det, v = dir.Dot(q) / det, t = e2.Dot(q) / det;
		if (u >= -1e-9 && v >= -1e-9 && u + v <= 1 + 1e-9 && t > 0 && t <= reach)
			return true;
	}
	return false;
}

/* Open at both ends? A floor may be rounded: it is looked for up to a radius further on. */
bool open_through(const struct probe *p, int solid, const struct probe_hole &h)
{
	gp_XYZ dir(h.axis[0], h.axis[1], h.axis[2]);
	double reach = h.depth_mm / 2 + 0.55 * h.diameter_mm;

	return !meets(p, solid, h.middle_mm, dir, reach) &&
	       !meets(p, solid, h.middle_mm, dir.Reversed(), reach);
}

/* The hole round the line @foot + t * @dir, in the part's own place, from t0 to t1. */
struct probe_hole hole_on(const struct probe *p, const gp_XYZ &dir, const gp_XYZ &foot, double t0,
                          double t1)
{
	struct probe_hole h = {};

	turned(p, dir, h.axis);
	point_axis(h.axis);
	turned(p, foot + dir * ((t0 + t1) / 2), h.middle_mm);
	h.depth_mm = t1 - t0;
	h.turn_rad = 2 * M_PI;
	return h;
}

/* Is the face the wall, or part of it, of one of geometry's holes? */
bool in_bore(const struct probe *p, const round_face &f)
{
	double at[3], axis[3];

	turned(p, f.at + f.dir * ((f.t0 + f.t1) / 2 - f.at.Dot(f.dir)), at);
	turned(p, f.dir, axis);
	for (int i = 0; i < p->n_holes; i++) {
		const struct hole &h = p->holes[i];
		gp_XYZ off(at[0] - h.center_mm[0], at[1] - h.center_mm[1], at[2] - h.center_mm[2]);
		gp_XYZ along(h.axis[0], h.axis[1], h.axis[2]);
		double t = off.Dot(along);
		if (std::fabs(h.diameter_mm / 2 - f.radius) < slack_of(f) &&
		    std::fabs(along.Dot(gp_XYZ(axis[0], axis[1], axis[2]))) >= PARALLEL_MIN &&
		    (off - along * t).Modulus() < 1e-3 &&
		    std::fabs(t) < (h.depth_mm + f.t1 - f.t0) / 2)
			return true;
	}
	return false;
}

void find_holes(const struct probe *p, std::vector<struct probe_hole> &out)
{
	for (int i = 0; i < p->n_holes; i++) {
		const struct hole &g = p->holes[i];
		struct probe_hole h = {};
		memcpy(h.axis, g.axis, sizeof(h.axis));
		memcpy(h.middle_mm, g.center_mm, sizeof(h.middle_mm));
		h.diameter_mm = g.diameter_mm;
		h.depth_mm = g.depth_mm;
		h.turn_rad = 2 * M_PI;
		h.through = g.through;
		out.push_back(h);
	}
	if (!p->shape)
		return;
	const struct probe_inside &in = inside_of(p);
	std::vector<round_face> rest;
	std::vector<bool> used(in.faces.size(), false);
	for (const round_slot &s : in.slots) {
		const round_face &a = in.faces[static_cast<size_t>(s.a)],
				 &b = in.faces[static_cast<size_t>(s.b)];
		bool same = a.dir.Dot(b.dir) > 0;
		double t0 = std::min(a.t0, same ? b.t0 : -b.t1);
		double t1 = std::max(a.t1, same ? b.t1 : -b.t0);
		gp_XYZ fa = a.at - a.dir * a.at.Dot(a.dir), fb = b.at - a.dir * b.at.Dot(a.dir);
		struct probe_hole h = hole_on(p, a.dir, (fa + fb) / 2, t0, t1);
		h.diameter_mm = 2 * a.radius;
		h.length_mm = (fa - fb).Modulus() + 2 * a.radius;
		h.through = open_through(p, a.solid, h);
		out.push_back(h);
		used[static_cast<size_t>(s.a)] = used[static_cast<size_t>(s.b)] = true;
	}
	for (size_t i = 0; i < in.faces.size(); i++)
		if (!used[i] && in.faces[i].surface == SURFACE_CYLINDER &&
		    in.faces[i].side == SIDE_IN && !in_bore(p, in.faces[i]))
			rest.push_back(in.faces[i]);
	std::vector<shaft> bores;
	find_shafts(rest, true, bores);
	for (const shaft &s : bores) {
		if (!(s.turn >= OPEN_TURN_MIN))
			continue;
		struct probe_hole h = hole_on(p, s.dir, s.foot, s.t0, s.t1);
		h.diameter_mm = 2 * s.radius;
		h.turn_rad = s.turn;
		h.through = open_through(p, s.solid, h);
		out.push_back(h);
	}
	std::sort(out.begin(), out.end(),
	          [](const struct probe_hole &a, const struct probe_hole &b) {
			  for (int i = 0; i < 3; i++)
				  if (coarse(a.middle_mm[i]) != coarse(b.middle_mm[i]))
					  return a.middle_mm[i] < b.middle_mm[i];
			  if (coarse(a.diameter_mm) != coarse(b.diameter_mm))
				  return a.diameter_mm < b.diameter_mm;
			  return coarse(a.depth_mm) < coarse(b.depth_mm);
		  });
}

} // namespace

void probe_release(struct probe *p)
{
	free(p->xyz);
	free(p->solid_of);
	free(p->holes);
	delete p->inside;
	*p = {};
}

int probe_open(struct probe *out, const struct shape *s, const struct geometry *g,
               const int turn[3][3], struct err *e)
{
	struct probe p = {};
	enum shape_fault fault;

	*out = p;
	p.shape = s;
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 3; k++)
			p.turn[i][k] = turn ? turn[i][k] : i == k;
	if (guard("looking at the shape", &fault, e, [&] {
		    p.inside = new probe_inside();
		    take_triangles(&p, s->topo);
		    take_geometry(&p, g);
	    }) < 0) {
		probe_release(&p);
		return -1;
	}
	*out = p;
	return 0;
}

int probe_faces(const struct probe *p, struct probe_face **out, int *n, struct err *e)
{
	enum shape_fault fault;

	*out = nullptr;
	*n = 0;
	if (!p->shape)
		return 0;
	return guard("looking at the faces", &fault, e, [&] {
		std::vector<struct probe_face> all;
		for (const round_face &f : inside_of(p).faces)
			all.push_back(face_of(p, f));
		std::sort(all.begin(), all.end(), face_before);
		*out = copied(all);
		*n = static_cast<int>(all.size());
	});
}

int probe_joints(const struct probe *p, double clearance_mm, struct probe_joint **out, int *n,
                 struct err *e)
{
	enum shape_fault fault;

	*out = nullptr;
	*n = 0;
	if (!p->shape)
		return 0;
	return guard("looking for joints", &fault, e, [&] {
		std::vector<struct probe_joint> all;
		find_joints(p, clearance_mm, all);
		*out = copied(all);
		*n = static_cast<int>(all.size());
	});
}

int probe_holes(const struct probe *p, struct probe_hole **out, int *n, struct err *e)
{
	enum shape_fault fault;

	*out = nullptr;
	*n = 0;
	return guard("looking for holes", &fault, e, [&] {
		std::vector<struct probe_hole> all;
		find_holes(p, all);
		*out = copied(all);
		*n = static_cast<int>(all.size());
	});
}
