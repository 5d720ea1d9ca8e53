/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The values of options that are more than a word or a number. */
#include "runtime/options-set.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *keep_n(struct cli *cli, const char *text, size_t len)
{
	return arena_printf(&cli->arena, "%.*s", (int)len, text);
}

static int expected(const struct opt *opt, const char *what, const char *value, struct err *err)
{
	return err_usage(err, "--%s: expected %s, found '%s'", opt->name, what, value);
}

#define push(cli, vec, item, err)                        \
	({                                               \
		__typeof__((vec)->v) _at = vec_add(vec); \
		if (_at)                                 \
			*_at = (item);                   \
		_at ? 0 : err_nomem(err);                \
	})

int set_pid(void *target, const struct opt *opt, const char *value, struct err *err)
{
	struct cli *cli = target;
	long long pid;
	int r = opt_number(opt, value, 1, INT_MAX, &pid, err);

	if (r == 0)
		cli->ckpt.pid = (pid_t)pid;
	return r;
}

/* "-v" is one level more, "-vvv" three; "-v4" and "--verbosity=4" set the level. */
int set_verbosity(void *target, const struct opt *opt, const char *value, struct err *err)
{
	struct cli *cli = target;
	long long level = cli->ckpt.log_level + 1;

	if (value && value[0] == 'v') {
		if (strspn(value, "v") != strlen(value))
			return expected(opt, "a level from 0 to 4", value, err);
		level += (long long)strlen(value);
	} else if (value && opt_number(opt, value, 0, INT_MAX, &level, err) < 0) {
		return err->code;
	}
	cli->ckpt.log_level = level > LOG_DEBUG ? LOG_DEBUG : (int)level;
	return 0;
}

int set_close(void *target, const struct opt *opt, const char *value, struct err *err)
{
	long long fd;
	int r = opt_number(opt, value, 0, INT_MAX, &fd, err);

	if (r == 0 && close((int)fd) < 0)
		r = err_sys(err, -errno, "--%s: closing descriptor %lld", opt->name, fd);
	return r;
}

/* With inode numbers the option names the sockets; that is the same as naming them as external. */
int set_ext_unix_sk(void *target, const struct opt *opt, const char *value, struct err *err)
{
	struct cli *cli = target;

	cli->ckpt.ext_unix_sk = true;
	while (value && *value) {
		size_t len = strcspn(value, ",");
		const char *text;

		if (!len || strspn(value, "0123456789") != len)
			return expected(opt, "inode numbers of sockets", value, err);
		text = arena_printf(&cli->arena, "unix[%.*s]", (int)len, value);
		if (!text || push(cli, &cli->externals, text, err) < 0)
			return err_nomem(err);
		value += len;
		value += *value == ',';
	}
	return 0;
}

/* "KEY:VAL", and an empty VAL passes: that is how LXC says that there is no console. */
int set_ext_mount_map(void *target, const struct opt *opt, const char *value, struct err *err)
{
	struct cli *cli = target;
	const char *colon = strchr(value, ':');
	struct ckpt_pair pair;

	if (strcmp(value, "auto") == 0) {
		cli->ckpt.auto_ext_mounts = true;
		return 0;
	}
	if (!colon)
		return expected(opt, "KEY:VALUE or 'auto'", value, err);
	if (!colon[1])
		return 0;
	pair.key = keep_n(cli, value, (size_t)(colon - value));
	pair.val = colon + 1;
	if (!pair.key)
		return err_nomem(err);
	return push(cli, &cli->ext_mounts, pair, err);
}

/* A word of no known shape names nothing; LXC sends such, so it is let through to do nothing. */
int set_external(void *target, const struct opt *opt, const char *value, struct err *err)
{
	struct cli *cli = target;

	return push(cli, &cli->externals, value, err);
}

int set_veth_pair(void *target, const struct opt *opt, const char *value, struct err *err)
{
	struct cli *cli = target;
	const char *equal = strchr(value, '='), *text;

	if (!equal || equal == value || !equal[1])
		return expected(opt, "INSIDE=OUTSIDE", value, err);
	text = arena_printf(&cli->arena, "veth[%.*s]:%s", (int)(equal - value), value, equal + 1);
	return text ? push(cli, &cli->externals, text, err) : err_nomem(err);
}

int set_inherit_fd(void *target, const struct opt *opt, const char *value, struct err *err)
{
	struct cli *cli = target;
	struct ckpt_inherit_fd item;
	char *end;
	long fd;

	if (strncmp(value, "fd[", 3) != 0)
		return expected(opt, "fd[NUMBER]:KEY", value, err);
	fd = strtol(value + 3, &end, 10);
	if (end == value + 3 || strncmp(end, "]:", 2) != 0 || !end[2] || fd < 0 || fd > INT_MAX)
		return expected(opt, "fd[NUMBER]:KEY", value, err);
	item = (struct ckpt_inherit_fd){ .key = end + 2, .fd = (int)fd };
	return push(cli, &cli->inherit_fds, item, err);
}

/* "NS:PID-OR-FILE[,UID,GID]" */
int set_join_ns(void *target, const struct opt *opt, const char *value, struct err *err)
{
	static const char *const known[] = { "ipc", "net", "time", "user", "uts" };
	struct cli *cli = target;
	const char *colon = strchr(value, ':');
	struct ckpt_join_ns item = { 0 };
	size_t len;

	if (!colon || !colon[1])
		return expected(opt, "NAMESPACE:FILE or NAMESPACE:PID", value, err);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strncmp(known[i], value, (size_t)(colon - value)) == 0 &&
		    strlen(known[i]) == (size_t)(colon - value))
			item.ns = known[i];
	if (!item.ns)
		return expected(opt, "one of ipc, net, time, user, uts before the colon", value,
				err);
	len = strcspn(colon + 1, ",");
	if (colon[1 + len] == ',') {
		if (strcmp(item.ns, "user") != 0)
			return err_usage(err, "--%s: only a user namespace takes ',UID,GID': '%s'",
					 opt->name, value);
		item.extra = colon + 1 + len + 1;
	}
	item.file = keep_n(cli, colon + 1, len);
	return item.file ? push(cli, &cli->join_ns, item, err) : err_nomem(err);
}

/* "[CONTROLLERS:]PATH" */
int set_cgroup_root(void *target, const struct opt *opt, const char *value, struct err *err)
{
	struct cli *cli = target;
	const char *colon = strchr(value, ':');
	struct ckpt_pair pair = { .key = NULL, .val = colon ? colon + 1 : value };

	if (pair.val[0] != '/')
		return expected(opt, "[CONTROLLERS:]/PATH", value, err);
	if (colon) {
		pair.key = keep_n(cli, value, (size_t)(colon - value));
		if (!pair.key)
			return err_nomem(err);
	}
	return push(cli, &cli->cgroup_roots, pair, err);
}

/* The number of a word in a list that ends with NULL, or an error that lists them. */
static int find_word(const struct opt *opt, const char *value, const char *const *words,
		     const char *what, struct err *err)
{
	for (int i = 0; words[i]; i++)
		if (strcmp(words[i], value) == 0)
			return i;
	return expected(opt, what, value, err);
}

int set_manage_cgroups(void *target, const struct opt *opt, const char *value, struct err *err)
{
	/* In the order of enum ckpt_cgroup_mode. */
	static const char *const words[] = { "ignore", "none",	 "props", "soft",
					     "full",   "strict", NULL };
	struct cli *cli = target;
	int mode = CKPT_CG_SOFT;

	if (value && *value)
		mode = find_word(opt, value, words,
				 "one of ignore, none, props, soft, full, strict", err);
	if (mode < 0)
		return mode;
	cli->ckpt.cgroup_mode = (enum ckpt_cgroup_mode)mode;
	cli->ckpt.manage_cgroups = mode != CKPT_CG_IGNORE;
	return 0;
}

int set_network_lock(void *target, const struct opt *opt, const char *value, struct err *err)
{
	static const char *const words[] = { "iptables", "nftables", "skip", "none", NULL };
	static const enum ckpt_network_lock locks[] = { CKPT_LOCK_IPTABLES, CKPT_LOCK_NFTABLES,
							CKPT_LOCK_SKIP, CKPT_LOCK_SKIP };
	struct cli *cli = target;
	int i = find_word(opt, value, words, "one of iptables, nftables, skip", err);

	if (i < 0)
		return i;
	cli->ckpt.network_lock = locks[i];
	return 0;
}

/* "fpu,^ins": added to the default, or taken away. Naming anything asks for the image. */
int set_cpu_cap(void *target, const struct opt *opt, const char *value, struct err *err)
{
	static const struct {
		const char *name;
		unsigned int bits;
	} names[] = {
		{ "fpu", CKPT_CPU_FPU }, { "cpu", CKPT_CPU_ALL },
		{ "ins", CKPT_CPU_INS }, { "all", CKPT_CPU_FPU | CKPT_CPU_ALL | CKPT_CPU_INS },
		{ "none", 0 },
	};
	const size_t n_names = sizeof(names) / sizeof(names[0]);
	unsigned int *cap = &((struct cli *)target)->ckpt.cpu_cap;

	for (value = value ?: "all"; *value; value += *value == ',') {
		bool away = false;
		size_t len, i = 0;

		for (; *value == '^'; value++)
			away = !away;
		len = strcspn(value, ",");
		while (i < n_names &&
		       (strlen(names[i].name) != len || memcmp(names[i].name, value, len)))
			i++;
		if (i == n_names)
			return expected(opt, "fpu, ins, cpu, all or none", value, err);
		if (!names[i].bits)
			*cap = away ? names[3].bits : 0;
		else
			*cap = away ? *cap & ~names[i].bits : *cap | names[i].bits;
		value += len;
	}
	if (*cap)
		*cap |= CKPT_CPU_IMAGE;
	return 0;
}

int set_empty_ns(void *target, const struct opt *opt, const char *value, struct err *err)
{
	struct cli *cli = target;

	if (strcmp(value, "net") != 0)
		return expected(opt, "'net', the only namespace that can be left empty", value,
				err);
	cli->ckpt.empty_ns |= CLONE_NEWNET;
	return 0;
}

int set_file_validation(void *target, const struct opt *opt, const char *value, struct err *err)
{
	static const char *const words[] = { "filesize", "buildid", NULL };
	struct cli *cli = target;
	int i = find_word(opt, value, words, "'filesize' or 'buildid'", err);

	if (i < 0)
		return i;
	cli->ckpt.file_validation_buildid = i == 1;
	return 0;
}

/* Words with commas between, added to the list at the option's offset. */
int set_list(void *target, const struct opt *opt, const char *value, struct err *err)
{
	struct cli *cli = target;
	__typeof__(cli->enable_fs) *list = (void *)((char *)target + opt->offset);

	while (*value) {
		size_t len = strcspn(value, ",");
		const char *text = len ? keep_n(cli, value, len) : NULL;

		if (!len)
			return expected(opt, "names with commas between", value, err);
		if (!text || push(cli, list, text, err) < 0)
			return err_nomem(err);
		value += len;
		value += *value == ',';
	}
	return 0;
}

int set_status_fd(void *target, const struct opt *opt, const char *value, struct err *err)
{
	struct cli *cli = target;
	long long fd;
	int r = opt_number(opt, value, 0, INT_MAX, &fd, err);

	if (r == 0)
		cli->status_fd = (int)fd;
	return r;
}

int set_check_all(void *target, const struct opt *opt, const char *value, struct err *err)
{
	struct cli *cli = target;

	cli->check_all = cli->check_extra = cli->check_experimental = true;
	return 0;
}

int set_ms(void *target, const struct opt *opt, const char *value, struct err *err)
{
	int r = err_usage(err, "option '--ms' is gone");

	err_hint(err,
		 "'check' alone asks for what is always needed; see --extra and --experimental");
	return r;
}
