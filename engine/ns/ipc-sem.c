// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * System V semaphore sets and their values. What SEM_UNDO takes back at a task's end is the task's
 * own: task/sem-undo.c.
 */
#include "engine/ns/ipc-priv.h"

#include <errno.h>
#include <string.h>
#include <sys/sem.h>

#include "engine/base/cleanup.h"
#include "proto/ipc.pb-c.h"

union semun { /* the caller's to define, says semctl(2) */
	int val;
	struct semid_ds *buf;
	unsigned short *array;
	struct seminfo *info;
};

struct ipc_sem_set {
	struct ipc_desc desc;
	uint32_t n;
	const uint16_t *values;
	struct ipc_sem_set *next;
};

enum { PAD = 8, SEM_MAX = 65535 /* SEMMSL is below it: an index of sem_num is 16 bits */ };

static size_t padded(size_t n)
{
	return (n * sizeof(uint16_t) + PAD - 1) / PAD * PAD;
}

/* One set: desc, count, the time of the last operation, padded values. */
static int look_one(int id, const struct semid_ds *ds, struct buf *ret, struct err *err)
{
	uint32_t n = (uint32_t)ds->sem_nsems;
	int64_t last = ds->sem_otime;
	cleanup_free unsigned short *values = calloc(1, padded(n));
	struct ipc_desc desc;
	union semun arg = { .array = values };

	if (!values)
		return err_nomem(err);
	if (semctl(id, 0, GETALL, arg) < 0)
		return err_sys(err, -errno, "reading semaphore set %d", id);
	ipc_desc_from_perm(id, &ds->sem_perm, &desc);
	if (buf_append(ret, &desc, sizeof(desc)) < 0 || buf_append(ret, &n, sizeof(n)) < 0 ||
	    buf_append(ret, &last, sizeof(last)) < 0 || buf_append(ret, values, padded(n)) < 0)
		return err_nomem(err);
	return 0;
}

int ipc_sem_look(struct buf *ret, struct err *err)
{
	struct seminfo info;
	union semun arg = { .info = &info };
	int max = semctl(0, 0, SEM_INFO, arg), r = 0;

	if (max < 0)
		return err_sys(err, -errno, "listing semaphore sets");
	/* max is the highest index in use, also 0 if there is none. */
	for (int i = 0; i <= max && info.semusz && r == 0; i++) {
		struct semid_ds ds;
		union semun stat = { .buf = &ds };
		int id = semctl(i, 0, SEM_STAT, stat);

		if (id >= 0)
			r = look_one(id, &ds, ret, err);
		else if (errno != EINVAL && errno != EIDRM)
			r = err_sys(err, -errno, "reading semaphore set number %d", i);
	}
	return r;
}

static int look_all(void *unused, struct buf *ret, struct err *err)
{
	return ipc_sem_look(ret, err);
}

static int note_sets(struct dump *d, const char *p, const char *end, struct ns_sems *ret)
{
	while (p < end) {
		struct ns_sem_set *set = vec_add(&ret->sets);
		struct ipc_desc desc;

		if (!set)
			return -ENOMEM;
		memcpy(&desc, p, sizeof(desc));
		p += sizeof(desc);
		memcpy(&set->n, p, sizeof(set->n));
		p += sizeof(set->n);
		memcpy(&set->last, p, sizeof(set->last));
		p += sizeof(set->last);
		set->id = desc.id;
		set->values = arena_dup(&d->arena, p, padded(set->n));
		if (!set->values)
			return -ENOMEM;
		p += padded(set->n);
	}
	return 0;
}

int ns_sems_look(struct dump *d, struct ns_sems *ret, struct err *err)
{
	cleanup_buf struct buf b = BUF_INIT;
	bool own = ns_is_own(&d->host_ns, &d->root_ns, NS_IPC);
	int r = own ? ns_visit(d, NS_IPC, look_all, NULL, &b, err) : ipc_sem_look(&b, err);

	if (r < 0)
		return r;
	return note_sets(d, b.data, b.data + b.len, ret) < 0 ? err_nomem(err) : 0;
}

bool ns_sem_value(const struct restore *r, int id, uint32_t num, uint16_t *ret)
{
	const struct ipc_sem_set *s = r->ns->ipc ? r->ns->ipc->sems : NULL;

	for (; s; s = s->next) {
		if (s->desc.id != id || num >= s->n)
			continue;
		*ret = s->values[num];
		return true;
	}
	return false;
}

static int add(struct image *img, const char **p, struct err *err)
{
	IpcDescEntry desc = IPC_DESC_ENTRY__INIT;
	IpcSemEntry e = IPC_SEM_ENTRY__INIT;
	struct ipc_desc head;

	memcpy(&head, *p, sizeof(head));
	*p += sizeof(head);
	memcpy(&e.nsems, *p, sizeof(e.nsems));
	*p += sizeof(e.nsems) + sizeof(int64_t);
	ipc_desc_fill(&head, &desc);
	e.desc = &desc;
	if (image_add(img, &e.base) < 0 || image_add_raw(img, *p, padded(e.nsems)) < 0)
		return err_nomem(err);
	*p += padded(e.nsems);
	return 0;
}

int ipc_sem_dump(struct dump *d, const char *seen, size_t len, struct err *err)
{
	const char *p = seen;
	struct image *img;
	int r = 0;

	if (!len)
		return 0;
	img = image_get(d->images, IMG_IPCNS_SEM, "ipcns-sem-%u.img", d->root_ns.id[NS_IPC]);
	if (!img)
		return err_nomem(err);
	while (p < seen + len && r == 0)
		r = add(img, &p, err);
	return r;
}

static int load_one(struct restore *r, struct image_reader *reader, const IpcSemEntry *e,
		    struct ipc_sem_set *set, struct err *err)
{
	const void *raw;
	int q = ipc_desc_load(e->desc, &set->desc, err);

	if (q < 0)
		return q;
	if (!e->nsems || e->nsems > SEM_MAX)
		return err_image(err, "semaphore set %d has %u semaphores", set->desc.id, e->nsems);
	q = image_next_raw(reader, padded(e->nsems), &raw, err);
	if (q < 0)
		return q;
	set->n = e->nsems;
	set->values = arena_dup(&r->arena, raw, padded(e->nsems));
	return set->values ? 0 : err_nomem(err);
}

int ipc_sem_load(struct restore *r, struct ns_ipc *ipc, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	struct ipc_sem_set **tail = &ipc->sems;
	int q = image_open(r->images_fd, IMG_IPCNS_SEM, &reader, err, "ipcns-sem-%u.img",
			   r->root_ns.id[NS_IPC]);

	if (q != 0)
		return q == IMAGE_ABSENT ? 0 : q;
	for (;;) {
		cleanup_msg IpcSemEntry *e = NULL;
		struct ipc_sem_set *set;

		q = image_next(reader, &ipc_sem_entry__descriptor, &e, err);
		if (q <= 0)
			return q;
		set = arena_alloc(&r->arena, sizeof(*set));
		if (!set)
			return err_nomem(err);
		q = load_one(r, reader, e, set, err);
		if (q < 0)
			return q;
		*tail = set;
		tail = &set->next;
	}
}

static int build_one(const struct ipc_sem_set *set, struct err *err)
{
	const struct ipc_desc *desc = &set->desc;
	struct semid_ds ds = { 0 };
	union semun owner = { .buf = &ds }, values = { .array = (unsigned short *)set->values };
	int id, q = ipc_next_id("kernel/sem_next_id", desc->id, err);

	if (q < 0)
		return q;
	id = semget(desc->key, (int)set->n, (int)(desc->mode & 0777) | IPC_CREAT | IPC_EXCL);
	if (id < 0)
		return err_sys(err, -errno, "making semaphore set %d", desc->id);
	if (id != desc->id)
		return err_new(err, ERR_ENVIRONMENT, -EEXIST, "semaphore set %d got the id %d",
			       desc->id, id);
	ds.sem_perm.uid = desc->uid;
	ds.sem_perm.gid = desc->gid;
	ds.sem_perm.mode = (unsigned short)(desc->mode & 0777);
	if (semctl(id, 0, SETALL, values) < 0)
		return err_sys(err, -errno, "setting semaphore set %d", id);
	if (semctl(id, 0, IPC_SET, owner) < 0)
		return err_sys(err, -errno, "giving semaphore set %d to user %u, group %u", id,
			       desc->uid, desc->gid);
	return 0;
}

int ipc_sem_build(struct restore *r, struct ns_ipc *ipc, struct err *err)
{
	int q = 0;

	for (const struct ipc_sem_set *s = ipc->sems; s && q == 0; s = s->next)
		q = build_one(s, err);
	return q;
}
