/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Credentials of a thread: ids, groups, capabilities, secure bits, no_new_privs. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "engine/ns/ns.h"
#include "engine/task/attr.h"
#include "proto/core.pb-c.h"
#include "proto/security.pb-c.h"

enum { CAP_WORDS = 2, CAPS_KNOWN = 64 };

static void ask(struct dump *d, struct dump_thread *th, struct program *p)
{
	th->asked[ASKED_SECUREBITS].step = prog_syscall(p, "asking for the secure bits", PROG_STOP,
							SYS_prctl, PN(PR_GET_SECUREBITS), PN(0),
							PN(0), PN(0), PN(0));
}

static uint32_t *cap_words(struct dump *d, uint64_t caps, size_t *ret_n)
{
	uint32_t *w = arena_alloc(&d->arena, CAP_WORDS * sizeof(*w));

	if (!w)
		return NULL;
	w[0] = (uint32_t)caps;
	w[1] = (uint32_t)(caps >> 32);
	*ret_n = CAP_WORDS;
	return w;
}

static int capture_caps(struct dump *d, const struct proc_status *st, CredsEntry *e)
{
	e->cap_inh = cap_words(d, st->cap_inh, &e->n_cap_inh);
	e->cap_prm = cap_words(d, st->cap_prm, &e->n_cap_prm);
	e->cap_eff = cap_words(d, st->cap_eff, &e->n_cap_eff);
	e->cap_bnd = cap_words(d, st->cap_bnd, &e->n_cap_bnd);
	e->cap_amb = cap_words(d, st->cap_amb, &e->n_cap_amb);
	return e->cap_inh && e->cap_prm && e->cap_eff && e->cap_bnd && e->cap_amb ? 0 : -ENOMEM;
}

/* Procfs shows ids as we see them; the image has them as the tree's user namespace numbers them. */
static int capture_ids(struct dump *d, const struct proc_status *st, CredsEntry *e)
{
	uint32_t *uids[] = { &e->uid, &e->euid, &e->suid, &e->fsuid };
	uint32_t *gids[] = { &e->gid, &e->egid, &e->sgid, &e->fsgid };
	size_t i;
	int r = 0;

	for (i = 0; i < 4 && r == 0; i++) {
		r = ns_inside_uid(d, st->uid[i], uids[i]);
		if (r == 0)
			r = ns_inside_gid(d, st->gid[i], gids[i]);
	}
	e->n_groups = st->n_groups;
	e->groups = arena_alloc(&d->arena, (st->n_groups + 1) * sizeof(*e->groups));
	if (!e->groups)
		return -ENOMEM;
	for (i = 0; i < st->n_groups && r == 0; i++)
		r = ns_inside_gid(d, st->groups[i], &e->groups[i]);
	return r;
}

static int capture(struct dump *d, struct dump_thread *th, const struct program *p, CoreEntry *core,
		   struct err *err)
{
	const struct proc_status *st = &th->status;
	CredsEntry *e = arena_alloc(&d->arena, sizeof(*e));
	int r;

	if (!e)
		return err_nomem(err);
	creds_entry__init(e);
	core->thread_core->creds = e;
	e->secbits = (uint32_t)prog_result(p, th->asked[ASKED_SECUREBITS].step);
	r = capture_ids(d, st, e);
	if (r < 0)
		return err_sys(err, r, "translating its user and group ids");
	if (st->no_new_privs) {
		e->has_no_new_privs = true;
		e->no_new_privs = 1;
	}
	return capture_caps(d, st, e) < 0 ? err_nomem(err) : 0;
}

static uint64_t caps(const uint32_t *w, size_t n)
{
	return (n > 0 ? w[0] : 0) | (n > 1 ? (uint64_t)w[1] << 32 : 0);
}

static int check(struct restore *r, struct restore_thread *th, struct err *err)
{
	const CredsEntry *e = th->core->thread_core->creds;
	uint64_t all, missing;

	if (!e)
		return err_image(err, "thread %d has no credentials", th->ns_tid);
	if (e->n_groups > 65536)
		return err_image(err, "thread %d is in %zu groups", th->ns_tid, e->n_groups);
	if (e->lsm_profile && *e->lsm_profile && strcmp(e->lsm_profile, "unconfined") != 0)
		return err_refuse(
			err, "thread %d has the security label '%s', which cannot be restored yet",
			th->ns_tid, e->lsm_profile);
	all = caps(e->cap_prm, e->n_cap_prm) | caps(e->cap_eff, e->n_cap_eff) |
	      caps(e->cap_inh, e->n_cap_inh) | caps(e->cap_bnd, e->n_cap_bnd);
	missing = r->new_ns & 0x10000000 /* CLONE_NEWUSER: a full set of its own */
			  ? 0
			  : all & ~r->own_caps;
	if (missing) {
		err_new(err, ERR_ENVIRONMENT, -EPERM,
			"thread %d has capabilities (0x%lx) that we do not have", th->ns_tid,
			(long)missing);
		err_hint(err, "run the restore with all capabilities of the dumped task");
		return -EPERM;
	}
	return 0;
}

static void put_ids(const CredsEntry *e, struct program *p)
{
	prog_syscall(p, "setting groups", PROG_STOP, SYS_setgroups, PN(e->n_groups),
		     PD(prog_bytes(p, e->groups, e->n_groups * sizeof(*e->groups))));
	/* With this bit a change of uids leaves the capabilities alone. */
	prog_syscall(p, "setting temporary secure bits", PROG_STOP, SYS_prctl,
		     PN(PR_SET_SECUREBITS), PN(SECBIT_NO_SETUID_FIXUP), PN(0), PN(0), PN(0));
	prog_syscall(p, "setting group ids", PROG_STOP, SYS_setresgid, PN(e->gid), PN(e->egid),
		     PN(e->sgid));
	prog_syscall(p, "setting the file system group id", PROG_GO_ON, SYS_setfsgid, PN(e->fsgid));
	prog_syscall(p, "setting user ids", PROG_STOP, SYS_setresuid, PN(e->uid), PN(e->euid),
		     PN(e->suid));
	prog_syscall(p, "setting the file system user id", PROG_GO_ON, SYS_setfsuid, PN(e->fsuid));
}

static void put_caps(const CredsEntry *e, struct program *p)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[CAP_WORDS] = { 0 };
	uint64_t bnd = caps(e->cap_bnd, e->n_cap_bnd), amb = caps(e->cap_amb, e->n_cap_amb);
	size_t i;

	for (i = 0; i < CAPS_KNOWN; i++)
		if (!(bnd & (1ull << i)))
			/* numbers above the kernel's last capability fail, and are no loss */
			prog_syscall(p, "dropping a capability", PROG_GO_ON, SYS_prctl,
				     PN(PR_CAPBSET_DROP), PN(i), PN(0), PN(0), PN(0));
	for (i = 0; i < CAP_WORDS; i++) {
		data[i].permitted = i < e->n_cap_prm ? e->cap_prm[i] : 0;
		data[i].effective = i < e->n_cap_eff ? e->cap_eff[i] : 0;
		data[i].inheritable = i < e->n_cap_inh ? e->cap_inh[i] : 0;
	}
	prog_syscall(p, "setting secure bits", PROG_STOP, SYS_prctl, PN(PR_SET_SECUREBITS),
		     PN(e->secbits), PN(0), PN(0), PN(0));
	prog_syscall(p, "setting capabilities", PROG_STOP, SYS_capset,
		     PD(prog_bytes(p, &head, sizeof(head))), PD(prog_bytes(p, data, sizeof(data))));
	for (i = 0; i < CAPS_KNOWN; i++)
		if (amb & (1ull << i))
			prog_syscall(p, "raising an ambient capability", PROG_STOP, SYS_prctl,
				     PN(PR_CAP_AMBIENT), PN(PR_CAP_AMBIENT_RAISE), PN(i), PN(0),
				     PN(0));
}

static void put(struct restore *r, struct restore_thread *th, struct program *p)
{
	const CredsEntry *e = th->core->thread_core->creds;

	put_ids(e, p);
	put_caps(e, p);
	if (e->has_no_new_privs && e->no_new_privs)
		prog_syscall(p, "setting no_new_privs", PROG_STOP, SYS_prctl,
			     PN(PR_SET_NO_NEW_PRIVS), PN(1), PN(0), PN(0), PN(0));
}

const struct task_attr attr_creds = { .name = "credentials",
				      .per_thread = true,
				      .ask = ask,
				      .capture = capture,
				      .check = check,
				      .put = put };
