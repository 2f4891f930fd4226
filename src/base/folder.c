#include "src/base/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* True when @dir is there and is no empty folder; then @e says what it is. */
static bool taken(const char *dir, struct err *e)
{
	DIR *d = opendir(dir);
	bool found = false;

	if (!d) {
		if (errno == ENOENT)
			return false;
		if (errno == ENOTDIR)
			err_set(e, ERR_INPUT,
			        "%.300s is a file: name a folder that is not there yet", dir);
		else
			err_errno(e, ERR_INPUT, "%.300s", dir);
		return true;
	}
	for (struct dirent *x; !found && (x = readdir(d));)
		found = strcmp(x->d_name, ".") != 0 && strcmp(x->d_name, "..") != 0;
	closedir(d);
	if (found)
		err_set(e, ERR_INPUT,
		        "%.300s is there already and not empty: name a folder that is not there "
		        "yet",
		        dir);
	return found;
}

/* The folder that @dir lies in, NUL-terminated in @out. */
static void parent_of(const char *dir, struct buf *out)
{
	const char *slash = strrchr(dir, '/');

	if (!slash)
		buf_addc(out, '.');
	else
		buf_add(out, dir, slash == dir ? 1 : (size_t)(slash - dir));
}

static int room_for(const char *parent, const char *dir, uint64_t bytes, struct err *e)
{
	struct statvfs st;

	if (bytes == 0 || statvfs(parent, &st) < 0)
		return 0;
	uint64_t there = (uint64_t)st.f_bavail * st.f_frsize;
	if (there >= bytes)
		return 0;
	return err_set(e, ERR_IO,
	               "%.300s: %.2f GB will be written, the disk has %.2f GB left: free some, or "
	               "name a folder on another disk",
	               dir, (double)bytes / 1e9, (double)there / 1e9);
}

int new_folder_begin(struct new_folder *f, const char *dir, uint64_t bytes, struct err *e)
{
	struct buf parent = { 0 }, made = { 0 };
	size_t end = strlen(dir);
	int rc = -1;

	*f = (struct new_folder){ 0 };
	if (end == 0)
		return err_set(e, ERR_USAGE, "a folder's name wanted, got nothing");
	if (taken(dir, e))
		return -1;
	while (end > 1 && dir[end - 1] == '/')
		end--;
	f->dir = strndup(dir, end);
	if (f->dir)
		parent_of(f->dir, &parent);
	buf_printf(&made, "%.*s.XXXXXX", (int)end, dir);
	if (!f->dir || buf_failed(&parent) || buf_failed(&made))
		err_set(e, ERR_MEM, "no memory for a path");
	else if (room_for(parent.data, dir, bytes, e) < 0)
		;
	else if (!mkdtemp(made.data))
		err_errno(e, ERR_IO, "%.300s: no folder can be made there", dir);
	else if (!(f->made = buf_take(&made, NULL)))
		err_set(e, ERR_MEM, "no memory for a path");
	else
		rc = 0;
	if (rc < 0)
		new_folder_drop(f);
	buf_release(&made);
	buf_release(&parent);
	return rc;
}

const char *new_folder_path(const struct new_folder *f, const char *name, struct buf *out,
                            struct err *e)
{
	buf_clear(out);
	buf_printf(out, "%s/%s", f->made, name);
	if (!buf_failed(out))
		return out->data;
	err_set(e, ERR_MEM, "no memory for a path");
	return NULL;
}

int new_folder_copy(const struct new_folder *f, const char *from_dir, const char *name, size_t max,
                    struct err *e)
{
	struct buf path = { 0 }, text = { 0 };
	const char *to;
	int rc = -1;

	buf_printf(&path, "%s/%s", from_dir, name);
	if (buf_failed(&path))
		err_set(e, ERR_MEM, "no memory for a path");
	else if (access(path.data, F_OK) < 0 && errno == ENOENT)
		rc = 0;
	else if (buf_read_file(&text, path.data, max, e) == 0 &&
	         (to = new_folder_path(f, name, &path, e)) &&
	         file_write_atomic(to, buf_str(&text), text.len, e) == 0)
		rc = 1;
	buf_release(&text);
	buf_release(&path);
	return rc;
}

static int sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd < 0)
		return -1;
	rc = fsync(fd);
	/* a file system that cannot sync a folder says so; its files are synced all the same */
	if (rc < 0 && errno == EINVAL)
		rc = 0;
	close(fd);
	return rc;
}

int new_folder_end(struct new_folder *f, struct err *e)
{
	struct buf parent = { 0 };
	mode_t mask = umask(0);
	int rc = -1;

	umask(mask);
	parent_of(f->dir, &parent);
	if (buf_failed(&parent)) {
		err_set(e, ERR_MEM, "no memory for a path");
	} else if (chmod(f->made, 0777 & ~mask) < 0 || sync_folder(f->made) < 0) {
		err_errno(e, ERR_IO, "%.300s: writing", f->dir);
	} else if (rename(f->made, f->dir) < 0) {
		/* somebody was quicker: rename() replaces nothing but an empty folder */
		if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR)
			err_set(e, ERR_INPUT, "%.300s is there already: name a folder that is not",
			        f->dir);
		else
			err_errno(e, ERR_IO, "%.300s: cannot be put there", f->dir);
	} else {
		free(f->made);
		f->made = NULL;
		rc = sync_folder(parent.data) < 0 ? err_errno(e, ERR_IO, "%.300s: writing", f->dir)
		                                  : 0;
	}
	buf_release(&parent);
	new_folder_drop(f);
	return rc;
}

/* Files, and folders of files. */
static void remove_all(const char *path)
{
	DIR *d = opendir(path);

	for (struct dirent *x; d && (x = readdir(d));) {
		struct buf sub = { 0 };
		if (strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0)
			continue;
		buf_printf(&sub, "%s/%s", path, x->d_name);
		if (!buf_failed(&sub) && unlink(sub.data) < 0 &&
		    (errno == EISDIR || errno == EPERM))
			remove_all(sub.data);
		buf_release(&sub);
	}
	if (d)
		closedir(d);
	rmdir(path);
}

void new_folder_drop(struct new_folder *f)
{
	if (f->made)
		remove_all(f->made);
	free(f->made);
	free(f->dir);
	*f = (struct new_folder){ 0 };
}
