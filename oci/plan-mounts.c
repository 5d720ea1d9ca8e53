/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mounts that come from outside the container. Everything else (proc, sysfs, tmpfs, devpts, mqueue,
 * the read-only tmpfs on masked folders) is made by the container's own mounts, and the engine
 * keeps it.
 */
#include "oci/plan-priv.h"

#include <errno.h>
#include <string.h>

#include "oci/path.h"

/* Nodes that every runtime puts into /dev; in a user namespace they cannot be made, so they are
 * bound. */
static const char *const default_devices[] = { "/dev/null", "/dev/zero",   "/dev/full",
					       "/dev/tty",  "/dev/random", "/dev/urandom" };

/* The keys that the runtimes themselves give to what masks a file and, since crun 1.24, a folder.
 */
#define RUNC_MASK_KEY "/dev/null"
#define CRUN_EMPTY_DIR "/run/crun/.empty-directory"

static const struct oci_path_fact *find_fact(const struct oci_path_fact *v, size_t n,
					     const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i].path, path))
			return &v[i];
	return NULL;
}

/* Where a mount of the specification goes, clean and with links followed. */
static const char *find_destination(struct planner *p, const struct oci_mount *m)
{
	const struct oci_path_fact *f =
		find_fact(p->facts->destinations.v, p->facts->destinations.n, m->destination);

	return plan_path(p, "/", f && f->resolved ? f->resolved : m->destination);
}

/* With a list of mountpoints at hand, a dump declares only what is really mounted. */
static bool is_mounted(struct planner *p, const char *path)
{
	if (p->restore || !p->facts->mountpoints.n)
		return true;
	for (size_t i = 0; i < p->facts->mountpoints.n; i++)
		if (!strcmp(p->facts->mountpoints.v[i], path))
			return true;
	return false;
}

/* The later of two mounts at one place covers the earlier, so it replaces it here as well. */
static void add_external(struct planner *p, const char *inside, const char *host)
{
	const char *val = p->restore ? host : inside;
	struct ckpt_pair *it;

	if (!is_mounted(p, inside))
		return;
	vec_foreach (it, &p->ext_mounts)
		if (!strcmp(it->key, inside)) {
			it->val = val;
			return;
		}
	it = vec_add(&p->ext_mounts);
	if (it)
		*it = (struct ckpt_pair){ .key = inside, .val = val };
	p->nomem |= !it;
}

/* The innermost mount of the specification that covers path; not one at path itself. */
static const struct oci_mount *covering_mount(struct planner *p, const char *path,
					      const char **ret_destination)
{
	const struct oci_mount *best = NULL;
	size_t best_len = 0;

	for (size_t i = 0; i < p->spec->mounts.n; i++) {
		const char *dest = p->destinations[i];
		size_t len = strlen(dest);

		if (!strcmp(dest, path) || !oci_path_is_under(path, dest) || len < best_len)
			continue;
		best = &p->spec->mounts.v[i];
		best_len = len;
		*ret_destination = dest;
	}
	return best;
}

static bool is_destination(struct planner *p, const char *path)
{
	for (size_t i = 0; i < p->spec->mounts.n; i++)
		if (!strcmp(p->destinations[i], path))
			return true;
	return false;
}

static bool is_listed(const struct oci_strings *list, const char *path)
{
	for (size_t i = 0; i < list->n; i++)
		if (oci_path_is_under(path, list->v[i]))
			return true;
	return false;
}

/*
 * Masks and read-only binds are the container's own, made over what an rbind brought. To take one
 * for a part of the host's tree would bring back what it hides.
 */
static bool is_hidden(struct planner *p, const char *path)
{
	const struct oci_facts *f = p->facts;

	for (size_t i = 0; i < f->masked.n; i++)
		if (oci_path_is_under(path, f->masked.v[i].path) ||
		    (f->masked.v[i].resolved && oci_path_is_under(path, f->masked.v[i].resolved)))
			return true;
	return is_listed(&p->spec->linux_.masked_paths, path) ||
	       is_listed(&p->spec->linux_.readonly_paths, path);
}

/* What the rbinds brought along: mounts below them that config.json does not know. */
static void add_submounts(struct planner *p)
{
	for (size_t i = 0; i < p->facts->mountpoints.n; i++) {
		const char *at = plan_path(p, "/", p->facts->mountpoints.v[i]), *dest, *source;
		const struct oci_mount *m;

		if (is_destination(p, at) || is_hidden(p, at))
			continue;
		m = covering_mount(p, at, &dest);
		if (!m || !m->source || !oci_mount_has_option(m, "rbind"))
			continue;
		source = plan_path(p, p->plan->bundle ?: "/", m->source);
		add_external(p, at, plan_path(p, source, plan_keepf(p, "./%s", at + strlen(dest))));
	}
}

static void note_propagation(struct planner *p, const char *word)
{
	struct ckpt_options *o = &p->plan->options;

	if (!word)
		return;
	o->ext_masters |= !strcmp(word, "slave") || !strcmp(word, "rslave");
	o->ext_sharing |= !strcmp(word, "shared") || !strcmp(word, "rshared");
}

static int add_bind(struct planner *p, const struct oci_mount *m, const char *dest)
{
	const char *source;
	int r;

	if (!m->source || !m->source[0])
		return err_image(p->err, "config.json: the bind mount at '%s' has no source", dest);
	if (m->uid_mappings.n || m->gid_mappings.n || oci_mount_has_option(m, "idmap") ||
	    oci_mount_has_option(m, "ridmap")) {
		r = err_refuse(p->err, "mount '%s' maps user ids (idmapped), which is not kept",
			       dest);
		err_hint(p->err, "mount it without idmap");
		return r;
	}
	if (m->source[0] != '/' && !p->plan->bundle)
		return err_usage(p->err, "the bundle is needed for the relative source '%s'",
				 m->source);
	source = plan_path(p, p->plan->bundle ?: "/", m->source);
	add_external(p, dest, source);
	for (size_t i = 0; i < m->options.n; i++)
		note_propagation(p, m->options.v[i]);
	return 0;
}

/* A v1 hierarchy is shown to the container by binding its own cgroup, one mount each. */
static void add_cgroup_mounts(struct planner *p, const char *dest)
{
	const struct oci_facts *f = p->facts;

	if (f->cgroup_layout == OCI_CGROUP_V2)
		return;
	/* In a cgroup namespace runc mounts the hierarchies themselves, which the engine can. */
	if (p->state->runtime == OCI_RUNC && oci_spec_ns(p->spec, OCI_NS_CGROUP))
		return;
	for (size_t i = 0; i < f->hierarchies.n; i++) {
		const struct oci_hierarchy *h = &f->hierarchies.v[i];
		const char *name = strrchr(h->mountpoint, '/');

		add_external(
			p, plan_path(p, dest, name ? name + 1 : h->mountpoint),
			plan_path(p, "/", plan_keepf(p, "%s/%s", h->mountpoint, h->path ?: "")));
	}
}

/*
 * Restore: the mountpoint in the root file system, or in the source of a bind mount that covers it.
 * Below other mounts the engine restores the content, mountpoints included.
 */
static void add_mountpoint(struct planner *p, const struct oci_mount *m, const char *dest)
{
	const char *above_dest = NULL, *like = NULL;
	const struct oci_mount *above = covering_mount(p, dest, &above_dest);
	struct oci_mountpoint *mp;

	if (!p->restore || !strcmp(dest, "/"))
		return;
	if (above && (!oci_mount_is_bind(above) || !above->source))
		return;
	if (oci_mount_is_bind(m))
		like = plan_path(p, p->plan->bundle ?: "/", m->source);
	mp = vec_add(&p->mountpoints);
	p->nomem |= !mp;
	if (!mp)
		return;
	mp->like = like;
	if (above) {
		mp->root = plan_path(p, p->plan->bundle ?: "/", above->source);
		mp->path = plan_path(p, "/", dest + strlen(above_dest));
	} else {
		mp->root = p->plan->rootfs;
		mp->path = dest;
	}
}

static void mask(struct planner *p, const char *path, enum oci_path_kind kind)
{
	const char *dir = p->facts->masked_dir_source;

	if (kind == OCI_PATH_DIR) {
		if (dir)
			add_external(p, plan_path(p, "/", path), plan_keep(p, dir));
		return;
	}
	/* The host of the dump may have had files that this one lacks: a mapping too many harms
	 * nobody. */
	if (kind == OCI_PATH_FILE || p->restore)
		add_external(p, plan_path(p, "/", path), "/dev/null");
}

static void add_masks(struct planner *p)
{
	const struct oci_strings *masked = &p->spec->linux_.masked_paths;
	const struct oci_facts *f = p->facts;

	for (size_t i = 0; i < f->masked.n; i++)
		mask(p, f->masked.v[i].resolved ?: f->masked.v[i].path, f->masked.v[i].kind);
	for (size_t i = 0; i < masked->n; i++)
		if (!find_fact(f->masked.v, f->masked.n, masked->v[i]))
			mask(p, masked->v[i], OCI_PATH_ABSENT);
	if (!p->restore || (!masked->n && !f->masked.n))
		return;
	add_external(p, RUNC_MASK_KEY, "/dev/null");
	if (f->masked_dir_source) {
		add_external(p, plan_keep(p, f->masked_dir_source),
			     plan_keep(p, f->masked_dir_source));
		add_external(p, CRUN_EMPTY_DIR, plan_keep(p, f->masked_dir_source));
	}
}

static void add_devices(struct planner *p)
{
	const struct oci_linux *lx = &p->spec->linux_;

	if (!oci_spec_ns(p->spec, OCI_NS_USER) && !p->state->rootless)
		return;
	for (size_t i = 0; i < sizeof(default_devices) / sizeof(default_devices[0]); i++)
		add_external(p, default_devices[i], default_devices[i]);
	for (size_t i = 0; i < lx->devices.n; i++) {
		const char *path = plan_path(p, "/", lx->devices.v[i].path);

		add_external(p, path, path);
	}
}

int plan_mounts(struct planner *p)
{
	int r;

	if (p->choices->direction == OCI_PRE_DUMP) /* only memory is read */
		return 0;
	p->destinations = oci_array(&p->plan->arena, p->spec->mounts.n, sizeof(*p->destinations));
	if (!p->destinations)
		return err_nomem(p->err);
	for (size_t i = 0; i < p->spec->mounts.n; i++)
		p->destinations[i] = find_destination(p, &p->spec->mounts.v[i]);
	add_devices(p);
	for (size_t i = 0; i < p->spec->mounts.n; i++) {
		const struct oci_mount *m = &p->spec->mounts.v[i];
		const char *dest = p->destinations[i];

		if (oci_mount_is_bind(m)) {
			r = add_bind(p, m, dest);
			if (r < 0)
				return r;
		} else if (m->type && !strcmp(m->type, "cgroup")) {
			add_cgroup_mounts(p, dest);
		}
		add_mountpoint(p, m, dest);
	}
	add_submounts(p);
	add_masks(p);
	note_propagation(p, p->spec->linux_.rootfs_propagation);
	return 0;
}
