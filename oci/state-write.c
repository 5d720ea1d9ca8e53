/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writing the state files of crun and runc for a restored container. */
#include "oci/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/cleanup.h"
#include "oci/json.h"
#include "oci/path.h"

#define CGROUP_MOUNT "/sys/fs/cgroup"

static void cleanup_arenap(struct arena *a)
{
	arena_done(a);
}
#define cleanup_arena __attribute__((cleanup(cleanup_arenap)))

/* Number of path components, or -1 if one of them is "..". */
static int components(const char *path)
{
	int count = 0;

	while (*path) {
		size_t n = strcspn(path, "/");

		if (n == 2 && !memcmp(path, "..", 2))
			return -1;
		count += n && !(n == 1 && path[0] == '.');
		path += n;
		path += *path == '/';
	}
	return count;
}

bool oci_cgroup_is_own(const char *path)
{
	return path && components(path) > 0;
}

static int refuse_cgroup(const char *what, const char *path, struct err *err)
{
	int r = err_new(err, ERR_USAGE, -EINVAL,
			"refusing to record '%s' as the cgroup of the container (%s)", path ?: "",
			what);

	err_hint(err, "deleting the container would kill every process there; "
		      "restore it into a cgroup of its own");
	return r;
}

int oci_descriptors_write(const struct oci_strings *descriptors, struct buf *out, struct err *err)
{
	cleanup_arena struct arena a = { 0 };
	struct json *list = json_put(&a, NULL, NULL, JSON_ARRAY);

	if (!list)
		return err_nomem(err);
	for (size_t i = 0; i < descriptors->n; i++)
		if (!json_put_string(&a, list, NULL, descriptors->v[i]))
			return err_nomem(err);
	return json_write(list, false, out, err);
}

static int check_complete(const struct oci_state *st, struct err *err)
{
	const char *missing = NULL;

	if (st->pid <= 0)
		missing = "pid";
	else if (!st->id || !st->id[0])
		missing = "id";
	else if (!st->created || !st->created[0])
		missing = "created";
	else if (st->runtime == OCI_CRUN && (!st->rootfs || !st->rootfs[0]))
		missing = "rootfs";
	else if (st->runtime == OCI_CRUN && (!st->bundle || st->bundle[0] != '/'))
		missing = "bundle";
	if (!missing)
		return 0;
	return err_new(err, ERR_INTERNAL, -EINVAL, "writing the container's state: %s is not set",
		       missing);
}

int oci_state_write_crun(const struct oci_state *st, struct buf *out, struct err *err)
{
	cleanup_arena struct arena a = { 0 };
	cleanup_buf struct buf fds = BUF_INIT;
	const char *cgroup = st->no_cgroup ? "" : st->cgroup_path;
	struct json *top;
	int r = check_complete(st, err);

	if (r < 0)
		return r;
	if (st->no_cgroup ? st->cgroup_path && st->cgroup_path[0] : !oci_cgroup_is_own(cgroup))
		return refuse_cgroup("cgroup-path", st->cgroup_path, err);
	r = oci_descriptors_write(&st->descriptors, &fds, err);
	if (r < 0)
		return r;
	top = json_put(&a, NULL, NULL, JSON_OBJECT);
	if (!top || !json_put_int(&a, top, "pid", st->pid) ||
	    !json_put_uint(&a, top, "process-start-time", st->start_time) ||
	    !json_put_string(&a, top, "cgroup-path", cgroup) ||
	    !json_put_string(&a, top, "scope", st->scope ?: "") ||
	    (st->intelrdt && !json_put_string(&a, top, "intelrdt", st->intelrdt)) ||
	    !json_put_string(&a, top, "rootfs", st->rootfs) ||
	    !json_put_bool(&a, top, "systemd-cgroup", st->systemd_cgroup) ||
	    !json_put_string(&a, top, "bundle", st->bundle) ||
	    !json_put_string(&a, top, "created", st->created) ||
	    (st->owner && !json_put_string(&a, top, "owner", st->owner)) ||
	    !json_put_bool(&a, top, "detached", st->detached) ||
	    !json_put_string(&a, top, "external_descriptors", fds.data))
		return err_nomem(err);
	return json_write(top, true, out, err);
}

/*
 * Each folder must lie below the root of its hierarchy. With more than the unified hierarchy every
 * hierarchy is mounted in a folder of its own, so a root has one component more.
 */
static int check_cgroup_paths(const struct oci_pairs *paths, struct err *err)
{
	size_t base = strlen(CGROUP_MOUNT);
	bool unified_only = paths->n == 1 && !paths->v[0].key[0];

	for (size_t i = 0; i < paths->n; i++) {
		const char *path = paths->v[i].val;
		int n = components(path);
		int root = 2;

		if (!strncmp(path, CGROUP_MOUNT "/", base + 1))
			root = unified_only ? 3 : 4;
		else if (oci_path_is_under(path, CGROUP_MOUNT))
			root = 4;
		if (path[0] != '/' || n < 0 || n <= root)
			return refuse_cgroup(paths->v[i].key[0] ? paths->v[i].key : "unified", path,
					     err);
	}
	return 0;
}

static int put_pairs(struct arena *a, struct json *top, const char *key,
		     const struct oci_pairs *pairs)
{
	struct json *obj = json_put(a, top, key, JSON_OBJECT);

	for (size_t i = 0; obj && i < pairs->n; i++)
		if (!json_put_string(a, obj, pairs->v[i].key, pairs->v[i].val))
			return -ENOMEM;
	return obj ? 0 : -ENOMEM;
}

/* The names that runc has for namespaces, and those of /proc/PID/ns. */
static const struct {
	const char *runc, *proc;
	enum oci_ns_type type;
} ns_names[] = {
	{ "NEWPID", "pid", OCI_NS_PID },	  { "NEWNET", "net", OCI_NS_NETWORK },
	{ "NEWNS", "mnt", OCI_NS_MOUNT },	  { "NEWIPC", "ipc", OCI_NS_IPC },
	{ "NEWUTS", "uts", OCI_NS_UTS },	  { "NEWUSER", "user", OCI_NS_USER },
	{ "NEWCGROUP", "cgroup", OCI_NS_CGROUP }, { "NEWTIME", "time", OCI_NS_TIME },
};

#define N_NS_NAMES (sizeof(ns_names) / sizeof(ns_names[0]))

static int edit_namespace_paths(struct arena *a, struct json *top, pid_t pid)
{
	struct json *obj = json_get(top, "namespace_paths"), *it;
	char path[64];

	if (!obj || obj->type != JSON_OBJECT)
		return 0;
	json_foreach(it, obj) for (size_t i = 0; i < N_NS_NAMES; i++)
	{
		if (strcmp(it->key, ns_names[i].runc))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, ns_names[i].proc);
		if (!json_put_string(a, obj, it->key, path))
			return -ENOMEM;
	}
	return 0;
}

/* config.namespaces: [{type: "NEWNET", path: ""}]. */
static int edit_namespaces(struct arena *a, struct json *config, const struct oci_spec *spec)
{
	struct json *list = json_get(config, "namespaces"), *it;

	if (!list || list->type != JSON_ARRAY)
		return 0;
	json_foreach(it, list)
	{
		const struct json *type = json_get(it, "type");

		for (size_t i = 0; type && type->type == JSON_STRING && i < N_NS_NAMES; i++) {
			const struct oci_namespace *ns = oci_spec_ns(spec, ns_names[i].type);

			if (strcmp(type->text, ns_names[i].runc) || !ns)
				continue;
			if (!json_put_string(a, it, "path", ns->path ?: ""))
				return -ENOMEM;
		}
	}
	return 0;
}

bool oci_cgroups_path_split(struct arena *a, const char *text, const char **ret_slice,
			    const char **ret_prefix, const char **ret_name)
{
	const char *p = strchr(text, ':'), *q = p ? strchr(p + 1, ':') : NULL;

	if (!q || strchr(q + 1, ':') || !q[1])
		return false;
	*ret_slice = oci_text(a, text, (size_t)(p - text));
	*ret_prefix = oci_text(a, p + 1, (size_t)(q - p - 1));
	*ret_name = arena_strdup(a, q + 1);
	return *ret_slice && *ret_prefix && *ret_name;
}

/* config.cgroups says where the cgroup came from; for systemd it also names the unit to stop. */
static int edit_cgroups(struct arena *a, struct json *config, const struct oci_state *st,
			const struct oci_spec *spec)
{
	struct json *cg = json_get(config, "cgroups");
	const char *path = spec->linux_.cgroups_path, *slice, *prefix, *name;

	if (!cg || cg->type != JSON_OBJECT)
		return 0;
	if (!path || !path[0]) /* runc then names the cgroup after the container */
		return json_get(cg, "name") && !json_put_string(a, cg, "name", st->id) ? -ENOMEM
										       : 0;
	if (!st->systemd_cgroup)
		return json_put_string(a, cg, "path", path) ? 0 : -ENOMEM;
	if (!oci_cgroups_path_split(a, path, &slice, &prefix, &name))
		return 0;
	if (!json_put_string(a, cg, "parent", slice) ||
	    !json_put_string(a, cg, "scope_prefix", prefix) ||
	    !json_put_string(a, cg, "name", name))
		return -ENOMEM;
	return 0;
}

static int edit_bundle(struct arena *a, struct json *config, const char *bundle)
{
	struct json *labels = json_get(config, "labels"), *it;
	const char *text = arena_printf(a, "bundle=%s", bundle);

	if (!text)
		return -ENOMEM;
	if (!labels || labels->type != JSON_ARRAY)
		labels = json_put(a, config, "labels", JSON_ARRAY);
	if (!labels)
		return -ENOMEM;
	json_foreach(it, labels) if (it->type == JSON_STRING && !strncmp(it->text, "bundle=", 7))
	{
		it->text = text;
		return 0;
	}
	return json_put_string(a, labels, NULL, text) ? 0 : -ENOMEM;
}

static int edit_config(struct arena *a, struct json *config, const struct oci_state *st,
		       const struct oci_spec *spec)
{
	int r = 0;

	if (st->rootfs && !json_put_string(a, config, "rootfs", st->rootfs))
		return -ENOMEM;
	if (st->bundle)
		r = edit_bundle(a, config, st->bundle);
	if (r == 0 && spec)
		r = edit_namespaces(a, config, spec);
	if (r == 0 && spec)
		r = edit_cgroups(a, config, st, spec);
	return r;
}

static int edit_top(struct arena *a, struct json *top, const struct oci_state *st)
{
	struct json *fds;
	int r;

	if (!json_put_string(a, top, "id", st->id) ||
	    !json_put_int(a, top, "init_process_pid", st->pid) ||
	    !json_put_uint(a, top, "init_process_start", st->start_time) ||
	    !json_put_string(a, top, "created", st->created))
		return -ENOMEM;
	r = put_pairs(a, top, "cgroup_paths", &st->cgroup_paths);
	if (r == 0)
		r = edit_namespace_paths(a, top, st->pid);
	if (r < 0)
		return r;
	fds = json_put(a, top, "external_descriptors", JSON_ARRAY);
	for (size_t i = 0; fds && i < st->descriptors.n; i++)
		if (!json_put_string(a, fds, NULL, st->descriptors.v[i]))
			return -ENOMEM;
	return fds ? 0 : -ENOMEM;
}

int oci_state_write_runc(const struct oci_state *st, const struct oci_spec *spec, const char *file,
			 const char *saved, size_t saved_len, struct buf *out, struct err *err)
{
	cleanup_arena struct arena a = { 0 };
	struct oci_state old = { 0 };
	struct json *top;
	int r = check_complete(st, err);

	if (r < 0)
		return r;
	/* Says with names what is wrong with the saved file, if something is. */
	r = oci_state_parse_runc(&old, file, saved, saved_len, err);
	if (r < 0)
		return r;
	r = old.cgroup_paths.n && !st->cgroup_paths.n ? refuse_cgroup("cgroup_paths", "", err)
						      : check_cgroup_paths(&st->cgroup_paths, err);
	oci_state_done(&old);
	if (r < 0)
		return r;
	r = json_parse(&a, file, saved, saved_len, &top, err);
	if (r < 0)
		return r;
	if (edit_top(&a, top, st) < 0 || edit_config(&a, json_get(top, "config"), st, spec) < 0)
		return err_nomem(err);
	return json_write(top, false, out, err);
}
