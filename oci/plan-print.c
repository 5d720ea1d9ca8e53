/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plan as JSON, and as text made from that JSON, so that the two cannot differ. */
#include "oci/plan.h"

#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "oci/json.h"

enum shown_type { SHOWN_BOOL, SHOWN_STRING, SHOWN_U64 };

static const struct {
	const char *name;
	enum shown_type type;
	size_t offset;
} shown[] = {
	{ "images", SHOWN_STRING, offsetof(struct ckpt_options, images_dir) },
	{ "work", SHOWN_STRING, offsetof(struct ckpt_options, work_dir) },
	{ "parent", SHOWN_STRING, offsetof(struct ckpt_options, parent_images_dir) },
	{ "log", SHOWN_STRING, offsetof(struct ckpt_options, log_file) },
	{ "root", SHOWN_STRING, offsetof(struct ckpt_options, root) },
	{ "freezeCgroup", SHOWN_STRING, offsetof(struct ckpt_options, freeze_cgroup) },
	{ "lsmProfile", SHOWN_STRING, offsetof(struct ckpt_options, lsm_profile) },
	{ "lsmMountContext", SHOWN_STRING, offsetof(struct ckpt_options, lsm_mount_context) },
	{ "ghostLimitBytes", SHOWN_U64, offsetof(struct ckpt_options, ghost_limit_bytes) },
	{ "leaveRunning", SHOWN_BOOL, offsetof(struct ckpt_options, leave_running) },
	{ "detached", SHOWN_BOOL, offsetof(struct ckpt_options, restore_detached) },
	{ "trackMemory", SHOWN_BOOL, offsetof(struct ckpt_options, track_mem) },
	{ "autoDedup", SHOWN_BOOL, offsetof(struct ckpt_options, auto_dedup) },
	{ "lazyPages", SHOWN_BOOL, offsetof(struct ckpt_options, lazy_pages) },
	{ "shellJob", SHOWN_BOOL, offsetof(struct ckpt_options, shell_job) },
	{ "fileLocks", SHOWN_BOOL, offsetof(struct ckpt_options, file_locks) },
	{ "linkRemap", SHOWN_BOOL, offsetof(struct ckpt_options, link_remap) },
	{ "evasiveDevices", SHOWN_BOOL, offsetof(struct ckpt_options, evasive_devices) },
	{ "extUnixSockets", SHOWN_BOOL, offsetof(struct ckpt_options, ext_unix_sk) },
	{ "tcpEstablished", SHOWN_BOOL, offsetof(struct ckpt_options, tcp_established) },
	{ "tcpClose", SHOWN_BOOL, offsetof(struct ckpt_options, tcp_close) },
	{ "tcpSkipInFlight", SHOWN_BOOL, offsetof(struct ckpt_options, tcp_skip_in_flight) },
	{ "orphanPtsMaster", SHOWN_BOOL, offsetof(struct ckpt_options, orphan_pts_master) },
	{ "externalMasters", SHOWN_BOOL, offsetof(struct ckpt_options, ext_masters) },
	{ "externalSharing", SHOWN_BOOL, offsetof(struct ckpt_options, ext_sharing) },
};

static const char *const direction_names[] = { "dump", "pre-dump", "restore" };
static const char *const cgroup_names[] = { "ignore", "none", "props", "soft", "full", "strict" };
static const char *const lock_names[] = { "default", "iptables", "nftables", "skip" };

/* The document being built; nomem is looked at once, at the end. */
struct doc {
	struct arena a;
	struct json *top;
	bool nomem;
};

static void put(struct doc *d, struct json *obj, const char *key, const char *text)
{
	if (text)
		d->nomem |= !obj || !json_put_string(&d->a, obj, key, text);
}

static struct json *open_list(struct doc *d, const char *key)
{
	struct json *list = json_put(&d->a, d->top, key, JSON_ARRAY);

	d->nomem |= !list;
	return list;
}

static struct json *open_entry(struct doc *d, struct json *list)
{
	struct json *obj = list ? json_put(&d->a, list, NULL, JSON_OBJECT) : NULL;

	d->nomem |= !obj;
	return obj;
}

static void put_strings(struct doc *d, const char *key, const struct ckpt_strings *s)
{
	struct json *list = open_list(d, key);

	for (size_t i = 0; i < s->n; i++)
		put(d, list, NULL, s->v[i]);
}

static void put_pairs(struct doc *d, const char *key, const struct ckpt_pairs *pairs,
		      const char *first, const char *second)
{
	struct json *list = open_list(d, key), *entry;

	for (size_t i = 0; i < pairs->n; i++) {
		entry = open_entry(d, list);
		put(d, entry, first, pairs->v[i].key ?: "");
		put(d, entry, second, pairs->v[i].val);
	}
}

static void put_scalars(struct doc *d, const struct ckpt_options *o)
{
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		const char *at = (const char *)o + shown[i].offset;
		bool ok = true;

		switch (shown[i].type) {
		case SHOWN_STRING:
			put(d, d->top, shown[i].name, *(const char *const *)at);
			break;
		case SHOWN_BOOL:
			ok = json_put_bool(&d->a, d->top, shown[i].name, *(const bool *)at);
			break;
		case SHOWN_U64:
			if (*(const uint64_t *)at)
				ok = json_put_uint(&d->a, d->top, shown[i].name,
						   *(const uint64_t *)at);
			break;
		}
		d->nomem |= !ok;
	}
}

static void put_inherited(struct doc *d, const struct oci_plan *plan)
{
	const struct ckpt_options *o = &plan->options;
	struct json *list = open_list(d, "inheritFds"), *entry;

	for (size_t i = 0; i < o->n_inherit_fds; i++) {
		const char *path = NULL;

		for (size_t k = 0; k < plan->opens.n; k++)
			if (plan->opens.v[k].inherit == i)
				path = plan->opens.v[k].path;
		entry = open_entry(d, list);
		put(d, entry, "key", o->inherit_fds[i].key);
		put(d, entry, "file", path);
		if (!path)
			d->nomem |= !entry ||
				    !json_put_int(&d->a, entry, "fd", o->inherit_fds[i].fd);
	}
	list = open_list(d, "joinNamespaces");
	for (size_t i = 0; i < o->n_join_ns; i++) {
		entry = open_entry(d, list);
		put(d, entry, "type", o->join_ns[i].ns);
		put(d, entry, "file", o->join_ns[i].file);
	}
}

static void put_mountpoints(struct doc *d, const struct oci_plan *plan)
{
	struct json *list = open_list(d, "mountpoints"), *entry;

	for (size_t i = 0; i < plan->mountpoints.n; i++) {
		entry = open_entry(d, list);
		put(d, entry, "root", plan->mountpoints.v[i].root);
		put(d, entry, "path", plan->mountpoints.v[i].path);
		put(d, entry, "like", plan->mountpoints.v[i].like);
	}
}

static void build(struct doc *d, const struct oci_plan *plan)
{
	const struct ckpt_options *o = &plan->options;

	put(d, d->top, "operation", direction_names[plan->direction]);
	put(d, d->top, "container", plan->id);
	put(d, d->top, "runtime", plan->runtime == OCI_CRUN ? "crun" : "runc");
	if (o->pid)
		d->nomem |= !json_put_int(&d->a, d->top, "pid", o->pid);
	put(d, d->top, "bundle", plan->bundle);
	put(d, d->top, "rootfs", plan->rootfs);
	put(d, d->top, "pidFile", plan->pid_file);
	put(d, d->top, "consoleSocket", plan->console_socket);
	put_scalars(d, o);
	put(d, d->top, "networkLock", lock_names[o->network_lock]);
	put(d, d->top, "emptyNamespaces", o->empty_ns & CLONE_NEWNET ? "network" : "");
	put(d, d->top, "manageCgroups", cgroup_names[o->cgroup_mode]);
	put_pairs(d, "cgroupRoots", &o->cgroup_roots, "controllers", "path");
	if (plan->direction == OCI_RESTORE)
		put_pairs(d, "externalMounts", &o->ext_mounts, "key", "source");
	else
		put_pairs(d, "externalMounts", &o->ext_mounts, "mountpoint", "key");
	put_mountpoints(d, plan);
	put_strings(d, "externals", &o->externals);
	put_inherited(d, plan);
	put_strings(d, "descriptors", &plan->descriptors);
	put_strings(d, "configFiles", &plan->config_files);
	d->nomem |= !json_put_bool(&d->a, d->top, "configRequired", plan->config_required);
	put_strings(d, "warnings", &plan->warnings);
}

/* A word of the document as people read it: a name may hold bytes that would steer a terminal. */
static int print_word(struct buf *out, const struct json *val)
{
	const char *word = val->type == JSON_BOOL ? "yes" : val->text;
	char text[4200];

	/* an empty list of controllers stands for all hierarchies */
	json_quote(word[0] ? word : "(all)", 4096, text, sizeof(text));
	return buf_append(out, text, strlen(text));
}

/* One entry of a list: a word, or the words of an object with arrows between. */
static int print_entry(struct buf *out, const struct json *val)
{
	const struct json *it;
	int r = buf_append(out, "    ", 4);

	if (val->type != JSON_OBJECT && r == 0)
		r = print_word(out, val);
	else
		json_foreach(it, val)
		{
			if (r == 0 && it != val->first)
				r = buf_append(out, " -> ", 4);
			if (r == 0)
				r = print_word(out, it);
		}
	return r < 0 ? r : buf_append(out, "\n", 1);
}

/* What is empty or false is left out. */
static int print_text(struct buf *out, const struct json *top)
{
	const struct json *it, *entry;
	int r = 0;

	json_foreach(it, top)
	{
		if (it->type == JSON_ARRAY  ? !it->n
		    : it->type == JSON_BOOL ? !it->truth
					    : !it->text[0])
			continue;
		if (it->type == JSON_ARRAY) {
			r = buf_printf(out, "%s:\n", it->key);
			json_foreach(entry, it) if (r == 0) r = print_entry(out, entry);
		} else {
			r = buf_printf(out, "%s: ", it->key);
			if (r == 0)
				r = print_word(out, it);
			if (r == 0)
				r = buf_append(out, "\n", 1);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

int oci_plan_print(const struct oci_plan *plan, bool json, struct buf *out, struct err *err)
{
	struct doc d = { 0 };
	int r = 0;

	d.top = json_put(&d.a, NULL, NULL, JSON_OBJECT);
	d.nomem = !d.top;
	if (d.top)
		build(&d, plan);
	if (d.nomem)
		r = err_nomem(err);
	else if (json)
		r = json_write(d.top, true, out, err);
	else if (print_text(out, d.top) < 0)
		r = err_nomem(err);
	arena_done(&d.a);
	return r;
}
