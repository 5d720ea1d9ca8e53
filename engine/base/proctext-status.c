/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /proc/PID/status: "Key:\tvalue" lines, in an order that has changed between kernels. */
#include "engine/base/proctext.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/base/proctext-fdinfo.h"
#include "engine/base/proctext-priv.h"

enum status_type {
	T_HEX64,
	T_KIB,
	T_I32,
	T_U32,
	T_BOOL,
	T_UMASK,
	T_IDS,
	T_NSID,
	T_STATE,
	T_GROUPS,
	T_X86
};

/* Where each line goes. A field is written through its offset, by its type. */
struct status_key {
	const char *key;
	enum status_type type;
	size_t offset;
};

#define KEY(k, t, field)                                  \
	{                                                 \
		k, t, offsetof(struct proc_status, field) \
	}

static const struct status_key status_keys[] = {
	KEY("State", T_STATE, state),
	KEY("Umask", T_UMASK, umask),
	KEY("Tgid", T_I32, tgid),
	KEY("Pid", T_I32, pid),
	KEY("PPid", T_I32, ppid),
	KEY("TracerPid", T_I32, tracer_pid),
	KEY("Uid", T_IDS, uid),
	KEY("Gid", T_IDS, gid),
	KEY("Groups", T_GROUPS, groups),
	KEY("NStgid", T_NSID, nstgid),
	KEY("NSpid", T_NSID, nspid),
	KEY("NSpgid", T_NSID, nspgid),
	KEY("NSsid", T_NSID, nssid),
	KEY("VmLck", T_KIB, vm_lck_kib),
	KEY("CoreDumping", T_BOOL, coredumping),
	KEY("THP_enabled", T_I32, thp_enabled),
	KEY("Threads", T_U32, threads),
	KEY("SigPnd", T_HEX64, sig_pnd),
	KEY("ShdPnd", T_HEX64, shd_pnd),
	KEY("SigBlk", T_HEX64, sig_blk),
	KEY("SigIgn", T_HEX64, sig_ign),
	KEY("SigCgt", T_HEX64, sig_cgt),
	KEY("CapInh", T_HEX64, cap_inh),
	KEY("CapPrm", T_HEX64, cap_prm),
	KEY("CapEff", T_HEX64, cap_eff),
	KEY("CapBnd", T_HEX64, cap_bnd),
	KEY("CapAmb", T_HEX64, cap_amb),
	KEY("NoNewPrivs", T_BOOL, no_new_privs),
	KEY("Seccomp", T_I32, seccomp_mode),
	KEY("Seccomp_filters", T_I32, seccomp_filters),
	KEY("x86_Thread_features", T_X86, x86_features),
	KEY("x86_Thread_features_locked", T_X86, x86_features_locked),
};

static bool parse_ids(struct proc_cursor *c, uint32_t *ids)
{
	for (int i = 0; i < 4; i++)
		if (!scan_field_u32(c, 10, &ids[i]))
			return false;
	return scan_end(c);
}

static int parse_groups(struct proc_cursor *c, struct proc_status *s)
{
	struct {
		VEC(gid_t);
	} groups = { 0 };
	uint32_t id;

	while (scan_field_u32(c, 10, &id)) {
		gid_t *g = vec_add(&groups);

		if (!g) {
			vec_free(&groups);
			return -ENOMEM;
		}
		*g = id;
	}
	if (!scan_end(c) || s->groups) {
		vec_free(&groups);
		return -EINVAL;
	}
	s->groups = groups.v;
	s->n_groups = groups.n;
	return 0;
}

static bool parse_x86_features(struct proc_cursor *c, uint32_t *ret)
{
	struct proc_cursor w;
	uint32_t v = 0;

	for (scan_blanks(c); scan_word(c, &w); scan_blanks(c)) {
		size_t n = scan_left(&w);

		if (n == 5 && !memcmp(w.p, "shstk", n))
			v |= PROC_X86_SHSTK;
		else if (n == 4 && !memcmp(w.p, "wrss", n))
			v |= PROC_X86_WRSS;
		else
			v |= (uint32_t)PROC_X86_UNKNOWN;
	}
	*ret = v;
	return true;
}

static bool parse_bool(struct proc_cursor *c, bool *ret)
{
	uint32_t v;

	if (!scan_field_u32(c, 10, &v) || v > 1)
		return false;
	*ret = v;
	return scan_end(c);
}

static int parse_value(struct proc_cursor c, const struct status_key *k, struct proc_status *s)
{
	void *field = (char *)s + k->offset;
	uint32_t u;
	bool ok = false;

	switch (k->type) {
	case T_HEX64:
		ok = scan_field_u64(&c, 16, field) && scan_end(&c);
		break;
	case T_KIB:
		ok = scan_field_u64(&c, 10, field);
		break;
	case T_I32:
		ok = scan_field_i32(&c, field) && scan_end(&c);
		break;
	case T_U32:
		ok = scan_field_u32(&c, 10, field) && scan_end(&c);
		break;
	case T_BOOL:
		ok = parse_bool(&c, field);
		break;
	case T_UMASK:
		ok = scan_field_u32(&c, 8, &u) && u <= 0777 && scan_end(&c);
		if (ok)
			*(int *)field = (int)u;
		break;
	case T_IDS:
		ok = parse_ids(&c, field);
		break;
	case T_NSID:
		ok = scan_nsid(&c, field);
		break;
	case T_STATE:
		ok = c.p < c.end;
		if (ok)
			*(char *)field = *c.p;
		break;
	case T_GROUPS:
		return parse_groups(&c, s);
	case T_X86:
		ok = parse_x86_features(&c, field);
		break;
	}
	return ok ? 0 : -EINVAL;
}

static int parse_line(const struct proc_line *line, struct proc_status *s)
{
	for (size_t i = 0; i < sizeof(status_keys) / sizeof(status_keys[0]); i++)
		if (proc_line_is(line, status_keys[i].key))
			return parse_value(proc_cursor(line->val, line->val_len), &status_keys[i],
					   s);
	return 0;
}

int proc_status_parse(const char *text, size_t len, struct proc_status *ret)
{
	cleanup_proc_status struct proc_status s = {
		.umask = -1,
		.seccomp_filters = -1,
		.thp_enabled = -1,
	};
	struct proc_cursor c = proc_cursor(text, len);
	struct proc_line line;

	while (proc_line_next(&c, &line)) {
		int r = parse_line(&line, &s);

		if (r < 0)
			return r;
	}
	/* These lines are there in every kernel; without them the text was cut or is not a status.
	 */
	if (!s.state || !s.pid || !s.tgid || !s.threads)
		return -EINVAL;
	*ret = s;
	s.groups = NULL;
	return 0;
}

void proc_status_done(struct proc_status *s)
{
	free(s->groups);
	s->groups = NULL;
	s->n_groups = 0;
}
