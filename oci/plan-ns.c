/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Namespaces that come from outside the container, and its standard streams. */
#include "oci/plan-priv.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

/*
 * How a namespace given by path is kept. By key: the image names it, and the restore is handed a
 * descriptor. By joining: the image holds its own, and the restore enters the given one instead.
 */
static const struct {
	const char *engine;
	const char *key;
	bool join;
} kinds[OCI_NS_COUNT] = {
	[OCI_NS_PID] = { "pid", .key = "extRootPidNS" },
	[OCI_NS_NETWORK] = { "net", .key = "extRootNetNS" },
	[OCI_NS_MOUNT] = { "mnt", .join = true },
	[OCI_NS_IPC] = { "ipc", .join = true },
	[OCI_NS_UTS] = { "uts", .join = true },
	[OCI_NS_USER] = { "user", .join = true },
	[OCI_NS_TIME] = { "time", .join = true },
	[OCI_NS_CGROUP] = { "cgroup" },
};

static int declare(struct planner *p, const struct oci_namespace *ns)
{
	const struct oci_facts *f = p->facts;
	const char **text;

	for (size_t i = 0; i < f->namespaces.n; i++) {
		if (strcmp(f->namespaces.v[i].path, ns->path))
			continue;
		text = vec_add(&p->externals);
		if (text)
			*text = plan_keepf(p, "%s[%llu]:%s", kinds[ns->type].engine,
					   (unsigned long long)f->namespaces.v[i].inode,
					   kinds[ns->type].key);
		p->nomem |= !text;
		return 0;
	}
	return err_new(p->err, ERR_ENVIRONMENT, -ENOENT,
		       "the %s namespace '%s' of the container's configuration is not there",
		       oci_ns_name(ns->type), ns->path);
}

static void inherit(struct planner *p, const struct oci_namespace *ns)
{
	struct ckpt_inherit_fd *fd = vec_add(&p->inherit);
	struct oci_plan_open *o = vec_add(&p->opens);

	p->nomem |= !fd || !o;
	if (!fd || !o)
		return;
	*fd = (struct ckpt_inherit_fd){ .key = kinds[ns->type].key, .fd = -EBADF };
	*o = (struct oci_plan_open){ .path = plan_keep(p, ns->path), .inherit = p->inherit.n - 1 };
}

static void join(struct planner *p, const struct oci_namespace *ns)
{
	struct ckpt_join_ns *j = vec_add(&p->joins);

	p->nomem |= !j;
	if (j)
		*j = (struct ckpt_join_ns){ .ns = kinds[ns->type].engine,
					    .file = plan_keep(p, ns->path) };
}

static int by_path(struct planner *p, const struct oci_namespace *ns)
{
	int r;

	if (kinds[ns->type].key) {
		if (!p->restore)
			return declare(p, ns);
		inherit(p, ns);
	} else if (kinds[ns->type].join) {
		if (p->restore)
			join(p, ns);
	} else {
		r = err_refuse(p->err, "a %s namespace given by path ('%s') cannot be restored",
			       oci_ns_name(ns->type), ns->path);
		err_hint(p->err, "remove its path from config.json");
		return r;
	}
	return 0;
}

/* The container's own network: its devices belong to whoever put them there, a hook as a rule. */
static void own_network(struct planner *p)
{
	bool whole = p->choices->netns == OCI_NETNS_WHOLE ||
		     (p->choices->netns == OCI_NETNS_AUTO && p->facts->netns_loopback_only);

	if (whole)
		return;
	p->plan->options.empty_ns = CLONE_NEWNET;
	if (!oci_spec_has_network_hooks(p->spec))
		plan_warn(p, "the network namespace is kept empty, and config.json has no hook "
			     "that sets it up again");
}

int plan_namespaces(struct planner *p)
{
	const struct oci_linux *lx = &p->spec->linux_;
	int r;

	for (size_t i = 0; i < lx->namespaces.n; i++) {
		const struct oci_namespace *ns = &lx->namespaces.v[i];

		if (ns->path) {
			r = by_path(p, ns);
			if (r < 0)
				return r;
		} else if (ns->type == OCI_NS_NETWORK) {
			own_network(p);
		}
	}
	return 0;
}

/* Two streams may be one pipe: it is handed over once. */
static void inherit_stream(struct planner *p, const char *text, int fd)
{
	struct ckpt_inherit_fd *it;

	vec_foreach (it, &p->inherit)
		if (!strcmp(it->key, text))
			return;
	it = vec_add(&p->inherit);
	if (it)
		*it = (struct ckpt_inherit_fd){ .key = plan_keep(p, text), .fd = fd };
	p->nomem |= !it;
}

void plan_stdio(struct planner *p)
{
	const struct ckpt_strings *facts = &p->facts->descriptors;
	const struct oci_strings *saved = &p->state->descriptors;
	const char *const *v = !p->restore && saved->n ? (const char *const *)saved->v : facts->v;
	size_t n = !p->restore && saved->n ? saved->n : facts->n;
	const char **copy;

	if (p->choices->direction == OCI_PRE_DUMP)
		return;
	for (size_t i = 0; p->restore && i < n && i < 3; i++)
		if (!strncmp(v[i], "pipe:[", 6))
			inherit_stream(p, v[i], (int)i);
	if (p->restore)
		return;
	copy = oci_array(&p->plan->arena, n, sizeof(*copy));
	p->nomem |= !copy;
	for (size_t i = 0; copy && i < n; i++)
		copy[i] = plan_keep(p, v[i]);
	p->plan->descriptors = (struct ckpt_strings){ .v = copy, .n = copy ? n : 0 };
}
