/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The facts about host and container that a plan is made from. */
#include "runtime/hostview.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/proctext.h"
#include "oci/path.h"

/* The folder that crun binds on masked folders since 1.24, in the folder of its containers. */
#define EMPTY_DIR "/.empty-directory"

void hostview_done(struct hostview *view)
{
	vec_free(&view->host);
	vec_free(&view->inside);
	vec_free(&view->hierarchies);
	vec_free(&view->masked);
	vec_free(&view->destinations);
	vec_free(&view->namespaces);
	vec_free(&view->mountpoints);
	vec_free(&view->descriptors);
	arena_done(&view->arena);
}

/* Lets the facts point to what was gathered. */
static void settle(struct hostview *v)
{
	struct oci_facts *f = &v->facts;

	f->hierarchies.v = v->hierarchies.v;
	f->hierarchies.n = v->hierarchies.n;
	f->masked.v = v->masked.v;
	f->masked.n = v->masked.n;
	f->destinations.v = v->destinations.v;
	f->destinations.n = v->destinations.n;
	f->namespaces.v = v->namespaces.v;
	f->namespaces.n = v->namespaces.n;
	f->mountpoints = (struct ckpt_strings){ v->mountpoints.v, v->mountpoints.n };
	f->descriptors = (struct ckpt_strings){ v->descriptors.v, v->descriptors.n };
}

static int open_in_root(int root, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/*
 * Where a path inside a root really is, with links followed; prefix is what the kernel puts in
 * front of it in our view. NULL: it is not there.
 */
static const char *resolve(struct hostview *v, int root, const char *prefix, const char *path,
			   mode_t *ret_mode)
{
	cleanup_fd int fd = open_in_root(root, path);
	cleanup_free char *text = NULL;
	size_t n = strlen(prefix);
	char link[32];
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	*ret_mode = st.st_mode;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (io_readlink(AT_FDCWD, link, &text) < 0 || strncmp(text, prefix, n) != 0)
		return arena_strdup(&v->arena, path);
	return arena_strdup(&v->arena, text[n] ? text + n : "/");
}

static int look_at_paths(struct hostview *v, const struct oci_spec *spec, int root,
			 const char *prefix, struct err *err)
{
	const struct oci_strings *masked = &spec->linux_.masked_paths;
	struct oci_path_fact *it;
	mode_t mode;

	for (size_t i = 0; i < spec->mounts.n; i++) {
		const char *path = spec->mounts.v[i].destination;
		const char *real = resolve(v, root, prefix, path, &mode);

		if (!real)
			continue;
		it = vec_add(&v->destinations);
		if (!it)
			return err_nomem(err);
		*it = (struct oci_path_fact){ .path = path,
					      .resolved = real,
					      .kind = S_ISDIR(mode) ? OCI_PATH_DIR
								    : OCI_PATH_FILE };
	}
	for (size_t i = 0; i < masked->n; i++) {
		const char *real = resolve(v, root, prefix, masked->v[i], &mode);

		if (!real)
			continue;
		it = vec_add(&v->masked);
		if (!it)
			return err_nomem(err);
		*it = (struct oci_path_fact){ .path = masked->v[i],
					      .resolved = real,
					      .kind = S_ISDIR(mode) ? OCI_PATH_DIR
								    : OCI_PATH_FILE };
	}
	return 0;
}

static bool is_masked(const struct hostview *v, const char *path)
{
	const struct oci_path_fact *it;

	vec_foreach (it, &v->masked)
		if (strcmp(it->path, path) == 0 ||
		    (it->resolved && strcmp(it->resolved, path) == 0))
			return true;
	return false;
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

/* Masks that config.json does not name were made by an earlier restore from another one. */
static int look_at_mounts(struct hostview *v, struct err *err)
{
	struct oci_path_fact *fact;
	const struct hv_mount *m;
	const char **at;

	vec_foreach (m, &v->inside) {
		at = vec_add(&v->mountpoints);
		if (!at)
			return err_nomem(err);
		*at = m->mountpoint;
		if (ends_with(m->root, EMPTY_DIR) && !v->facts.masked_dir_source)
			v->facts.masked_dir_source = m->root;
		if (strcmp(m->root, "/null") != 0 || ends_with(m->mountpoint, "/dev/null") ||
		    strncmp(m->mountpoint, "/dev/", 5) == 0 || is_masked(v, m->mountpoint))
			continue;
		fact = vec_add(&v->masked);
		if (!fact)
			return err_nomem(err);
		*fact = (struct oci_path_fact){ .path = m->mountpoint, .kind = OCI_PATH_FILE };
	}
	return 0;
}

static int look_at_namespaces(struct hostview *v, const struct oci_spec *spec, struct err *err)
{
	struct oci_ns_fact *it;
	struct stat st;

	for (size_t i = 0; i < spec->linux_.namespaces.n; i++) {
		const char *path = spec->linux_.namespaces.v[i].path;

		if (!path || stat(path, &st) < 0)
			continue;
		it = vec_add(&v->namespaces);
		if (!it)
			return err_nomem(err);
		*it = (struct oci_ns_fact){ .path = path, .inode = st.st_ino };
	}
	return 0;
}

/* Devices that the kernel itself puts into a new network namespace, where the driver is loaded. */
static bool is_automatic_device(const char *name, size_t len)
{
	static const char *const names[] = {
		"lo",	   "sit0",    "tunl0",	 "ip6tnl0", "gre0",
		"gretap0", "erspan0", "ip6gre0", "ip_vti0", "ip6_vti0"
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return true;
	return false;
}

static int look_at_network(struct hostview *v, int proc, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	int r = io_read_file(proc, "net/dev", &text), line = 0;
	char *p = text.data, *row;

	if (r < 0)
		return err_sys(err, r, "reading the network devices of the container");
	v->facts.netns_loopback_only = true;
	while (p && (row = strsep(&p, "\n"))) {
		row += strspn(row, " ");
		if (line++ >= 2 && *row && !is_automatic_device(row, strcspn(row, ":")))
			v->facts.netns_loopback_only = false;
	}
	return 0;
}

static int look_at_descriptors(struct hostview *v, int proc, struct err *err)
{
	const char **it;
	char name[16];

	for (int fd = 0; fd < 3; fd++) {
		cleanup_free char *link = NULL;
		int r;

		snprintf(name, sizeof(name), "fd/%d", fd);
		r = io_readlink(proc, name, &link);
		if (r < 0 && r != -ENOENT)
			return err_sys(err, r, "looking at descriptor %d of the container", fd);
		it = vec_add(&v->descriptors);
		*it = it ? arena_strdup(&v->arena, link ?: "") : NULL;
		if (!it || !*it)
			return err_nomem(err);
	}
	return 0;
}

/* Where the container is in a hierarchy: what its runtime noted, if its process is there. */
static const char *place_in(struct hostview *v, const struct oci_state *st,
			    const struct oci_hierarchy *h, const char *now)
{
	const char *noted = NULL;
	size_t n = strlen(h->mountpoint);

	if (st->runtime == OCI_CRUN && !st->no_cgroup && st->cgroup_path)
		noted = oci_path_clean(&v->arena, "/", st->cgroup_path);
	for (size_t i = 0; st->runtime == OCI_RUNC && i < st->cgroup_paths.n; i++) {
		const char *path = st->cgroup_paths.v[i].val;

		if (hostview_hierarchy(v, st->cgroup_paths.v[i].key) == h &&
		    oci_path_is_under(path, h->mountpoint))
			noted = path[n] ? path + n : "/";
	}
	return noted && oci_path_is_under(now, noted) ? noted : now;
}

static int look_at_cgroups(struct hostview *v, const struct oci_state *st, int proc,
			   struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_proc_cgroups struct proc_cgroups groups = { 0 };
	struct oci_hierarchy *h;
	struct proc_cgroup *g;
	int r = io_read_file(proc, "cgroup", &text);

	if (r == 0)
		r = proc_cgroups_parse(text.data ?: "", text.len, &groups);
	if (r < 0)
		return err_sys(err, r, "reading the cgroups of the container");
	vec_foreach (h, &v->hierarchies)
		vec_foreach (g, &groups)
			if (strcmp(g->controllers, h->controllers) == 0)
				h->path =
					place_in(v, st, h, arena_strdup(&v->arena, g->path) ?: "/");
	return 0;
}

int hostview_for_dump(struct hostview *view, const struct oci_spec *spec,
		      const struct oci_state *state, struct err *err)
{
	cleanup_fd int proc = io_open_proc(state->pid), root = -EBADF;
	cleanup_buf struct buf text = BUF_INIT;
	int r = hostview_hierarchies(view, err);

	if (r < 0)
		return r;
	if (proc < 0)
		return err_sys(err, proc, "opening /proc/%d of the container", state->pid);
	root = openat(proc, "root", O_PATH | O_CLOEXEC);
	if (root < 0)
		return err_sys(err, -errno, "opening the root of the container");
	r = io_read_file(proc, "mountinfo", &text);
	if (r == 0)
		r = hv_mounts_parse(&view->arena, text.data ?: (char[]){ "" }, &view->inside);
	if (r < 0)
		return err_sys(err, r, "reading the mounts of the container");
	r = look_at_paths(view, spec, root, "", err);
	if (r == 0)
		r = look_at_mounts(view, err);
	if (r == 0)
		r = look_at_namespaces(view, spec, err);
	if (r == 0)
		r = look_at_network(view, proc, err);
	if (r == 0)
		r = look_at_descriptors(view, proc, err);
	if (r == 0)
		r = look_at_cgroups(view, state, proc, err);
	settle(view);
	return r;
}

/* What an rbind will bring along: the mounts below its source, seen from inside. */
static int look_at_submounts(struct hostview *v, const struct oci_spec *spec, const char *bundle,
			     struct err *err)
{
	const struct hv_mount *m;
	const char **at;

	for (size_t i = 0; i < spec->mounts.n; i++) {
		const struct oci_mount *bind = &spec->mounts.v[i];
		const char *source;

		if (!oci_mount_has_option(bind, "rbind") || !bind->source)
			continue;
		source = oci_path_clean(&v->arena, bundle, bind->source);
		if (!source)
			return err_nomem(err);
		vec_foreach (m, &v->host) {
			if (!oci_path_is_under(m->mountpoint, source) ||
			    strcmp(m->mountpoint, source) == 0)
				continue;
			at = vec_add(&v->mountpoints);
			if (!at)
				return err_nomem(err);
			*at = arena_printf(&v->arena, "%s%s", bind->destination,
					   m->mountpoint + (source[1] ? strlen(source) : 0));
			if (!*at)
				return err_nomem(err);
		}
	}
	return 0;
}

/* Images of a whole network namespace have its devices. */
static bool has_network(int images_fd)
{
	int fd = openat(images_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_dir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (strncmp(e->d_name, "netdev-", 7) == 0)
			return true;
	return false;
}

void hostview_place(struct hostview *view, const struct oci_state *old, const char *path)
{
	struct oci_hierarchy *h;

	vec_foreach (h, &view->hierarchies) {
		bool taken = old->runtime == OCI_CRUN;

		for (size_t i = 0; !taken && i < old->cgroup_paths.n; i++)
			taken = hostview_hierarchy(view, old->cgroup_paths.v[i].key) == h;
		h->path = taken ? path : NULL;
	}
}

int hostview_for_restore(struct hostview *view, const struct oci_spec *spec, const char *rootfs,
			 const char *bundle, int images_fd, struct err *err)
{
	cleanup_fd int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char real[PATH_MAX];
	int r;

	if (root < 0 || !realpath(rootfs, real)) {
		err_sys(err, -errno, "opening the root file system '%s'", rootfs);
		err_hint(err, "it is root.path of config.json; mount or unpack it first");
		return err->code;
	}
	r = look_at_paths(view, spec, root, strcmp(real, "/") == 0 ? "" : real, err);
	if (r == 0)
		r = look_at_namespaces(view, spec, err);
	if (r == 0)
		r = look_at_submounts(view, spec, bundle, err);
	view->facts.netns_loopback_only = images_fd >= 0 && has_network(images_fd);
	settle(view);
	return r;
}
