/*
 * workbench_image.c - pictures for the panes: triangles to pixels when something about them is
 * another.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/workbench.h"

enum { TURN_STEP_DEG = 15, TILT_MAX_DEG = 90 };

void wb_picture_stl(struct wb_picture *p, uint64_t id, const void *stl, size_t len, const char *why)
{
	struct err e = { 0 };

	if (id && id == p->part_id && (len > 0) == (p->part != NULL))
		return;
	part_close(p->part);
	p->part = NULL;
	p->part_id = id;
	snprintf(p->why, sizeof(p->why), "%s", why ? why : "");
	if (len > 0 && !(p->part = part_open(stl, len, &e)))
		snprintf(p->why, sizeof(p->why), "%.230s", e.text);
}

void wb_picture_reference(struct wb_picture *p, uint64_t id, const void *stl, size_t len)
{
	struct err e = { 0 };

	if (id == p->reference_id)
		return;
	part_close(p->reference);
	p->reference = NULL;
	p->reference_id = id;
	if (len > 0)
		p->reference = part_open(stl, len, &e);
}

static bool same_look(const struct picture_look *a, const struct picture_look *b)
{
	return a->view == b->view && fabs(a->turn_deg - b->turn_deg) < 0.01 &&
	       fabs(a->tilt_deg - b->tilt_deg) < 0.01 && a->section == b->section &&
	       a->difference == b->difference;
}

static const char *which(struct workbench *w, const struct wb_picture *p,
                         const struct picture_look *l)
{
	const char *turned = "";

	if (fabs(l->turn_deg) > 0.01 || fabs(l->tilt_deg) > 0.01)
		turned = wb_text(w, " %+.0f", l->turn_deg);
	return wb_text(w, "%s%s%s%s", picture_view_name(l->view), turned,
	               l->section ? " section" : "",
	               !l->difference ? ""
	               : p->reference ? " difference"
	                              : " (no reference)");
}

void wb_picture_view(struct workbench *w, struct wb_picture *p, const struct picture_look *look,
                     struct view_image *out)
{
	struct err e = { 0 };
	double size[3];

	*out = (struct view_image){ .why = p->why };
	if (look->view == PICTURE_OFF) {
		out->why = "pictures are off: i shows them";
		return;
	}
	if (!p->part)
		return;
	out->which = which(w, p, look);
	if (w->room_w < 16 || w->room_h < 16) {
		out->why = "";
		return;
	}
	if (!p->rgb || p->w != w->room_w || p->h != w->room_h || p->drawn_part != p->part_id ||
	    p->drawn_reference != p->reference_id || !same_look(&p->drawn, look)) {
		uint8_t *rgb = realloc(p->rgb, (size_t)w->room_w * (size_t)w->room_h * 3);
		if (!rgb)
			return;
		p->rgb = rgb;
		p->w = w->room_w;
		p->h = w->room_h;
		p->drawn = *look;
		p->drawn_part = p->part_id;
		p->drawn_reference = p->reference_id;
		p->id = ++w->pictures;
		if (picture_draw(p->part, p->reference, look, p->w, p->h, p->rgb, &e) < 0) {
			snprintf(p->why, sizeof(p->why), "%.230s", e.text);
			p->drawn_part = 0;
			return;
		}
	}
	part_size_mm(p->part, size);
	out->rgb = p->rgb;
	out->w = p->w;
	out->h = p->h;
	out->id = p->id;
	out->caption = wb_text(w, "%.1f x %.1f x %.1f mm", size[0], size[1], size[2]);
}

void wb_picture_release(struct wb_picture *p)
{
	part_close(p->part);
	part_close(p->reference);
	free(p->rgb);
	*p = (struct wb_picture){ 0 };
}

bool wb_look_intent(struct picture_look *l, const struct intent *in)
{
	enum picture_view named;

	switch (in->kind) {
	case INTENT_IMAGE:
		named = in->text && *in->text ? picture_view_named(in->text) : PICTURE_VIEWS;
		l->view = named < PICTURE_VIEWS
		                  ? named
		                  : (enum picture_view)((l->view + 1) % PICTURE_VIEWS);
		l->turn_deg = l->tilt_deg = 0;
		return true;
	case INTENT_TURN_PART:
		l->turn_deg = fmod(l->turn_deg + (double)in->n, 360);
		l->tilt_deg = fmax(-TILT_MAX_DEG, fmin(TILT_MAX_DEG, l->tilt_deg + (double)in->m));
		if (in->n == 0 && in->m == 0)
			l->turn_deg = fmod(l->turn_deg + TURN_STEP_DEG, 360);
		return true;
	case INTENT_SECTION:
		l->section = !l->section;
		return true;
	case INTENT_DIFFERENCE:
		l->difference = !l->difference;
		return true;
	default:
		return false;
	}
}
