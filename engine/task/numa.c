/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The NUMA policy of a thread (set_mempolicy(2)). Those of areas are with the areas. */
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/syscall.h>

#include "engine/task/attr.h"
#include "proto/core.pb-c.h"

enum { NODES_MAX = 1024, SET_BYTES = NODES_MAX / 8 };

static void ask(struct dump *d, struct dump_thread *th, struct program *p)
{
	uint64_t mode = prog_bytes(p, NULL, sizeof(int32_t));
	uint64_t nodes = prog_bytes(p, NULL, SET_BYTES);

	th->asked[ASKED_POLICY].data = mode;
	th->asked[ASKED_POLICY].more = nodes;
	th->asked[ASKED_POLICY].step = prog_syscall(p, "asking for the NUMA policy", PROG_GO_ON,
						    SYS_get_mempolicy, PD(mode), PD(nodes),
						    PN(NODES_MAX + 1), PN(0), PN(0));
}

static int capture(struct dump *d, struct dump_thread *th, const struct program *p, CoreEntry *core,
		   struct err *err)
{
	const struct asked *asked = &th->asked[ASKED_POLICY];
	ThreadCoreEntry *e = core->thread_core;
	int32_t mode;

	/* it fails on a kernel without NUMA */
	memcpy(&mode, prog_out(p, asked->data), sizeof(mode));
	if (prog_result(p, asked->step) < 0 || mode == MPOL_DEFAULT)
		return 0;
	e->has_numa_mode = e->has_numa_nodes = true;
	e->numa_mode = (uint32_t)mode;
	e->numa_nodes.len = SET_BYTES;
	e->numa_nodes.data = arena_dup(&d->arena, prog_out(p, asked->more), SET_BYTES);
	return e->numa_nodes.data ? 0 : err_nomem(err);
}

static int check(struct restore *r, struct restore_thread *th, struct err *err)
{
	const ThreadCoreEntry *e = th->core->thread_core;

	if (e->has_numa_mode && (e->numa_nodes.len > SET_BYTES || e->numa_nodes.len % 8))
		return err_image(err, "thread %d: a NUMA policy of %zu bytes", th->ns_tid,
				 e->numa_nodes.len);
	return 0;
}

/* A machine with other nodes runs the task as well. */
static void put(struct restore *r, struct restore_thread *th, struct program *p)
{
	const ThreadCoreEntry *e = th->core->thread_core;

	if (e->has_numa_mode)
		prog_syscall(p, "setting the NUMA policy", PROG_GO_ON, SYS_set_mempolicy,
			     PN(e->numa_mode),
			     PD(prog_bytes(p, e->numa_nodes.data, e->numa_nodes.len)),
			     PN(e->numa_nodes.len * 8 + 1));
}

const struct task_attr attr_numa = { .name = "NUMA policy",
				     .per_thread = true,
				     .ask = ask,
				     .capture = capture,
				     .check = check,
				     .put = put };
