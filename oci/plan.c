/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The plan: choices, cgroups and the frame around the parts of plan-*.c. */
#include "oci/plan.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "oci/path.h"
#include "oci/plan-priv.h"

#define CRIU_CONFIG_ANNOTATION "org.criu.config"

const char *plan_keep(struct planner *p, const char *text)
{
	const char *copy = text ? arena_strdup(&p->plan->arena, text) : NULL;

	p->nomem |= text && !copy;
	return text ? copy ?: "" : NULL;
}

const char *plan_keepf(struct planner *p, const char *fmt, ...)
{
	char *text = NULL;
	const char *copy;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	p->nomem |= n < 0;
	if (n < 0)
		return "";
	copy = plan_keep(p, text);
	free(text);
	return copy;
}

const char *plan_path(struct planner *p, const char *base, const char *path)
{
	const char *copy = oci_path_clean(&p->plan->arena, base, path);

	p->nomem |= !copy;
	return copy ?: "";
}

void plan_warn(struct planner *p, const char *fmt, ...)
{
	const char **it = vec_add(&p->warnings);
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (it)
		*it = plan_keep(p, text);
	p->nomem |= !it;
}

/* Looks a word up in a list that ends with NULL; its number, or -EINVAL with the words in the
 * error. */
static int find_word(struct planner *p, const char *option, const char *word,
		     const char *const *words)
{
	char known[128] = "";
	size_t n = 0;

	for (int i = 0; words[i]; i++) {
		if (!strcmp(words[i], word))
			return i;
		n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", i ? ", " : "",
				      words[i]);
	}
	return err_usage(p->err, "%s: unknown word '%.40s', known are: %s", option, word, known);
}

static int check_choices(struct planner *p)
{
	const struct oci_choices *c = p->choices;

	if (c->parent_path && c->parent_path[0] == '/')
		return err_usage(p->err, "--parent-path: '%s' must be relative to the image folder",
				 c->parent_path);
	if (c->direction == OCI_PRE_DUMP && c->lazy_pages)
		return err_usage(p->err, "--pre-dump and --lazy-pages exclude each other");
	if (c->lsm_profile && !strchr(c->lsm_profile, ':'))
		return err_usage(p->err, "--lsm-profile: expected TYPE:NAME, found '%s'",
				 c->lsm_profile);
	if (c->bundle && c->bundle[0] != '/')
		return err_new(p->err, ERR_INTERNAL, -EINVAL, "the bundle '%s' is not absolute",
			       c->bundle);
	if (!p->restore && p->state->pid <= 0)
		return err_usage(p->err, "container '%s' has no process", p->state->id ?: "");
	return 0;
}

static int plan_choices(struct planner *p)
{
	/* The words in the order of enum ckpt_network_lock. */
	static const char *const locks[] = { "default", "iptables", "nftables", "skip", NULL };
	const struct oci_choices *c = p->choices;
	struct ckpt_options *o = &p->plan->options;
	int r;

	if (c->network_lock) {
		r = find_word(p, "--network-lock", c->network_lock, locks);
		if (r < 0)
			return r;
		o->network_lock = (enum ckpt_network_lock)r;
	}
	o->images_dir = plan_keep(p, c->image_path ?: "checkpoint");
	o->work_dir = plan_keep(p, c->work_path);
	o->log_level = LOG_DEBUG;
	o->log_file = p->restore ? "restore.log" : "dump.log";
	o->shell_job = c->shell_job;
	o->file_locks = c->file_locks;
	o->ext_unix_sk = c->ext_unix_sk;
	o->tcp_established = c->tcp_established;
	o->tcp_close = c->tcp_close;
	o->tcp_skip_in_flight = c->tcp_skip_in_flight;
	o->link_remap = c->link_remap;
	o->auto_dedup = c->auto_dedup;
	o->lazy_pages = c->lazy_pages;
	o->ghost_limit_bytes = c->ghost_limit_bytes;
	o->orphan_pts_master = true; /* the other end of a terminal is with the runtime's caller */
	if (p->restore) {
		o->evasive_devices = true;
		o->restore_detached = c->detach;
		o->lsm_profile = plan_keep(p, c->lsm_profile);
		o->lsm_mount_context = plan_keep(p, c->lsm_mount_context);
	} else {
		o->pid = p->state->pid;
		o->leave_running = c->leave_running;
		o->parent_images_dir = plan_keep(p, c->parent_path);
		o->track_mem = c->direction == OCI_PRE_DUMP || c->parent_path;
	}
	return 0;
}

static int plan_root(struct planner *p)
{
	const struct oci_state *st = p->state;
	const char *root = p->spec->root_path;
	struct oci_plan *plan = p->plan;

	plan->bundle = plan_keep(p, p->choices->bundle ?: st->bundle);
	if (plan->bundle && plan->bundle[0] != '/')
		return err_image(p->err, "the bundle '%s' of the container's state is not absolute",
				 plan->bundle);
	if (root[0] == '/' || plan->bundle)
		plan->rootfs = plan_path(p, plan->bundle ?: "/", root);
	else if (st->rootfs && st->rootfs[0] == '/')
		plan->rootfs = plan_path(p, "/", st->rootfs);
	else
		return err_usage(p->err, "the bundle is needed for the relative root '%s'", root);
	plan->options.root = plan->rootfs;
	if (p->restore && p->choices->root_mount)
		plan->options.root = plan_keep(p, p->choices->root_mount);
	return 0;
}

static int plan_terminal(struct planner *p)
{
	const struct oci_choices *c = p->choices;
	bool terminal = p->spec->process.terminal;
	int r;

	p->plan->pid_file = plan_keep(p, c->pid_file);
	if (!p->restore)
		return 0;
	p->plan->console_socket = plan_keep(p, c->console_socket);
	if (terminal && c->detach && !c->console_socket) {
		r = err_usage(p->err, "the container has a terminal, and nobody takes it");
		err_hint(p->err, "give --console-socket, or restore without --detach");
		return r;
	}
	if (!terminal && c->console_socket)
		plan_warn(p, "the container has no terminal: the console socket stays unused");
	return 0;
}

static void plan_config_files(struct planner *p)
{
	static const char *const defaults[] = { "/etc/criu/crun.conf", "/etc/criu/runc.conf" };
	const char *given = oci_pairs_get(&p->spec->annotations, CRIU_CONFIG_ANNOTATION);
	size_t skip = p->state->runtime == OCI_RUNC ? 1 : 0;
	const char **one;

	if (!given) {
		p->plan->config_files =
			(struct ckpt_strings){ .v = defaults + skip, .n = 2 - skip };
		return;
	}
	if (!given[0]) /* an empty annotation switches configuration files off */
		return;
	one = oci_array(&p->plan->arena, 1, sizeof(*one));
	p->nomem |= !one;
	if (!one)
		return;
	*one = plan_keep(p, given);
	p->plan->config_files = (struct ckpt_strings){ .v = one, .n = 1 };
	p->plan->config_required = true;
}

/* Where the freezer of a container is: its mountpoint on the host. */
static const char *freezer_mount(const struct oci_facts *f)
{
	const char *unified = NULL;

	for (size_t i = 0; i < f->hierarchies.n; i++) {
		const struct oci_hierarchy *h = &f->hierarchies.v[i];

		if (!strcmp(h->controllers, "freezer") || strstr(h->controllers, "freezer,") ||
		    strstr(h->controllers, ",freezer"))
			return h->mountpoint;
		if (!h->controllers[0])
			unified = h->mountpoint;
	}
	if (unified)
		return unified;
	return f->cgroup_layout == OCI_CGROUP_V2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/freezer";
}

/* True for the root of a hierarchy: freezing it would stop the whole machine. */
static bool is_root_cgroup(const struct oci_facts *f, const char *dir)
{
	static const char *const usual[] = { "/", "/sys/fs/cgroup", "/sys/fs/cgroup/freezer",
					     "/sys/fs/cgroup/unified" };

	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		if (!strcmp(usual[i], dir))
			return true;
	for (size_t i = 0; i < f->hierarchies.n; i++)
		if (!strcmp(f->hierarchies.v[i].mountpoint, dir))
			return true;
	return false;
}

static void plan_freezer(struct planner *p)
{
	const struct oci_state *st = p->state;
	const char *path, *dir = NULL;

	if (st->runtime == OCI_CRUN) {
		path = st->no_cgroup ? NULL : st->cgroup_path;
		if (oci_cgroup_is_own(path))
			dir = plan_path(p, "/",
					plan_keepf(p, "%s/%s", freezer_mount(p->facts), path));
	} else {
		path = oci_pairs_get(&st->cgroup_paths, "freezer")
			       ?: oci_pairs_get(&st->cgroup_paths, "");
		if (oci_cgroup_is_own(path) && path[0] == '/')
			dir = plan_path(p, "/", path);
	}
	if (dir && !is_root_cgroup(p->facts, dir))
		p->plan->options.freeze_cgroup = dir;
	else
		plan_warn(p,
			  "the container has no cgroup of its own: its processes are stopped one "
			  "by one, and those without a parent inside are not found");
}

static int add_cgroup_roots(struct planner *p)
{
	const struct oci_facts *f = p->facts;
	struct ckpt_pair *it;
	bool own = false;
	int r;

	for (size_t i = 0; i < f->hierarchies.n; i++) {
		const struct oci_hierarchy *h = &f->hierarchies.v[i];

		if (!h->path)
			continue;
		own |= oci_cgroup_is_own(h->path);
		it = vec_add(&p->cgroup_roots);
		p->nomem |= !it;
		if (it)
			*it = (struct ckpt_pair){ .key = plan_keep(p, h->controllers),
						  .val = plan_path(p, "/", h->path) };
	}
	if (own || !p->cgroup_roots.n || p->state->no_cgroup)
		return 0;
	r = err_usage(p->err, "refusing to restore container '%s' into the root cgroup",
		      p->state->id ?: "");
	err_hint(p->err, "deleting it would kill every process of the machine; give it a cgroup of "
			 "its own (linux.cgroupsPath)");
	return r;
}

int plan_cgroups(struct planner *p)
{
	/* The words in the order of enum ckpt_cgroup_mode. */
	static const char *const modes[] = { "ignore", "none",	 "props", "soft",
					     "full",   "strict", NULL };
	struct ckpt_options *o = &p->plan->options;
	int r = find_word(p, "--manage-cgroups-mode", p->choices->manage_cgroups_mode ?: "soft",
			  modes);

	if (r < 0)
		return r;
	o->cgroup_mode = (enum ckpt_cgroup_mode)r;
	o->manage_cgroups = o->cgroup_mode != CKPT_CG_IGNORE;
	if (!p->restore)
		plan_freezer(p);
	else if (o->manage_cgroups)
		return add_cgroup_roots(p);
	return 0;
}

/* Moves a growing array into the plan's memory; dst is a list with v and n. */
#define settle(p, dst, vec)                                                        \
	do {                                                                       \
		__typeof__((vec)->v) _v =                                          \
			oci_array(&(p)->plan->arena, (vec)->n, sizeof(*(vec)->v)); \
		(p)->nomem |= !_v;                                                 \
		if (_v && (vec)->n)                                                \
			memcpy(_v, (vec)->v, (vec)->n * sizeof(*_v));              \
		(dst)->v = _v;                                                     \
		(dst)->n = (vec)->n;                                               \
		vec_free(vec);                                                     \
	} while (0)

static void settle_all(struct planner *p)
{
	struct ckpt_options *o = &p->plan->options;
	OCI_LIST(struct ckpt_inherit_fd) fds;
	OCI_LIST(struct ckpt_join_ns) joins;

	settle(p, &o->ext_mounts, &p->ext_mounts);
	settle(p, &o->cgroup_roots, &p->cgroup_roots);
	settle(p, &o->externals, &p->externals);
	settle(p, &p->plan->warnings, &p->warnings);
	settle(p, &p->plan->opens, &p->opens);
	settle(p, &p->plan->mountpoints, &p->mountpoints);
	settle(p, &fds, &p->inherit);
	settle(p, &joins, &p->joins);
	o->inherit_fds = fds.v;
	o->n_inherit_fds = fds.n;
	o->join_ns = joins.v;
	o->n_join_ns = joins.n;
}

int oci_plan_make(struct oci_plan *ret, const struct oci_spec *spec, const struct oci_state *state,
		  const struct oci_choices *choices, const struct oci_facts *facts, struct err *err)
{
	cleanup_oci_plan struct oci_plan plan = { .direction = choices->direction,
						  .runtime = state->runtime };
	struct planner p = { .plan = &plan,
			     .spec = spec,
			     .state = state,
			     .choices = choices,
			     .facts = facts,
			     .err = err };
	static int (*const parts[])(
		struct planner *) = { check_choices, plan_choices,    plan_root,   plan_terminal,
				      plan_mounts,   plan_namespaces, plan_cgroups };
	int r = 0;

	p.restore = choices->direction == OCI_RESTORE;
	if (choices->defaults)
		plan.options = *choices->defaults;
	plan.id = plan_keep(&p, state->id ?: "");
	for (size_t i = 0; r == 0 && i < sizeof(parts) / sizeof(parts[0]); i++)
		r = parts[i](&p);
	if (r == 0) {
		plan_stdio(&p);
		plan_config_files(&p);
	}
	settle_all(&p);
	if (p.nomem)
		return err_nomem(err);
	if (r < 0)
		return r;
	*ret = plan;
	plan.arena = (struct arena){ 0 };
	return 0;
}

void oci_plan_set_fd(struct oci_plan *plan, size_t i, int fd)
{
	/* The list is the plan's own; only the engine's view of it is const. */
	struct ckpt_inherit_fd *fds = (struct ckpt_inherit_fd *)plan->options.inherit_fds;

	fds[plan->opens.v[i].inherit].fd = fd;
}

void oci_plan_done(struct oci_plan *plan)
{
	arena_done(&plan->arena);
	*plan = (struct oci_plan){ 0 };
}
