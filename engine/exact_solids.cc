/*
 * Which solids are joined is a question for the kernel only where nothing cheaper tells: material
 * of both in one place (voxels), or a corner of one's triangles on a flat face of the other, which
 * is how nearly all parts that stand on one another touch. BRepExtrema takes half a millisecond for
 * two flat faces and ten for two curved ones (2026-11-22); pairs already joined by way of others
 * are never asked.
 */
#include "engine/exact_solids.h"

#include "engine/shape_inside.hxx"

#include <BRepAdaptor_Curve.hxx>
#include <BRepAdaptor_Surface.hxx>
#include <BRepExtrema_DistShapeShape.hxx>
#include <BRep_Tool.hxx>
#include <Poly_HArray1OfTriangle.hxx>
#include <Poly_PolygonOnTriangulation.hxx>
#include <Poly_Triangulation.hxx>
#include <TColStd_HArray1OfReal.hxx>
#include <TColgp_HArray1OfPnt.hxx>
#include <TColgp_HArray1OfPnt2d.hxx>
#include <TopExp.hxx>
#include <TopExp_Explorer.hxx>
#include <TopTools_IndexedMapOfShape.hxx>
#include <TopoDS.hxx>
#include <TopoDS_Face.hxx>
#include <gp_Cylinder.hxx>
#include <gp_Pln.hxx>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <tuple>
#include <vector>

namespace
{

const int OVERLAP_CELLS = 32;
/* Triangles filled and cells looked at for overlaps, in all. */
const double OVERLAP_WORK_MAX = 4e7;
/* Pairs of faces that the kernel measures, in all; pairs of faces and of points that are looked at.
 */
const int EXTREMA_MAX = 200;
const double LOOKS_MAX = 2e7;

/* ---- edges ---- */

void count_edges(const TopoDS_Shape &shell, struct exact_edges *out)
{
	TopTools_IndexedMapOfShape edges;
	std::vector<int> uses;

	for (TopExp_Explorer x(shell, TopAbs_EDGE); x.More(); x.Next()) {
		size_t i = static_cast<size_t>(edges.Add(x.Current()));
		if (uses.size() < i)
			uses.resize(i, 0);
		TopAbs_Orientation o = x.Current().Orientation();
		if (o == TopAbs_FORWARD || o == TopAbs_REVERSED)
			uses[i - 1]++;
		else if (o == TopAbs_INTERNAL)
			uses[i - 1] += 2; /* within one face: both sides are its own */
	}
	for (size_t i = 0; i < uses.size(); i++) {
		if (BRep_Tool::Degenerated(TopoDS::Edge(edges(static_cast<int>(i) + 1))))
			continue;
		out->free += uses[i] == 1;
		out->non_manifold += uses[i] > 2;
	}
}

/* ---- solids ---- */

struct flat_face {
	TopoDS_Face face;
	GeomAbs_SurfaceType type;
	box3 box;
	std::vector<gp_XYZ> nodes;
	std::vector<int> corners; /* three a triangle */
	std::vector<box3> boxes;  /* of the triangles */
	gp_XYZ at, dir;           /* of a plane, its normal; of a cylinder, its axis */
	double radius;
	double slack; /* how far its triangles may be from it; -1: not known yet */
};

struct body {
	TopoDS_Shape solid;
	box3 box; /* of its triangles */
	size_t first, n;
	double volume;
	bool read;
	std::vector<flat_face> faces;
};

struct pair_gap {
	double d;
	int a, b;
	bool operator<(const pair_gap &o) const
	{
		return std::tie(d, a, b) < std::tie(o.d, o.a, o.b);
	}
};

struct contacts {
	const struct facets *f;
	std::vector<body> bodies;
	std::vector<int> up; /* union-find */
	double touch, joint, deflection, looks, work;
	int extrema;
};

int root_of(std::vector<int> &up, int i)
{
	while (up[static_cast<size_t>(i)] != i)
		i = up[static_cast<size_t>(i)] =
			up[static_cast<size_t>(up[static_cast<size_t>(i)])];
	return i;
}

void unite(std::vector<int> &up, int a, int b)
{
	a = root_of(up, a);
	b = root_of(up, b);
	up[static_cast<size_t>(std::max(a, b))] = std::min(a, b);
}

void find_bodies(const TopoDS_Shape &s, contacts &c)
{
	TopTools_IndexedMapOfShape solids;

	TopExp::MapShapes(s, TopAbs_SOLID, solids);
	c.bodies.resize(static_cast<size_t>(solids.Extent()));
	for (int i = 1; i <= solids.Extent(); i++) {
		body &b = c.bodies[static_cast<size_t>(i - 1)];
		b.solid = solids(i);
		b.box = NO_BOX;
		b.first = b.n = 0;
		b.volume = 0;
		b.read = false;
		c.up.push_back(i - 1);
	}
	for (size_t i = 0; i < c.f->n; i++) {
		size_t k = static_cast<size_t>(c.f->solid_of[i]);
		const double *t = c.f->xyz + 9 * i, *o = c.f->xyz;
		if (k >= c.bodies.size())
			continue;
		body &b = c.bodies[k];
		if (b.n++ == 0)
			b.first = i;
		for (int p = 0; p < 3; p++)
			box_add(b.box, t + 3 * p);
		gp_XYZ p(t[0] - o[0], t[1] - o[1], t[2] - o[2]);
		gp_XYZ q(t[3] - o[0], t[4] - o[1], t[5] - o[2]);
		gp_XYZ r(t[6] - o[0], t[7] - o[1], t[8] - o[2]);
		b.volume += p.Dot(q.Crossed(r)) / 6;
	}
	for (body &b : c.bodies)
		b.volume = std::fabs(b.volume);
}

/* ---- overlap ---- */

/* The share of the smaller of two solids that lies in the other one. */
double overlap_share(contacts &c, const body &p, const body &q, double at[3])
{
	double lo[3], hi[3], all = 1;
	struct err e = {};
	struct voxels v = {};
	long shared = 0;

	double least = std::min(p.volume, q.volume);
	for (int i = 0; i < 3; i++) {
		lo[i] = std::max(p.box.lo[i], q.box.lo[i]);
		hi[i] = std::min(p.box.hi[i], q.box.hi[i]);
		all *= hi[i] - lo[i];
	}
	/* boxes that share too little cannot hold that much */
	if (!(least > 0) || !(all > EXACT_OVERLAP_MIN * least))
		return 0;
	double work = static_cast<double>(p.n + q.n) + OVERLAP_CELLS * OVERLAP_CELLS * 4;
	if (c.work + work > OVERLAP_WORK_MAX)
		return 0;
	c.work += work;
	/* the two as one list of triangles, a solid each */
	std::vector<double> xyz;
	std::vector<int> solid_of(p.n, 0);
	solid_of.resize(p.n + q.n, 1);
	xyz.reserve(9 * (p.n + q.n));
	xyz.insert(xyz.end(), c.f->xyz + 9 * p.first, c.f->xyz + 9 * (p.first + p.n));
	xyz.insert(xyz.end(), c.f->xyz + 9 * q.first, c.f->xyz + 9 * (q.first + q.n));
	struct facets both = { xyz.data(), solid_of.data(), p.n + q.n };
	if (voxels_open(&v, OVERLAP_CELLS, lo, hi, &e) < 0)
		throw std::bad_alloc();
	int rc = voxels_fill(&v, &both, nullptr, &shared, &e);
	voxels_release(&v);
	if (rc < 0)
		throw std::bad_alloc();
	for (int i = 0; i < 3; i++)
		at[i] = (lo[i] + hi[i]) / 2;
	double cell = all / (static_cast<double>(OVERLAP_CELLS) * OVERLAP_CELLS * OVERLAP_CELLS);
	double share = std::min(1.0, static_cast<double>(shared) * cell / least);
	return share < EXACT_OVERLAP_MIN ? 0 : share;
}

/* ---- distance ---- */

/* How far the polygon of an edge is from its curve, in the middle of its pieces. */
double edge_slack(const TopoDS_Edge &edge, const Handle(Poly_Triangulation) & t,
                  const TopLoc_Location &where, double deflection)
{
	double most = 0;

	if (BRep_Tool::Degenerated(edge))
		return 0;
	BRepAdaptor_Curve c(edge);
	if (c.GetType() == GeomAbs_Line)
		return 0;
	Handle(Poly_PolygonOnTriangulation) p = BRep_Tool::PolygonOnTriangulation(edge, t, where);
	if (p.IsNull() || p->Parameters().IsNull())
		return deflection;
	const TColStd_Array1OfReal &at = p->Parameters()->Array1();
	for (int i = at.Lower(); i < at.Upper(); i++) {
		gp_XYZ mid = (c.Value(at(i)).XYZ() + c.Value(at(i + 1)).XYZ()) / 2;
		most = std::max(most, (c.Value((at(i) + at(i + 1)) / 2).XYZ() - mid).Modulus());
	}
	return most;
}

/* How far the triangles of a face are from it: measured, since most are far nearer than the
 * deflection that they were allowed, and each face that is known to be too far away saves the
 * kernel some milliseconds. */
double face_slack(const flat_face &f, double deflection)
{
	BRepAdaptor_Surface surface(f.face, Standard_False);
	TopLoc_Location where;
	const Handle(Poly_Triangulation) &t = BRep_Tool::Triangulation(f.face, where);
	double most = 0;

	/* in the middle of a piece it is at its most, of a curve that bends evenly: half as much
	 * again for those that do not */
	if (f.type == GeomAbs_Plane) {
		for (TopExp_Explorer x(f.face, TopAbs_EDGE); x.More(); x.Next())
			most = std::max(
				most, edge_slack(TopoDS::Edge(x.Current()), t, where, deflection));
		return std::min(1.5 * most, deflection);
	}
	Handle(TColgp_HArray1OfPnt2d) uvs = t->MapUVNodeArray();
	if (uvs.IsNull() || uvs->Length() < static_cast<int>(f.nodes.size()))
		return deflection;
	for (size_t i = 0; i + 2 < f.corners.size() && 1.5 * most < deflection; i += 3)
		for (size_t k = 0; k < 3; k++) {
			int a = f.corners[i + k], b = f.corners[i + (k + 1) % 3];
			gp_XY uv = (uvs->Value(uvs->Lower() + a - 1).XY() +
			            uvs->Value(uvs->Lower() + b - 1).XY()) /
			           2;
			gp_XYZ mid = (f.nodes[static_cast<size_t>(a - 1)] +
			              f.nodes[static_cast<size_t>(b - 1)]) /
			             2;
			most = std::max(most,
			                (surface.Value(uv.X(), uv.Y()).XYZ() - mid).Modulus());
		}
	return std::min(1.5 * most, deflection);
}

double slack_of(flat_face &f, double deflection)
{
	if (f.slack < 0)
		f.slack = face_slack(f, deflection);
	return f.slack;
}

void read_faces(body &b)
{
	if (b.read)
		return;
	b.read = true;
	for (TopExp_Explorer x(b.solid, TopAbs_FACE); x.More(); x.Next()) {
		TopLoc_Location where;
		flat_face f;
		f.face = TopoDS::Face(x.Current());
		f.box = NO_BOX;
		const Handle(Poly_Triangulation) &t = BRep_Tool::Triangulation(f.face, where);
		if (t.IsNull())
			continue;
		Handle(TColgp_HArray1OfPnt) nodes = t->MapNodeArray();
		Handle(Poly_HArray1OfTriangle) corners = t->MapTriangleArray();
		if (nodes.IsNull() || corners.IsNull())
			continue;
		BRepAdaptor_Surface surface(f.face, Standard_False);
		f.type = surface.GetType();
		f.radius = 0;
		if (f.type == GeomAbs_Plane) {
			f.at = surface.Plane().Location().XYZ();
			f.dir = surface.Plane().Axis().Direction().XYZ();
		} else if (f.type == GeomAbs_Cylinder) {
			f.at = surface.Cylinder().Location().XYZ();
			f.dir = surface.Cylinder().Axis().Direction().XYZ();
			f.radius = surface.Cylinder().Radius();
		}
		for (int i = nodes->Lower(); i <= nodes->Upper(); i++) {
			gp_Pnt p = nodes->Value(i);
			if (!where.IsIdentity())
				p.Transform(where.Transformation());
			const double at[3] = { p.X(), p.Y(), p.Z() };
			box_add(f.box, at);
			f.nodes.push_back(p.XYZ());
		}
		for (int i = corners->Lower(); i <= corners->Upper(); i++) {
			int n[3];
			corners->Value(i).Get(n[0], n[1], n[2]);
			for (int k : n)
				if (k < 1 || k > static_cast<int>(f.nodes.size()))
					give_up(SHAPE_DAMAGED, ERR_INPUT,
					        "a triangle names corner %d of %zu; the shape is damaged: export it again",
					        k, f.nodes.size());
			box3 tri = NO_BOX;
			for (int k : n) {
				const gp_XYZ &p = f.nodes[static_cast<size_t>(k - 1)];
				const double at[3] = { p.X(), p.Y(), p.Z() };
				box_add(tri, at);
			}
			f.corners.insert(f.corners.end(), n, n + 3);
			f.boxes.push_back(tri);
		}
		f.slack = -1;
		b.faces.push_back(f);
	}
}

/* Is @p over the triangle, seen along its normal @n? */
bool over_triangle(const gp_XYZ &p, const gp_XYZ &a, const gp_XYZ &b, const gp_XYZ &c,
                   const gp_XYZ &n)
{
	double u = (b - a).Crossed(p - a).Dot(n), v = (c - b).Crossed(p - b).Dot(n),
	       w = (a - c).Crossed(p - c).Dot(n);

	return u >= 0 && v >= 0 && w >= 0;
}

/* Does a corner of @f lie on the flat face @flat? Its triangles are that face, and corners of
 * triangles are points of the surface they are made of. */
bool stands_on(contacts &c, const flat_face &f, const flat_face &flat)
{
	for (const gp_XYZ &p : f.nodes) {
		const double at[3] = { p.X(), p.Y(), p.Z() };
		box3 point = NO_BOX;
		box_add(point, at);
		if (box_gap(point, flat.box) > c.touch)
			continue;
		for (size_t i = 0; i + 2 < flat.corners.size(); i += 3) {
			const gp_XYZ &a = flat.nodes[static_cast<size_t>(flat.corners[i] - 1)];
			const gp_XYZ &b = flat.nodes[static_cast<size_t>(flat.corners[i + 1] - 1)];
			const gp_XYZ &d = flat.nodes[static_cast<size_t>(flat.corners[i + 2] - 1)];
			gp_XYZ n = (b - a).Crossed(d - a);
			double length = n.Modulus();
			if (++c.looks > LOOKS_MAX)
				return false;
			if (length > 0 && std::fabs((p - a).Dot(n)) <= c.touch * length &&
			    over_triangle(p, a, b, d, n))
				return true;
		}
	}
	return false;
}

/* How far two planes or cylinders on parallel axes are apart at the least, wherever their faces
 * end; 0 where that says nothing. */
double least_gap(const flat_face &p, const flat_face &q)
{
	if (p.type != q.type || (p.type != GeomAbs_Plane && p.type != GeomAbs_Cylinder) ||
	    std::fabs(p.dir.Dot(q.dir)) < 1 - 1e-12)
		return 0;
	gp_XYZ off = q.at - p.at;
	if (p.type == GeomAbs_Plane)
		return std::fabs(off.Dot(p.dir));
	double between = (off - p.dir * off.Dot(p.dir)).Modulus();
	return std::max(
		{ 0.0, std::fabs(p.radius - q.radius) - between, between - p.radius - q.radius });
}

/* Does any triangle of one come as near to one of the other? By their boxes: when not, the faces do
 * not either. */
bool triangles_near(contacts &c, const flat_face &p, const flat_face &q, double d)
{
	for (const box3 &b : p.boxes) {
		if (box_gap(b, q.box) > d)
			continue;
		for (const box3 &o : q.boxes)
			if (++c.looks > LOOKS_MAX || box_gap(b, o) <= d)
				return true;
	}
	return false;
}

/* A pin in its bore: as near as its clearance is near enough. */
bool turn_together(const contacts &c, const flat_face &p, const flat_face &q)
{
	if (c.joint < 0 || p.type != GeomAbs_Cylinder || q.type != GeomAbs_Cylinder)
		return false;
	gp_XYZ off = q.at - p.at;
	double between = (off - p.dir * off.Dot(p.dir)).Modulus();
	return std::fabs(p.dir.Dot(q.dir)) > 1 - 1e-4 && between <= c.joint + c.touch &&
	       std::fabs(p.radius - q.radius) <= c.joint + c.touch;
}

/* The two are as near as they must be to be joined. @by_mesh: the kernel's turn was over. */
bool are_joined(contacts &c, body &p, body &q, bool *by_mesh)
{
	std::vector<pair_gap> near;
	double reach = std::max(c.touch, c.joint) + 2 * c.deflection;

	read_faces(p);
	read_faces(q);
	for (size_t i = 0; i < p.faces.size(); i++) {
		if (box_gap(p.faces[i].box, q.box) > reach)
			continue;
		for (size_t k = 0; k < q.faces.size(); k++) {
			double d = box_gap(p.faces[i].box, q.faces[k].box);
			if (++c.looks > LOOKS_MAX)
				break;
			if (d <= reach)
				near.push_back({ d, static_cast<int>(i), static_cast<int>(k) });
		}
	}
	std::sort(near.begin(), near.end());
	for (const pair_gap &n : near) {
		const flat_face &f = p.faces[static_cast<size_t>(n.a)];
		const flat_face &g = q.faces[static_cast<size_t>(n.b)];
		if (n.d > c.touch)
			break;
		if ((g.type == GeomAbs_Plane && stands_on(c, f, g)) ||
		    (f.type == GeomAbs_Plane && stands_on(c, g, f)))
			return true;
	}
	for (const pair_gap &n : near) {
		flat_face &f = p.faces[static_cast<size_t>(n.a)];
		flat_face &g = q.faces[static_cast<size_t>(n.b)];
		double enough = turn_together(c, f, g) ? std::max(c.joint, c.touch) : c.touch;
		if (n.d > enough + 2 * c.deflection || least_gap(f, g) > enough)
			continue;
		double reached = enough + slack_of(f, c.deflection) + slack_of(g, c.deflection);
		if (n.d > reached || !triangles_near(c, f, g, reached))
			continue;
		if (c.extrema >= EXTREMA_MAX) {
			/* facets tell to the deflection: as near as that is joined */
			*by_mesh = true;
			if (n.d <= enough && f.type != GeomAbs_Plane && g.type != GeomAbs_Plane)
				return true;
			continue;
		}
		c.extrema++;
		BRepExtrema_DistShapeShape d(f.face, g.face, Extrema_ExtFlag_MIN);
		if (d.IsDone() && d.NbSolution() > 0 && d.Value() <= enough)
			return true;
	}
	return false;
}

/* ---- the whole ---- */

/* The smallest group by box, of several. */
void find_loose(contacts &c, struct exact_contact *out)
{
	std::vector<box3> box(c.bodies.size(), NO_BOX);
	double least = INFINITY;
	int loose = -1;

	for (size_t i = 0; i < c.bodies.size(); i++) {
		box3 &b = box[static_cast<size_t>(root_of(c.up, static_cast<int>(i)))];
		if (c.bodies[i].n == 0)
			continue;
		box_add(b, c.bodies[i].box.lo);
		box_add(b, c.bodies[i].box.hi);
	}
	for (size_t i = 0; i < box.size(); i++) {
		double size = 0;
		for (int k = 0; k < 3; k++)
			size += box[i].hi[k] - box[i].lo[k];
		if (std::isfinite(size) && size < least) {
			least = size;
			loose = static_cast<int>(i);
		}
	}
	if (loose < 0)
		return;
	out->gap_mm = INFINITY;
	for (size_t i = 0; i < c.bodies.size(); i++)
		for (size_t k = 0; k < c.bodies.size(); k++)
			if (root_of(c.up, static_cast<int>(i)) == loose &&
			    root_of(c.up, static_cast<int>(k)) != loose)
				out->gap_mm = std::min(out->gap_mm,
				                       box_gap(c.bodies[i].box, c.bodies[k].box));
	for (int k = 0; k < 3; k++) {
		const box3 &b = box[static_cast<size_t>(loose)];
		out->loose_at_mm[k] = (b.lo[k] + b.hi[k]) / 2;
		out->loose_mm[k] = b.hi[k] - b.lo[k];
	}
}

void measure_contact(contacts &c, struct exact_contact *out)
{
	std::vector<pair_gap> pairs;
	std::vector<int> by_x;
	double reach = std::max(c.touch, c.joint) + 2 * c.deflection;
	int n = static_cast<int>(c.bodies.size());

	for (int i = 0; i < n; i++)
		by_x.push_back(i);
	std::sort(by_x.begin(), by_x.end(), [&](int a, int b) {
		double p = c.bodies[static_cast<size_t>(a)].box.lo[0];
		double q = c.bodies[static_cast<size_t>(b)].box.lo[0];
		return p != q ? p < q : a < b;
	});
	for (size_t i = 0; i < by_x.size(); i++)
		for (size_t k = i + 1; k < by_x.size(); k++) {
			const body &p = c.bodies[static_cast<size_t>(by_x[i])];
			const body &q = c.bodies[static_cast<size_t>(by_x[k])];
			if (!(q.box.lo[0] <= p.box.hi[0] + reach))
				break;
			double d = box_gap(p.box, q.box);
			if (d <= reach)
				pairs.push_back({ d, std::min(by_x[i], by_x[k]),
				                  std::max(by_x[i], by_x[k]) });
		}
	std::sort(pairs.begin(), pairs.end());
	for (const pair_gap &x : pairs) {
		double at[3];
		if (x.d > 0)
			break;
		double share = overlap_share(c, c.bodies[static_cast<size_t>(x.a)],
		                             c.bodies[static_cast<size_t>(x.b)], at);
		if (share > out->overlap) {
			out->overlap = share;
			memcpy(out->overlap_at_mm, at, sizeof(at));
		}
		if (share > 0)
			unite(c.up, x.a, x.b);
	}
	for (const pair_gap &x : pairs) {
		bool by_mesh = false;
		if (root_of(c.up, x.a) == root_of(c.up, x.b))
			continue;
		if (are_joined(c, c.bodies[static_cast<size_t>(x.a)],
		               c.bodies[static_cast<size_t>(x.b)], &by_mesh))
			unite(c.up, x.a, x.b);
		out->by_mesh += by_mesh;
	}
	for (int i = 0; i < n; i++)
		out->groups += root_of(c.up, i) == i;
	if (out->groups > 1)
		find_loose(c, out);
}

} // namespace

int exact_count_edges(const struct shape *s, struct exact_edges *out, enum shape_fault *fault,
                      struct err *e)
{
	struct exact_edges n = {};

	if (guard("counting edges", fault, e, [&] {
		    TopTools_IndexedMapOfShape shells;
		    TopExp::MapShapes(s->topo, TopAbs_SHELL, shells);
		    for (int i = 1; i <= shells.Extent(); i++)
			    count_edges(shells(i), &n);
		    for (TopExp_Explorer x(s->topo, TopAbs_FACE, TopAbs_SHELL); x.More(); x.Next())
			    count_edges(x.Current(), &n);
	    }) < 0)
		return -1;
	*out = n;
	return 0;
}

int exact_find_contact(const struct shape *s, const struct facets *f, double deflection_mm,
                       double touch_mm, double joint_mm, struct exact_contact *out,
                       enum shape_fault *fault, struct err *e)
{
	struct exact_contact r = {};

	for (int i = 0; i < 3; i++)
		r.overlap_at_mm[i] = r.loose_at_mm[i] = r.loose_mm[i] = NAN;
	r.gap_mm = NAN;
	if (guard("looking at the contact of solids", fault, e, [&] {
		    contacts c = {};
		    c.f = f;
		    c.touch = r.touch_mm = touch_mm;
		    c.joint = joint_mm;
		    c.deflection = deflection_mm;
		    find_bodies(s->topo, c);
		    r.solids = static_cast<int>(c.bodies.size());
		    measure_contact(c, &r);
	    }) < 0)
		return -1;
	*out = r;
	return 0;
}
