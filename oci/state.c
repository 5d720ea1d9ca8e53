/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading the state files of crun and runc. */
#include "oci/state.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oci/decode.h"

#define AT(type, member) offsetof(struct type, member)
#define MAX_DESCRIPTORS 64

/* What the files hold before it is checked. */
struct crun_file {
	int64_t pid;
	uint64_t start_time;
	const char *cgroup_path, *scope, *rootfs, *bundle, *created, *owner, *intelrdt,
		*descriptors;
	bool systemd_cgroup, detached;
};

static const struct field crun_fields[] = {
	{ "pid", FIELD_I64, AT(crun_file, pid), .required = true },
	{ "process-start-time", FIELD_U64, AT(crun_file, start_time) },
	{ "cgroup-path", FIELD_PATH, AT(crun_file, cgroup_path) },
	{ "scope", FIELD_STRING, AT(crun_file, scope) },
	{ "rootfs", FIELD_PATH, AT(crun_file, rootfs), .required = true },
	{ "systemd-cgroup", FIELD_BOOL, AT(crun_file, systemd_cgroup) },
	{ "bundle", FIELD_PATH, AT(crun_file, bundle), .required = true },
	{ "created", FIELD_STRING, AT(crun_file, created), .required = true },
	{ "owner", FIELD_STRING, AT(crun_file, owner) },
	{ "detached", FIELD_BOOL, AT(crun_file, detached) },
	{ "external_descriptors", FIELD_STRING, AT(crun_file, descriptors) },
	{ "intelrdt", FIELD_STRING, AT(crun_file, intelrdt) },
};
static const struct schema crun_schema = SCHEMA(crun_fields, struct crun_file);

struct runc_cgroups {
	bool systemd;
};

struct runc_config {
	const char *rootfs;
	struct oci_strings labels;
	struct runc_cgroups cgroups;
};

struct runc_file {
	const char *id, *created;
	int64_t pid;
	uint64_t start_time;
	bool rootless;
	struct oci_pairs cgroup_paths, namespaces;
	struct oci_strings descriptors;
	struct runc_config config;
};

/* runc 1.1 spells the key with a capital, as the structure has no name for it; later ones do not.
 */
static const struct field runc_cgroups_fields[] = {
	{ "Systemd", FIELD_BOOL, AT(runc_cgroups, systemd) },
	{ "systemd", FIELD_BOOL, AT(runc_cgroups, systemd) },
};
static const struct schema runc_cgroups_schema = SCHEMA(runc_cgroups_fields, struct runc_cgroups);

static const struct field runc_config_fields[] = {
	{ "rootfs", FIELD_PATH, AT(runc_config, rootfs), .required = true },
	{ "labels", FIELD_STRINGS, AT(runc_config, labels) },
	{ "cgroups", FIELD_OBJECT, AT(runc_config, cgroups), .sub = &runc_cgroups_schema },
};
static const struct schema runc_config_schema = SCHEMA(runc_config_fields, struct runc_config);

static const struct field runc_fields[] = {
	{ "id", FIELD_STRING, AT(runc_file, id), .required = true,
	  .hint = "is this a state.json of runc?" },
	{ "init_process_pid", FIELD_I64, AT(runc_file, pid), .required = true },
	{ "init_process_start", FIELD_U64, AT(runc_file, start_time), .required = true },
	{ "created", FIELD_STRING, AT(runc_file, created), .required = true },
	{ "config", FIELD_OBJECT, AT(runc_file, config), .required = true,
	  .sub = &runc_config_schema },
	{ "rootless", FIELD_BOOL, AT(runc_file, rootless) },
	{ "cgroup_paths", FIELD_MAP, AT(runc_file, cgroup_paths) },
	{ "namespace_paths", FIELD_MAP, AT(runc_file, namespaces) },
	{ "external_descriptors", FIELD_STRINGS, AT(runc_file, descriptors) },
};
static const struct schema runc_schema = SCHEMA(runc_fields, struct runc_file);

static int open_file(struct decoder *d, const char *text, size_t len, const struct schema *schema,
		     void *file, struct json **ret_top)
{
	int r = json_parse(d->a, d->file, text, len, ret_top, d->err);

	if (r < 0)
		return r;
	if ((*ret_top)->type != JSON_OBJECT)
		return decode_fail(d, *ret_top, "is this the state of a container?",
				   "expected an object, found %s",
				   json_type_name((*ret_top)->type));
	return decode_object(d, *ret_top, schema, file);
}

static int set_pid(struct decoder *d, const struct json *val, int64_t pid, struct oci_state *st)
{
	if (pid < INT_MIN || pid > INT_MAX)
		return decode_fail(d, val, NULL, "no process can have this number");
	st->pid = pid > 0 ? (pid_t)pid : 0;
	return 0;
}

static int set_descriptors(struct decoder *d, const struct oci_strings *v, struct oci_state *st)
{
	if (v->n > MAX_DESCRIPTORS)
		return err_image(d->err, "%s: external_descriptors: %zu entries, expected three",
				 d->file, v->n);
	st->descriptors = *v;
	return 0;
}

/* crun keeps the list as JSON inside a string. */
static int crun_descriptors(struct decoder *d, const char *text, struct oci_state *st)
{
	struct oci_strings v = { 0 };
	char name[160];
	int r;

	if (!text || !text[0])
		return 0;
	snprintf(name, sizeof(name), "%.120s: external_descriptors", d->file);
	r = oci_descriptors_parse(d->a, name, text, strlen(text), &v, d->err);
	return r < 0 ? r : set_descriptors(d, &v, st);
}

int oci_state_parse_crun(struct oci_state *ret, const char *id, const char *file, const char *text,
			 size_t len, struct err *err)
{
	cleanup_oci_state struct oci_state st = { .runtime = OCI_CRUN };
	struct decoder d = { .a = &st.arena, .file = file, .err = err };
	struct crun_file f = { 0 };
	struct json *top;
	int r = open_file(&d, text, len, &crun_schema, &f, &top);

	if (r == 0 && !f.cgroup_path)
		r = err_image(err, "%s: cgroup-path is missing", file);
	if (r == 0)
		r = set_pid(&d, json_get(top, "pid"), f.pid, &st);
	if (r == 0)
		r = crun_descriptors(&d, f.descriptors, &st);
	if (r < 0)
		return r;
	st.id = arena_strdup(&st.arena, id);
	if (!st.id)
		return err_nomem(err);
	st.start_time = f.start_time;
	st.bundle = f.bundle;
	st.rootfs = f.rootfs;
	st.created = f.created;
	st.owner = f.owner;
	st.intelrdt = f.intelrdt;
	st.detached = f.detached;
	st.systemd_cgroup = f.systemd_cgroup;
	st.scope = f.scope && f.scope[0] ? f.scope : NULL;
	st.cgroup_path = f.cgroup_path;
	st.no_cgroup = !f.cgroup_path[0];
	*ret = st;
	st.arena = (struct arena){ 0 };
	return 0;
}

int oci_state_parse_runc(struct oci_state *ret, const char *file, const char *text, size_t len,
			 struct err *err)
{
	cleanup_oci_state struct oci_state st = { .runtime = OCI_RUNC };
	struct decoder d = { .a = &st.arena, .file = file, .err = err };
	struct runc_file f = { 0 };
	struct json *top;
	int r = open_file(&d, text, len, &runc_schema, &f, &top);

	if (r == 0)
		r = set_pid(&d, json_get(top, "init_process_pid"), f.pid, &st);
	if (r == 0)
		r = set_descriptors(&d, &f.descriptors, &st);
	if (r < 0)
		return r;
	st.id = f.id;
	st.start_time = f.start_time;
	st.created = f.created;
	st.rootfs = f.config.rootfs;
	st.rootless = f.rootless;
	st.systemd_cgroup = f.config.cgroups.systemd;
	st.cgroup_paths = f.cgroup_paths;
	st.namespaces = f.namespaces;
	for (size_t i = 0; i < f.config.labels.n; i++)
		if (!strncmp(f.config.labels.v[i], "bundle=", 7))
			st.bundle = f.config.labels.v[i] + 7;
	*ret = st;
	st.arena = (struct arena){ 0 };
	return 0;
}

void oci_state_done(struct oci_state *state)
{
	arena_done(&state->arena);
	*state = (struct oci_state){ 0 };
}

int oci_descriptors_parse(struct arena *a, const char *file, const char *text, size_t len,
			  struct oci_strings *ret, struct err *err)
{
	struct decoder d = { .a = a, .file = file, .err = err };
	struct oci_strings v = { 0 };
	struct json *top, *it;
	int r = json_parse(a, file, text, len, &top, err);

	if (r < 0)
		return r;
	if (top->type != JSON_ARRAY)
		return decode_fail(&d, top, NULL, "expected a list of strings, found %s",
				   json_type_name(top->type));
	v.v = oci_array(a, top->n, sizeof(*v.v));
	if (!v.v)
		return err_nomem(err);
	json_foreach(it, top)
	{
		if (it->type != JSON_STRING)
			return decode_fail(&d, it, NULL, "expected a string, found %s",
					   json_type_name(it->type));
		v.v[v.n++] = it->text;
	}
	*ret = v;
	return 0;
}
