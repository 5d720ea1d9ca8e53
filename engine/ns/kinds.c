// SPDX-License-Identifier: LGPL-2.1-or-later
/* The table of namespace kinds, and what walks it. */
#include "engine/ns/ns-priv.h"

#include <sched.h>
#include <unistd.h>

#include "proto/task.pb-c.h"

/*
 * The order is that of ns_build(): the user namespace first, because the builder needs an identity
 * in it to write settings; the clocks last, because a builder that has entered its time namespace
 * need not come back.
 */
static const struct ns_kind *const kinds[] = {
	&ns_kind_user, &ns_kind_pid, &ns_kind_uts, &ns_kind_ipc, &ns_kind_net, &ns_kind_time,
};

enum { KIND_COUNT = sizeof(kinds) / sizeof(kinds[0]) };

int ns_dump(struct dump *d, struct err *err)
{
	for (size_t i = 0; i < KIND_COUNT; i++) {
		const struct ns_kind *k = kinds[i];
		bool own = ns_is_own(&d->host_ns, &d->root_ns, k->type);
		int (*fn)(struct dump *, struct err *) = own ? k->dump : k->dump_shared;
		int r = fn ? fn(d, err) : 0;

		if (r < 0)
			return err_wrap(err, r, "dumping the %s namespace", ns_types[k->type].name);
	}
	return 0;
}

/* The ids of a task; a kind that old images do not have counts as the engine's own. */
static void read_ids(const TaskKobjIdsEntry *e, const struct ns_set *host, struct ns_set *ret)
{
	ret->id[NS_PID] = e->has_pid_ns_id ? e->pid_ns_id : host->id[NS_PID];
	ret->id[NS_NET] = e->has_net_ns_id ? e->net_ns_id : host->id[NS_NET];
	ret->id[NS_IPC] = e->has_ipc_ns_id ? e->ipc_ns_id : host->id[NS_IPC];
	ret->id[NS_UTS] = e->has_uts_ns_id ? e->uts_ns_id : host->id[NS_UTS];
	ret->id[NS_MNT] = e->has_mnt_ns_id ? e->mnt_ns_id : host->id[NS_MNT];
	ret->id[NS_USER] = e->has_user_ns_id ? e->user_ns_id : host->id[NS_USER];
	ret->id[NS_CGROUP] = e->has_cgroup_ns_id ? e->cgroup_ns_id : host->id[NS_CGROUP];
	ret->id[NS_TIME] = e->has_time_ns_id ? e->time_ns_id : host->id[NS_TIME];
}

/* Sets r->root_ns and r->new_ns; every task must live where the root task does. */
static int load_ids(struct restore *r, struct err *err)
{
	struct restore_task **t;

	vec_foreach (t, &r->tasks) {
		struct ns_set set = { 0 };

		if (!(*t)->ids)
			continue; /* a zombie has left its namespaces */
		read_ids((*t)->ids, &r->host_ns, &set);
		if (*t == r->tasks.v[0])
			r->root_ns = set;
		for (int i = 0; i < NS_TYPE_COUNT; i++) {
			if (set.id[i] == r->root_ns.id[i])
				continue;
			err_refuse(err,
				   "%s: it has a %s namespace of its own inside the container's",
				   restore_task_name(r, *t), ns_types[i].name);
			err_hint(err, "nested namespaces cannot be restored yet");
			return -EOPNOTSUPP;
		}
	}
	for (int i = 0; i < NS_TYPE_COUNT; i++)
		if (ns_is_own(&r->host_ns, &r->root_ns, i))
			r->new_ns |= ns_types[i].clone_flag;
	return 0;
}

int ns_load(struct restore *r, struct err *err)
{
	int q;

	if (!r->tasks.n || !r->tasks.v[0]->ids)
		return err_image(err, "the image set has no ids of the root task's namespaces");
	r->ns = arena_alloc(&r->arena, sizeof(*r->ns));
	if (!r->ns)
		return err_nomem(err);
	for (int i = 0; i < NS_TYPE_COUNT; i++)
		r->ns->join[i] = -1;
	r->new_ns = 0;
	q = load_ids(r, err);
	if (q == 0)
		q = ns_load_joins(r, err);
	for (size_t i = 0; i < KIND_COUNT && q == 0; i++) {
		const struct ns_kind *k = kinds[i];
		bool make = r->new_ns & ns_types[k->type].clone_flag;
		int (*fn)(struct restore *, struct err *) = make ? k->load : k->load_shared;

		if (!fn || r->ns->join[k->type] >= 0)
			continue;
		q = fn(r, err);
		if (q < 0)
			err_wrap(err, q, "reading the %s namespace", ns_types[k->type].name);
	}
	return q;
}

static void close_joined(struct restore *r)
{
	for (int i = 0; i < NS_TYPE_COUNT; i++) {
		if (r->ns->join[i] >= 0)
			close(r->ns->join[i]);
		r->ns->join[i] = -1;
	}
}

void ns_done(struct restore *r)
{
	if (!r->ns)
		return;
	close_joined(r);
	for (size_t i = 0; i < KIND_COUNT; i++)
		if (kinds[i]->done)
			kinds[i]->done(r);
}

uint64_t ns_clone_flags(const struct restore *r)
{
	const uint64_t at_clone = CLONE_NEWPID | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET |
				  CLONE_NEWIPC | CLONE_NEWUTS;

	return r->new_ns & at_clone;
}

int ns_build(struct restore *r, struct err *err)
{
	int q = ns_enter_joined(r, err);

	for (size_t i = 0; i < KIND_COUNT && q == 0; i++) {
		const struct ns_kind *k = kinds[i];

		if (!k->build || !(r->new_ns & ns_types[k->type].clone_flag))
			continue;
		q = k->build(r, err);
		if (q < 0)
			err_wrap(err, q, "making the %s namespace", ns_types[k->type].name);
	}
	if (q == 0)
		q = ns_enter_joined_user(r, err);
	close_joined(r); /* this process's copies */
	return q;
}

int ns_finish(struct restore *r, pid_t root, struct err *err)
{
	int q = 0;

	for (size_t i = 0; i < KIND_COUNT && q == 0; i++) {
		const struct ns_kind *k = kinds[i];

		if (!k->finish || !(r->new_ns & ns_types[k->type].clone_flag))
			continue;
		q = k->finish(r, root, err);
		if (q < 0)
			err_wrap(err, q, "completing the %s namespace", ns_types[k->type].name);
	}
	return q;
}
