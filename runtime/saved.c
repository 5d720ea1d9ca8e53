/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is kept beside the images. */
#include "runtime/saved.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "oci/json.h"

#define OWN_FILE "crun-criu.json"
#define FORMAT_VERSION 1

static const char *const file_names[] = { OWN_FILE,	"descriptors.json", "status",
					  "state.json", "config.json",	    "seccomp.bpf" };

static const char *state_name(enum oci_runtime runtime)
{
	return runtime == OCI_CRUN ? "status" : "state.json";
}

static int write_one(int dir, const char *name, const void *data, size_t len, struct err *err)
{
	cleanup_fd int fd =
		openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : io_write_all(fd, data, len);

	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r < 0 ? err_sys(err, r, "writing '%s' into the images folder", name) : 0;
}

static int put_file(struct arena *a, struct json *list, const struct saved_file *f)
{
	struct json *obj = json_put(a, list, NULL, JSON_OBJECT);

	return obj && json_put_string(a, obj, "key", f->key) &&
			       json_put_string(a, obj, "path", f->path) &&
			       json_put_int(a, obj, "flags", f->flags) &&
			       json_put_int(a, obj, "position", f->pos) &&
			       json_put_uint(a, obj, "device", f->dev) &&
			       json_put_uint(a, obj, "inode", f->ino) &&
			       json_put_int(a, obj, "fd", f->fd)
		       ? 0
		       : -ENOMEM;
}

static int write_own(int dir, const struct container *c, const struct saved_files *files,
		     struct err *err)
{
	struct arena a = { 0 };
	cleanup_buf struct buf text = BUF_INIT;
	struct json *top = json_put(&a, NULL, NULL, JSON_OBJECT), *list = NULL;
	const struct saved_file *f;
	int r = 0;

	if (top && json_put_int(&a, top, "version", FORMAT_VERSION) &&
	    json_put_string(&a, top, "runtime", find_runtime_name(c->at.runtime)) &&
	    json_put_string(&a, top, "id", c->state.id))
		list = json_put(&a, top, "files", JSON_ARRAY);
	vec_foreach (f, files)
		if (list && put_file(&a, list, f) < 0)
			list = NULL;
	r = list ? json_write(top, true, &text, err) : err_nomem(err);
	arena_done(&a);
	return r == 0 ? write_one(dir, OWN_FILE, text.data, text.len, err) : r;
}

static int write_descriptors(int dir, const struct oci_plan *plan, struct err *err)
{
	struct oci_strings list = { (const char **)plan->descriptors.v, plan->descriptors.n };
	cleanup_buf struct buf text = BUF_INIT;
	int r = oci_descriptors_write(&list, &text, err);

	return r == 0 ? write_one(dir, "descriptors.json", text.data, text.len, err) : r;
}

/* Only crun has such a file, and only for a container that is filtered. */
static int write_seccomp(int dir, const struct container *c, struct err *err)
{
	cleanup_buf struct buf data = BUF_INIT;
	char path[PATH_MAX + 16];
	int r;

	snprintf(path, sizeof(path), "%s/seccomp.bpf", c->at.dir);
	r = io_read_file(AT_FDCWD, path, &data);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_sys(err, r, "reading '%s'", path);
	return write_one(dir, "seccomp.bpf", data.data, data.len, err);
}

int saved_write(int images_fd, const struct container *c, const struct oci_plan *plan,
		const struct saved_files *files, struct err *err)
{
	int r;

	saved_remove(images_fd);
	r = write_descriptors(images_fd, plan, err);
	if (r == 0)
		r = write_one(images_fd, state_name(c->at.runtime), c->state_text.data,
			      c->state_text.len, err);
	if (r == 0)
		r = write_one(images_fd, "config.json", c->config_text.data, c->config_text.len,
			      err);
	if (r == 0)
		r = write_seccomp(images_fd, c, err);
	if (r == 0)
		r = write_own(images_fd, c, files, err);
	if (r < 0)
		saved_remove(images_fd);
	return r;
}

void saved_remove(int images_fd)
{
	for (size_t i = 0; i < sizeof(file_names) / sizeof(file_names[0]); i++)
		unlinkat(images_fd, file_names[i], 0);
}

static int64_t number(const struct json *obj, const char *key)
{
	const struct json *v = json_get(obj, key);

	return v && v->type == JSON_NUMBER ? strtoll(v->text, NULL, 10) : 0;
}

static const char *string(const struct json *obj, const char *key)
{
	const struct json *v = json_get(obj, key);

	return v && v->type == JSON_STRING ? v->text : NULL;
}

static int parse_own(struct saved *s, const struct buf *text, struct err *err)
{
	struct json *top, *list, *it;
	const char *runtime;
	int r = json_parse(&s->arena, OWN_FILE, text->data ?: "", text->len, &top, err);

	if (r < 0)
		return r;
	runtime = string(top, "runtime");
	s->id = string(top, "id");
	if (number(top, "version") != FORMAT_VERSION || !runtime || !s->id)
		return err_image(err,
				 "'" OWN_FILE "' was written by another version of this program");
	if (!find_runtime_kind(runtime, &s->runtime))
		return err_image(err, "'" OWN_FILE "': the runtime '%.40s' is not known", runtime);
	list = json_get(top, "files");
	for (it = list ? list->first : NULL; it; it = it->next) {
		struct saved_file *f = vec_add(&s->files);

		if (!f)
			return err_nomem(err);
		*f = (struct saved_file){ .key = string(it, "key"),
					  .path = string(it, "path"),
					  .flags = (int)number(it, "flags"),
					  .pos = number(it, "position"),
					  .dev = (uint64_t)number(it, "device"),
					  .ino = (uint64_t)number(it, "inode"),
					  .fd = (int)number(it, "fd") };
		if (!f->key || !f->path || f->path[0] != '/')
			return err_image(err, "'" OWN_FILE "': files[%zu] is not complete",
					 s->files.n - 1);
	}
	s->known = true;
	return 0;
}

static int read_one(int dir, const char *name, struct buf *data, struct err *err)
{
	int r = io_read_file(dir, name, data);

	return r < 0 && r != -ENOENT ? err_sys(err, r, "reading '%s' of the images", name) : 0;
}

int saved_read(struct saved *s, int images_fd, struct err *err)
{
	cleanup_buf struct buf own = BUF_INIT, fds = BUF_INIT, status = BUF_INIT, json = BUF_INIT;
	int r = read_one(images_fd, OWN_FILE, &own, err);

	if (r == 0 && own.len)
		r = parse_own(s, &own, err);
	if (r == 0)
		r = read_one(images_fd, "descriptors.json", &fds, err);
	if (r == 0 && fds.len)
		r = oci_descriptors_parse(&s->arena, "descriptors.json", fds.data, fds.len,
					  &s->descriptors, err);
	if (r == 0)
		r = read_one(images_fd, "status", &status, err);
	if (r == 0)
		r = read_one(images_fd, "state.json", &json, err);
	if (r == 0)
		r = read_one(images_fd, "config.json", &s->config, err);
	if (r == 0)
		r = read_one(images_fd, "seccomp.bpf", &s->seccomp, err);
	if (r < 0)
		return r;
	if (!s->known)
		s->runtime = json.len && !status.len ? OCI_RUNC : OCI_CRUN;
	s->state = s->runtime == OCI_RUNC ? json : status;
	if (s->runtime == OCI_RUNC)
		json = (struct buf){ 0 };
	else
		status = (struct buf){ 0 };
	return 0;
}

void saved_done(struct saved *s)
{
	vec_free(&s->files);
	buf_done(&s->state);
	buf_done(&s->config);
	buf_done(&s->seccomp);
	arena_done(&s->arena);
}
