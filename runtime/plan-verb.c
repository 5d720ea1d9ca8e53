/* SPDX-License-Identifier: GPL-2.0-or-later */
/* crun-criu plan: what a checkpoint or a restore would ask of the engine. */
#include <stdio.h>
#include <unistd.h>

#include "engine/base/io.h"
#include "runtime/prepare.h"
#include "runtime/restore.h"

static int print(const struct oci_plan *plan, bool json, struct err *err)
{
	cleanup_buf struct buf out = BUF_INIT;
	int r = oci_plan_print(plan, json, &out, err);

	if (r == 0) {
		r = io_write_all(STDOUT_FILENO, out.data, out.len);
		if (r < 0)
			r = err_sys(err, r, "writing the plan");
	}
	return r;
}

static int plan_dump(struct rt_options *o, const char *id, struct err *err)
{
	cleanup_container struct container c = { 0 };
	cleanup_prepared struct prepared p = { 0 };
	int r = container_load(&c, o, id, err);

	if (r == 0)
		r = container_check_running(&c, err);
	if (r == 0)
		r = prepare_dump(&p, &c, o, err);
	return r == 0 ? print(&p.plan, o->json, err) : r;
}

static int plan_restore(struct rt_options *o, const char *id, struct err *err)
{
	struct restoring rs = { .o = o, .id = id };
	int r = restoring_load(&rs, err);

	if (r == 0)
		r = restoring_make_plan(&rs, err);
	if (r == 0)
		r = print(&rs.p.plan, o->json, err);
	restoring_done(&rs);
	return r;
}

int rt_plan(struct rt_options *o, const char *id, struct err *err)
{
	int r = o->plan_restore ? plan_restore(o, id, err) : plan_dump(o, id, err);

	return r < 0 ? err_wrap(err, r, "plan for container '%s'", id) : r;
}
