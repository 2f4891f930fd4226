#include "src/pack_write.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/task.h"

enum { COPY_MAX = 64 << 20 };

int make_folders(const char *path, struct err *e)
{
	struct buf b = { 0 };
	int rc = 0;

	buf_adds(&b, path);
	if (buf_failed(&b))
		return err_set(e, ERR_MEM, "no memory for a path");
	for (char *c = b.data + 1; rc == 0; c++) {
		char old = *c;
		if (old != '/' && old != '\0')
			continue;
		*c = '\0';
		if (mkdir(b.data, 0777) < 0 && errno != EEXIST)
			rc = err_errno(e, ERR_IO, "folder %s", b.data);
		*c = old;
		if (!old)
			break;
	}
	buf_release(&b);
	return rc;
}

/* ---- a new task ---- */

/* A plate with four holes: small enough to be replaced line by line, whole enough to pass. */
static const char task_text[] =
	"{\n"
	"  \"format\": \"cadforge-task-1\",\n"
	"  \"id\": \"%s\",\n"
	"  \"level\": \"easy\",\n"
	"  \"family\": \"mechanical_fixture\",\n"
	"  \"bbox_mm\": [80, 60, 8],\n"
	"  \"semantic_hints\": [\"plate\", \"bolt_hole\"],\n"
	"  \"prompt\": \"Model a flat mounting plate in editable CadQuery: four through-holes for M6 "
	"bolts in a rectangle, 10 mm from the edges.\",\n"
	"  \"dimensions\": [\n"
	"    {\"name\": \"plate_length\", \"value_mm\": 80, \"about\": \"X\"},\n"
	"    {\"name\": \"plate_width\", \"value_mm\": 60, \"about\": \"Y\"},\n"
	"    {\"name\": \"plate_height\", \"value_mm\": 8, \"about\": \"Z\"},\n"
	"    {\"name\": \"bolt_diameter\", \"value_mm\": 6.6, \"about\": \"of the four holes\"}\n"
	"  ],\n"
	"  \"expect\": {\n"
	"    \"bolt_holes\": 4,\n"
	"    \"hole_axis\": \"Z\",\n"
	"    \"max_solids\": 1\n"
	"  },\n"
	"  \"seed_box_over_height\": null,\n"
	"  \"reference\": \"references/%s.py\",\n"
	"  \"orientation\": \"free\",\n"
	"  \"checks\": [\n"
	"    {\"id\": \"size\", \"kind\": \"bbox_mm\", \"want\": [80, 60, 8], \"weight\": 1, "
	"\"about\": \"the plate is 80 x 60 x 8 mm\"},\n"
	"    {\"id\": \"one_solid\", \"kind\": \"solids\", \"want\": 1, \"weight\": 1, "
	"\"about\": \"one solid\", \"covers\": [\"max_solids\"]},\n"
	"    {\"id\": \"bolt_holes\", \"kind\": \"holes\", \"want\": 4, \"axis\": \"z\", "
	"\"diameter_mm\": [6, 7], \"through\": true, \"weight\": 2, "
	"\"about\": \"four through-holes for M6 bolts\", "
	"\"covers\": [\"bolt_holes\", \"hole_axis\"]}\n"
	"  ]\n"
	"}\n";

static const char reference_text[] =
	"import cadquery as cq\n"
	"\n"
	"# dimensions in mm\n"
	"plate_length = 80.0\n"
	"plate_width = 60.0\n"
	"plate_height = 8.0\n"
	"bolt_diameter = 6.6\n"
	"bolt_edge = 10.0  # hole to edge\n"
	"\n"
	"\n"
	"def spacing(length):\n"
	"    return length - 2 * bolt_edge\n"
	"\n"
	"\n"
	"def make_plate():\n"
	"    return cq.Workplane(\"XY\").box(\n"
	"        plate_length, plate_width, plate_height, centered=(True, True, False)\n"
	"    )\n"
	"\n"
	"\n"
	"def make_bolt_holes():\n"
	"    return (\n"
	"        cq.Workplane(\"XY\")\n"
	"        .rarray(spacing(plate_length), spacing(plate_width), 2, 2)\n"
	"        .circle(bolt_diameter / 2)\n"
	"        .extrude(plate_height)\n"
	"    )\n"
	"\n"
	"\n"
	"fixture = make_plate().cut(make_bolt_holes())\n";

/* Writes it unless it is there. 1: it was there. */
static int write_new(const char *path, const struct buf *text, struct err *e)
{
	if (buf_failed(text))
		return err_set(e, ERR_MEM, "no memory for a task");
	if (access(path, F_OK) == 0)
		return 1;
	return file_write_atomic(path, text->data, text->len, e);
}

/* The folder's own name, as far as it can be a pack's. */
static void pack_name(char out[TASK_ID_MAX + 1], const char *dir)
{
	char *real = realpath(dir, NULL);
	const char *slash = real ? strrchr(real, '/') : NULL;
	size_t n = 0;

	for (const char *c = slash ? slash + 1 : ""; *c && n < TASK_ID_MAX; c++) {
		char low = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
		bool letter = (low >= 'a' && low <= 'z') || (low >= '0' && low <= '9');
		out[n++] = letter ? low : '_';
	}
	out[n] = '\0';
	if (n == 0)
		strcpy(out, "own");
	free(real);
}

int pack_new_task(struct buf *path, const char *dir, const char *id, struct err *e)
{
	struct buf file = { 0 }, text = { 0 };
	char name[TASK_ID_MAX + 1];
	int rc = -1;

	if (!*id || strlen(id) > TASK_ID_MAX ||
	    id[strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_")] || strcmp(id, "pack") == 0)
		return err_set(
			e, ERR_USAGE,
			"'%.80s' can be no task's id: 1 to %d of a-z, 0-9 and _, and not pack", id,
			TASK_ID_MAX);
	buf_clear(path);
	buf_printf(path, "%s/%s.json", dir, id);
	if (access(buf_str(path), F_OK) == 0)
		return err_set(e, ERR_USAGE,
		               "%s is there already; 'cadforge tasks edit %s' opens it",
		               buf_str(path), id);
	buf_printf(&file, "%s/references", dir);
	if (buf_failed(&file) || buf_failed(path)) {
		err_set(e, ERR_MEM, "no memory for a path");
		goto out;
	}
	if (make_folders(buf_str(&file), e) < 0)
		goto out;
	pack_name(name, dir);
	buf_clear(&file);
	buf_printf(&file, "%s/pack.json", dir);
	buf_printf(&text,
	           "{\n  \"format\": \"cadforge-pack-1\",\n  \"name\": \"%s\",\n"
	           "  \"about\": \"Tasks of our own.\"\n}\n",
	           name);
	if (write_new(buf_str(&file), &text, e) < 0)
		goto out;
	buf_clear(&file);
	buf_clear(&text);
	buf_printf(&file, "%s/references/%s.py", dir, id);
	buf_adds(&text, reference_text);
	if (write_new(buf_str(&file), &text, e) < 0)
		goto out;
	/* the task last: before it nothing is named */
	buf_clear(&text);
	buf_printf(&text, task_text, id, id);
	rc = write_new(buf_str(path), &text, e) < 0 ? -1 : 0;
out:
	buf_release(&file);
	buf_release(&text);
	return rc;
}

/* ---- a copy ---- */

static void remove_copy(const char *dir)
{
	DIR *d = opendir(dir);

	for (struct dirent *x; d && (x = readdir(d));) {
		struct buf path = { 0 };
		buf_printf(&path, "%s/%s", dir, x->d_name);
		if (strcmp(x->d_name, ".") != 0 && strcmp(x->d_name, "..") != 0 &&
		    unlink(buf_str(&path)) < 0)
			remove_copy(buf_str(&path));
		buf_release(&path);
	}
	if (d)
		closedir(d);
	rmdir(dir);
}

/* Regular files of @from to @to, and those of the folder references/ when @deeper. */
static int copy_folder(const char *from, const char *to, bool deeper, struct err *e)
{
	DIR *d = opendir(from);
	int rc = 0;

	if (!d)
		return err_errno(e, ERR_INPUT, "folder %s", from);
	if (mkdir(to, 0777) < 0 && errno != EEXIST)
		rc = err_errno(e, ERR_IO, "folder %s", to);
	for (struct dirent *x; rc == 0 && (x = readdir(d));) {
		struct buf a = { 0 }, b = { 0 }, bytes = { 0 };
		struct stat st;
		buf_printf(&a, "%s/%s", from, x->d_name);
		buf_printf(&b, "%s/%s", to, x->d_name);
		if (buf_failed(&a) || buf_failed(&b))
			rc = err_set(e, ERR_MEM, "no memory for a path");
		else if (x->d_name[0] == '.' || stat(buf_str(&a), &st) < 0)
			; /* an editor's, or a dangling link: no part of the pack */
		else if (S_ISREG(st.st_mode))
			rc = buf_read_file(&bytes, buf_str(&a), COPY_MAX, e) < 0 ||
			                     file_write_atomic(buf_str(&b), bytes.data, bytes.len,
			                                       e) < 0
			             ? -1
			             : 0;
		else if (deeper && S_ISDIR(st.st_mode) && strcmp(x->d_name, "references") == 0)
			rc = copy_folder(buf_str(&a), buf_str(&b), false, e);
		buf_release(&a);
		buf_release(&b);
		buf_release(&bytes);
	}
	closedir(d);
	return rc;
}

int pack_copy(const char *from, const char *to, struct err *e)
{
	struct buf above = { 0 }, temp = { 0 };
	const char *slash = strrchr(to, '/');
	int rc = -1;

	buf_add(&above, to, slash ? (size_t)(slash - to) : 0);
	buf_printf(&temp, "%s/.copy-XXXXXX", above.len ? buf_str(&above) : ".");
	if (buf_failed(&above) || buf_failed(&temp)) {
		err_set(e, ERR_MEM, "no memory for a path");
	} else if (above.len == 0 || make_folders(buf_str(&above), e) == 0) {
		if (!mkdtemp(temp.data)) {
			err_errno(e, ERR_IO, "folder %s", buf_str(&temp));
		} else {
			chmod(buf_str(&temp), 0755);
			rc = copy_folder(from, buf_str(&temp), true, e);
			if (rc == 0 && rename(buf_str(&temp), to) < 0)
				rc = err_errno(e, ERR_IO, "folder %s", to);
			if (rc < 0)
				remove_copy(buf_str(&temp));
		}
	}
	buf_release(&above);
	buf_release(&temp);
	return rc;
}
