// SPDX-License-Identifier: LGPL-2.1-or-later
/* The settings of an IPC namespace: limits of System V IPC and of POSIX message queues. */
#include "engine/ns/ipc-priv.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ipc.pb-c.h"

enum { SEM_CTLS = 4 };

/* What /proc/sys shows; the message without its pointers, so that it can cross a pipe. */
struct ipc_vars {
	IpcVarEntry e;
	uint32_t sem[SEM_CTLS];
};

#define FIELD(f) offsetof(IpcVarEntry, f), sizeof(((IpcVarEntry *)0)->f)
#define HAS(f) offsetof(IpcVarEntry, has_##f)

/*
 * Where each setting is kept. has: offset of the field that says it is there, 0 for a required
 * field. Not here: kernel/sem, which has four numbers, kernel/shm_rmid_forced, which is set later,
 * and kernel/auto_msgmni, which has had no effect since 3.19.
 */
static const struct var {
	const char *path;
	size_t offset, size, has;
	bool mqueue;
} vars[] = {
	{ "kernel/msgmax", FIELD(msg_ctlmax), 0, false },
	{ "kernel/msgmnb", FIELD(msg_ctlmnb), 0, false },
	{ "kernel/msgmni", FIELD(msg_ctlmni), 0, false },
	{ "kernel/shmmax", FIELD(shm_ctlmax), 0, false },
	{ "kernel/shmall", FIELD(shm_ctlall), 0, false },
	{ "kernel/shmmni", FIELD(shm_ctlmni), 0, false },
	{ "fs/mqueue/queues_max", FIELD(mq_queues_max), 0, true },
	{ "fs/mqueue/msg_max", FIELD(mq_msg_max), 0, true },
	{ "fs/mqueue/msgsize_max", FIELD(mq_msgsize_max), 0, true },
	{ "fs/mqueue/msg_default", FIELD(mq_msg_default), HAS(mq_msg_default), true },
	{ "fs/mqueue/msgsize_default", FIELD(mq_msgsize_default), HAS(mq_msgsize_default), true },
};

static const struct var rmid_forced = { "kernel/shm_rmid_forced", FIELD(shm_rmid_forced), 0,
					false };

/* The ids that the next objects get, if the program has asked for one; -1: none asked. */
static const struct var next_ids[] = {
	{ "kernel/msg_next_id", FIELD(msg_next_id), HAS(msg_next_id), false },
	{ "kernel/sem_next_id", FIELD(sem_next_id), HAS(sem_next_id), false },
	{ "kernel/shm_next_id", FIELD(shm_next_id), HAS(shm_next_id), false },
};

enum {
	VAR_COUNT = sizeof(vars) / sizeof(vars[0]),
	NEXT_COUNT = sizeof(next_ids) / sizeof(next_ids[0])
};

static void put(IpcVarEntry *e, const struct var *v, uint64_t value)
{
	void *at = (char *)e + v->offset;

	if (v->size == sizeof(uint64_t))
		*(uint64_t *)at = value;
	else
		*(uint32_t *)at = (uint32_t)value;
	if (v->has)
		*(protobuf_c_boolean *)((char *)e + v->has) = 1;
}

static uint64_t get(const IpcVarEntry *e, const struct var *v)
{
	const void *at = (const char *)e + v->offset;

	return v->size == sizeof(uint64_t) ? *(const uint64_t *)at : *(const uint32_t *)at;
}

static bool has(const IpcVarEntry *e, const struct var *v)
{
	return !v->has || *(const protobuf_c_boolean *)((const char *)e + v->has);
}

static int read_var(IpcVarEntry *e, const struct var *v, struct err *err)
{
	char text[64];
	int r = ns_sysctl_read(v->path, text, sizeof(text));

	/* A kernel without message queues has no fs/mqueue. */
	if (r == -ENOENT && (v->mqueue || v->has))
		return 0;
	if (r < 0)
		return err_sys(err, r, "reading '/proc/sys/%s'", v->path);
	put(e, v, strtoull(text, NULL, 10));
	return 0;
}

int ipc_vars_look(struct buf *ret, struct err *err)
{
	struct ipc_vars all = { .e = IPC_VAR_ENTRY__INIT };
	char text[128];
	int r = 0;

	for (size_t i = 0; i < VAR_COUNT && r == 0; i++)
		r = read_var(&all.e, &vars[i], err);
	if (r == 0)
		r = read_var(&all.e, &rmid_forced, err);
	for (size_t i = 0; i < NEXT_COUNT && r == 0; i++) {
		r = ns_sysctl_read(next_ids[i].path, text, sizeof(text));
		if (r == 0 && atoi(text) >= 0)
			put(&all.e, &next_ids[i], (uint64_t)atoi(text));
		else if (r == -ENOENT)
			r = 0; /* a kernel without CONFIG_CHECKPOINT_RESTORE */
	}
	if (r < 0)
		return err->code ? r : err_sys(err, r, "reading the settings of System V IPC");
	r = ns_sysctl_read("kernel/sem", text, sizeof(text));
	if (r < 0 || sscanf(text, "%u %u %u %u", &all.sem[0], &all.sem[1], &all.sem[2],
			    &all.sem[3]) != SEM_CTLS)
		return err_sys(err, r < 0 ? r : -EPROTO, "reading '/proc/sys/kernel/sem'");
	return buf_append(ret, &all, sizeof(all)) < 0 ? err_nomem(err) : 0;
}

int ipc_vars_dump(struct dump *d, const char *seen, size_t len, struct err *err)
{
	struct ipc_vars all;
	struct image *img;

	if (len != sizeof(all))
		return err_new(err, ERR_INTERNAL, -EPROTO, "the settings have a wrong length");
	memcpy(&all, seen, sizeof(all));
	all.e.base.descriptor = &ipc_var_entry__descriptor;
	all.e.n_sem_ctls = SEM_CTLS;
	all.e.sem_ctls = all.sem;
	img = image_get(d->images, IMG_IPC_VAR, "ipcns-var-%u.img", d->root_ns.id[NS_IPC]);
	return img && image_add(img, &all.e.base) == 0 ? 0 : err_nomem(err);
}

int ipc_vars_load(struct restore *r, struct ns_ipc *ipc, struct err *err)
{
	IpcVarEntry *e = NULL;
	int q;

	ipc->vars = arena_alloc(&r->arena, sizeof(*ipc->vars));
	if (!ipc->vars)
		return err_nomem(err);
	q = restore_read_one(r, IMG_IPC_VAR, &ipc_var_entry__descriptor, &e, err,
			     "ipcns-var-%u.img", r->root_ns.id[NS_IPC]);
	if (q < 0)
		return q;
	if (e->n_sem_ctls != SEM_CTLS)
		return err_image(err, "the image has %zu limits of semaphores, not %d",
				 e->n_sem_ctls, SEM_CTLS);
	ipc->vars->e = *e;
	memcpy(ipc->vars->sem, e->sem_ctls, sizeof(ipc->vars->sem));
	return 0;
}

/*
 * Before 6.2 root of a user namespace could not write these settings of its own IPC namespace. They
 * are limits, and the tree was dumped within them: going on with the default ones is the lesser
 * evil.
 */
static int set_var(struct restore *r, const char *path, const char *value, struct err *err)
{
	int q = ns_sysctl_set(path, value, err);

	if ((q == -EACCES || q == -EPERM) && r->new_ns & CLONE_NEWUSER) {
		log_warn(r->log,
			 "'/proc/sys/%s' stays as it is instead of '%s': this kernel does not "
			 "let a user namespace write it, ignoring",
			 path, value);
		*err = (struct err)ERR_INIT;
		return 0;
	}
	return q;
}

static int set_vars(struct restore *r, const struct ns_ipc *ipc, const struct var *list, size_t n,
		    struct err *err)
{
	const IpcVarEntry *e = &ipc->vars->e;
	/* Zeros are what a kernel without message queues leaves in the required fields. */
	bool no_mqueue = !e->mq_queues_max && !e->mq_msg_max && !e->mq_msgsize_max;
	char text[32];
	int q = 0;

	for (size_t i = 0; i < n && q == 0; i++) {
		if (!has(e, &list[i]) || (list[i].mqueue && no_mqueue))
			continue;
		snprintf(text, sizeof(text), "%" PRIu64, get(e, &list[i]));
		q = set_var(r, list[i].path, text, err);
	}
	return q;
}

int ipc_vars_widen(struct restore *r, const char *path, uint64_t want, struct err *err)
{
	char text[32];
	int q = ns_sysctl_read(path, text, sizeof(text));

	if (q < 0)
		return err_sys(err, q, "reading '/proc/sys/%s'", path);
	if (strtoull(text, NULL, 10) >= want)
		return 0;
	snprintf(text, sizeof(text), "%" PRIu64, want);
	return set_var(r, path, text, err);
}

static int set_sem(struct restore *r, const uint32_t sem[SEM_CTLS], struct err *err)
{
	char text[64];

	snprintf(text, sizeof(text), "%u\t%u\t%u\t%u", sem[0], sem[1], sem[2], sem[3]);
	return set_var(r, "kernel/sem", text, err);
}

static int grow_sem(struct restore *r, const uint32_t want[SEM_CTLS], struct err *err)
{
	uint32_t now[SEM_CTLS];
	char text[64];
	int q = ns_sysctl_read("kernel/sem", text, sizeof(text));

	if (q < 0 || sscanf(text, "%u %u %u %u", &now[0], &now[1], &now[2], &now[3]) != SEM_CTLS)
		return err_sys(err, q < 0 ? q : -EPROTO, "reading '/proc/sys/kernel/sem'");
	for (int i = 0; i < SEM_CTLS; i++)
		if (now[i] < want[i])
			now[i] = want[i];
	return set_sem(r, now, err);
}

int ipc_vars_grow(struct restore *r, const struct ns_ipc *ipc, uint64_t biggest_message,
		  struct err *err)
{
	int q = grow_sem(r, ipc->vars->sem, err);

	for (size_t i = 0; i < VAR_COUNT && q == 0; i++)
		if (!vars[i].mqueue)
			q = ipc_vars_widen(r, vars[i].path, get(&ipc->vars->e, &vars[i]), err);
	return q == 0 ? ipc_vars_widen(r, "kernel/msgmax", biggest_message, err) : q;
}

int ipc_vars_set(struct restore *r, const struct ns_ipc *ipc, struct err *err)
{
	int q = set_sem(r, ipc->vars->sem, err);

	if (q == 0)
		q = set_vars(r, ipc, vars, VAR_COUNT, err);
	return q == 0 ? set_vars(r, ipc, next_ids, NEXT_COUNT, err) : q;
}

bool ipc_vars_rmid_forced(const struct ns_ipc *ipc)
{
	return ipc->vars->e.shm_rmid_forced;
}
