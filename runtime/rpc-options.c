/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of a request. Most are options of the command line and are taken by the same table; those
 * of a shape of their own are here.
 */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/rpc.h"

/* Numbers of fields that are spoken of by name. */
enum {
	FIELD_PS = 11,
	FIELD_CPU_CAP = 20,
	FIELD_MANAGE_CGROUPS_MODE = 34,
	FIELD_PRE_DUMP_MODE = 61,
	FIELD_NETWORK_LOCK = 64,
};

#define push(s, vec, item, err)                          \
	({                                               \
		__typeof__((vec)->v) _at = vec_add(vec); \
		if (_at)                                 \
			*_at = (item);                   \
		_at ? 0 : err_nomem(err);                \
	})

static bool is_true(const struct rpc_option *o)
{
	return strcmp(o->words[0], "true") == 0;
}

/* By the table, as if it stood on the command line. */
static int take_as(struct rpc_setup *s, unsigned int field, const char *value, struct err *err)
{
	const struct opt *opt = opt_find_rpc(&cli_options, field);

	if (!opt)
		return err_new(err, ERR_INTERNAL, -EINVAL, "field %u has no option", field);
	return opt_apply(opt, &s->cli, value, &s->cli.rest, err);
}

static int take_named(struct rpc_setup *s, const char *name, const char *value, struct err *err)
{
	const struct opt *opt = opt_find(&cli_options, name, strlen(name));

	return opt_apply(opt, &s->cli, value, &s->cli.rest, err);
}

/* ---- descriptors of the client ---- */

static int reopen_dir(struct rpc_setup *s, const struct rpc_option *o, const char *what,
		      int *ret_fd, const char **ret_path, struct err *err)
{
	int fd = atoi(o->words[0]);

	if (fd < 0)
		return err_usage(err, "%s: %d is no descriptor", what, fd);
	fd = rpc_peer_reopen(&s->session->peer, fd, O_RDONLY | O_DIRECTORY, what, err);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	*ret_path = arena_printf(&s->cli.arena, "/proc/self/fd/%d", fd);
	return *ret_path ? 0 : err_nomem(err);
}

static int take_images_fd(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	/* the value of a client that names the folder, or needs none */
	if (strcmp(o->words[0], "-1") == 0)
		return 0;
	return reopen_dir(s, o, "the images directory", &s->images_fd, &s->cli.ckpt.images_dir,
			  err);
}

static int take_work_fd(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	return reopen_dir(s, o, "the work directory", &s->work_fd, &s->cli.ckpt.work_dir, err);
}

static int take_status_fd(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	int fd = rpc_peer_reopen(&s->session->peer, atoi(o->words[0]), O_WRONLY,
				 "the status descriptor", err);

	if (fd >= 0)
		s->cli.status_fd = fd;
	return fd < 0 ? fd : 0;
}

/* Descriptors of this process: the client made it with them. */
static int take_inherit_fd(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	struct ckpt_inherit_fd item = { .key = o->words[0], .fd = atoi(o->words[1]) };

	if (s->session->service)
		return err_usage(err, "inherit_fd: a service has no descriptors of the client");
	if (fcntl(item.fd, F_GETFD) < 0)
		return err_usage(err, "inherit_fd: descriptor %d for '%s' is not open", item.fd,
				 item.key);
	return push(s, &s->cli.inherit_fds, item, err);
}

/* ---- others ---- */

/* For compatibility the client is the tree itself if it names none. */
static int take_pid(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	return strcmp(o->words[0], "0") == 0 ? 0 : take_as(s, o->field, o->words[0], err);
}

static int take_log_file(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	if (strchr(o->words[0], '/') || !o->words[0][0])
		return err_usage(err,
				 "log_file: '%s' is not a name in the work folder: no folders are "
				 "allowed in it",
				 o->words[0]);
	s->cli.ckpt.log_file = o->words[0];
	s->has_log_file = true;
	return 0;
}

static int take_ps(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	const char *address = o->words[0], *port = o->words[1], *fd = o->words[3];
	int r = 0;

	s->page_server = true;
	if (address)
		r = take_named(s, "address", address, err);
	if (r == 0 && port)
		r = take_named(s, "port", port, err);
	if (r == 0 && fd && s->session->service)
		return err_usage(err, "ps: a service has no descriptors of the client");
	return r == 0 && fd ? take_named(s, "ps-socket", fd, err) : r;
}

static int take_notify(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	s->notify = is_true(o);
	return 0;
}

static int take_veth(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	const char *text = arena_printf(&s->cli.arena, "veth[%s]:%s", o->words[0], o->words[1]);

	return text ? push(s, &s->cli.externals, text, err) : err_nomem(err);
}

/* A number says everything: what it leaves out of the default is taken away. */
static int take_cpu_cap(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	const unsigned int all = CKPT_CPU_FPU | CKPT_CPU_ALL | CKPT_CPU_INS;

	s->cli.ckpt.cpu_cap = ((unsigned int)strtoul(o->words[0], NULL, 10) & all) | CKPT_CPU_IMAGE;
	return 0;
}

static int take_command(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	if (!s->session->peer.trusted)
		return err_usage(err, "exec_cmd: not for user %u", s->session->peer.uid);
	return push(s, &s->command, o->words[0], err);
}

/* Without a value it names nothing. */
static int take_ext_mnt(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	struct ckpt_pair pair = { o->words[0], o->words[1] };

	return pair.val[0] ? push(s, &s->cli.ext_mounts, pair, err) : 0;
}

static int take_cg_root(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	struct ckpt_pair pair = { o->words[0], o->words[1] };

	if (pair.val[0] != '/')
		return err_usage(err, "cg_root: '%s' is not an absolute path", pair.val);
	return push(s, &s->cli.cgroup_roots, pair, err);
}

static int take_manage_cgroups(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	return take_as(s, FIELD_MANAGE_CGROUPS_MODE, is_true(o) ? "soft" : "ignore", err);
}

static int take_sibling(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	s->cli.ckpt.restore_sibling = is_true(o);
	if (is_true(o) && s->session->service)
		return err_usage(err, "rst_sibling: the client is not the parent of a service");
	return 0;
}

static int take_auto_ext_mnt(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	s->cli.ckpt.auto_ext_mounts = is_true(o);
	return 0;
}

static int take_unix_ino(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	const char *text = arena_printf(&s->cli.arena, "unix[%s]", o->words[0]);

	return text ? push(s, &s->cli.externals, text, err) : err_nomem(err);
}

static int take_ext_unix_sk(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	s->cli.ckpt.ext_unix_sk = is_true(o);
	return 0;
}

/* One of the names of an enumeration, of which the table knows the words. */
static int take_enum(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	static const struct {
		unsigned int field, value;
		const char *word;
	} known[] = {
		{ FIELD_MANAGE_CGROUPS_MODE, 0, "ignore" },
		{ FIELD_MANAGE_CGROUPS_MODE, 1, "none" },
		{ FIELD_MANAGE_CGROUPS_MODE, 2, "props" },
		{ FIELD_MANAGE_CGROUPS_MODE, 3, "soft" },
		{ FIELD_MANAGE_CGROUPS_MODE, 4, "full" },
		{ FIELD_MANAGE_CGROUPS_MODE, 5, "strict" },
		{ FIELD_MANAGE_CGROUPS_MODE, 6, "soft" },
		{ FIELD_PRE_DUMP_MODE, 1, "splice" },
		{ FIELD_PRE_DUMP_MODE, 2, "read" },
		{ FIELD_NETWORK_LOCK, 1, "iptables" },
		{ FIELD_NETWORK_LOCK, 2, "nftables" },
		{ FIELD_NETWORK_LOCK, 3, "skip" },
	};
	unsigned long value = strtoul(o->words[0], NULL, 10);

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].field == o->field && known[i].value == value)
			return take_as(s, o->field, known[i].word, err);
	return err_usage(err, "%s: there is no value %s",
			 opt_find_rpc(&cli_options, o->field)->name, o->words[0]);
}

static int take_empty_ns(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	unsigned long flags = strtoul(o->words[0], NULL, 10);

	if (flags & ~(unsigned long)CLONE_NEWNET)
		return err_usage(err,
				 "empty_ns: only a network namespace can be left empty, found "
				 "%#lx",
				 flags);
	s->cli.ckpt.empty_ns = (unsigned int)flags;
	return 0;
}

static int take_join_ns(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	struct ckpt_join_ns item = { o->words[0], o->words[1], o->words[2] };

	return push(s, &s->cli.join_ns, item, err);
}

static int take_orphan(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	s->cli.ckpt.orphan_pts_master = is_true(o);
	return 0;
}

static int take_config_file(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	if (!s->session->peer.trusted)
		return err_usage(err, "config_file: not for user %u", s->session->peer.uid);
	s->config_file = o->words[0];
	return 0;
}

static int take_log_to_stderr(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	s->log_to_stderr = is_true(o);
	return 0;
}

static int take_nothing(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	return 0;
}

/* Switched on by a request, never off: that is left to configuration files. */
static int take_if_true(struct rpc_setup *s, const struct rpc_option *o, struct err *err)
{
	return is_true(o) ? take_as(s, o->field, o->words[0], err) : 0;
}

static const struct {
	unsigned int field;
	int (*take)(struct rpc_setup *s, const struct rpc_option *o, struct err *err);
} shaped[] = {
	{ 1, take_images_fd },
	{ 2, take_pid },
	{ 3, take_if_true }, /* leave_running */
	{ 4, take_ext_unix_sk },
	{ 10, take_log_file },
	{ FIELD_PS, take_ps },
	{ 12, take_notify },
	{ 17, take_work_fd },
	{ 19, take_veth },
	{ FIELD_CPU_CAP, take_cpu_cap },
	{ 22, take_command },
	{ 23, take_ext_mnt },
	{ 24, take_manage_cgroups },
	{ 25, take_cg_root },
	{ 26, take_sibling },
	{ 27, take_inherit_fd },
	{ 28, take_auto_ext_mnt },
	{ 33, take_unix_ino },
	{ FIELD_MANAGE_CGROUPS_MODE, take_enum },
	{ 38, take_empty_ns },
	{ 39, take_join_ns },
	{ 49, take_status_fd },
	{ 50, take_orphan },
	{ 51, take_config_file },
	{ 58, take_if_true }, /* tls */
	{ 59, take_if_true }, /* tls_no_cn_verify */
	{ FIELD_PRE_DUMP_MODE, take_enum },
	{ 62, take_nothing }, /* pidfd_store_sk: reused pids matter between pre-dumps only */
	{ FIELD_NETWORK_LOCK, take_enum },
	{ 69, take_if_true }, /* leave_stopped */
	{ 71, take_log_to_stderr },
};

int rpc_take_option(void *setup, const struct rpc_option *option, struct err *err)
{
	for (size_t i = 0; i < sizeof(shaped) / sizeof(shaped[0]); i++)
		if (shaped[i].field == option->field)
			return shaped[i].take(setup, option, err);
	return take_as(setup, option->field, option->words[0], err);
}
